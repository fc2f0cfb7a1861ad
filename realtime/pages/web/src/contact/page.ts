/** The page itself: holds what is known of one person, and has the sheet and the map show it. */
import { isOpen, readAlert, type Alert } from "../common/alertwire";
import { brand, button, languageSelect, LineSigns, themeButton } from "../common/chrome";
import type { Config } from "../common/config";
import { icon, ICONS, make, say, show } from "../common/dom";
import { Formats } from "../common/format";
import type { Freshness } from "../common/freshness";
import { JourneyLog } from "../common/journeylog";
import { usesMiles } from "../common/language";
import { expose, journeyProbe } from "../common/probe";
import { number } from "../common/read";
import { Session, type LinkState } from "../common/session";
import type { Identity, PlacedPoint, Point, Refusal } from "../common/wire";
import { clean } from "../common/words";
import { Banner, type Act } from "./banner";
import { Card, MAP_PIN } from "./card";
import { showClosed } from "./closed";
import { statusWords, type ContactWords } from "./contactwords";
import { AlertFeed, TripFeed } from "./feeds";
import { Hearsay, insist } from "./deeds";
import { Ground } from "./ground";
import { SeenAlert } from "./seen";
import { AlertBook } from "./sos";
import { Person } from "./person";
import { movement, readTrip } from "./trip";

const TOLD_EVERY_MS = 5_000;
/** Where to and by when may change while one looks. */
const TRIP_EVERY_MS = 60_000;
const MAX_ALERTS = 5;
const SHOWN_AFTER_END_MS = 300_000;

export class ContactPage {
  private readonly formats: Formats;
  private readonly signs: LineSigns;
  private readonly session: Session;
  private readonly card: Card;
  private readonly banner: Banner;
  private readonly sheet = make("div", "sheet");
  private readonly until = make("p", "until");
  private readonly centre: HTMLButtonElement;
  /** In an alert the sheet is long: what opens a map program is then over the map, where it is seen without scrolling. */
  private readonly maps: HTMLButtonElement;
  private readonly book = new AlertBook();
  private readonly alertFeeds = new Map<string, AlertFeed>();
  private identity: Identity | null = null;
  private feed: TripFeed | null = null;
  private readonly person = new Person();
  private readonly hearsay: Hearsay;
  private readonly seen: SeenAlert;
  private closed = false;
  private readonly ground: Ground;

  constructor(
    share: string,
    private readonly root: HTMLElement,
    container: HTMLElement,
    private readonly config: Promise<Config>,
    private readonly words: ContactWords,
  ) {
    this.formats = new Formats({ locale: words.locale, miles: usesMiles(navigator.languages) });
    this.signs = new LineSigns(words, this.formats);
    this.card = new Card(words, this.formats);
    const id = share.slice(0, share.indexOf("."));
    this.seen = new SeenAlert(id);
    this.banner = new Banner(words, this.formats, id, (act, alert, more, trying) => this.act(act, alert, more, trying), (one) => {
      this.book.hide(one);
      this.seen.drop(one);
      this.retell();
    });
    this.ground = new Ground(container, this.sheet, () => this.retell());
    container.setAttribute("aria-label", words.say("map"));
    this.centre = button(words.say("follow"), ICONS.centre, () => this.ground.map?.centre());
    this.maps = make("button", "button over-map", [icon(MAP_PIN), make("span", "", words.say("maps"))], { type: "button", hidden: "" });
    this.maps.addEventListener("click", () => this.card.openApp());
    this.hearsay = new Hearsay((alert) => this.session.request("alert:told", { alert_id: alert.id }));
    this.session = new Session({ share }, {
      state: (state) => this.lineChanged(state),
      identified: (identity) => this.identified(identity),
      positions: (feed, fixes) => {
        if (feed === this.feed?.name) this.feed.positions(fixes);
      },
      presence: (feed, driver, presence) => {
        if (feed === this.feed?.name && driver === this.feed.driver) this.person.presence = presence;
        this.retell();
      },
      journey: (_feed, news) => {
        if (news.journey !== this.feed?.journey) return;
        this.person.ended = news.state !== "started";
        this.person.endedMs = this.person.ended ? this.session.now() : null;
        this.retell();
      },
      alert: (_feed, alert) => this.heard(alert),
    });
    this.build();
  }

  start(): void {
    this.session.start();
    window.setInterval(() => this.retell(), 1_000);
    window.setInterval(() => void this.askTold(), TOLD_EVERY_MS);
    window.setInterval(() => {
      if (this.feed && !this.person.ended && !document.hidden) this.session.rewatch(this.feed.name);
    }, TRIP_EVERY_MS);
    expose(() => this.probe(), () => this.ground.map?.at() ?? null);
    void this.config.then((config) => {
      this.person.staleAfterMs = config.staleAfterMs;
      return this.ground.load(config);
    });
  }

  private build(): void {
    const { words } = this;
    document.title = words.say("title");
    this.centre.classList.add("follow");
    const tools = make("div", "tools", [languageSelect(words), themeButton(words)]);
    const foot = make("footer", "", [this.until, make("div", "foot", [brand(), this.signs.chip, tools])]);
    this.sheet.append(this.banner.element, this.card.element, foot);
    this.root.replaceChildren(this.centre, this.maps, this.sheet, this.signs.bar);
    this.retell();
    new ResizeObserver(() => this.resized()).observe(this.sheet);
  }

  private resized(): void {
    document.documentElement.style.setProperty("--sheet", `${this.sheet.offsetHeight}px`);
    this.ground.map?.shifted();
  }

  // --- what the server says

  private identified(identity: Identity): void {
    this.identity = identity;
    if (identity.journeyId === null && identity.alertId === null && identity.follows === null) return this.shut(null);
    for (const alert of identity.alerts) this.watchAlert(alert);
    if (identity.alertId !== null) this.watchAlert(identity.alertId);
    const seen = this.seen.get(); // a link to a journey shows open alerts alone: how this one ended is asked for after a reload
    if (seen !== null) this.watchAlert(seen);
    if (identity.journeyId !== null && this.feed?.journey !== identity.journeyId) this.watchJourney(identity.journeyId);
    this.retell();
  }

  private watchJourney(journey: string): void {
    if (this.feed) {
      this.session.unwatch(this.feed.name);
      this.person.leave();
      this.hidePlace();
    }
    this.person.ended = false;
    const feed = new TripFeed(
      journey,
      {
        grew: (points) => this.grew(points),
        heard: (presence) => (this.person.presence = presence),
        gap: () => this.session.rewatch(feed.name),
        ended: (ended) => (this.person.ended = ended),
        startedOver: () => {
          this.ground.map?.forgetWay();
          this.session.watch(feed);
        },
        refused: (refusal) => this.journeyRefused(refusal),
      },
      (snapshot) => {
        this.person.trip = snapshot.journey && readTrip(snapshot.journey.raw);
        this.person.endedMs = number(snapshot.journey?.raw["ended_ms"]);
        if (snapshot.journey?.raw["place_hidden"] === true) this.hidePlace();
        for (const alert of snapshot.alerts) this.heard(alert);
        this.retell();
      },
    );
    this.feed = feed;
    this.session.watch(feed);
  }

  /** A link to an alert shows the journey for a while, one to a driver the next; a link to a journey is nothing without it. */
  private journeyRefused(refusal: Refusal): void {
    if (this.identity?.alertId == null && this.identity?.follows == null) return this.shut(refusal);
    this.feed = null;
    this.person.leave();
    this.retell();
  }

  private grew(points: readonly Point[]): void {
    this.person.took(points, this.feed?.log.placed ?? [], this.session.now());
    this.retell();
  }

  private heard(alert: Alert): void {
    if (this.closed || !this.book.take(alert)) return;
    if (isOpen(alert)) this.seen.put(alert.id);
    this.watchAlert(alert.id);
    if (isOpen(alert)) this.ground.wantNumbers();
    void this.askTold();
    this.retell();
  }

  private watchAlert(id: string): void {
    if (this.alertFeeds.has(id) || this.alertFeeds.size >= MAX_ALERTS) return;
    const feed = new AlertFeed(id, (alert) => this.heard(alert), (gone, refusal) => {
      this.alertFeeds.delete(gone);
      this.seen.drop(gone);
      this.book.drop(gone);
      if (gone === this.identity?.alertId) this.shut(refusal);
      else this.retell();
    });
    this.alertFeeds.set(id, feed);
    this.session.watch(feed);
  }

  private async act(act: Act, alert: Alert, more: Record<string, unknown>, trying: () => void): Promise<void> {
    try {
      const now = await insist(() => this.session.request(`alert:${act}`, { alert_id: alert.id, ...more }), trying, () => this.closed);
      const answered = readAlert(now["alert"]);
      if (answered) this.heard(answered);
    } catch (refusal) {
      this.session.rewatch(`alert:${alert.id}`); // how it stands now
      throw refusal;
    }
  }

  private async askTold(): Promise<void> {
    const alert = this.book.shown;
    if (!alert || !this.identity?.mayAnswer || document.hidden || this.session.state.kind !== "live") return;
    if ((await this.hearsay.ask(alert)) && !this.closed) this.retell();
  }

  // --- what is shown

  private lineChanged(state: LinkState): void {
    if (state.kind === "refused") this.shut(state.refusal);
    else if (state.kind === "live") void this.askTold();
    this.retell();
  }

  /** The link is no good (any more): nothing of the journey stays on the page or in its memory. */
  private shut(refusal: Refusal | null): void {
    if (this.closed) return;
    this.closed = true;
    this.session.stop();
    this.feed = null;
    this.person.leave();
    this.hearsay.clear();
    this.identity = null;
    this.book.clear();
    this.alertFeeds.clear();
    this.banner.update(null);
    this.card.clear();
    this.ground.close();
    document.title = this.words.say("brand");
    this.seen.clear();
    void showClosed(this.root, this.words, refusal);
  }

  /** A live link shows the place until five minutes after the journey's end, and longer while an SOS is open. */
  private hideInTime(): void {
    const { endedMs, point } = this.person;
    if (this.identity?.scope !== "live" || this.identity.alertId !== null || endedMs === null || point === null) return;
    const alert = this.book.shown;
    if (alert && isOpen(alert) && !alert.drill) return;
    if (this.session.now() - endedMs >= SHOWN_AFTER_END_MS) this.hidePlace();
  }

  private hidePlace(): void {
    this.person.point = null;
    if (this.feed) this.feed.log = new JourneyLog();
    this.ground.map?.forgetWay();
  }

  private get name(): string {
    const alert = this.book.shown;
    const said = this.person.trip?.name || this.hearsay.name || this.feed?.driver || alert?.driver || "";
    return clean(said, 80) || this.words.say("title");
  }

  private freshness(spot: PlacedPoint | null): Freshness {
    return this.person.freshness(spot, this.session.now(), this.signs.downMs(this.session));
  }

  private get live(): boolean {
    return this.session.state.kind === "live" || this.signs.downMs(this.session) < 3_000;
  }

  private retell(): void {
    if (this.closed) return;
    this.hideInTime();
    const spot = this.person.spot(this.book.shown);
    this.signs.update(this.session, spot !== null);
    show(this.signs.chip, this.session.state.kind !== "live"); // the pill says how live the person is
    show(this.centre, spot !== null && (this.ground.map?.strayed ?? false));
    const alert = this.book.shown;
    show(this.maps, spot !== null && alert !== null && isOpen(alert));
    this.tellPerson(spot);
    this.tellAlert(spot);
    this.tellLink();
    const way = this.showsWay && spot === this.person.point ? (this.feed?.log.placed ?? null) : null;
    this.ground.show(spot && { point: spot, way, freshness: this.freshness(spot) });
  }

  private tellPerson(spot: PlacedPoint | null): void {
    const { words, live } = this;
    const nowMs = this.session.now();
    const look = this.freshness(spot);
    let [state, sentence] = [words.say("state.waiting"), words.say("looking")];
    if (spot) {
      const situation = { freshness: look, ageMs: this.person.age(spot, nowMs), live, ended: this.person.ended, presence: this.person.presence, nowMs };
      [state, sentence] = statusWords(words, this.formats, situation);
    } else if (this.identity && this.session.state.kind === "live") {
      sentence = words.say(this.person.ended ? "away" : "none");
      if (this.person.ended) state = words.say("state.ended");
    }
    const placed = this.feed?.log.placed ?? [];
    this.card.update({
      name: this.name,
      state,
      look: live && spot ? look : "stale",
      sentence,
      point: spot,
      fresh: look === "fresh",
      movement: movement(placed, this.showsWay && placed[0]?.seq === 1),
      trip: this.person.trip,
      ended: this.person.ended,
      alarmed: !this.maps.hidden,
      nowMs,
    });
    document.title = spot ? words.say("title.person", { name: this.name, state }) : words.say("title");
  }

  private tellAlert(spot: PlacedPoint | null): void {
    const alert = this.book.shown;
    this.sheet.classList.toggle("alarmed", alert !== null);
    if (!alert) return this.banner.update(null);
    this.banner.update({
      alert,
      name: this.name,
      mayAnswer: this.identity?.mayAnswer ?? false,
      told: this.hearsay.of(alert),
      phone: this.person.trip?.phone ?? this.hearsay.phone,
      emergency: this.ground.emergency(spot),
      nowMs: this.session.now(),
    });
    if (!isOpen(alert)) return;
    const kind = this.words.find(`alert.kind.${alert.kind}`) ?? this.words.say("alert.kind.sos");
    document.title = this.words.say("title.sos", { kind, name: this.name });
  }

  private tellLink(): void {
    const expires = this.identity?.expiresAtMs ?? null;
    const made = this.identity?.holder ? [this.words.say("for", { name: this.identity.holder })] : [];
    const until = expires === null ? [] : [this.words.say("until", { time: this.formats.clock(expires, this.session.now()) })];
    say(this.until, [...made, ...until].join(" "));
  }

  private get showsWay(): boolean {
    return this.identity?.scope === "journey";
  }

  private probe(): unknown {
    const { feed, person } = this;
    const { map } = this.ground;
    const { point } = person;
    const driver = feed?.driver;
    const alert = this.book.shown;
    const entry = point && {
      lat: point.lat,
      lon: point.lon,
      seq: point.seq,
      t_ms: point.tMs,
      journey: feed?.journey,
      freshness: this.freshness(point),
      age_ms: person.age(point, this.session.now()),
      shown: map?.shown() ?? null,
    };
    return {
      page: "contact",
      connection: this.session.state.kind,
      connections: this.session.connections,
      last_loss: this.session.lastLoss,
      map_ready: map?.ready ?? false,
      closed: this.closed,
      ended: this.person.ended,
      drivers: entry && driver ? { [driver]: entry } : {},
      journeys: feed ? { [feed.journey]: journeyProbe(feed) } : {},
      alert: alert && { id: alert.id, state: alert.state, version: alert.version },
      told: alert && (this.hearsay.of(alert)?.length ?? null),
      presence: this.person.presence,
      emergency: this.ground.hasNumbers,
      drawing: { updates: map?.pace.updates ?? 0, cost_ms: map?.pace.costMs ?? 0 },
    };
  }
}
