import { describe, expect, it } from "vitest";

import { Fleet } from "../src/console/fleet";
import { readFixes, readSnapshot, type Snapshot } from "../src/common/wire";

const FEED = "vendor:north";
const T = 1_700_000_000_000;

const fix = (driver: string, t: number, seq = 1, journey = "j1"): unknown => [driver, journey, [seq, t, 53.4, -2.9]];
const snapshot = (fixes: unknown[], presence: Record<string, unknown> = {}): Snapshot =>
  readSnapshot({ ok: true, feed: FEED, snapshot: { positions: fixes, presence, alerts: [] } });

describe("the fleet", () => {
  it("keeps the newer of two positions, whichever comes last", () => {
    const fleet = new Fleet();
    fleet.accept(FEED, readFixes([fix("d1", T + 5_000, 6)]), T + 6_000);
    expect(fleet.accept(FEED, readFixes([fix("d1", T, 1)]), T + 7_000)).toEqual([]);
    expect(fleet.drivers.get("d1")?.point.seq).toBe(6);
  });

  it("is not stuck on a phone clock that once ran ahead", () => {
    const fleet = new Fleet();
    fleet.accept(FEED, readFixes([fix("d1", T + 3_600_000, 1)]), T);
    expect(fleet.accept(FEED, readFixes([fix("d1", T + 1_000, 2)]), T + 1_200)).toEqual(["d1"]);
  });

  it("does not call a fix from the future fresh for ever", () => {
    const fleet = new Fleet();
    fleet.accept(FEED, readFixes([fix("d1", T + 3_600_000)]), T);
    const driver = fleet.drivers.get("d1")!;
    expect(fleet.freshnessOf(driver, T + 10_000, 60_000)).toBe("fresh");
    expect(fleet.freshnessOf(driver, T + 61_000, 60_000)).toBe("stale");
  });

  it("makes an old position of a snapshot stale at once", () => {
    const fleet = new Fleet();
    fleet.restore(snapshot([fix("d1", T - 300_000)]), T, T + 50);
    expect(fleet.freshnessOf(fleet.drivers.get("d1")!, T + 60, 60_000)).toBe("stale");
  });

  it("believes the server that a driver is stale or offline, and online does not make an old fix fresh", () => {
    const fleet = new Fleet();
    fleet.restore(snapshot([fix("d1", T), fix("d2", T), fix("d3", T)], {
      d1: { state: "stale", since_ms: T, reason: null },
      d2: { state: "offline", since_ms: T, reason: "closed" },
      d3: { state: "online", since_ms: T, reason: null },
    }), T, T);
    const of = (id: string, now: number): string => fleet.freshnessOf(fleet.drivers.get(id)!, now, 60_000);
    expect([of("d1", T), of("d2", T), of("d3", T), of("d3", T + 60_001)]).toEqual(["stale", "offline", "fresh", "stale"]);
    expect(fleet.counts(T, 60_000)).toEqual({ drivers: 3, fresh: 1, silent: 2 });
  });

  it("forgets who is not in a new snapshot, but not who reported since it was asked for", () => {
    const fleet = new Fleet();
    fleet.accept(FEED, readFixes([fix("gone", T), fix("stays", T)]), T);
    fleet.accept(FEED, readFixes([fix("new", T + 900)]), T + 1_000);
    expect(fleet.restore(snapshot([fix("stays", T)]), T + 500, T + 1_100)).toEqual(["gone"]);
    expect([...fleet.drivers.keys()].sort()).toEqual(["new", "stays"]);
  });

  it("does not let an older snapshot undo an event's presence", () => {
    const fleet = new Fleet();
    fleet.hear("d1", { state: "offline", sinceMs: T, reason: null }, T + 100);
    fleet.restore(snapshot([], { d1: { state: "online", since_ms: T } }), T, T + 200);
    expect(fleet.presenceOf("d1")?.state).toBe("offline");
  });

  it("survives ids made to hurt", () => {
    const fleet = new Fleet();
    fleet.accept(FEED, readFixes([fix("__proto__", T), fix("constructor", T), fix("<img onerror=x>", T)]), T);
    expect(fleet.drivers.size).toBe(3);
    expect(fleet.presenceOf("toString")).toBeNull();
  });
});
