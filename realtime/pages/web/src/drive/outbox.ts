/**
 * The log of the journeys on this device: what is not yet safe, what is to be asked of the server next, and what its answer
 * means (docs/PROTOCOL.md). It knows no clock, network or browser; a `Store` keeps it.
 *
 * Points are kept under a running number of this device, and a journey says which is its first: the seq of a point is its
 * number counted from there. So a journey that has to go on as another one is renumbered without touching a point.
 */
import { isObject, number, text, type Json } from "../common/read";
import { readRefusal } from "../common/wire";

/** `[t_ms, lat, lon, speed_mps, heading_deg, accuracy_m, altitude_m, battery_pct]`: a point without its seq. */
export type Fix = [number, number, number, ...(number | null)[]];

export interface Journey {
  /** Its key on this device; rises. */
  n: number;
  clientId: string;
  startedAtMs: number;
  destination: string | null;
  /** The running number of its point 1, and of its last point; without points the one before. */
  firstId: number;
  lastId: number;
  /** The server has committed 1…through. */
  through: number;
  /** The server's id; null before it has heard of it. */
  journeyId: string | null;
  endedAtMs: number | null;
  /** What the server said is the last seq that it takes; null while it is open there. */
  cap: number | null;
}

export interface Change {
  put?: Journey[];
  forget?: number[];
  add?: [id: number, fix: Fix][];
  /** Ranges of running numbers, both ends included. */
  drop?: [from: number, to: number][];
}

/** Another tab has written since this copy of the outbox was read. */
export class Overtaken extends Error {
  override name = "Overtaken";
}

export interface Store {
  journeys(): Promise<Journey[]>;
  /**
   * All of it or nothing. Throws `QuotaExceededError` when the disk is full, `Overtaken` when another copy has written since
   * `journeys` was last read here.
   */
  write(change: Change): Promise<void>;
  rows(fromId: number, toId: number, limit: number): Promise<[id: number, fix: Fix][]>;
  count(): Promise<number>;
  /** The oldest `limit` numbers that are kept. */
  oldest(limit: number): Promise<number[]>;
}

export interface Ask {
  event: "journey:start" | "positions" | "journey:end";
  payload: Json;
  /** Of the journey that it is about: its `n` is used again once it is gone. */
  clientId: string;
}

export type Verdict =
  | { do: "go" }
  /** The same again, later: after `afterS`, or ever longer. */
  | { do: "wait"; afterS: number | null }
  /** The connection is dead, or as good as. */
  | { do: "reconnect" }
  /** Who we are is not good (any more) for this. */
  | { do: "refused"; code: string }
  /** A fault of the app or of its rights: everything stays kept, somebody is told. */
  | { do: "stuck"; code: string };

export interface Means {
  uuid(): string;
  now(): number;
}

export const BATCH = 500;
export const LONGEST_SKIP = 10_000;
/** How many of the oldest points give way when the disk is full. */
export const GIVE_WAY = 500;

const OVER: readonly string[] = ["journey_expired", "journey_ended", "not_found"];
const REFUSED: readonly string[] = ["token_expired", "unauthenticated", "revoked", "forbidden"];

const seqOf = (journey: Journey, id: number): number => id - journey.firstId + 1;
const idOf = (journey: Journey, seq: number): number => journey.firstId + seq - 1;
const lastSeq = (journey: Journey): number => seqOf(journey, journey.lastId);

export class Outbox {
  /** Points that were lost since the app was opened: to a full disk, or to another tab that ended the journey. */
  lost = 0;
  private held: Journey[] = [];
  private kept = 0;
  /** Taken, not written yet: the disk would not have them. */
  private waiting: Fix[] = [];
  private newest: Fix | null = null;
  /** Journeys whose start was answered on this connection, by client id: a number is used again once its journey is gone. */
  private readonly started = new Set<string>();
  /** Journeys whose start was asked once more, since the server called them ended. */
  private readonly asked = new Set<string>();
  private limit = BATCH;
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly store: Store,
    private readonly means: Means,
  ) {}

  static async open(store: Store, means: Means): Promise<Outbox> {
    const outbox = new Outbox(store, means);
    await outbox.load();
    return outbox;
  }

  /** How many points are on this device alone. */
  get unsafe(): number {
    return this.kept + this.waiting.length;
  }

  /** Points that are in memory alone, since the disk takes none. */
  get unwritten(): number {
    return this.waiting.length;
  }

  /** The journey that is under way. */
  get current(): Journey | null {
    return this.held.find((journey) => journey.endedAtMs === null) ?? null;
  }

  /** Journeys that the server does not know all of. */
  get journeys(): readonly Journey[] {
    return this.held;
  }

  /** Points of the current journey so far. */
  get length(): number {
    return this.current ? lastSeq(this.current) + this.waiting.length : 0;
  }

  begin(destination: string | null): Promise<Journey> {
    return this.alone(async () => {
      if (this.current) return this.current;
      const last = Math.max(0, ...this.held.map((journey) => journey.lastId));
      const journey = this.made(destination, last + 1, last, this.means.now());
      await this.write({ put: [journey] }, [...this.held, journey]);
      this.newest = null;
      return journey;
    });
  }

  /** Takes a fix and writes it down. One that the disk would not have stays in memory, and is written with the next. */
  record(fix: Fix): Promise<void> {
    return this.alone(async () => {
      if (!this.current) return;
      this.waiting.push(fix);
      this.newest = fix;
      await this.settle();
    });
  }

  /** The current journey is over. What is kept of it still goes up. */
  end(): Promise<void> {
    return this.alone(async () => {
      await this.settle();
      const journey = this.current;
      if (!journey) return;
      // What the disk would not have to the last is declared as lost: its seqs are taken, without points.
      const { length } = this.waiting;
      await this.change({ ...journey, lastId: journey.lastId + length, endedAtMs: this.means.now() });
      this.lost += length;
      this.waiting = [];
    });
  }

  /** A new connection: nothing was said on it yet. */
  connected(): void {
    this.started.clear();
    this.asked.clear();
  }

  /** What to ask now; null: nothing. `byHttp`: by the one way that needs no connection, which takes positions alone. */
  next(byHttp = false): Promise<Ask | null> {
    return this.alone(async () => {
      const head = this.held[0];
      if (!head) return null;
      if (!byHttp && !this.started.has(head.clientId)) return this.start(head);
      if (head.journeyId === null) return null;
      if (head.through < lastSeq(head) && (head.cap === null || head.through < head.cap)) return this.batch(head);
      if (byHttp) return null;
      if (head.through < lastSeq(head)) return this.start(await this.goOnAsAnother(head));
      if (head.endedAtMs === null) return null;
      const payload = { journey_id: head.journeyId, ended_at: head.endedAtMs, last_seq: lastSeq(head) };
      return { event: "journey:end", payload, clientId: head.clientId };
    });
  }

  /** What the answer to `ask` means; null: none came. */
  heard(ask: Ask, answer: unknown): Promise<Verdict> {
    return this.alone(async () => {
      const head = this.held[0];
      if (head?.clientId !== ask.clientId) return { do: "go" };
      if (!isObject(answer)) return { do: "reconnect" };
      try {
        if (answer["ok"] === true) return await this.accepted(head, ask, answer);
        return await this.refused(head, ask, isObject(answer["error"]) ? answer["error"] : {});
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error;
        // It was asked by what another tab has changed since: the server is asked anew what it holds.
        await this.load();
        this.connected();
        return { do: "go" };
      }
    });
  }

  private start(journey: Journey): Ask {
    const { clientId, startedAtMs, destination } = journey;
    const payload: Json = { client_journey_id: clientId, started_at: startedAtMs };
    if (destination !== null) payload["destination"] = { name: destination };
    return { event: "journey:start", payload, clientId };
  }

  private async batch(head: Journey): Promise<Ask> {
    const from = head.through + 1;
    const to = Math.min(lastSeq(head), head.cap ?? Infinity);
    const rows = await this.store.rows(idOf(head, from), idOf(head, to), this.limit);
    const first = rows[0] ? seqOf(head, rows[0][0]) : to + 1;
    const payload: Json = { journey_id: head.journeyId };
    let points = rows.filter(([id], index) => seqOf(head, id) === first + index).map(([id, fix]) => [seqOf(head, id), ...fix]);
    if (first > from) {
      // Points that are nowhere any more (a full disk, a lost one): say so, or the log can never go on.
      const last = Math.min(first - 1, from + LONGEST_SKIP - 1);
      payload["skip"] = [from, last, "lost_by_app"];
      if (last < first - 1) points = [];
    }
    payload["points"] = points;
    const reached = points.at(-1)?.[0] ?? 0;
    // A backlog goes up in order; `latest` moves the dot on the map meanwhile.
    if (head === this.current && this.newest && (reached ?? 0) < this.length) payload["latest"] = [this.length, ...this.newest];
    return { event: "positions", payload, clientId: head.clientId };
  }

  private async accepted(head: Journey, ask: Ask, answer: Json): Promise<Verdict> {
    if (ask.event === "journey:end") {
      await this.write({ forget: [head.n] }, this.held.filter((journey) => journey !== head));
      return { do: "go" };
    }
    if (ask.event === "positions") {
      this.asked.clear();
      await this.serverHas(head, number(answer["through"]) ?? head.through);
      return { do: "go" };
    }
    const known = { ...head, journeyId: text(answer["journey_id"]) ?? head.journeyId, cap: number(answer["last_seq"]) };
    this.started.add(head.clientId);
    await this.serverHas(known, (number(answer["next_seq"]) ?? head.through + 1) - 1);
    return { do: "go" };
  }

  private async refused(head: Journey, ask: Ask, error: Json): Promise<Verdict> {
    const { code, retryable, retryAfterS } = readRefusal(error);
    const expected = number(error["expected"]);
    if (code === "expected_seq" && expected !== null && expected !== head.through + 1) {
      await this.serverHas(head, expected - 1);
      return { do: "go" };
    }
    if (code === "conflict" && ask.event === "positions") {
      const conflicts = Array.isArray(error["conflicts"]) ? error["conflicts"].filter((seq) => number(seq) !== null) : [];
      if (conflicts.length === 0) return { do: "stuck", code };
      await this.serverHas(head, Math.max(...(conflicts as number[])));
      return { do: "go" };
    }
    if (code === "journey_ended" && ask.event === "positions" && !this.asked.has(head.clientId)) {
      // Some of the batch may still be taken: the journey's start says up to where.
      this.asked.add(head.clientId);
      this.started.delete(head.clientId);
      return { do: "go" };
    }
    if (OVER.includes(code)) {
      await this.goOnAsAnother(head);
      return { do: "go" };
    }
    if ((code === "too_large" || code === "too_many_points") && this.limit > 1) {
      this.limit = Math.ceil(this.limit / 2);
      return { do: "go" };
    }
    if (REFUSED.includes(code)) return { do: "refused", code };
    if (code === "draining") return { do: "reconnect" };
    return retryable ? { do: "wait", afterS: retryAfterS } : { do: "stuck", code };
  }

  /** The server has 1…seq; more than we know of when it was written by another copy of us. */
  private async serverHas(journey: Journey, seq: number): Promise<void> {
    const beyond = seq > lastSeq(journey);
    const drop: [number, number] = [journey.firstId, beyond ? journey.lastId : idOf(journey, seq)];
    const firstId = beyond ? journey.lastId - seq + 1 : journey.firstId;
    await this.change({ ...journey, firstId, through: seq }, drop[1] >= drop[0] ? [drop] : []);
  }

  /** The journey is over for the server: what is left goes on as the next, counted from 1. Gives that one. */
  private async goOnAsAnother(old: Journey): Promise<Journey> {
    const firstId = idOf(old, old.through + 1);
    const others = this.held.filter((journey) => journey !== old);
    const [first] = await this.store.rows(firstId, old.lastId, 1);
    const next = this.made(old.destination, firstId, old.lastId, first?.[1][0] ?? this.means.now());
    next.endedAtMs = old.endedAtMs;
    if (old.lastId < firstId && old.endedAtMs !== null) await this.write({ forget: [old.n] }, others);
    else await this.write({ forget: [old.n], put: [next] }, [...others, next]);
    return next;
  }

  private made(destination: string | null, firstId: number, lastId: number, startedAtMs: number): Journey {
    const n = 1 + Math.max(0, ...this.held.map((journey) => journey.n));
    const unknown = { through: 0, journeyId: null, endedAtMs: null, cap: null };
    return { n, clientId: this.means.uuid(), startedAtMs, destination, firstId, lastId, ...unknown };
  }

  /** Writes what is waiting. A full disk makes the oldest points give way; their seqs are declared when their turn comes. */
  private async settle(): Promise<void> {
    while (this.waiting.length > 0 && this.current) {
      const { lastId } = this.current;
      const add = this.waiting.map((fix, index): [number, Fix] => [lastId + 1 + index, fix]);
      try {
        await this.change({ ...this.current, lastId: lastId + add.length }, [], add);
        this.waiting = [];
      } catch (error) {
        if (error instanceof Overtaken) await this.load();
        else if (!(await this.makeRoom(error))) return;
      }
    }
    if (this.current) return;
    // Another tab has ended the journey, with the points that were on the disk: those still in memory belong to none.
    this.lost += this.waiting.length;
    this.waiting = [];
  }

  private async makeRoom(error: unknown): Promise<boolean> {
    if (!(error instanceof Error || error instanceof DOMException) || error.name !== "QuotaExceededError") return false;
    const oldest = await this.store.oldest(GIVE_WAY);
    const [from, to] = [oldest[0], oldest.at(-1)];
    if (from === undefined || to === undefined) return false;
    try {
      await this.store.write({ drop: [[from, to]] });
    } catch {
      return false;
    }
    this.lost += oldest.length;
    this.kept -= oldest.length;
    return true;
  }

  private async change(journey: Journey, drop: [number, number][] = [], add: [number, Fix][] = []): Promise<void> {
    const held = this.held.map((one) => (one.n === journey.n ? journey : one));
    await this.write({ put: [journey], drop, add }, held);
  }

  /** First the disk, then what we believe. */
  private async write(change: Change, held: Journey[]): Promise<void> {
    await this.store.write(change);
    this.held = ordered(held);
    this.kept = change.drop?.length ? await this.store.count() : this.kept + (change.add?.length ?? 0);
  }

  private async load(): Promise<void> {
    this.held = ordered(await this.store.journeys());
    this.kept = await this.store.count();
    const { current } = this;
    const [row] = current ? await this.store.rows(current.lastId, current.lastId, 1) : [];
    this.newest = row?.[1] ?? null;
  }

  /** One after the other: each sees what the one before it has written, be it another tab's. */
  private alone<T>(act: () => Promise<T>): Promise<T> {
    const mine = this.turn.then(() => this.upToDate(act));
    this.turn = mine.catch(() => undefined);
    return mine;
  }

  private async upToDate<T>(act: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await act();
      } catch (error) {
        if (!(error instanceof Overtaken)) throw error;
        await this.load();
      }
    }
  }
}

function ordered(journeys: Journey[]): Journey[] {
  return [...journeys].sort((a, b) => a.firstId - b.firstId || a.n - b.n);
}
