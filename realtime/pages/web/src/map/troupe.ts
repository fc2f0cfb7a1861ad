/** The markers on the map: who is where and looks how. A record is written when something about its marker changed, never otherwise. */
import { Glide, headingBetween, type Place } from "./motion";
import { RANK, type Look, type Records } from "./spriterecord";

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
  /** Whether it is drawn as a part of a group. A marked driver never is. */
  gathered: boolean;
}

export class Troupe {
  readonly actors = new Map<string, Actor>();
  /** How many records were written so far. */
  writes = 0;
  /** Until when some marker glides. */
  movesUntilMs = 0;
  private readonly order: Actor[] = [];

  constructor(private readonly records: Pick<Records, "resize" | "write" | "hide" | "name">) {}

  /** Sends a marker towards a new fix; a heading the fix lacks is taken from the movement. Makes it when it is new. */
  aim(id: string, fix: Spot, look: Look, nowMs: number, still: boolean): void {
    const actor = this.actors.get(id);
    if (!actor) return this.enter(id, fix, look, nowMs);
    actor.glide.aim({ lon: fix.lon, lat: fix.lat, headingDeg: fix.headingDeg ?? headingBetween(actor.last, fix) }, nowMs, still);
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

  /** Has a marker show its name from a slot, or none (-1). */
  name(actor: Actor, slot: number): void {
    actor.slot = slot;
    this.records.name(actor.index, slot);
  }

  /** Has a marker drawn by itself, or as a part of a group. */
  gather(actor: Actor, gathered: boolean): void {
    actor.gathered = gathered && actor.look.rank !== RANK.marked;
    this.records.hide(actor.index, actor.gathered);
  }

  drop(id: string): void {
    const actor = this.actors.get(id);
    if (!actor) return;
    this.actors.delete(id);
    const last = this.order.pop()!;
    if (last !== actor) {
      last.index = actor.index;
      this.order[actor.index] = last;
      this.write(last);
    }
    this.records.resize(this.order.length);
  }

  at(id: string, nowMs: number): Place | null {
    return this.actors.get(id)?.glide.at(nowMs) ?? null;
  }

  anyMoves(nowMs: number): boolean {
    return nowMs < this.movesUntilMs;
  }

  private enter(id: string, fix: Spot, look: Look, nowMs: number): void {
    const place = { lon: fix.lon, lat: fix.lat, headingDeg: fix.headingDeg };
    const actor: Actor = { id, glide: new Glide(place, nowMs), index: this.order.length, last: fix, tMs: fix.tMs, look, slot: -1, gathered: false };
    this.order.push(actor);
    this.actors.set(id, actor);
    this.records.resize(this.order.length);
    this.write(actor);
  }

  private write(actor: Actor): void {
    this.records.write(actor.index, actor.glide.leg(), actor.look, actor.slot);
    this.gather(actor, actor.gathered);
    this.writes += 1;
  }
}

function sameLook(a: Look, b: Look): boolean {
  return a.icon === b.icon && a.rank === b.rank && a.turns === b.turns && a.chosen === b.chosen && a.alarmed === b.alarmed;
}
