/** The markers on the map: who is where and looks how. A record is written when something about its marker changed, never otherwise. */
import { Glide, headingBetween, type Place } from "./motion";
import { writeRecord, RECORD_FLOATS, type Look } from "./spriterecord";

/** What holds the records; the card's side of it is `Sprites`. */
export interface RecordStore {
  data: Float32Array;
  count: number;
  reserve(count: number): void;
  touched(index: number): void;
}

/** A place and the time it was taken. */
export type Spot = Place & { tMs: number | null };

export interface Actor {
  readonly id: string;
  readonly glide: Glide;
  index: number;
  /** The last fix, and when it was taken. */
  last: { lon: number; lat: number };
  tMs: number | null;
  look: Look;
  /** The slot its name is written in; -1: it goes without. */
  slot: number;
}

/** Times on the card are floats of seconds; after so long they are counted from anew. */
const EPOCH_MS = 3_600_000;

export class Troupe {
  readonly actors = new Map<string, Actor>();
  /** How many records were written so far. */
  writes = 0;
  epochMs = 0;
  /** Until when some marker glides. */
  movesUntilMs = 0;
  private readonly order: Actor[] = [];

  constructor(private readonly records: RecordStore, private readonly names: RecordStore) {}

  /** Sends a marker towards a new fix; a heading the fix lacks is taken from the movement. Makes it when it is new. */
  aim(id: string, fix: Spot, look: Look, nowMs: number, still: boolean): void {
    const actor = this.actors.get(id);
    if (!actor) return this.enter(id, fix, look, nowMs);
    actor.glide.aim({ ...fix, headingDeg: fix.headingDeg ?? headingBetween(actor.last, fix) }, nowMs, still);
    actor.last = fix;
    actor.tMs = fix.tMs;
    actor.look = look;
    const { startMs, durationMs } = actor.glide.leg();
    this.movesUntilMs = Math.max(this.movesUntilMs, startMs + durationMs);
    this.write(actor);
  }

  /** Gives a marker another look; nothing is written when it has that one. */
  dress(id: string, look: Look): void {
    const actor = this.actors.get(id);
    if (!actor || sameLook(actor.look, look)) return;
    actor.look = look;
    this.write(actor);
  }

  /** Has a marker show its name from a slot, or none. */
  name(actor: Actor, slot: number): void {
    if (actor.slot >= 0) this.hideName(actor.slot);
    actor.slot = slot;
    this.writeName(actor);
  }

  drop(id: string): void {
    const actor = this.actors.get(id);
    if (!actor) return;
    if (actor.slot >= 0) this.hideName(actor.slot);
    this.actors.delete(id);
    const last = this.order.pop()!;
    if (last !== actor) {
      last.index = actor.index;
      this.order[actor.index] = last;
      this.write(last);
    }
    this.records.reserve(this.order.length);
  }

  at(id: string, nowMs: number): Place | null {
    return this.actors.get(id)?.glide.at(nowMs) ?? null;
  }

  anyMoves(nowMs: number): boolean {
    return nowMs < this.movesUntilMs;
  }

  /** Counts time from anew once in an hour; returns whether it did, since all records are new then. */
  wind(nowMs: number): boolean {
    if (nowMs - this.epochMs < EPOCH_MS) return false;
    this.epochMs = nowMs;
    for (const actor of this.order) this.write(actor);
    return true;
  }

  private enter(id: string, fix: Spot, look: Look, nowMs: number): void {
    const actor: Actor = { id, glide: new Glide(fix, nowMs), index: this.order.length, last: fix, tMs: fix.tMs, look, slot: -1 };
    this.order.push(actor);
    this.actors.set(id, actor);
    this.records.reserve(this.order.length);
    this.write(actor);
  }

  private write(actor: Actor): void {
    writeRecord(this.records.data, actor.index, actor.glide.leg(), actor.look, this.epochMs);
    this.records.touched(actor.index);
    this.writes += 1;
    this.writeName(actor);
  }

  /** A name goes the way of its marker, with another picture. */
  private writeName({ index, slot }: Actor): void {
    if (slot < 0) return;
    const start = index * RECORD_FLOATS;
    this.names.reserve(Math.max(this.names.count, slot + 1));
    this.names.data.set(this.records.data.subarray(start, start + RECORD_FLOATS), slot * RECORD_FLOATS);
    this.names.data[slot * RECORD_FLOATS + 12] = slot;
    this.names.data[slot * RECORD_FLOATS + 13] = 0;
    this.names.touched(slot);
  }

  private hideName(slot: number): void {
    this.names.data[slot * RECORD_FLOATS + 13] = HIDDEN;
    this.names.touched(slot);
  }
}

const HIDDEN = 9;

function sameLook(a: Look, b: Look): boolean {
  return a.cell === b.cell && a.rank === b.rank && a.turns === b.turns && a.chosen === b.chosen && a.alarmed === b.alarmed;
}
