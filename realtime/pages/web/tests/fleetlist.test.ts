import { describe, expect, it } from "vitest";

import { has, LOW_BATTERY_PCT, MOVING_FROM_MPS, select, tally, type Filter, type Query, type Row } from "../src/console/fleetlist";

const row = (id: string, more: Partial<Row> = {}): Row => ({
  id, freshness: "fresh", ageMs: 1_000, speedMps: 8, batteryPct: 80, onJourney: true, alert: null, ...more,
});
const query = (more: Partial<Query> = {}): Query => ({ search: "", filters: new Set(), sort: "name", ...more });
const ids = (rows: Row[]): string[] => rows.map(({ id }) => id);
const filters = (...names: Filter[]): ReadonlySet<Filter> => new Set(names);

describe("what a driver counts as", () => {
  it("moves from a walking pace on, and neither moves nor stands when nothing is known", () => {
    expect(has(row("a", { speedMps: MOVING_FROM_MPS }), "moving")).toBe(true);
    expect(has(row("a", { speedMps: MOVING_FROM_MPS - 0.01 }), "stopped")).toBe(true);
    expect(has(row("a", { speedMps: null }), "stopped")).toBe(true);
    const silent = row("a", { freshness: "stale" });
    expect([has(silent, "moving"), has(silent, "stopped"), has(silent, "stale")]).toEqual([false, false, true]);
  });

  it("has a low battery at the threshold, and none that is unknown", () => {
    expect(has(row("a", { batteryPct: LOW_BATTERY_PCT }), "low_battery")).toBe(true);
    expect(has(row("a", { batteryPct: LOW_BATTERY_PCT + 1 }), "low_battery")).toBe(false);
    expect(has(row("a", { batteryPct: null }), "low_battery")).toBe(false);
  });

  it("is counted once for each filter that holds", () => {
    const counts = tally([row("a", { alert: "critical", batteryPct: 3 }), row("b", { freshness: "offline", onJourney: false })]);
    expect(counts).toEqual({ moving: 1, stopped: 0, stale: 0, offline: 1, low_battery: 1, on_journey: 1, in_alert: 1 });
  });
});

describe("the list", () => {
  const rows = [
    row("van-10", { speedMps: 3, batteryPct: null, ageMs: 900 }),
    row("van-9", { freshness: "offline", ageMs: null, speedMps: null }),
    row("Bus", { speedMps: 20, batteryPct: 12, ageMs: 2_000 }),
    row("cab", { speedMps: 0, alert: "warning", batteryPct: 40 }),
    row("taxi", { freshness: "stale", speedMps: 30, alert: "critical", ageMs: 90_000 }),
  ];

  it.each([
    ["name", ["Bus", "cab", "taxi", "van-9", "van-10"]],
    ["state", ["taxi", "cab", "Bus", "van-10", "van-9"]],
    ["age", ["van-10", "cab", "Bus", "taxi", "van-9"]],
    ["speed", ["taxi", "Bus", "van-10", "cab", "van-9"]],
    ["battery", ["Bus", "cab", "taxi", "van-9", "van-10"]],
  ] as const)("is ordered by %s, what is unknown last", (sort, order) => {
    expect(ids(select(rows, query({ sort })))).toEqual(order);
  });

  it("shows any of the states that are asked for, and of those who have every trait", () => {
    expect(ids(select(rows, query({ filters: filters("offline", "stale") })))).toEqual(["taxi", "van-9"]);
    expect(ids(select(rows, query({ filters: filters("offline", "stale", "in_alert") })))).toEqual(["taxi"]);
    expect(ids(select(rows, query({ filters: filters("in_alert", "low_battery") })))).toEqual([]);
  });

  it("finds a part of a name, however it is written", () => {
    expect(ids(select(rows, query({ search: " VAN " })))).toEqual(["van-9", "van-10"]);
    expect(ids(select(rows, query({ search: "(" })))).toEqual([]);
  });
});
