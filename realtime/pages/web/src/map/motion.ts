/** Markers that glide between fixes instead of jumping. Pure: times come in, places come out. */

export interface Place {
  lon: number;
  lat: number;
  headingDeg: number | null;
}

/** From one place to another in `durationMs`; a heading turns in the first third (`HEADING_TURNS`). */
export interface Leg {
  from: Place;
  to: Place;
  startMs: number;
  durationMs: number;
}

/** A marker has turned to where it goes when it has come a third of its way. */
export const HEADING_TURNS = 3;
const LONGEST_GLIDE_MS = 3_000;
const SHORTEST_GLIDE_MS = 120;
/** Farther than this between two fixes is a jump, not a movement; gliding there would show places nobody was at. */
const JUMP_M = 3_000;

/**
 * One marker's way from where it is shown to where it was last reported. A glide lasts about as long as fixes are
 * apart, so that a marker with a steady rhythm never stands still in between, yet never trails by more than 3 s.
 */
export class Glide {
  private from: Place;
  private to: Place;
  private startMs: number;
  private durationMs = 0;
  private rhythmMs = 1_000;
  private lastAimMs: number;

  constructor(place: Place, nowMs: number) {
    this.from = this.to = place;
    this.startMs = this.lastAimMs = nowMs;
  }

  /** A new fix: glide there from where the marker is shown now; `still` shows it there at once. */
  aim(place: Place, nowMs: number, still = false): void {
    const gap = nowMs - this.lastAimMs;
    this.lastAimMs = nowMs;
    if (gap > 0) this.rhythmMs += 0.35 * (Math.min(gap, 10_000) - this.rhythmMs);
    const shown = this.at(nowMs);
    const next = { ...place, headingDeg: place.headingDeg ?? shown.headingDeg };
    const jump = still || metresBetween(shown, next) > JUMP_M;
    this.from = jump ? next : shown;
    this.to = next;
    this.startMs = nowMs;
    this.durationMs = jump ? 0 : Math.min(LONGEST_GLIDE_MS, Math.max(SHORTEST_GLIDE_MS, this.rhythmMs * 1.15));
  }

  at(nowMs: number): Place {
    const done = this.progress(nowMs);
    if (done >= 1) return this.to;
    return {
      lon: wrapLon(this.from.lon + shortestTurn(this.from.lon, this.to.lon) * done),
      lat: this.from.lat + (this.to.lat - this.from.lat) * done,
      headingDeg: turn(this.from.headingDeg, this.to.headingDeg, Math.min(1, done * HEADING_TURNS)),
    };
  }

  isMoving(nowMs: number): boolean {
    return this.progress(nowMs) < 1;
  }

  /** The way itself, for whoever glides along it without asking every frame. */
  leg(): Leg {
    return { from: this.from, to: this.to, startMs: this.startMs, durationMs: this.durationMs };
  }

  private progress(nowMs: number): number {
    if (this.durationMs <= 0) return 1;
    return Math.min(1, Math.max(0, (nowMs - this.startMs) / this.durationMs));
  }
}

/** Degrees from `from` to `to` the short way round, −180…180. */
export function shortestTurn(from: number, to: number): number {
  return ((((to - from + 180) % 360) + 360) % 360) - 180;
}

export function wrapLon(lon: number): number {
  return ((((lon + 180) % 360) + 360) % 360) - 180;
}

function turn(from: number | null, to: number | null, done: number): number | null {
  if (from === null || to === null) return to;
  return (((from + shortestTurn(from, to) * done) % 360) + 360) % 360;
}

const EARTH_M = 6_371_000;

/** Metres between two places; equirectangular, good to a percent over a few hundred kilometres. */
export function metresBetween(a: { lon: number; lat: number }, b: { lon: number; lat: number }): number {
  const rad = Math.PI / 180;
  const x = shortestTurn(a.lon, b.lon) * rad * Math.cos(((a.lat + b.lat) / 2) * rad);
  const y = (b.lat - a.lat) * rad;
  return Math.hypot(x, y) * EARTH_M;
}

/** The heading a movement suggests, or null when it is too short to say. */
export function headingBetween(a: { lon: number; lat: number }, b: { lon: number; lat: number }): number | null {
  if (metresBetween(a, b) < 4) return null;
  const east = shortestTurn(a.lon, b.lon) * Math.cos((((a.lat + b.lat) / 2) * Math.PI) / 180);
  return ((Math.atan2(east, b.lat - a.lat) * 180) / Math.PI + 360) % 360;
}

/** A ring of `steps` corners `radiusM` around a place: what a fix's accuracy looks like. */
export function circle(place: { lon: number; lat: number }, radiusM: number, steps = 64): [number, number][] {
  const dLat = (radiusM / EARTH_M) * (180 / Math.PI);
  const dLon = dLat / Math.max(0.01, Math.cos((place.lat * Math.PI) / 180));
  const ring: [number, number][] = [];
  for (let i = 0; i <= steps; i += 1) {
    const angle = (2 * Math.PI * (i % steps)) / steps;
    ring.push([place.lon + dLon * Math.sin(angle), place.lat + dLat * Math.cos(angle)]);
  }
  return ring;
}
