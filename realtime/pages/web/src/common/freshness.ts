/** How old a position is and whether it may be shown as true now. Times in ms; `now` is the server's clock as we know it. */
import type { PresenceState } from "./wire";

export type Freshness = "fresh" | "stale" | "offline";

/**
 * Age of a fix. The phone's clock says when it was taken, ours when it came here; the older of the two counts,
 * so that a clock that runs ahead never keeps a marker fresh.
 */
export function ageMs(nowMs: number, tMs: number | null, seenMs: number): number {
  const sinceSeen = nowMs - seenMs;
  const sinceTaken = tMs === null ? sinceSeen : nowMs - tMs;
  return Math.max(0, sinceSeen, sinceTaken);
}

/** What the server said of the driver, and the age; the worse of the two decides. */
export function freshness(age: number, presence: PresenceState | null, staleAfterMs: number): Freshness {
  if (presence === "offline") return "offline";
  if (presence === "stale" || age > staleAfterMs) return "stale";
  return "fresh";
}

/** "now", "12 s", "3 min", "2 h", "4 days": coarse enough to be calm, fine enough to be honest. */
export function ageText(age: number): string {
  const seconds = Math.floor(age / 1_000);
  if (seconds < 2) return "now";
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

/** "just now" or "12 s ago". */
export function agoText(age: number): string {
  const text = ageText(age);
  return text === "now" ? "just now" : `${text} ago`;
}

/** With the line down for this long nobody knows what is true now; nothing is shown as fresh any more. */
export const LINE_DOWN_MS = 10_000;

export function seenThrough(state: Freshness, lineDownMs: number): Freshness {
  return state === "fresh" && lineDownMs > LINE_DOWN_MS ? "stale" : state;
}

/** A speed for people, in km/h. */
export function speedText(speedMps: number | null): string {
  return speedMps === null ? "–" : `${Math.round(speedMps * 3.6)} km/h`;
}

export function percentText(value: number | null): string {
  return value === null ? "–" : `${Math.round(value)} %`;
}

/** A fix's accuracy: "± 8 m", "± 1.2 km". */
export function accuracyText(metres: number | null): string {
  if (metres === null) return "–";
  return metres < 1_000 ? `± ${Math.round(metres)} m` : `± ${(metres / 1_000).toFixed(1)} km`;
}
