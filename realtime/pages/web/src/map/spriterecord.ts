/**
 * One marker as the graphics card reads it: 16 floats. Places are in the Mercator square, each number as a float and what the
 * float left over, so that a marker stands still to the centimetre at any zoom; times count seconds from `epochMs`.
 */
import { mercatorX, mercatorY } from "./mercator";
import { shortestTurn, type Leg } from "./motion";

export const RECORD_FLOATS = 16;
export const RECORD_BYTES = RECORD_FLOATS * 4;

/** What is drawn first lies below. */
export const RANK = { offline: 0, stale: 1, fresh: 2, marked: 3 } as const;

export interface Look {
  /** The cell of the icon in the atlas; the one after it is the same with an arrow. */
  cell: number;
  rank: number;
  /** Whether it has an arrow, where a heading is known. */
  turns: boolean;
  chosen: boolean;
  alarmed: boolean;
}

export function writeRecord(into: Float32Array, index: number, leg: Leg, look: Look, epochMs: number): void {
  const at = index * RECORD_FLOATS;
  const fromX = mercatorX(leg.from.lon);
  writeSplit(into, at, fromX);
  writeSplit(into, at + 1, mercatorY(leg.from.lat));
  writeSplit(into, at + 4, fromX + shortestTurn(leg.from.lon, leg.to.lon) / 360);
  writeSplit(into, at + 5, mercatorY(leg.to.lat));
  into[at + 8] = (leg.startMs - epochMs) / 1_000;
  into[at + 9] = leg.durationMs / 1_000;
  const arrow = look.turns && leg.to.headingDeg !== null;
  const end = arrow ? (leg.to.headingDeg ?? 0) : 0;
  const begin = arrow ? (leg.from.headingDeg ?? end) : 0;
  into[at + 10] = (begin * Math.PI) / 180;
  into[at + 11] = (shortestTurn(begin, end) * Math.PI) / 180;
  into[at + 12] = look.cell + (arrow ? 1 : 0);
  into[at + 13] = look.rank;
  into[at + 14] = (look.chosen ? 1 : 0) + (look.alarmed ? 2 : 0);
  into[at + 15] = 0;
}

/** A double as two floats, `at` and `at + 2`. */
function writeSplit(into: Float32Array, at: number, value: number): void {
  const high = Math.fround(value);
  into[at] = high;
  into[at + 2] = value - high;
}
