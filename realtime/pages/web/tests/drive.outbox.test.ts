import "fake-indexeddb/auto";

import { beforeEach, describe, expect, it } from "vitest";

import { openDb, wipe, type Db } from "../src/drive/db";
import { BATCH, GIVE_WAY, Outbox, type Ask, type Change, type Fix, type Store } from "../src/drive/outbox";
import { IdbStore } from "../src/drive/outboxstore";
import { Ledger, randomOf } from "./drive.server";

let names = 0;
let clock = 1_790_000_000_000;
let ids = 0;
let db: Db;

const means = { uuid: () => `00000000-0000-4000-8000-${String(++ids).padStart(12, "0")}`, now: () => ++clock };
const fix = (n: number): Fix => [clock + n, 53.4 + n * 1e-4, -2.9, 8, 30, 5, null, 80];
const reopened = (): Promise<Outbox> => Outbox.open(new IdbStore(db), means);

beforeEach(async () => {
  db = await openDb(`test-${++names}`);
});

async function begun(points = 0): Promise<Outbox> {
  const outbox = await reopened();
  await outbox.begin("Depot");
  for (let n = 1; n <= points; n++) await outbox.record(fix(n));
  return outbox;
}

/** Answers until nothing is left to ask. */
async function drained(outbox: Outbox, server: Ledger): Promise<Ask[]> {
  const asks: Ask[] = [];
  outbox.connected();
  for (let ask = await outbox.next(); ask; ask = await outbox.next()) {
    asks.push(ask);
    expect((await outbox.heard(ask, server.answer(ask))).do).toBe("go");
  }
  return asks;
}

class Full implements Store {
  room = Infinity;
  constructor(private readonly inner: IdbStore) {}
  journeys = () => this.inner.journeys();
  rows = (from: number, to: number, limit: number) => this.inner.rows(from, to, limit);
  count = () => this.inner.count();
  oldest = (limit: number) => this.inner.oldest(limit);
  async write(change: Change): Promise<void> {
    const adds = change.add?.length ?? 0;
    if (adds > 0 && (await this.count()) + adds > this.room) throw new DOMException("full", "QuotaExceededError");
    return this.inner.write(change);
  }
}

const started = { ok: true, journey_id: "j1", next_seq: 1 };

describe("outbox", () => {
  it("starts a journey, sends its points from 1, and ends it", async () => {
    const outbox = await begun(3);
    const server = new Ledger();
    await outbox.end();
    const asks = await drained(outbox, server);
    expect(asks.map((ask) => ask.event)).toEqual(["journey:start", "positions", "journey:end"]);
    expect(asks[0]!.payload["destination"]).toEqual({ name: "Depot" });
    expect(server.logs()).toEqual([[1, 2, 3].map((n) => expect.closeTo(53.4 + n * 1e-4, 9))]);
    expect([outbox.unsafe, outbox.journeys.length, await db.count("points"), await db.count("journeys")]).toEqual([0, 0, 0, 0]);
  });

  it("is as it was after a reload", async () => {
    await begun(4);
    const again = await reopened();
    expect([again.unsafe, again.length, again.current?.destination]).toEqual([4, 4, "Depot"]);
    await again.record(fix(5));
    expect((await drained(again, new Ledger())).at(-1)!.payload["points"]).toHaveLength(5);
  });

  it("sends a backlog in batches, the newest in front of everybody's eyes", async () => {
    const outbox = await begun(BATCH + 2);
    const [, first, second] = await drained(outbox, new Ledger());
    expect((first!.payload["points"] as number[][]).map(([seq]) => seq)).toEqual(Array.from({ length: BATCH }, (_, n) => n + 1));
    expect((first!.payload["latest"] as number[])[0]).toBe(BATCH + 2);
    expect(second!.payload["points"]).toHaveLength(2);
    expect(second!.payload["latest"]).toBeUndefined();
  });

  it("goes on from what an ack that got lost had stored", async () => {
    const outbox = await begun(5);
    outbox.connected();
    await outbox.heard((await outbox.next())!, { ...started, next_seq: 4 });
    expect(((await outbox.next())!.payload["points"] as number[][]).map(([seq]) => seq)).toEqual([4, 5]);
    expect(outbox.unsafe).toBe(2);
  });

  it("declares what is nowhere any more, when the server has less than it once said", async () => {
    const outbox = await begun(6);
    await outbox.heard((await outbox.next())!, started);
    await outbox.heard((await outbox.next())!, { ok: true, through: 4, voided: [] });
    const ask = (await outbox.next())!;
    expect((await outbox.heard(ask, refusal("expected_seq", { expected: 2, retryable: true }))).do).toBe("go");
    const { payload } = (await outbox.next())!;
    expect(payload["skip"]).toEqual([2, 4, "lost_by_app"]);
    expect((payload["points"] as number[][]).map(([seq]) => seq)).toEqual([5, 6]);
  });

  it("takes a conflict for what the server holds, and numbers behind it", async () => {
    const outbox = await begun(2);
    await outbox.heard((await outbox.next())!, started);
    await outbox.heard((await outbox.next())!, refusal("conflict", { conflicts: [1, 2, 7] }));
    expect(outbox.unsafe).toBe(0);
    await outbox.record(fix(3));
    expect(((await outbox.next())!.payload["points"] as number[][]).map(([seq]) => seq)).toEqual([8]);
  });

  it.each(["journey_expired", "not_found"])("goes on as the next journey, from 1, after %s", async (code) => {
    const outbox = await begun(4);
    await outbox.heard((await outbox.next())!, started);
    await outbox.heard((await outbox.next())!, { ok: true, through: 1, voided: [] });
    const before = outbox.current!.clientId;
    await outbox.heard((await outbox.next())!, refusal(code));
    const start = (await outbox.next())!;
    expect([start.event, start.payload["client_journey_id"] === before]).toEqual(["journey:start", false]);
    await outbox.heard(start, { ...started, journey_id: "j2" });
    const { payload } = (await outbox.next())!;
    expect([payload["journey_id"], (payload["points"] as number[][]).map(([seq]) => seq)]).toEqual(["j2", [1, 2, 3]]);
    expect((await reopened()).unsafe).toBe(3);
  });

  it("gives a journey that somebody else has ended what it still takes, and the rest to the next", async () => {
    const outbox = await begun(5);
    await outbox.heard((await outbox.next())!, started);
    await outbox.heard((await outbox.next())!, refusal("journey_ended"));
    const asks: Ask[] = [(await outbox.next())!];
    await outbox.heard(asks[0]!, { ...started, last_seq: 2 });
    const rest = (await outbox.next())!;
    expect((rest.payload["points"] as number[][]).map(([seq]) => seq)).toEqual([1, 2]);
    await outbox.heard(rest, { ok: true, through: 2, voided: [] });
    const next = (await outbox.next())!;
    expect(next.event).toBe("journey:start");
    await outbox.heard(next, { ...started, journey_id: "j2" });
    expect((await outbox.next())!.payload["points"]).toHaveLength(3);
  });

  it("sends a journey that is over before the one under way, whichever is asked", async () => {
    const outbox = await begun(2);
    await outbox.end();
    await outbox.begin("Home");
    await outbox.record(fix(9));
    const asks = await drained(outbox, new Ledger());
    expect(asks.map((ask) => ask.event)).toEqual(["journey:start", "positions", "journey:end", "journey:start", "positions"]);
    expect(outbox.current?.destination).toBe("Home");
  });

  it.each([
    [null, { do: "reconnect" }],
    [refusal("overloaded", { retryable: true, retry_after_s: 2 }), { do: "wait", afterS: 2 }],
    [refusal("unavailable", { retryable: true }), { do: "wait", afterS: null }],
    [refusal("draining", { retryable: true }), { do: "reconnect" }],
    [refusal("token_expired"), { do: "refused", code: "token_expired" }],
    [refusal("revoked"), { do: "refused", code: "revoked" }],
    [refusal("invalid"), { do: "stuck", code: "invalid" }],
  ])("keeps every point when the answer is %j", async (answer, verdict) => {
    const outbox = await begun(3);
    await outbox.heard((await outbox.next())!, started);
    expect(await outbox.heard((await outbox.next())!, answer)).toEqual(verdict);
    expect([outbox.unsafe, await db.count("points")]).toEqual([3, 3]);
    expect((await outbox.next())!.payload["points"]).toHaveLength(3);
  });

  it("makes its batches smaller when they are too large", async () => {
    const outbox = await begun(9);
    await outbox.heard((await outbox.next())!, started);
    for (const size of [9, 9, 9, 9, 9, 9]) {
      const ask = (await outbox.next())!;
      if ((ask.payload["points"] as unknown[]).length < size) break;
      await outbox.heard(ask, refusal("too_large"));
    }
    expect(((await outbox.next())!.payload["points"] as unknown[]).length).toBeLessThan(9);
  });

  it("by HTTP sends positions alone, of a journey that the server knows", async () => {
    const outbox = await begun(2);
    expect(await outbox.next(true)).toBeNull();
    await outbox.heard((await outbox.next())!, started);
    const ask = (await outbox.next(true))!;
    expect(ask.event).toBe("positions");
    await outbox.heard(ask, { ok: true, through: 2, voided: [] });
    await outbox.end();
    expect(await outbox.next(true)).toBeNull();
  });
});

describe("a second journey", () => {
  it("is started on the connection on which the first one ended", async () => {
    const outbox = await begun(2);
    const server = new Ledger();
    await outbox.end();
    await drained(outbox, server);
    await outbox.begin(null);
    await outbox.record(fix(3));
    for (let ask = await outbox.next(); ask; ask = await outbox.next()) await outbox.heard(ask, server.answer(ask));
    expect([outbox.unsafe, server.logs().length, server.through()]).toEqual([0, 2, [2, 1]]);
  });
});

describe("two tabs", () => {
  it("lose no point when the one that was taken over from writes once more", async () => {
    const before = await begun(1);
    const server = new Ledger();
    const after = await reopened();
    await before.record(fix(2));
    await after.record(fix(3));
    expect([after.unwritten, after.length, after.unsafe]).toEqual([0, 3, 3]);
    await drained(after, server);
    expect(server.logs()).toEqual([[1, 2, 3].map((n) => expect.closeTo(53.4 + n * 1e-4, 9))]);
    expect([after.unsafe, await db.count("points")]).toEqual([0, 0]);
  });

  it("lose no point when the one that was taken over from still hears an answer", async () => {
    const before = await begun(2);
    const server = new Ledger();
    const start = (await before.next())!;
    await before.heard(start, server.answer(start));
    const batch = (await before.next())!;
    const after = await reopened();
    await after.record(fix(3));
    await before.heard(batch, server.answer(batch));
    await after.record(fix(4));
    await drained(after, server);
    expect(server.through()).toEqual([4]);
    expect(server.holes).toBe(0);
    expect([after.unwritten, after.unsafe, await db.count("points")]).toEqual([0, 0, 0]);
  });

  it("take no point for a journey that the other has ended", async () => {
    const before = await begun(1);
    const after = await reopened();
    await after.end();
    await before.record(fix(2));
    expect([before.current, before.unwritten, await db.count("points")]).toEqual([null, 0, 1]);
    await before.begin("Home");
    await before.record(fix(3));
    const server = new Ledger();
    await drained(await reopened(), server);
    expect(server.through()).toEqual([1, 1]);
  });

  it("apply no answer to another journey that was given the number of the one it was about", async () => {
    const server = new Ledger();
    const before = await begun(5);
    const start = (await before.next())!;
    await before.heard(start, server.answer(start));
    const batch = (await before.next())!;
    const after = await reopened();
    const first = after.current!;
    await after.end();
    await drained(after, server);
    const second = await after.begin("Home");
    expect([second.n, second.clientId === first.clientId]).toEqual([first.n, false]);
    await after.record(fix(6));
    await before.record(fix(7));
    expect(await before.heard(batch, server.answer(batch))).toEqual({ do: "go" });
    expect([before.current?.clientId, before.current?.through, before.length, before.unsafe]).toEqual([second.clientId, 0, 2, 2]);
    const rest = await reopened();
    await rest.end();
    await drained(rest, server);
    expect([server.through(), server.holes, await db.count("points")]).toEqual([[5, 2], 0, 0]);
  });

  it("count as lost what the disk would not have of a journey that the other has ended", async () => {
    const full = new Full(new IdbStore(db));
    const before = await Outbox.open(full, means);
    await before.begin(null);
    full.room = 0;
    await before.record(fix(1));
    expect([before.unwritten, before.lost]).toEqual([1, 0]);
    await (await reopened()).end();
    full.room = Infinity;
    await before.record(fix(2));
    expect([before.current, before.unwritten, before.lost]).toEqual([null, 0, 2]);
  });

  it("write nothing into what was forgotten meanwhile", async () => {
    const outbox = await begun(1);
    await wipe(db);
    await outbox.record(fix(2));
    expect([await db.count("journeys"), await db.count("points"), await db.count("settings")]).toEqual([0, 0, 0]);
  });
});

describe("a full disk", () => {
  it("makes the oldest give way, and declares them when their turn comes", async () => {
    const full = new Full(new IdbStore(db));
    const outbox = await Outbox.open(full, means);
    await outbox.begin(null);
    full.room = GIVE_WAY + 10;
    for (let n = 1; n <= GIVE_WAY + 11; n++) await outbox.record(fix(n));
    expect([outbox.lost, outbox.unsafe]).toEqual([GIVE_WAY, 11]);
    const server = new Ledger();
    const asks = await drained(outbox, server);
    expect(asks[1]!.payload["skip"]).toEqual([1, GIVE_WAY, "lost_by_app"]);
    expect(server.through()).toEqual([GIVE_WAY + 11]);
  });

  it("keeps in memory what it would not have, and says so; at the end of the journey it is declared", async () => {
    const full = new Full(new IdbStore(db));
    const outbox = await Outbox.open(full, means);
    await outbox.begin(null);
    full.room = 0;
    await outbox.record(fix(1));
    expect([outbox.unwritten, outbox.unsafe]).toEqual([1, 1]);
    full.room = 1;
    await outbox.end();
    expect([outbox.unwritten, outbox.lost]).toEqual([0, 0]);
    expect((await drained(outbox, new Ledger()))[1]!.payload["points"]).toHaveLength(1);
  });
});

describe("whatever happens", () => {
  it.each(Array.from({ length: 30 }, (_, seed) => seed + 1))("nothing is lost, doubled or out of order (seed %i)", async (seed) => {
    const random = randomOf(seed);
    const chance = (part: number): boolean => random() < part;
    const server = new Ledger();
    /** Dies before or after the disk has it. */
    const dying: Store = new (class extends IdbStore {
      override async write(change: Change): Promise<void> {
        if (chance(0.04)) throw new Error("died before");
        await super.write(change);
        if (chance(0.04)) throw new Error("died after");
      }
    })(db);
    let outbox = await Outbox.open(dying, means);
    const died = async (): Promise<void> => void (outbox = await Outbox.open(dying, means));
    const taken: number[] = [];
    for (let step = 0; step < 150; step++) {
      try {
        if (!outbox.current && chance(0.5)) await outbox.begin(null);
        if (outbox.current && chance(0.5)) {
          const point = fix(step);
          point[1] = step;
          await outbox.record(point);
          // One that was not written down is in memory alone, and dies with it: nobody was told that it is kept.
          if (outbox.unwritten > 0) await died();
          if ((await db.getAll("points")).some((row) => row[1] === step)) taken.push(step);
        }
        if (outbox.current && chance(0.05)) await outbox.end();
        if (chance(0.05)) await died();
        if (chance(0.1)) outbox.connected();
        if (chance(0.03)) server.expireOne(random);
        const ask = chance(0.6) ? await outbox.next(chance(0.2)) : null;
        if (!ask) continue;
        const fate = random();
        if (fate < 0.15) {
          // Lost on the way, there or back: the connection is taken for dead.
          if (fate < 0.08) server.answer(ask);
          await outbox.heard(ask, null);
          outbox.connected();
        } else if (fate < 0.22) await outbox.heard(ask, refusal("overloaded", { retryable: true }));
        else await outbox.heard(ask, server.answer(ask));
      } catch {
        await died();
      }
    }
    outbox = await reopened();
    if (outbox.current) await outbox.end();
    await drained(outbox, server);
    expect([outbox.unsafe, outbox.journeys.length]).toEqual([0, 0]);
    expect(server.holes).toBe(0);
    // One journey after another is what was taken. Only an ack that got lost of a journey that then expired may double.
    const seen = server.logs().flat();
    expect([...new Set(seen)].sort((a, b) => a - b)).toEqual(taken);
    for (const log of server.logs()) expect(log).toEqual([...new Set(log)].sort((a, b) => a - b));
    if (server.expiries === 0) expect(seen).toEqual(taken);
  });
});

function refusal(code: string, more: Record<string, unknown> = {}): unknown {
  return { ok: false, error: { code, message: code, retryable: false, ...more } };
}
