/** The dispatcher's page: every driver of the vendors the token names, on one map. */
import "../common/style.css";

import { Card } from "./card";
import { brand, button, LineSigns, notice, themeButton } from "../common/chrome";
import { Formats } from "../common/format";
import { usesMiles } from "../common/language";
import { loadWords, type Words } from "../common/words";
import { loadConfig, type Config } from "../common/config";
import { ICONS, make, say, show, stillWished } from "../common/dom";
import { Fleet, type Driver } from "./fleet";
import { seenThrough, type Freshness } from "../common/freshness";
import { JourneyFeed } from "../common/journeyfeed";
import { forgetToken, takeToken, vendorOf } from "../common/link";
import { MapView, type Padding } from "../map/mapview";
import { accuracyFeature, markerFeature } from "../map/markerfeature";
import { ACCURACY, MARKERS, TRAILS } from "../map/markers";
import { Pace } from "../map/pace";
import { expose, journeyProbe } from "../common/probe";
import { Session, type LinkState } from "../common/session";
import { Stage } from "../map/stage";
import { onTheme } from "../common/theme";
import { Way } from "../map/way";
import type { Fix, Identity, Refusal } from "../common/wire";

const TRAILS_UP_TO = 400;
const VENDOR_KEY = "wayguard.vendor";
const IDENTIFIER = /^[A-Za-z0-9][A-Za-z0-9._~@:+-]{0,63}$/;

const page = document.getElementById("page")!;

class DispatcherPage {
  private readonly fleet = new Fleet();
  private readonly stage = new Stage();
  private readonly pace = new Pace();
  private readonly signs: LineSigns;
  private readonly card = new Card(() => this.choose(null));
  private readonly session: Session;
  private readonly view: MapView;
  private readonly way: Way;
  private readonly vendors = new Set<string>();
  private chosen: string | null = null;
  private chosenJourney: JourneyFeed | null = null;
  private framed = false;
  private framedDrivers = 0;
  private dirty = true;
  private mapReady = false;
  private readonly total = make("b", "", "0");
  private readonly unit = make("span", "", "drivers");
  private readonly detail = make("span", "detail", "");
  private readonly hint = make("p", "hint", "");
  private readonly vendorForm: HTMLFormElement;

  constructor(token: string, private readonly config: Config, private readonly words: Words) {
    this.signs = new LineSigns(words, new Formats({ locale: words.locale, miles: usesMiles(navigator.languages) }));
    this.vendorForm = this.makeVendorForm();
    this.view = new MapView(document.getElementById("map")!, config.mapStyleUrl);
    this.way = new Way(this.view);
    this.session = new Session({ token }, {
      state: (state) => this.lineChanged(state),
      identified: (identity) => this.identified(identity),
      positions: (feed, fixes) => this.positions(feed, fixes),
      presence: (_feed, driver, presence) => {
        this.fleet.hear(driver, presence, this.session.now());
        this.dirty = true;
      },
      journey: (_feed, news) => this.fleet.journey(news),
    });
    this.build();
  }

  start(): void {
    this.session.start();
    void this.view.ready.then(() => (this.mapReady = true));
    window.setInterval(() => this.second(), 1_000);
    const frame = (): void => {
      this.frame();
      window.requestAnimationFrame(frame);
    };
    window.requestAnimationFrame(frame);
    expose(() => this.probe(), (id) => {
      const place = this.stage.at(id, performance.now());
      return place && this.view.map.project([place.lon, place.lat]);
    });
  }

  private build(): void {
    const head = make("header", "", [brand(), this.signs.chip]);
    const count = make("p", "count", [this.total, " ", this.unit]);
    const tools = make("div", "tools", [button("Show all drivers", ICONS.all, () => this.frameAll()), themeButton(this.words)]);
    const panel = make("section", "panel overview", [head, count, this.detail, this.hint, this.vendorForm, tools], { "aria-label": "Fleet" });
    page.replaceChildren(panel, this.card.element, this.signs.bar);
    show(this.hint, false);
    this.view.map.on("click", (event) => this.choose(this.view.markerAt(event.point)));
    this.view.map.on("mousemove", (event) => {
      this.view.map.getCanvas().style.cursor = this.view.markerAt(event.point) === null ? "" : "pointer";
    });
    window.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.choose(null);
    });
  }

  private makeVendorForm(): HTMLFormElement {
    const field = make("input", "", [], {
      name: "vendor", placeholder: "vendor", autocomplete: "off", spellcheck: "false", maxlength: "64", "aria-label": "Vendor to watch",
    });
    const form = make("form", "vendor", [field, make("button", "", "Watch", { type: "submit" })], { hidden: "" });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const vendor = field.value.trim();
      if (!IDENTIFIER.test(vendor)) return this.tell("A vendor's name has letters, digits and . _ ~ @ : + - only.");
      sessionStorage.setItem(VENDOR_KEY, vendor);
      this.onlyVendor(vendor);
    });
    return form;
  }

  private identified(identity: Identity): void {
    if (identity.role === "driver") return this.tell("This link is a driver's; a map needs a dispatcher's.");
    if (identity.vendors) {
      identity.vendors.forEach((vendor) => this.watchVendor(vendor));
      if (!identity.vendors.length) this.tell("This link names no vendor to watch.");
      return;
    }
    show(this.vendorForm, true);
    const last = sessionStorage.getItem(VENDOR_KEY);
    if (last && !this.vendors.size) this.watchVendor(last);
    else if (!this.vendors.size) this.tell("Which vendor do you want to watch?");
  }

  private onlyVendor(vendor: string): void {
    for (const other of this.vendors) this.session.unwatch(`vendor:${other}`);
    this.vendors.clear();
    this.choose(null);
    this.fleet.clear();
    this.stage.clear();
    this.framed = false;
    this.watchVendor(vendor);
  }

  private watchVendor(vendor: string): void {
    if (this.vendors.has(vendor)) return;
    this.vendors.add(vendor);
    this.tell("");
    this.session.watch({
      name: `vendor:${vendor}`,
      request: () => ({ vendor }),
      snapshot: (snapshot, askedMs) => {
        this.moved(this.fleet.restore(snapshot, askedMs, this.session.now()));
        if (!this.framed && this.fleet.drivers.size) this.frameAll(true);
      },
      refused: (refusal) => {
        this.vendors.delete(vendor);
        const unknown = refusal.code === "forbidden" || refusal.code === "not_found";
        this.tell(unknown ? `There is no vendor ${vendor} that you may watch.` : `${vendor}: ${refusal.message || refusal.code}`);
      },
    });
  }

  private positions(feed: string, fixes: Fix[]): void {
    if (feed === this.chosenJourney?.name) this.chosenJourney.positions(fixes);
    else if (feed.startsWith("vendor:") && this.vendors.has(feed.slice("vendor:".length))) {
      this.moved(this.fleet.accept(feed, fixes, this.session.now()));
      if (!this.framed && this.fleet.drivers.size) this.frameAll(true);
    }
  }

  private moved(ids: string[]): void {
    const now = performance.now();
    const still = stillWished() || document.hidden;
    for (const id of ids) {
      const driver = this.fleet.drivers.get(id);
      if (!driver) this.stage.drop(id);
      else this.stage.aim(id, placeOf(driver), now, still);
    }
    this.dirty ||= ids.length > 0;
    const chosen = this.chosen === null ? undefined : this.fleet.drivers.get(this.chosen);
    if (chosen && chosen.journey !== this.chosenJourney?.journey) this.watchWay(chosen);
  }

  private choose(id: string | null): void {
    this.chosen = id;
    const driver = id === null ? undefined : this.fleet.drivers.get(id);
    this.watchWay(driver ?? null);
    if (!driver) this.card.hide();
    this.dirty = true;
    this.retell();
    const place = driver && this.stage.at(driver.id, performance.now());
    if (place) this.view.reveal(place, cardPadding());
  }

  /** The way of the chosen driver's journey so far; a dispatcher who may not see it simply gets none. */
  private watchWay(driver: Driver | null): void {
    if (this.chosenJourney) this.session.unwatch(this.chosenJourney.name);
    this.chosenJourney = null;
    this.way.clear();
    if (!driver?.journey) return;
    const feed = new JourneyFeed(driver.journey, {
      grew: () => (this.dirty = true),
      heard: () => undefined,
      gap: () => this.session.rewatch(feed.name),
      ended: () => undefined,
      startedOver: () => {
        this.way.clear();
        this.session.watch(feed);
      },
      refused: () => undefined,
    });
    this.chosenJourney = feed;
    this.session.watch(feed);
  }

  private lineChanged(state: LinkState): void {
    if (state.kind === "refused") this.shut(state.refusal);
    this.dirty = true;
    this.retell();
  }

  private shut(refusal: Refusal): void {
    forgetToken(sessionStorage);
    this.fleet.clear();
    this.stage.clear();
    this.choose(null);
    const title = refusal.code === "token_expired" ? "Your link has expired" : "Your link is not valid any more";
    page.append(notice(title, "Ask for a new one and open it here.", refusal.message && `The server says: ${refusal.message}.`));
  }

  private freshnessOf(driver: Driver): Freshness {
    const state = this.fleet.freshnessOf(driver, this.session.now(), this.config.staleAfterMs);
    return seenThrough(state, this.signs.downMs(this.session));
  }

  private frame(): void {
    const now = performance.now();
    const moving = this.stage.anyMoves(now);
    if (!this.mapReady || !(this.dirty || moving) || !this.pace.isDue(now)) return;
    this.dirty = false;
    const features: GeoJSON.Feature[] = [];
    for (const driver of this.fleet.drivers.values()) {
      const place = this.stage.at(driver.id, now);
      if (!place) continue;
      const pointed = (driver.point.speedMps ?? 1) > 0.4;
      const chosen = driver.id === this.chosen;
      features.push(markerFeature({ id: driver.id, name: driver.id, place, freshness: this.freshnessOf(driver), pointed, chosen }));
    }
    this.view.put(MARKERS, features);
    this.drawChosen(now);
    this.pace.ran(now, performance.now());
  }

  private drawChosen(now: number): void {
    const driver = this.chosen === null ? undefined : this.fleet.drivers.get(this.chosen);
    const place = driver && this.stage.at(driver.id, now);
    this.view.put(ACCURACY, place ? accuracyFeature(place, driver.point.accuracyM, this.freshnessOf(driver)) : []);
    if (place && this.chosenJourney?.log.placed.length) this.way.draw(this.chosenJourney.log.placed, place, now);
  }

  private second(): void {
    this.dirty = true; // ages grow by themselves
    if (this.mapReady) {
      const ids = this.fleet.drivers.size > TRAILS_UP_TO ? [] : this.trailed();
      this.view.put(TRAILS, this.stage.trails(ids, performance.now()));
      this.takeInNewcomers();
    }
    this.retell();
  }

  private trailed(): string[] {
    return [...this.fleet.drivers.values()].filter((d) => d.id !== this.chosen && this.freshnessOf(d) === "fresh").map((d) => d.id);
  }

  private retell(): void {
    this.signs.update(this.session, this.fleet.drivers.size > 0);
    const drivers = [...this.fleet.drivers.values()];
    const fresh = drivers.filter((driver) => this.freshnessOf(driver) === "fresh").length;
    say(this.total, String(drivers.length));
    const [vendor, ...others] = this.vendors;
    const where = vendor === undefined ? "" : others.length ? ` of ${others.length + 1} vendors` : ` in ${vendor}`;
    say(this.unit, `${drivers.length === 1 ? "driver" : "drivers"}${where}`);
    const silent = drivers.length - fresh;
    say(this.detail, drivers.length ? `${fresh} live · ${silent} silent` : this.vendors.size ? "Drivers appear here as they report." : "");
    document.title = drivers.length ? `${fresh} live · Wayguard` : "Wayguard";
    const chosen = this.chosen === null ? undefined : this.fleet.drivers.get(this.chosen);
    if (chosen) this.card.update(chosen, this.freshnessOf(chosen), this.fleet.ageOf(chosen, this.session.now()));
  }

  /** A fleet that arrives one by one is taken in, until the reader moves the map. */
  private takeInNewcomers(): void {
    const came = this.fleet.drivers.size > this.framedDrivers;
    if (!came || !this.framed || this.view.moved || this.chosen !== null) return;
    if ([...this.fleet.drivers.values()].some((driver) => !this.view.sees(placeOf(driver)))) this.frameAll();
  }

  private frameAll(instantly = false): void {
    this.framed = true;
    this.framedDrivers = this.fleet.drivers.size;
    this.view.frame([...this.fleet.drivers.values()].map(placeOf), panelPadding(), instantly);
  }

  private tell(text: string): void {
    say(this.hint, text);
    show(this.hint, text !== "");
  }

  private probe(): unknown {
    const now = performance.now();
    const entry = (driver: Driver): [string, unknown] => [
      driver.id,
      {
        lat: driver.point.lat,
        lon: driver.point.lon,
        seq: driver.point.seq,
        t_ms: driver.point.tMs,
        journey: driver.journey,
        freshness: this.freshnessOf(driver),
        age_ms: this.fleet.ageOf(driver, this.session.now()),
        shown: this.stage.at(driver.id, now),
      },
    ];
    const feed = this.chosenJourney;
    return {
      page: "dispatcher",
      connection: this.session.state.kind,
      connections: this.session.connections,
      last_loss: this.session.lastLoss,
      map_ready: this.mapReady,
      vendors: [...this.vendors],
      chosen: this.chosen,
      drivers: Object.fromEntries([...this.fleet.drivers.values()].map(entry)),
      journeys: feed ? { [feed.journey]: journeyProbe(feed) } : {},
      drawing: { updates: this.pace.updates, cost_ms: this.pace.costMs },
    };
  }
}

function placeOf(driver: Driver): { lon: number; lat: number; headingDeg: number | null } {
  return { lon: driver.point.lon, lat: driver.point.lat, headingDeg: driver.point.headingDeg };
}

function panelPadding(): Padding {
  const wide = window.innerWidth >= 720;
  return wide ? { top: 70, right: 90, bottom: 70, left: 330 } : { top: 170, right: 40, bottom: 60, left: 40 };
}

/** What the panel and an open card cover. */
function cardPadding(): Padding {
  const wide = window.innerWidth >= 720;
  return wide ? { top: 40, right: 320, bottom: 40, left: 320 } : { top: 130, right: 30, bottom: 300, left: 30 };
}

async function main(): Promise<void> {
  const clean = (): void => history.replaceState(null, "", location.pathname);
  const vendor = vendorOf(location.hash);
  if (vendor !== null && IDENTIFIER.test(vendor)) sessionStorage.setItem(VENDOR_KEY, vendor);
  const token = takeToken(location, sessionStorage, clean);
  // A link opened in a tab that already shows the page only changes the fragment.
  window.addEventListener("hashchange", () => {
    if (takeToken(location, sessionStorage, clean) !== token) location.reload();
  });
  if (token === null) {
    onTheme(() => undefined);
    page.append(
      notice("Open the link you were given", "A dispatcher’s link ends in #token=… and opens this map.", "On the machine that runs Wayguard: wayguard token --role dispatcher"),
    );
    return;
  }
  new DispatcherPage(token, await loadConfig(), await loadWords({ en: {}, ar: async () => ({ default: {} }) })).start();
}

void main();
