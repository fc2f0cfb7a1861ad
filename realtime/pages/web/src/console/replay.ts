/**
 * A journey as it was: where somebody was at a moment, and when nobody knows. Pure.
 *
 * Points are split into stretches. Between two points of a stretch the marker moves; between two stretches there is a gap, and what
 * happened in it is not made up: a void (a seq without a position) or silence longer than `SILENCE_MS` begins one.
 */
import { headingBetween, shortestTurn, wrapLon } from "../map/motion";
import { isPlaced, type PlacedPoint, type Point } from "../common/wire";

export const SILENCE_MS = 180_000;
/** What is taken to have passed between two points when the clock jumped back in between. */
const JUMP_MS = 1_000;
/** So many entries of the log are looked at for the point after such a jump: there may be voids in between. */
const NEXT_WITHIN = 50;
export const SPEEDS = [1, 5, 20, 60, 240] as const;

export interface Moment {
  tMs: number;
  lat: number;
  lon: number;
  headingDeg: number | null;
  speedMps: number | null;
  batteryPct: number | null;
  /** Nobody knows where they were: this is the last that was known. */
  gap: boolean;
}

export class Replay {
  readonly stretches: readonly (readonly PlacedPoint[])[];
  readonly startMs: number;
  readonly endMs: number;
  private readonly points: PlacedPoint[] = [];
  /** Of each point, whether the next one belongs to the same stretch. */
  private readonly joined: boolean[] = [];

  constructor(log: readonly Point[]) {
    const stretches: PlacedPoint[][] = [];
    let broken = true;
    let shiftMs = 0;
    for (const [index, logged] of log.entries()) {
      const last = this.points[this.points.length - 1];
      if (!isPlaced(logged)) {
        broken = true;
        continue;
      }
      if (last && logged.tMs > last.tMs) shiftMs = 0;
      else if (last && logged.tMs + shiftMs <= last.tMs) {
        // A clock that jumped back: seq says what came first. One such point is at no moment of its own; of several each keeps its distance to
        // the one before, until the clock is right again.
        const next = log.slice(index + 1, index + 1 + NEXT_WITHIN).find(isPlaced);
        if (!next || next.tMs > last.tMs) continue;
        shiftMs = last.tMs - logged.tMs + JUMP_MS;
      }
      const point = shiftMs === 0 ? logged : { ...logged, tMs: logged.tMs + shiftMs };
      broken ||= last !== undefined && point.tMs - last.tMs > SILENCE_MS;
      if (last) this.joined.push(!broken);
      if (broken) stretches.push([]);
      stretches[stretches.length - 1]!.push(point);
      this.points.push(point);
      broken = false;
    }
    this.joined.push(false);
    this.stretches = stretches;
    this.startMs = this.points[0]?.tMs ?? 0;
    this.endMs = this.points[this.points.length - 1]?.tMs ?? 0;
  }

  get isEmpty(): boolean {
    return this.points.length === 0;
  }

  /** Where they were at a moment; before the start the start, after the end the end. */
  at(tMs: number): Moment | null {
    const index = this.indexAt(tMs);
    const from = this.points[index];
    if (!from) return null;
    const to = this.points[index + 1];
    const known = { tMs, speedMps: from.speedMps, batteryPct: from.batteryPct };
    if (!to || tMs <= from.tMs || !this.joined[index]) {
      const gap = to !== undefined && tMs > from.tMs;
      return { ...known, lat: from.lat, lon: from.lon, headingDeg: from.headingDeg, gap };
    }
    const done = (tMs - from.tMs) / (to.tMs - from.tMs);
    return {
      ...known,
      lat: from.lat + (to.lat - from.lat) * done,
      lon: wrapLon(from.lon + shortestTurn(from.lon, to.lon) * done),
      headingDeg: headingBetween(from, to) ?? from.headingDeg,
      gap: false,
    };
  }

  /** The gaps, as parts (0…1) of the whole time: for whoever draws a scale. */
  gaps(): { from: number; to: number }[] {
    const whole = this.endMs - this.startMs || 1;
    const found: { from: number; to: number }[] = [];
    this.joined.forEach((joined, index) => {
      const to = this.points[index + 1];
      if (joined || !to) return;
      found.push({ from: (this.points[index]!.tMs - this.startMs) / whole, to: (to.tMs - this.startMs) / whole });
    });
    return found;
  }

  /** The last point taken at or before a moment; the first one before all of them. */
  private indexAt(tMs: number): number {
    let low = 0;
    let high = this.points.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.points[middle]!.tMs <= tMs) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** What plays: a moment that goes on with the page's clock, `speed` times as fast, and stops at the end. */
export class Player {
  tMs: number;
  playing = false;
  speed: number = 20;
  private lastMs = 0;

  constructor(private readonly replay: Pick<Replay, "startMs" | "endMs">) {
    this.tMs = replay.startMs;
  }

  /** Plays on; from the end it begins anew. */
  play(nowMs: number): void {
    if (this.tMs >= this.replay.endMs) this.tMs = this.replay.startMs;
    this.playing = true;
    this.lastMs = nowMs;
  }

  pause(): void {
    this.playing = false;
  }

  seek(tMs: number): void {
    this.tMs = Math.max(this.replay.startMs, Math.min(this.replay.endMs, tMs));
  }

  /** Goes on to the present of the page. Returns whether the moment has changed. */
  tick(nowMs: number): boolean {
    if (!this.playing) return false;
    this.seek(this.tMs + (nowMs - this.lastMs) * this.speed);
    this.lastMs = nowMs;
    if (this.tMs >= this.replay.endMs) this.playing = false;
    return true;
  }
}
