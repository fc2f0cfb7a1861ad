/** How often a position is taken: often on the move, seldom when still, less with a low battery, always with an SOS open. Pure. */
import type { Fix } from "./outbox";

export const MOVING_EVERY_MS = 2_000;
export const STILL_EVERY_MS = 30_000;
export const LOW_MOVING_EVERY_MS = 10_000;
export const LOW_STILL_EVERY_MS = 120_000;
/** Under this, and not charging, the battery is low. */
export const LOW_BATTERY_PCT = 20;
/** From this speed on one moves. */
export const MOVING_MPS = 1.0;
/** So far from the last point taken, one has moved; or by the fix's own accuracy, where that is worse. */
export const MOVED_M = 25;
/** Who moved within this is on the move: at a red light too. */
export const STILL_AFTER_MS = 60_000;
/** Timers are not exact: a fix that is nearly due is due. */
const NEARLY = 0.9;

const METRES_A_DEGREE = 111_195;

export interface Battery {
  pct: number | null;
  charging: boolean;
}

export interface Pace {
  /** The last point that was taken. */
  last: Fix | null;
  /** When movement was last seen. */
  movedMs: number | null;
}

export type Gait = "moving" | "still";

export function isLow({ pct, charging }: Battery): boolean {
  return pct !== null && pct < LOW_BATTERY_PCT && !charging;
}

export function gaitOf(pace: Pace, nowMs: number): Gait {
  return pace.movedMs !== null && nowMs - pace.movedMs < STILL_AFTER_MS ? "moving" : "still";
}

export function everyMs(gait: Gait, battery: Battery, sos: boolean): number {
  if (sos) return MOVING_EVERY_MS;
  if (isLow(battery)) return gait === "moving" ? LOW_MOVING_EVERY_MS : LOW_STILL_EVERY_MS;
  return gait === "moving" ? MOVING_EVERY_MS : STILL_EVERY_MS;
}

/** Whether `fix` shows movement against the last point that was taken. */
export function moved(last: Fix | null, fix: Fix): boolean {
  const speed = fix[3] ?? null;
  if (speed !== null && speed >= MOVING_MPS) return true;
  if (last === null) return false;
  return metresBetween(last, fix) > Math.max(MOVED_M, fix[5] ?? 0);
}

/** What a fix does: whether it is taken, and the pace after it. */
export function consider(pace: Pace, fix: Fix, battery: Battery, sos: boolean): { take: boolean; pace: Pace } {
  const moves = moved(pace.last, fix);
  const movedMs = moves ? fix[0] : pace.movedMs;
  const due = everyMs(gaitOf({ last: pace.last, movedMs }, fix[0]), battery, sos);
  // Who sets off is seen at once, not when the slow rhythm of standing comes round.
  const setsOff = moves && gaitOf(pace, fix[0]) === "still" && !isLow(battery);
  // A clock that was set back makes an age negative: that is no reason to wait.
  const age = pace.last === null ? Infinity : fix[0] - pace.last[0];
  const take = age < 0 || age >= due * NEARLY || setsOff;
  return { take, pace: { last: take ? fix : pace.last, movedMs } };
}

/** Whether a fix that came too early to be taken is to be taken now: browsers report changes, so it may be the last for long. */
export function heldIsDue(pace: Pace, held: Fix, battery: Battery, sos: boolean, nowMs: number): boolean {
  if (pace.last === null) return true;
  const fresh = held[0] > pace.last[0];
  return fresh && nowMs - pace.last[0] >= everyMs(gaitOf(pace, nowMs), battery, sos);
}

function metresBetween(a: Fix, b: Fix): number {
  const lat = (b[1] - a[1]) * METRES_A_DEGREE;
  const turn = ((b[2] - a[2] + 540) % 360) - 180;
  const lon = turn * METRES_A_DEGREE * Math.cos((a[1] * Math.PI) / 180);
  return Math.hypot(lat, lon);
}
