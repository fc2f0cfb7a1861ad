/** The page of a shared link: one person, where they are, how fresh that is, and the way they came. */
import "../common/style.css";

import { brand, button, fact, LineSigns, notice, themeButton } from "../common/chrome";
import { Formats } from "../common/format";
import { usesMiles } from "../common/language";
import { loadWords, type Words } from "../common/words";
import { loadConfig, type Config } from "../common/config";
import { closedWords, statusWords } from "./contactwords";
import { ICONS, make, say, show, stillWished } from "../common/dom";
import { accuracyText, ageMs, freshness, percentText, seenThrough, speedText, type Freshness } from "../common/freshness";
import { JourneyFeed } from "../common/journeyfeed";
import { shareOf } from "../common/link";
import { MapView, type Padding } from "../map/mapview";
import { accuracyFeature, markerFeature } from "../map/markerfeature";
import { ACCURACY, MARKERS } from "../map/markers";
import type { Place } from "../map/motion";
import { Pace } from "../map/pace";
import { expose, journeyProbe } from "../common/probe";
import { Session, type LinkState } from "../common/session";
import { Stage } from "../map/stage";
import { onTheme } from "../common/theme";
import { Way } from "../map/way";
import { type Identity, type PlacedPoint, type Point, type Presence, type Refusal } from "../common/wire";

const FOLLOW_EVERY_MS = 1_200;
const PERSON = "person";
const page = document.getElementById("page")!;

class ContactPage {
  private readonly stage = new Stage();
  private readonly pace = new Pace();
  private readonly signs: LineSigns;
  private readonly session: Session;
  private readonly view: MapView;
  private readonly way: Way;
  private identity: Identity | null = null;
  private feed: JourneyFeed | null = null;
  private point: PlacedPoint | null = null;
  private pointSeenMs = 0;
  private presence: Presence | null = null;
  private ended = false;
  private framed = false;
  private followedMs = 0;
  private mapReady = false;
  private dirty = true;
  private closed = false;
  private readonly panel = make("section", "panel person", [], { "aria-label": "Shared journey" });
  private readonly name = make("h1", "", "A shared journey");
  private readonly pill = make("span", "pill", "Waiting");
  private readonly sentence = make("p", "sentence", "Looking for the latest position…", { role: "status" });
  private readonly facts = make("dl", "facts", [], { hidden: "" });
  private readonly speed = fact(this.facts, "Speed");
  private readonly accuracy = fact(this.facts, "Accuracy");
  private readonly battery = fact(this.facts, "Battery");
  private readonly until = make("p", "until", "");
  private readonly centre = button("Follow", ICONS.centre, () => this.centreNow());

  constructor(share: string, private readonly config: Config, private readonly words: Words) {
    this.signs = new LineSigns(words, new Formats({ locale: words.locale, miles: usesMiles(navigator.languages) }));
    this.view = new MapView(document.getElementById("map")!, config.mapStyleUrl);
    this.way = new Way(this.view);
    this.session = new Session({ share }, {
      state: (state) => this.lineChanged(state),
      identified: (identity) => this.identified(identity),
      positions: (feed, fixes) => {
        if (feed === this.feed?.name) this.feed.positions(fixes);
      },
      presence: (feed, _driver, presence) => {
        if (feed === this.feed?.name) this.presence = presence;
        this.retell();
      },
      journey: (_feed, news) => {
        if (news.journey !== this.feed?.journey) return;
        this.ended = news.state !== "started";
        this.retell();
      },
    });
    this.build();
  }

  start(): void {
    this.session.start();
    void this.view.ready.then(() => {
      this.mapReady = true;
      this.frameOnce();
    });
    window.setInterval(() => this.retell(), 1_000);
    const frame = (): void => {
      this.frame();
      window.requestAnimationFrame(frame);
    };
    window.requestAnimationFrame(frame);
    expose(() => this.probe(), () => {
      const place = this.stage.at(PERSON, performance.now());
      return place && this.view.map.project([place.lon, place.lat]);
    });
  }

  private build(): void {
    const head = make("header", "", [brand(), this.signs.chip]);
    const who = make("div", "who", [this.name, this.pill]);
    const tools = make("div", "tools", [this.centre, themeButton(this.words)]);
    this.panel.append(head, who, this.sentence, this.facts, this.until, tools);
    page.replaceChildren(this.panel, this.signs.bar);
    for (const event of ["dragend", "zoomend"] as const) this.view.map.on(event, () => this.retell());
  }

  private identified(identity: Identity): void {
    this.identity = identity;
    if (identity.expiresAtMs !== null) say(this.until, `This link works until ${clock(identity.expiresAtMs)}.`);
    if (identity.journeyId === null) return this.shut(null);
    if (this.feed) return;
    const feed = new JourneyFeed(identity.journeyId, {
      grew: (points, driver) => this.grew(points, driver),
      heard: (presence) => {
        this.presence = presence;
        this.retell();
      },
      gap: () => this.session.rewatch(feed.name),
      ended: (ended) => (this.ended = ended),
      startedOver: () => {
        this.way.clear();
        this.session.watch(feed);
      },
      refused: (refusal) => this.shut(refusal),
    });
    this.feed = feed;
    this.session.watch(feed);
  }

  private grew(points: readonly Point[], driver: string | null): void {
    if (driver !== null) say(this.name, driver);
    const placed = this.feed?.log.placed ?? [];
    const last = placed[placed.length - 1];
    if (!last || last === this.point || !points.some((point) => point.seq === last.seq)) return;
    this.point = last;
    this.pointSeenMs = this.session.now();
    this.stage.aim(PERSON, placeOf(last), performance.now(), stillWished() || document.hidden);
    this.dirty = true;
    this.frameOnce();
    this.retell();
  }

  private frameOnce(): void {
    if (this.framed || !this.point || !this.mapReady) return;
    this.framed = true;
    const recent = (this.showsWay() ? this.feed!.log.placed : [this.point]).slice(-200);
    this.view.frame(recent, padding(), true);
  }

  private showsWay(): boolean {
    return this.identity?.scope === "journey";
  }

  private centreNow(): void {
    if (!this.point) return;
    this.view.moved = false;
    this.view.map.easeTo({ zoom: Math.max(this.view.map.getZoom(), 14), duration: stillWished() ? 0 : 500 });
    this.followedMs = performance.now() + 500;
    this.retell();
  }

  private lineChanged(state: LinkState): void {
    if (state.kind === "refused") this.shut(state.refusal);
    this.retell();
  }

  /** The link is no good (any more): nothing of the journey stays on the page or in its memory. */
  private shut(refusal: Refusal | null): void {
    this.closed = true;
    this.feed = null;
    this.point = null;
    this.presence = null;
    this.stage.clear();
    this.way.clear();
    this.view.put(MARKERS, []);
    this.view.put(ACCURACY, []);
    this.view.map.jumpTo({ center: [0, 25], zoom: 1.4 });
    document.title = "Wayguard";
    const { title, lines } = closedWords(refusal);
    page.replaceChildren(notice(title, ...lines));
  }

  private freshness(): Freshness {
    const state = freshness(this.age(), this.presence?.state ?? null, this.config.staleAfterMs);
    return seenThrough(this.ended ? "offline" : state, this.signs.downMs(this.session));
  }

  private age(): number {
    return ageMs(this.session.now(), this.point?.tMs ?? null, this.pointSeenMs);
  }

  private frame(): void {
    const now = performance.now();
    if (this.closed || !this.mapReady || !this.point) return;
    if (!(this.dirty || this.stage.anyMoves(now)) || !this.pace.isDue(now)) return;
    this.dirty = false;
    const place = this.stage.at(PERSON, now);
    if (!place) return;
    const pointed = (this.point.speedMps ?? 1) > 0.4;
    this.view.put(MARKERS, [
      markerFeature({ id: PERSON, name: "", place, freshness: this.freshness(), pointed, chosen: true }),
    ]);
    this.view.put(ACCURACY, accuracyFeature(place, this.point.accuracyM, this.freshness()));
    if (this.showsWay() && this.feed) this.way.draw(this.feed.log.placed, place, now);
    this.followIfDue(place, now);
    this.pace.ran(now, performance.now());
  }

  private followIfDue(place: Place, now: number): void {
    if (this.view.moved || now - this.followedMs < FOLLOW_EVERY_MS || this.view.map.isZooming()) return;
    this.followedMs = now;
    this.view.follow(place, padding());
  }

  private retell(): void {
    if (this.closed) return;
    this.dirty = true;
    this.signs.update(this.session, this.point !== null);
    show(this.signs.chip, this.session.state.kind !== "live"); // the pill says how live the person is
    show(this.facts, this.point !== null);
    show(this.centre, this.point !== null && this.view.moved);
    if (!this.point) {
      if (this.session.state.kind === "live") say(this.sentence, "No position yet. It will appear here as soon as there is one.");
      return;
    }
    const state = this.freshness();
    const live = this.session.state.kind === "live" || this.signs.downMs(this.session) < 3_000;
    const [title, sentence] = statusWords({ freshness: state, ageMs: this.age(), live, ended: this.ended });
    say(this.pill, title);
    this.pill.dataset["state"] = live ? state : "stale";
    say(this.sentence, sentence);
    say(this.speed, state === "fresh" ? speedText(this.point.speedMps) : "–");
    say(this.accuracy, accuracyText(this.point.accuracyM));
    say(this.battery, percentText(this.point.batteryPct));
    document.title = `${this.name.textContent} · ${title}`;
  }

  private probe(): unknown {
    const { feed, point } = this;
    const driver = feed?.driver;
    const entry = point && {
      lat: point.lat,
      lon: point.lon,
      seq: point.seq,
      t_ms: point.tMs,
      journey: feed?.journey,
      freshness: this.freshness(),
      age_ms: this.age(),
      shown: this.stage.at(PERSON, performance.now()),
    };
    return {
      page: "contact",
      connection: this.session.state.kind,
      connections: this.session.connections,
      last_loss: this.session.lastLoss,
      map_ready: this.mapReady,
      closed: this.closed,
      ended: this.ended,
      drivers: entry && driver ? { [driver]: entry } : {},
      journeys: feed ? { [feed.journey]: journeyProbe(feed) } : {},
      drawing: { updates: this.pace.updates, cost_ms: this.pace.costMs },
    };
  }
}

function placeOf(point: PlacedPoint): Place {
  return { lon: point.lon, lat: point.lat, headingDeg: point.headingDeg };
}

function padding(): Padding {
  const wide = window.innerWidth >= 720;
  return wide ? { top: 60, right: 60, bottom: 60, left: 370 } : { top: 60, right: 40, bottom: 290, left: 40 };
}

function clock(ms: number): string {
  const date = new Date(ms);
  const today = date.toDateString() === new Date().toDateString();
  return date.toLocaleString([], today ? { hour: "2-digit", minute: "2-digit" } : { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
}

async function main(): Promise<void> {
  const share = shareOf(location);
  window.addEventListener("hashchange", () => location.reload());
  if (share === null) {
    onTheme(() => undefined);
    const { title, lines } = closedWords(null);
    page.append(notice(title, ...lines));
    return;
  }
  new ContactPage(share, await loadConfig(), await loadWords({ en: {}, ar: async () => ({ default: {} }) })).start();
}

void main();
