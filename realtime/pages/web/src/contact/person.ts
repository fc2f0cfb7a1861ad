/** What is known of the person: their last point, whether they are there, where to. No DOM. */
import { isOpen, type Alert } from "../common/alertwire";
import { ageMs, freshness, seenThrough, type Freshness } from "../common/freshness";
import type { PlacedPoint, Point, Presence } from "../common/wire";
import type { Trip } from "./trip";

/** The time of a place without one: its age is infinite, and said to be unknown. */
export const UNKNOWN_MS = Number.NEGATIVE_INFINITY;
/** The alert follows the journey: what is hardly newer is the same fix. */
const SAME_MS = 1_000;

export class Person {
  trip: Trip | null = null;
  point: PlacedPoint | null = null;
  presence: Presence | null = null;
  ended = false;
  /** When the journey ended, in the server's time; null while it goes on, or when that is not known. */
  endedMs: number | null = null;
  /** After this long a position is no longer shown as true now. */
  staleAfterMs = 60_000;
  private seenMs = 0;

  /** Takes the newest of the log's points, when it is among those that just came. */
  took(points: readonly Point[], placed: readonly PlacedPoint[], nowMs: number): void {
    const last = placed[placed.length - 1];
    if (!last || last === this.point || !points.some((point) => point.seq === last.seq)) return;
    this.point = last;
    this.seenMs = nowMs;
  }

  /** Where they are: the newer of their last point and the place of an open alert, which may be of unknown age. */
  spot(alert: Alert | null): PlacedPoint | null {
    const place = alert && isOpen(alert) ? alert.place : null;
    if (!place || (this.point && (place.tMs ?? UNKNOWN_MS) <= this.point.tMs + SAME_MS)) return this.point;
    const { lat, lon, accuracyM, batteryPct } = place;
    return { seq: 0, tMs: place.tMs ?? UNKNOWN_MS, lat, lon, speedMps: null, headingDeg: null, accuracyM, batteryPct };
  }

  age(spot: PlacedPoint | null, nowMs: number): number {
    return ageMs(nowMs, spot?.tMs ?? null, spot === this.point ? this.seenMs : (spot?.tMs ?? 0));
  }

  freshness(spot: PlacedPoint | null, nowMs: number, lineDownMs: number): Freshness {
    if (this.ended) return "offline";
    return seenThrough(freshness(this.age(spot, nowMs), this.presence?.state ?? null, this.staleAfterMs), lineDownMs);
  }

  /** The journey is not shown any more. */
  leave(): void {
    this.trip = null;
    this.point = null;
    this.presence = null;
    this.ended = true;
    this.endedMs = null;
  }
}
