/** Ties the map to the model: asks for what it shows, puts markers where drivers are, keeps the camera on whom it follows. */
import type { AreaFeed } from "./areafeed";
import type { Cost } from "./areacost";
import { FleetMap, lookOf } from "./areamap";
import type { Context, LookAt, Places, Topic } from "./context";
import { listDrivers } from "./groupdialog";
import type { FleetModel } from "./fleetmodel";
import type { Moment, Replay } from "./replay";
import { ReplayMap } from "./replaymap";
import type { JourneyFeed } from "../common/journeyfeed";
import type { Padding } from "../map/mapview";
import { metresBetween } from "../map/motion";

const MARGIN_PX = 48;
/** Drivers within this distance of each other are listed: no zoom separates them. */
const SAME_PLACE_M = 15;
const NEAREST_GROUP_ZOOM = 17.5;

export interface Watched {
  readonly follows: Topic<boolean>;
  /** The chosen driver's journey as it grows; null while there is none. */
  journey(): JourneyFeed | null;
}

export class AreaWatch {
  readonly map: FleetMap;
  private readonly replay: ReplayMap;
  private ready = false;
  private framed = false;

  constructor(
    private readonly context: Context,
    private readonly places: Places,
    private readonly model: FleetModel,
    private readonly chosen: Watched,
    feed: AreaFeed,
    cost: Cost,
  ) {
    this.map = new FleetMap(places.map, context.config.mapStyleUrl, context.formats, cost, {
      rested: () => this.ready && feed.look(this.map.looksAt()),
      clicked: (id) => context.chosen.set(id),
      opened: (ids) => this.open(ids),
      dragged: () => chosen.follows.set(false),
    }, (id) => context.names.of(id));
    this.replay = new ReplayMap(this.map.view);
    this.map.start();
    void this.map.view.ready.then(() => {
      this.ready = true;
      feed.look(this.map.looksAt());
      this.everybody();
      this.map.count(model.board.cells.values());
    });
    feed.onCounts(() => this.map.count(model.board.cells.values()));
    model.onMove((ids) => ids.forEach((id) => this.sync(id, true)));
    context.vendors.listen(() => (this.framed = false));
    context.chosen.listen(() => this.everybody());
    context.place.listen((place) => place && this.show(place));
    chosen.follows.listen((follows) => {
      this.map.view.zoomAroundCentre(follows);
      if (follows) this.beginToFollow();
    });
    // A fix that came while the reader zoomed was passed over.
    this.map.view.map.on("zoomend", () => void (chosen.follows.get() && this.follow()));
  }

  get isReady(): boolean {
    return this.ready;
  }

  get isFramed(): boolean {
    return this.framed;
  }

  /** Ages grow by themselves. */
  second(): void {
    for (const id of [...this.map.troupe.actors.keys()]) this.sync(id, false);
    this.drawChosen();
  }

  /** The first time that it is known where everybody is, all are shown. */
  frameOnce(): void {
    if (this.framed || !this.ready || this.map.view.moved) return;
    this.framed = this.frameAll(true);
  }

  frameAll(instantly = false): boolean {
    const places = [];
    for (const { point } of this.model.fleet.drivers.values()) if (point) places.push(point);
    this.map.frameAll(places, this.padding(), instantly);
    return places.length > 0;
  }

  /** Moves the map so far that a driver can be seen; from far away, near enough to be told apart. */
  reveal(id: string): void {
    const place = this.map.troupe.at(id, performance.now()) ?? this.model.fleet.drivers.get(id)?.point;
    if (place) this.look(place);
  }

  /** Zooms in on a driver: the newest position, or the place of the alert when there is none. */
  show({ driver, lat, lon }: LookAt): void {
    const { context, model } = this;
    const now = this.map.troupe.at(driver, performance.now()) ?? model.fleet.drivers.get(driver)?.point;
    const place = now ?? (lat !== null && lon !== null ? { lat, lon } : null);
    if (place) this.map.view.near(place, this.padding());
    else context.tell(context.words.say("desk.no_place"));
  }

  /** Zooms in on a group so far that its drivers are drawn apart; lists them where no zoom does that. */
  private open(ids: readonly string[]): void {
    const places = ids.flatMap((id) => this.model.fleet.drivers.get(id)?.point ?? []);
    const { map } = this.map.view;
    const [lons, lats] = [places.map((place) => place.lon), places.map((place) => place.lat)];
    const spreadM = places.length ? metresBetween({ lon: Math.min(...lons), lat: Math.min(...lats) }, { lon: Math.max(...lons), lat: Math.max(...lats) }) : 0;
    if (spreadM < SAME_PLACE_M || map.getZoom() > NEAREST_GROUP_ZOOM) return listDrivers(this.context, ids);
    this.map.view.frame(places, this.padding(), false, Math.min(18, Math.max(15, map.getZoom() + 2)));
  }

  look(place: { lat: number; lon: number }): void {
    const view = this.map.view;
    if (view.map.getZoom() < 9 || !view.sees(place)) view.frame([place], this.padding());
    else view.reveal(place, this.padding());
  }

  /** Shows a journey as it was, in place of what is live; null: live again. */
  lookBack(stretches: Replay["stretches"] | null): void {
    this.map.choose(null);
    if (stretches) this.replay.show(stretches, this.padding());
    else {
      this.replay.hide();
      this.drawChosen();
    }
  }

  showMoment(moment: Moment): void {
    this.replay.at(moment, this.padding());
  }

  /** What panels cover of the map, whichever side they are on. */
  padding(): Padding {
    const whole = this.places.map.getBoundingClientRect();
    const padding: Padding = { top: MARGIN_PX, bottom: MARGIN_PX, left: MARGIN_PX, right: MARGIN_PX };
    for (const element of [this.places.side, this.places.panel]) {
      const box = element.getBoundingClientRect();
      if (!box.width || !box.height || (box.height > whole.height * 0.9 && box.width > whole.width * 0.9)) continue;
      if (box.width > whole.width * 0.6) {
        padding.bottom = Math.max(padding.bottom, whole.bottom - box.top + MARGIN_PX / 2);
        continue;
      }
      if (box.left + box.right < whole.left + whole.right) padding.left = Math.max(padding.left, box.right - whole.left + MARGIN_PX);
      else padding.right = Math.max(padding.right, whole.right - box.left + MARGIN_PX);
    }
    return padding;
  }

  private everybody(): void {
    for (const id of [...this.map.troupe.actors.keys()]) this.sync(id, false);
    const chosen = this.context.chosen.get();
    for (const id of [...this.model.alarmed.keys(), ...(chosen === null ? [] : [chosen])]) this.sync(id, false);
    this.drawChosen();
  }

  /** Makes one marker what the model says; `moved`: its position may be new. */
  private sync(id: string, moved: boolean): void {
    const driver = this.model.fleet.drivers.get(id);
    if (!driver?.point || !this.model.isOnMap(id)) return this.map.drop(id);
    const { point } = driver;
    const chosen = this.context.chosen.get() === id;
    const look = lookOf(point, this.model.freshnessOf(driver), chosen, this.model.alarmed.has(id));
    const actor = this.map.troupe.actors.get(id);
    const there = actor && actor.last.lon === point.lon && actor.last.lat === point.lat && actor.tMs === point.tMs;
    if (there) return this.map.dress(id, look);
    if (!moved && actor) return this.map.dress(id, look);
    this.map.put(id, point, look);
    if (chosen && this.chosen.follows.get()) this.follow();
  }

  /** Near enough at first; how near it stays is the reader's to say. */
  private beginToFollow(): void {
    const place = this.followed();
    if (place) this.map.view.near(place, this.padding());
  }

  private follow(): void {
    const place = this.followed();
    if (place) this.map.view.follow(place, this.padding());
  }

  private followed(): { lat: number; lon: number } | null {
    const id = this.context.chosen.get();
    return id === null ? null : (this.model.fleet.drivers.get(id)?.point ?? null);
  }

  private drawChosen(): void {
    if (this.replay.isOn) return;
    const id = this.context.chosen.get();
    const driver = id === null ? undefined : this.model.fleet.drivers.get(id);
    if (!driver?.point) return this.map.choose(null);
    const points = this.chosen.journey()?.log.placed ?? [];
    this.map.choose({ id: driver.id, points, accuracyM: driver.point.accuracyM, freshness: this.model.freshnessOf(driver) });
  }
}
