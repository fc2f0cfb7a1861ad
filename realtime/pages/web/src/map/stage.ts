/** Where each marker is shown at a moment, and the short trail behind it. */
import { Glide, headingBetween, metresBetween, type Place } from "./motion";
import { line } from "./way";

const TRAIL_POINTS = 48;
const TRAIL_MS = 180_000;
/** Spots of a trail are at least this far apart: who stands at a light keeps the way they came. */
const TRAIL_STEP_M = 12;
/** Oldest to newest: a trail fades towards where it began. */
const FADES = [0.16, 0.3, 0.5];

interface Actor {
  glide: Glide;
  last: { lon: number; lat: number };
  trail: { lon: number; lat: number; atMs: number }[];
}

export class Stage {
  private readonly actors = new Map<string, Actor>();

  /** Sends a marker towards a new fix; a heading the fix lacks is taken from the movement. */
  aim(id: string, fix: Place, nowMs: number, still: boolean): void {
    const actor = this.actors.get(id);
    if (!actor) {
      this.actors.set(id, { glide: new Glide(fix, nowMs), last: fix, trail: [] });
      return;
    }
    const shown = actor.glide.at(nowMs);
    const spot = actor.trail[actor.trail.length - 1];
    if (!spot || metresBetween(spot, shown) >= TRAIL_STEP_M) actor.trail.push({ lon: shown.lon, lat: shown.lat, atMs: nowMs });
    if (actor.trail.length > TRAIL_POINTS) actor.trail.shift();
    actor.glide.aim({ ...fix, headingDeg: fix.headingDeg ?? headingBetween(actor.last, fix) }, nowMs, still);
    actor.last = fix;
  }

  at(id: string, nowMs: number): Place | null {
    return this.actors.get(id)?.glide.at(nowMs) ?? null;
  }

  drop(id: string): void {
    this.actors.delete(id);
  }

  clear(): void {
    this.actors.clear();
  }

  anyMoves(nowMs: number): boolean {
    for (const actor of this.actors.values()) if (actor.glide.isMoving(nowMs)) return true;
    return false;
  }

  /** The trails of the markers asked for, in three strengths. */
  trails(ids: Iterable<string>, nowMs: number): GeoJSON.Feature[] {
    const features: GeoJSON.Feature[] = [];
    for (const id of ids) {
      const actor = this.actors.get(id);
      if (!actor) continue;
      const recent = actor.trail.filter((spot) => nowMs - spot.atMs < TRAIL_MS);
      const spots = [...recent, { ...actor.glide.at(nowMs), atMs: nowMs }];
      const part = Math.ceil(spots.length / FADES.length);
      FADES.forEach((o, i) => features.push(...line(spots.slice(i * part, (i + 1) * part + 1), { o })));
    }
    return features;
  }
}
