/** One alert on the desk. Its words are kept current; its element stays, so that focus and reading stay where they are. */
import { isOpen, type Alert } from "../common/alertwire";
import { make, say, show } from "../common/dom";
import { clean } from "../common/words";
import type { Context } from "./context";
import { actsOf, type Act } from "./deskacts";
import { keyOf } from "./deskkeys";
import { DeskDetail } from "./deskdetail";
import { countdownS, kindText, stateText, whenText, whoTexts } from "./deskwords";

export interface CardActs {
  toggle(id: string): void;
  act(what: Act, id: string): void;
  map(id: string): void;
}

/** A place that is older is said to be. */
const OLD_MS = 60_000;

export class AlertCard {
  readonly element = make("li", "alert");
  readonly head: HTMLButtonElement;
  detail: DeskDetail | null = null;
  private readonly kind = make("span", "kind");
  private readonly driver = make("bdi", "driver");
  private readonly driverId = make("bdi", "driver-id");
  private readonly vendor = make("bdi", "vendor-name");
  private readonly pill = make("span", "state-pill");
  private readonly marks = make("div", "marks");
  private readonly when = make("p", "when");
  private readonly who = make("p", "who");
  private readonly count = make("p", "countdown", [], { hidden: "" });
  private readonly place = make("p", "place");
  private readonly placeText = make("span");
  private readonly buttons = new Map<Act, HTMLButtonElement>();
  private readonly actions = make("div", "alert-actions");
  private readonly below = make("div", "below");

  constructor(
    private readonly context: Context,
    public alert: Alert,
    acts: CardActs,
  ) {
    const { words } = context;
    const id = alert.id;
    this.head = make("button", "alert-head", [make("span", "what", [this.kind, this.driver, this.driverId, this.vendor]), this.pill], { type: "button", "aria-expanded": "false" });
    this.head.addEventListener("click", () => acts.toggle(id));
    for (const what of ["acknowledge", "respond", "note", "resolve", "false_alarm"] as const) {
      const key = keyOf(what);
      const button = make("button", what === "acknowledge" ? "primary" : "plain", [words.say(`desk.act.${what}`), make("kbd", "key", key, { "aria-hidden": "true" })], {
        type: "button", "aria-keyshortcuts": key,
      });
      button.addEventListener("click", () => acts.act(what, id));
      this.buttons.set(what, button);
      this.actions.append(button);
    }
    const onMap = make("button", "link", words.say("desk.on_map"), { type: "button" });
    onMap.addEventListener("click", () => acts.map(id));
    this.place.append(this.placeText, " ", onMap);
    const title = make("h3", "", [this.head]);
    this.element.append(make("article", "", [title, this.marks, this.when, this.count, this.who, this.place, this.actions, this.below]));
    this.update(alert, context.session.now());
  }

  update(alert: Alert, nowMs: number): void {
    this.alert = alert;
    this.element.dataset["state"] = alert.state;
    this.element.dataset["severity"] = alert.severity;
    this.element.toggleAttribute("data-drill", alert.drill);
    say(this.kind, kindText(this.context, alert));
    const id = clean(alert.driver, 80);
    const name = this.context.names.of(alert.driver);
    say(this.driver, name);
    say(this.driverId, name === id ? "" : id);
    say(this.vendor, clean(alert.vendor, 40));
    say(this.pill, stateText(this.context, alert));
    this.mark(alert);
    say(this.who, whoTexts(this.context, alert, nowMs).join("\n"));
    const may = actsOf(alert);
    for (const [what, button] of this.buttons) show(button, may.includes(what) && (this.detail !== null || what === "acknowledge" || (!may.includes("acknowledge") && what === "resolve")));
    show(this.actions, [...this.buttons.values()].some((button) => !button.hidden));
    this.detail?.update(alert);
    this.tick(nowMs);
  }

  /** Once a second. */
  tick(nowMs: number): void {
    const { words } = this.context;
    say(this.when, whenText(this.context, this.alert, nowMs));
    this.placed(this.alert, nowMs);
    const seconds = countdownS(this.alert, nowMs);
    show(this.count, seconds !== null);
    if (seconds !== null) say(this.count, words.say("desk.countdown", { n: seconds }));
  }

  select(selected: boolean): void {
    if (selected) this.element.setAttribute("aria-current", "true");
    else this.element.removeAttribute("aria-current");
  }

  expand(open: boolean): void {
    if (open === (this.detail !== null)) return;
    this.head.setAttribute("aria-expanded", String(open));
    if (open) this.detail = new DeskDetail(this.context, this.alert);
    else {
      this.detail?.stop();
      this.detail = null;
    }
    this.below.replaceChildren(...(this.detail ? [this.detail.element] : []));
    this.update(this.alert, this.context.session.now());
  }

  /** The buttons wait while something is on its way; nothing is shown as done before the server says so. */
  busy(busy: boolean): void {
    this.element.setAttribute("aria-busy", String(busy));
    for (const button of this.buttons.values()) button.disabled = busy;
  }

  private mark(alert: Alert): void {
    const { words } = this.context;
    const marks: [string, boolean][] = [["duress", alert.duress], ["silent", alert.silent], ["drill", alert.drill]];
    const wanted = marks.filter(([, is]) => is).map(([name]) => name);
    if (this.marks.dataset["marks"] === wanted.join()) return;
    this.marks.dataset["marks"] = wanted.join();
    this.marks.replaceChildren(...wanted.map((name) => make("span", `mark-tag ${name}`, words.find(`desk.mark.${name}`) ?? name)));
    show(this.marks, wanted.length > 0);
  }

  private placed({ place, presses }: Alert, nowMs: number): void {
    const { words, formats } = this.context;
    const parts: string[] = [];
    if (place) {
      parts.push(`\u2066${place.lat.toFixed(5)}, ${place.lon.toFixed(5)}\u2069`); // reads from the left in every language
      if (place.accuracyM !== null) parts.push(formats.accuracy(place.accuracyM));
      if (place.tMs === null) parts.push(words.say("desk.place_age"));
      else if (nowMs - place.tMs >= OLD_MS || Math.abs(place.tMs - this.alert.pressedMs) > 5_000) parts.push(`${formats.clock(place.tMs, nowMs, true)}, ${formats.ago(nowMs - place.tMs)}`);
      if (place.batteryPct !== null) parts.push(words.say("desk.battery", { pct: formats.percent(place.batteryPct) }));
    } else parts.push(words.say("desk.no_place"));
    if (presses > 1) parts.push(words.say("desk.presses", { n: presses }));
    say(this.placeText, parts.join(" · "));
    show(this.place, isOpen(this.alert) || this.detail !== null);
  }
}
