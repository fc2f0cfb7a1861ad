/**
 * Markers as they are drawn: one flat array of numbers, so that a frame with thousands of them makes no garbage. A record is written
 * when something about its marker changed; where it is at a moment follows from the record and the time alone.
 */
import { mercatorX, mercatorY } from "./mercator";
import { HEADING_TURNS, shortestTurn, type Leg } from "./motion";

export const RECORD = 12;
const [FROM_X, FROM_Y, BY_X, BY_Y, START, DURATION, HEADING, TURN, CELL, ORDER, RINGS, SLOT] = Array.from({ length: RECORD }, (_, at) => at) as [
  number, number, number, number, number, number, number, number, number, number, number, number,
];

/** What is drawn first lies below. */
export const RANK = { offline: 0, stale: 1, fresh: 2, marked: 3 } as const;

export interface Look {
  /** Which of the plain icons. */
  icon: number;
  rank: number;
  /** Whether it has an arrow, where a heading is known. */
  turns: boolean;
  chosen: boolean;
  alarmed: boolean;
}

/** Where a marker is drawn, and as what; one object that is filled again and again. */
export interface Shown {
  x: number;
  y: number;
  icon: number;
  /** Degrees, or NaN for an icon without an arrow. */
  heading: number;
  rank: number;
  chosen: boolean;
  alarmed: boolean;
  /** The slot of its name; -1: none. */
  slot: number;
}

export class Records {
  count = 0;
  private data = new Float64Array(256 * RECORD);
  /** Which are not drawn: they are in a group. */
  private hidden = new Uint8Array(256);

  resize(count: number): void {
    this.count = count;
    if (count * RECORD <= this.data.length) return;
    const bigger = new Float64Array(Math.max(count * RECORD, this.data.length * 2));
    bigger.set(this.data);
    this.data = bigger;
    const more = new Uint8Array(bigger.length / RECORD);
    more.set(this.hidden);
    this.hidden = more;
  }

  write(index: number, leg: Leg, look: Look, slot: number): void {
    const { data } = this;
    const at = index * RECORD;
    data[at + FROM_X] = mercatorX(leg.from.lon);
    data[at + FROM_Y] = mercatorY(leg.from.lat);
    data[at + BY_X] = shortestTurn(leg.from.lon, leg.to.lon) / 360;
    data[at + BY_Y] = mercatorY(leg.to.lat) - data[at + FROM_Y]!;
    data[at + START] = leg.startMs;
    data[at + DURATION] = leg.durationMs;
    const end = look.turns && leg.to.headingDeg !== null ? leg.to.headingDeg : NaN;
    const begin = leg.from.headingDeg ?? end;
    data[at + HEADING] = begin;
    data[at + TURN] = shortestTurn(begin, end);
    data[at + CELL] = look.icon;
    data[at + ORDER] = look.rank;
    data[at + RINGS] = (look.chosen ? 1 : 0) + (look.alarmed ? 2 : 0);
    data[at + SLOT] = slot;
  }

  hide(index: number, hidden: boolean): void {
    this.hidden[index] = hidden ? 1 : 0;
  }

  isHidden(index: number): boolean {
    return this.hidden[index] === 1;
  }

  /** Which slot a marker has its name from; the rest of the record stays. */
  name(index: number, slot: number): void {
    this.data[index * RECORD + SLOT] = slot;
  }

  rankAt(index: number): number {
    return this.data[index * RECORD + ORDER]!;
  }

  slotAt(index: number): number {
    return this.data[index * RECORD + SLOT]!;
  }

  /** Fills `into` with a marker as it is at a moment; places are those of the Mercator square. */
  read(index: number, nowMs: number, into: Shown): void {
    const { data } = this;
    const at = index * RECORD;
    const duration = data[at + DURATION]!;
    const done = duration > 0 ? Math.min(1, Math.max(0, (nowMs - data[at + START]!) / duration)) : 1;
    into.x = data[at + FROM_X]! + data[at + BY_X]! * done;
    into.y = data[at + FROM_Y]! + data[at + BY_Y]! * done;
    into.heading = data[at + HEADING]! + data[at + TURN]! * Math.min(1, done * HEADING_TURNS);
    into.icon = data[at + CELL]!;
    into.rank = data[at + ORDER]!;
    into.chosen = (data[at + RINGS]! & 1) === 1;
    into.alarmed = data[at + RINGS]! >= 2;
    into.slot = data[at + SLOT]!;
  }
}
