/** What is known of the driver that is chosen, and what can be done: follow, share, look back, pair a phone. */
import type { AreaWatch } from "./areawatch";
import { explained, Topic, type Context } from "./context";
import { CallLine } from "./callline";
import { editDriver } from "./driveredit";
import { PeopleDialog } from "./driverpeople";
import { RaiseDialog } from "./driverraise";
import { doingText, presenceText } from "./drivertext";
import type { Driver } from "./fleet";
import type { FleetModel } from "./fleetmodel";
import { PairDialog } from "./pair";
import { JourneyList } from "./replaylist";
import { ReplayPanel } from "./replaypanel";
import { ShareDialog } from "./share";
import { button, fact } from "../common/chrome";
import { ICONS, make, say, show } from "../common/dom";
import { JourneyFeed } from "../common/journeyfeed";
import { journeyProbe } from "../common/probe";
import { clean } from "../common/words";

const ACTS = ["follow", "share", "history", "people", "edit", "pair", "raise"] as const;
type DriverAct = (typeof ACTS)[number];

export class DriverPanel {
  readonly element = make("div", "driver-place");
  readonly follows = new Topic(false);
  private readonly card: HTMLElement;
  private readonly name = make("h2", "", [], { tabindex: "-1" });
  private readonly id = make("p", "driver-id detail", "", { hidden: "", dir: "ltr" });
  private readonly call: CallLine;
  private readonly pill = make("span", "pill");
  private readonly age = make("span", "age");
  private readonly presence = make("p", "detail");
  private readonly alert = make("p", "driver-alert", "", { hidden: "" });
  private readonly facts: Record<"speed" | "battery" | "accuracy" | "journey", HTMLElement>;
  private readonly acts: Record<DriverAct, HTMLButtonElement>;
  private readonly journeys: JourneyList;
  private readonly replay: ReplayPanel;
  private feed: JourneyFeed | null = null;
  private watched: string | null = null;

  constructor(
    private readonly context: Context,
    private readonly model: FleetModel,
    private readonly area: () => AreaWatch | null,
    /** Called with the id of an alert that was raised here. */
    private readonly raised: (alertId: string) => void = () => undefined,
  ) {
    const { words } = context;
    const facts = make("dl", "facts");
    this.facts = {
      speed: fact(facts, words.say("driver.speed")),
      battery: fact(facts, words.say("driver.battery")),
      accuracy: fact(facts, words.say("driver.accuracy")),
      journey: fact(facts, words.say("driver.journey")),
    };
    this.acts = {
      follow: this.act("follow", () => this.follows.set(!this.follows.get())),
      share: this.act("share", () => this.share()),
      history: this.act("history", () => this.history()),
      people: this.act("people", () => this.people()),
      edit: this.act("edit", () => this.edit()),
      pair: this.act("pair", () => this.pair()),
      raise: this.act("raise", () => this.raise()),
    };
    this.acts.raise.classList.add("raise");
    this.call = new CallLine(context);
    this.acts.follow.setAttribute("aria-pressed", "false");
    this.acts.history.setAttribute("aria-expanded", "false");
    this.journeys = new JourneyList(context, (journey) => this.lookBack(journey.id));
    this.replay = new ReplayPanel(context, area, () => this.live());
    const head = make("header", "", [this.name, button(words.say("close"), ICONS.close, () => context.chosen.set(null))]);
    this.card = make("section", "driver-card", [
      head, this.id, make("p", "status", [this.pill, this.age]), this.presence, this.alert, this.call.element, facts,
      make("div", "driver-acts", ACTS.map((act) => this.acts[act])), this.journeys.element,
    ], { hidden: "", "aria-label": words.say("driver.title") });
    this.element.append(this.card, this.replay.element);
    this.listen();
  }

  /** The chosen driver's journey as it grows. */
  journey(): JourneyFeed | null {
    return this.feed;
  }

  update(): void {
    const driver = this.driver;
    show(this.card, driver !== null && !this.replay.isOpen);
    if (driver) this.tell(driver);
  }

  probe(): object {
    return {
      follows: this.follows.get(),
      journeys: this.feed ? { [this.feed.journey]: journeyProbe(this.feed) } : {},
      replay: this.replay.probe(),
    };
  }

  private get driver(): Driver | null {
    const id = this.context.chosen.get();
    return id === null ? null : (this.model.fleet.drivers.get(id) ?? null);
  }

  private listen(): void {
    const { context } = this;
    context.chosen.listen(() => this.choose());
    context.place.listen(() => this.replay.close());
    context.names.onChange(() => this.update());
    context.alerts.listen(() => this.update());
    this.follows.listen((follows) => this.acts.follow.setAttribute("aria-pressed", String(follows)));
    context.hear({
      positions: (feed, fixes) => {
        if (feed === this.feed?.name) this.feed.positions(fixes);
      },
    });
    this.model.onMove((ids) => {
      const driver = this.driver;
      if (!driver || !ids.includes(driver.id)) return;
      if (driver.journey !== (this.feed?.journey ?? "")) this.watchWay(driver);
      this.update();
    });
    window.addEventListener("keydown", (event) => {
      const elsewhere = event.defaultPrevented || document.querySelector("dialog[open]") !== null;
      if (event.key !== "Escape" || elsewhere || context.chosen.get() === null) return;
      if (this.replay.isOpen) this.replay.close();
      else context.chosen.set(null);
    });
  }

  private choose(): void {
    const { context } = this;
    const id = context.chosen.get();
    this.follows.set(false);
    this.replay.close();
    this.journeys.hide();
    this.acts.history.setAttribute("aria-expanded", "false");
    if (this.watched !== null) context.session.unwatch(`driver:${this.watched}`);
    this.watched = id;
    // The area tells only of what the map shows; whoever is chosen is heard wherever they are.
    if (id !== null) {
      context.names.want([id]);
      this.watchDriver(id);
    }
    this.call.of(id);
    const driver = this.driver;
    this.watchWay(driver);
    this.update();
    if (driver) this.area()?.reveal(driver.id);
  }

  private watchDriver(id: string): void {
    this.context.session.watch({
      name: `driver:${id}`,
      request: () => ({ driver: id }),
      snapshot: (snapshot) => {
        for (const [driver, presence] of snapshot.presence) this.model.fleet.hear(driver, presence, this.model.now());
        this.model.accept(snapshot.fixes);
      },
      refused: () => undefined,
    });
  }

  private watchWay(driver: Driver | null): void {
    const { session } = this.context;
    if (this.feed) session.unwatch(this.feed.name);
    this.feed = null;
    if (!driver?.journey) return;
    const feed = new JourneyFeed(driver.journey, {
      grew: () => undefined,
      heard: () => undefined,
      gap: () => session.rewatch(feed.name),
      ended: (ended) => {
        const now = this.driver;
        if (now?.journey !== feed.journey) return;
        now.journeyEnded = ended;
        if (ended) now.underWay = false;
      },
      startedOver: () => session.watch(feed),
      refused: () => undefined,
    });
    this.feed = feed;
    session.watch(feed);
  }

  private tell(driver: Driver): void {
    const { words, formats } = this.context;
    const row = this.model.rowOf(driver);
    const { point } = driver;
    const id = clean(driver.id, 80);
    say(this.name, row.name);
    say(this.id, id);
    show(this.id, row.name !== id);
    this.pill.dataset["state"] = row.freshness;
    say(this.pill, words.say(`freshness.${row.freshness}`));
    say(this.age, row.ageMs === null ? words.say("list.no_position") : words.say("driver.taken", { ago: formats.ago(row.ageMs) }));
    say(this.presence, presenceText(words, formats, this.model.fleet.presenceOf(driver.id), this.model.now()));
    const alerts = this.model.alarmed.get(driver.id) ?? [];
    const [alert] = alerts;
    this.call.mayHarm(alerts.some((one) => one.silent || one.duress));
    show(this.alert, alert !== undefined);
    if (alert) {
      const kind = words.find(`alert.kind.${alert.kind}`) ?? clean(alert.kind, 40);
      say(this.alert, words.say("driver.alert", { kind, state: words.say(`alert.state.${alert.state}`), at: formats.clock(alert.pressedMs, this.model.now()) }));
    }
    say(this.facts.speed, doingText(words, formats, row));
    say(this.facts.battery, formats.percent(row.batteryPct));
    say(this.facts.accuracy, formats.accuracy(point?.accuracyM ?? null));
    say(this.facts.journey, row.onJourney ? words.say("driver.journey.open") : driver.journey === "" ? "–" : words.say("driver.journey.ended"));
    this.acts.share.disabled = driver.journey === "" || driver.journeyEnded;
    this.acts.follow.disabled = point === null;
    this.acts.pair.disabled = this.acts.raise.disabled = driver.vendor === null;
  }

  private act(name: DriverAct, act: () => void): HTMLButtonElement {
    const element = make("button", "plain", this.context.words.say(`driver.${name}`), { type: "button" });
    element.addEventListener("click", act);
    return element;
  }

  private share(): void {
    const driver = this.driver;
    if (driver?.journey) new ShareDialog(this.context, driver.journey, driver.id).open();
  }

  private pair(): void {
    const driver = this.driver;
    if (driver?.vendor) new PairDialog(this.context, { id: driver.id, vendor: driver.vendor }).open();
  }

  private people(): void {
    const driver = this.driver;
    if (driver) new PeopleDialog(this.context, driver.id).open();
  }

  private edit(): void {
    const driver = this.driver;
    if (driver) void editDriver(this.context, driver.id, () => this.call.of(driver.id, true));
  }

  private raise(): void {
    const driver = this.driver;
    if (driver?.vendor) new RaiseDialog(this.context, { id: driver.id, vendor: driver.vendor }, (alert) => this.raised(alert)).open();
  }

  private history(): void {
    const driver = this.driver;
    if (!driver) return;
    const open = this.journeys.toggle(driver.id);
    this.acts.history.setAttribute("aria-expanded", String(open));
  }

  private lookBack(journey: string): void {
    const driver = this.driver;
    if (!driver) return;
    this.follows.set(false);
    this.replay.open(journey, driver.id).then(
      () => this.update(),
      (error: unknown) => this.context.tell(explained(this.context.words, error)),
    );
  }

  private live(): void {
    this.update();
    const driver = this.driver;
    if (!driver) return;
    this.area()?.reveal(driver.id);
    this.name.focus();
  }
}
