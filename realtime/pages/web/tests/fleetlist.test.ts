import { describe, expect, it } from "vitest";

import { has, LOW_BATTERY_PCT, MOVING_FROM_MPS, select, tally, urgencyOf, type Filter, type Query, type Row } from "../src/console/fleetlist";
import { NameBook } from "../src/console/names";

const row = (id: string, more: Partial<Row> = {}): Row => ({
  id, name: id, freshness: "fresh", ageMs: 1_000, speedMps: 8, batteryPct: 80, onJourney: true, alert: null,
  urgency: more.alert ? urgencyOf({ severity: more.alert, kind: "sos", drill: false }) : null, ...more,
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
    ["name", ["taxi", "cab", "Bus", "van-9", "van-10"]],
    ["state", ["taxi", "cab", "Bus", "van-10", "van-9"]],
    ["age", ["taxi", "cab", "van-10", "Bus", "van-9"]],
    ["speed", ["taxi", "cab", "Bus", "van-10", "van-9"]],
    ["battery", ["taxi", "cab", "Bus", "van-9", "van-10"]],
  ] as const)("is ordered by %s, alerts first and what is unknown last", (sort, order) => {
    expect(ids(select(rows, query({ sort })))).toEqual(order);
  });

  it("shows any of the states that are asked for, and of those who have every trait", () => {
    expect(ids(select(rows, query({ filters: filters("offline", "stale") })))).toEqual(["taxi", "van-9"]);
    expect(ids(select(rows, query({ filters: filters("offline", "stale", "in_alert") })))).toEqual(["taxi"]);
    expect(ids(select(rows, query({ filters: filters("in_alert", "low_battery") })))).toEqual([]);
  });

  it("has an SOS before a crash, both before a warning, and drills last of the alerts", () => {
    const of = (id: string, severity: "critical" | "warning" | "notice", kind: string, drill = false): Row =>
      row(id, { alert: severity, urgency: urgencyOf({ severity, kind, drill }) });
    const mixed = [row("a-driver"), of("b-drill", "critical", "sos", true), of("c-signal", "notice", "signal_lost"), of("d-crash", "critical", "crash"), of("e-sos", "critical", "sos"), of("f-fall", "warning", "fall")];
    for (const sort of ["name", "speed", "age"] as const) {
      expect(ids(select(mixed, query({ sort })))).toEqual(["e-sos", "d-crash", "f-fall", "c-signal", "b-drill", "a-driver"]);
    }
  });

  it("finds by name and id, without accents, in any order of words", () => {
    const book = new NameBook(async () => ({ names: {} }));
    book.learn("d-17", "José Núñez");
    book.learn("d-18", "Josephine Ng");
    const named = ["d-17", "d-18", "d-19"].map((id) => row(id, { name: book.of(id), sought: book.foldedOf(id) }));
    const found = (search: string): string[] => ids(select(named, query({ search })));
    expect(found("jose")).toEqual(["d-17", "d-18"]);
    expect(found("nunez JOSÉ")).toEqual(["d-17"]);
    expect(found("d-18")).toEqual(["d-18"]);
    expect(found("ng 18")).toEqual(["d-18"]);
    expect(found("  ")).toEqual(["d-19", "d-17", "d-18"]);
  });

  it("finds a part of a name, however it is written", () => {
    expect(ids(select(rows, query({ search: " VAN " })))).toEqual(["van-9", "van-10"]);
    expect(ids(select(rows, query({ search: "(" })))).toEqual([]);
  });
});
