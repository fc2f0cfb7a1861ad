/** The console's map: markers on a canvas of their own, counts, the chosen driver's way and accuracy, the camera. */
import { Cells } from "./areacells";
import type { Cost } from "./areacost";
import { Names } from "./areanames";
import type { Bounds, Cell } from "./area";
import type { Formats } from "../common/format";
import type { Freshness } from "../common/freshness";
import { stillWished } from "../common/dom";
import { currentTheme, onTheme, PALETTES } from "../common/theme";
import type { PlacedPoint } from "../common/wire";
import { accuracyFeature } from "../map/markerfeature";
import { ACCURACY } from "../map/markers";
import { MapView, type Padding } from "../map/mapview";
import { Pace } from "../map/pace";
import { groupRadiusPx, STATES } from "../map/spriteatlas";
import { Gatherer, type Group, type Spot as GroupSpot } from "../map/gather";
import { mercatorX, mercatorY, worldPx } from "../map/mercator";
import { RANK, type Look } from "../map/spriterecord";
import { Sprites } from "../map/sprites";
import { iconScale, lookedAt, project, type Looked } from "../map/spriteview";
import { Troupe, type Spot } from "../map/troupe";
import { Way } from "../map/way";

const NAMES_EVERY_MS = 1_000;
const REACH_PX = 22;
/** Between two gatherings of close markers, and the least when a change is to be shown at once. */
const GATHER_EVERY_MS = 700;
const GATHER_SOON_MS = 120;
/** The way and the accuracy are the map's own to draw, which costs; nobody sees them move more often. */
const CHOSEN_EVERY_MS = 100;

export interface MapEvents {
  /** The map has come to rest somewhere else. */
  rested(): void;
  clicked(id: string | null): void;
  /** A circle of several drivers was clicked. */
  opened(ids: readonly string[]): void;
  dragged(): void;
}

/** What is drawn of the chosen driver beside the marker. */
export interface Chosen {
  id: string;
  points: readonly PlacedPoint[];
  accuracyM: number | null;
  freshness: Freshness;
}

export class FleetMap {
  readonly view: MapView;
  readonly troupe: Troupe;
  readonly way: Way;
  private readonly sprites: Sprites;
  private readonly names: Names;
  private readonly gatherer = new Gatherer();
  private groups: readonly Group[] = [];
  private gatheredAtMs = -Infinity;
  private gatheredZoom = -1;
  private gatherSoon = false;
  private readonly cells: Cells;
  /** Asked once: asking for every marker was a tenth of what a frame costs. */
  private readonly still = window.matchMedia("(prefers-reduced-motion: reduce)");
  private readonly pace = new Pace();
  private drawn = -1;
  private dirty = true;
  private namesAtMs = 0;
  private chosen: Chosen | null = null;
  private chosenAtMs = 0;
  private pointer: { x: number; y: number } | null = null;

  constructor(
    place: HTMLElement,
    styleUrl: string,
    private readonly formats: Formats,
    private readonly cost: Cost,
    private readonly events: MapEvents,
    nameOf: (id: string) => string,
  ) {
    this.view = new MapView(place, styleUrl);
    const family = getComputedStyle(document.body).fontFamily;
    this.sprites = new Sprites(PALETTES[currentTheme()], alarmColour(), family);
    this.sprites.canvas.className = "sprites";
    this.view.map.getCanvas().after(this.sprites.canvas);
    this.troupe = new Troupe(this.sprites.records);
    this.names = new Names(this.troupe, this.sprites, nameOf);
    this.cells = new Cells(this.view, formats);
    this.way = new Way(this.view);
    this.listen();
    onTheme(() => {
      this.sprites.paint(PALETTES[currentTheme()], alarmColour());
      this.names.forget();
      this.cells.paint();
      this.dirty = true;
    });
  }

  start(): void {
    const frame = (atMs: number): void => {
      this.cost.measure(() => this.frame(atMs));
      this.cost.frame();
      window.requestAnimationFrame(frame);
    };
    window.requestAnimationFrame(frame);
  }

  get looked(): Looked {
    const { map } = this.view;
    const { lng, lat } = map.getCenter();
    const { clientWidth, clientHeight } = map.getContainer();
    return { lon: lng, lat, zoom: map.getZoom(), width: clientWidth || 1, height: clientHeight || 1 };
  }

  /** What is in view, as the area feed wants to know it. */
  looksAt(): { bounds: Bounds; zoom: number } {
    const bounds = this.view.map.getBounds();
    const box = { south: bounds.getSouth(), west: bounds.getWest(), north: bounds.getNorth(), east: bounds.getEast() };
    return { bounds: box, zoom: this.view.map.getZoom() };
  }

  put(id: string, place: Spot, look: Look): void {
    this.troupe.aim(id, place, look, performance.now(), this.still.matches || document.hidden);
    this.dirty = true;
  }

  dress(id: string, look: Look): void {
    const before = this.troupe.writes;
    this.troupe.dress(id, look);
    if (this.troupe.writes === before) return;
    this.dirty = true;
    // A marker that is marked now, or no longer, leaves or joins a group at once.
    this.gatherSoon = true;
  }

  drop(id: string): void {
    this.names.hide(id);
    this.gatherSoon ||= this.troupe.actors.get(id)?.gathered ?? false;
    this.troupe.drop(id);
    this.dirty = true;
  }

  count(cells: Iterable<Cell>): void {
    this.cells.put(cells);
  }

  choose(chosen: Chosen | null): void {
    const other = chosen?.id !== this.chosen?.id;
    if (other || (!chosen?.points.length && this.chosen?.points.length)) this.way.clear();
    if (other) this.view.put(ACCURACY, []);
    this.chosen = chosen;
    this.dirty = true;
  }

  /** Where a marker is on the screen now, in CSS pixels. */
  at(id: string): { x: number; y: number } | null {
    const place = this.troupe.at(id, performance.now());
    return place && project(this.looked, place.lon, place.lat);
  }

  /** The marker at a point of the screen, with a finger's tolerance; those that are marked before others. */
  markerAt(point: { x: number; y: number }): string | null {
    const looked = this.looked;
    const now = performance.now();
    const reach = Math.max(12, REACH_PX * iconScale(looked.zoom));
    let best: { id: string; score: number } | null = null;
    for (const actor of this.troupe.actors.values()) {
      if (actor.gathered) continue;
      const place = actor.glide.at(now);
      const { x, y } = project(looked, place.lon, place.lat);
      const far = Math.hypot(x - point.x, y - point.y);
      if (far > reach) continue;
      const score = actor.look.rank * 4 - far;
      if (!best || score > best.score) best = { id: actor.id, score };
    }
    return best?.id ?? null;
  }

  /** The drivers of the group at a point of the screen. */
  groupAt(point: { x: number; y: number }): readonly string[] | null {
    const looked = this.looked;
    const view = lookedAt(looked);
    const world = worldPx(looked.zoom);
    for (const { key, ids } of this.groups) {
      const record = this.sprites.groups.get(key);
      if (!record) continue;
      let dx = record.toX - view.x;
      dx -= Math.floor(dx + 0.5);
      const far = Math.hypot(looked.width / 2 + dx * world - point.x, looked.height / 2 + (record.toY - view.y) * world - point.y);
      if (far <= groupRadiusPx(record.label.length) + 4) return ids;
    }
    return null;
  }

  frameAll(places: readonly { lon: number; lat: number }[], padding: Padding, instantly: boolean): void {
    this.view.frame(places, padding, instantly);
  }

  private listen(): void {
    const { map } = this.view;
    map.keyboard.disableRotation();
    const fit = (): void => {
      const { width, height } = this.looked;
      if (this.sprites.resize(width, height)) this.names.forget();
      this.dirty = true;
    };
    fit();
    map.on("resize", fit);
    // The map has drawn itself elsewhere: the markers go with it in the same frame.
    map.on("move", () => (this.dirty = true));
    map.on("render", () => this.dirty && this.cost.measure(() => this.draw(performance.now())));
    map.on("moveend", () => {
      this.namesAtMs = 0;
      this.events.rested();
    });
    map.on("dragstart", () => this.events.dragged());
    map.on("click", (event) => {
      const id = this.markerAt(event.point);
      const group = id === null ? this.groupAt(event.point) : null;
      if (group) return this.events.opened(group);
      const cell = id === null ? this.cells.at(event.point) : null;
      if (cell) map.easeTo({ center: [cell.lon, cell.lat], zoom: map.getZoom() + 2, duration: stillWished() ? 0 : 500 });
      else this.events.clicked(id);
    });
    map.on("mousemove", (event) => (this.pointer = event.point));
  }

  private frame(atMs: number): void {
    const now = performance.now();
    if (this.pointer) {
      const over = this.markerAt(this.pointer) !== null || this.groupAt(this.pointer) !== null || this.cells.at(this.pointer) !== null;
      this.view.map.getCanvas().style.cursor = over ? "pointer" : "";
      this.pointer = null;
    }
    if (this.isGatherDue(now)) this.gather(now);
    if (now - this.namesAtMs > NAMES_EVERY_MS && this.troupe.actors.size) {
      this.namesAtMs = now;
      this.names.choose(this.looked, now);
      this.dirty = true;
    }
    if (!this.dirty && !this.troupe.anyMoves(now) && this.drawn >= this.troupe.movesUntilMs) return;
    if (!this.pace.isDue(now) || (this.view.map.isMoving() && this.drawn >= atMs)) return;
    this.draw(now);
  }

  private isGatherDue(now: number): boolean {
    const since = now - this.gatheredAtMs;
    const other = this.gatherSoon || Math.abs(this.view.map.getZoom() - this.gatheredZoom) > 0.05;
    return since > GATHER_EVERY_MS || (other && since > GATHER_SOON_MS);
  }

  /** Puts markers that lie close into groups; those that are marked stand alone, whatever is near. */
  private gather(now: number): void {
    const zoom = this.view.map.getZoom();
    const world = worldPx(zoom);
    const spots: GroupSpot[] = [];
    for (const actor of this.troupe.actors.values()) {
      if (actor.look.rank === RANK.marked) continue;
      const place = actor.glide.at(now);
      spots.push({ id: actor.id, x: mercatorX(place.lon) * world, y: mercatorY(place.lat) * world });
    }
    this.groups = this.gatherer.gather(spots, zoom);
    this.gatheredAtMs = now;
    this.gatheredZoom = zoom;
    this.gatherSoon = false;
    const inGroup = new Set<string>();
    const keys = new Set<number>();
    for (const group of this.groups) {
      keys.add(group.key);
      let best = 0;
      for (const id of group.ids) {
        inGroup.add(id);
        best = Math.max(best, this.troupe.actors.get(id)?.look.rank ?? 0);
      }
      this.place(group, world, now, best);
    }
    for (const key of [...this.sprites.groups.keys()]) if (!keys.has(key)) this.sprites.groups.delete(key);
    for (const actor of this.troupe.actors.values()) {
      const gathered = inGroup.has(actor.id);
      if (actor.gathered === gathered) continue;
      this.troupe.gather(actor, gathered);
      if (gathered) this.names.hide(actor.id);
    }
    this.dirty = true;
  }

  private place({ key, x, y, ids }: Group, world: number, now: number, rank: number): void {
    const [toX, toY] = [x / world, y / world];
    const label = this.formats.number(ids.length);
    const icon = STATES.length - 1 - Math.min(rank, STATES.length - 1);
    const record = this.sprites.groups.get(key);
    if (!record) {
      this.sprites.groups.set(key, { fromX: toX, fromY: toY, toX, toY, startMs: now, durationMs: 0, label, icon });
      return;
    }
    const done = record.durationMs > 0 ? Math.min(1, (now - record.startMs) / record.durationMs) : 1;
    record.fromX += (record.toX - record.fromX) * done;
    record.fromY += (record.toY - record.fromY) * done;
    Object.assign(record, { toX, toY, startMs: now, durationMs: this.still.matches ? 0 : GATHER_EVERY_MS, label, icon });
  }

  private draw(now: number): void {
    this.dirty = false;
    this.drawn = now;
    this.sprites.draw(this.looked, now);
    this.pace.ran(now, performance.now());
    if (this.chosen && now - this.chosenAtMs > CHOSEN_EVERY_MS) this.drawChosen(this.chosen, now);
  }

  private drawChosen({ id, points, accuracyM, freshness }: Chosen, now: number): void {
    const place = this.troupe.at(id, now);
    if (!place) return;
    this.chosenAtMs = now;
    this.view.put(ACCURACY, accuracyFeature(place, accuracyM, freshness));
    if (points.length) this.way.draw(points, place, now);
  }

  probe(): object {
    return {
      markers: this.troupe.actors.size,
      writes: this.troupe.writes,
      drawn: this.sprites.drawn,
      updates: this.pace.updates,
      zoom: this.view.map.getZoom(),
      groups: this.groups.map((group) => [...group.ids]),
      script_ms: this.cost.figures(),
      frames: this.cost.frames,
    };
  }
}

/** How a driver is drawn. A heading of somebody who stands still says nothing. */
export function lookOf(point: PlacedPoint, freshness: Freshness, chosen: boolean, alarmed: boolean): Look {
  const turns = freshness === "fresh" && (point.speedMps ?? 1) > 0.4;
  return { icon: STATES.indexOf(freshness), rank: chosen || alarmed ? RANK.marked : RANK[freshness], turns, chosen, alarmed };
}

function alarmColour(): string {
  return getComputedStyle(document.documentElement).getPropertyValue("--alarm").trim() || "#b3202a";
}
