import { describe, expect, it } from "vitest";

import { Fleet, readListed, type Listed } from "../src/console/fleet";
import { readFixes } from "../src/common/wire";

const T = 1_700_000_000_000;

const fix = (driver: string, t: number, seq = 1, journey = "j1"): unknown => [driver, journey, [seq, t, 53.4, -2.9]];
const listed = (driver: string, t: number | null, receivedMs = t, seq = 1): Listed => readListed([
  {
    driver,
    journey_id: "j1",
    point: t === null ? null : [seq, t, 53.4, -2.9],
    received_ms: receivedMs,
    presence: { state: "online", since_ms: T, reason: "connected" },
  },
])[0]!;

describe("the fleet", () => {
  it("keeps the newer of two positions, whichever comes last", () => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T + 5_000, 6)]), T + 6_000);
    expect(fleet.accept(readFixes([fix("d1", T, 1)]), T + 7_000)).toEqual([]);
    expect(fleet.take("north", [listed("d1", T, T, 1)], T + 8_000)).toEqual([]);
    expect(fleet.drivers.get("d1")).toMatchObject({ vendor: "north", point: { seq: 6 } });
  });

  it("is not stuck on a phone clock that once ran ahead", () => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T + 3_600_000, 1)]), T);
    expect(fleet.accept(readFixes([fix("d1", T + 1_000, 2)]), T + 1_200)).toEqual(["d1"]);
  });

  it.each([3_600_000, 1024 * 7 * 86_400_000])("goes by seq when the clock steps back by %i ms", (backMs) => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T, 1)]), T);
    expect(fleet.accept(readFixes([fix("d1", T + 1_000 - backMs, 2)]), T + 1_000)).toEqual(["d1"]);
    expect(fleet.accept(readFixes([fix("d1", T, 1)]), T + 2_000)).toEqual([]);
    expect(fleet.take("north", [listed("d1", T, T + 3_000, 1)], T + 3_000)).toEqual([]);
    expect(fleet.take("north", [listed("d1", T + 2_000 - backMs, T + 3_000, 3)], T + 3_000)).toEqual(["d1"]);
    expect(fleet.drivers.get("d1")).toMatchObject({ point: { seq: 3 } });
  });

  it("goes on after a position whose seq is far ahead", () => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T, 2)]), T);
    expect(fleet.accept(readFixes([fix("d1", T + 1_000, 2 ** 31 - 1)]), T + 1_000)).toEqual(["d1"]);
    expect(fleet.accept(readFixes([fix("d1", T + 2_000, 3)]), T + 2_000)).toEqual(["d1"]);
    expect(fleet.take("north", [listed("d1", T + 1_000, T + 1_000, 2 ** 31 - 1)], T + 3_000)).toEqual([]);
    expect(fleet.accept(readFixes([fix("d1", T, 3 + 2 ** 20)]), T)).toEqual(["d1"]);
    expect(fleet.drivers.get("d1")).toMatchObject({ point: { seq: 3 + 2 ** 20 } });
  });

  it("shows a new journey whose clock is an hour behind, and not the backlog of one before it", () => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T, 9)]), T);
    expect(fleet.accept(readFixes([fix("d1", T - 3_600_000, 1, "j2")]), T + 1_000)).toEqual(["d1"]);
    expect(fleet.take("north", [listed("d1", T + 5_000, T + 500, 10)], T + 2_000)).toEqual([]);
    expect(fleet.drivers.get("d1")).toMatchObject({ journey: "j2" });
  });

  it("shows the journey that is still open when the other has ended, though it was heard of earlier", () => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T, 5, "j2")]), T + 60_000);
    fleet.journey({ journey: "j2", driver: "d1", state: "ended" }, T + 60_000);
    expect(fleet.take("north", [listed("d1", T, T, 3)], T + 61_000)).toEqual(["d1"]);
    expect(fleet.drivers.get("d1")).toMatchObject({ journey: "j1", journeyEnded: false });
  });

  it("lets the place of an alert stand only for what came before it", () => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T, 5)]), T);
    fleet.journey({ journey: "j1", driver: "d1", state: "ended" }, T);
    expect(fleet.accept(readFixes([fix("d1", T - 60_000, 0, "")]), T - 60_000)).toEqual([]);
    expect(fleet.accept(readFixes([fix("d1", T + 60_000, 0)]), T + 60_000)).toEqual(["d1"]);
    expect(fleet.accept(readFixes([fix("d1", T - 3_600_000, 6)]), T + 61_000)).toEqual(["d1"]);
  });

  it("does not call a fix from the future fresh for ever", () => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T + 3_600_000)]), T);
    const driver = fleet.drivers.get("d1")!;
    expect(fleet.freshnessOf(driver, T + 10_000, 60_000)).toBe("fresh");
    expect(fleet.freshnessOf(driver, T + 61_000, 60_000)).toBe("stale");
  });

  it("learns from the list that a position came longer ago than the line told it", () => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T + 3_600_000)]), T); // a clock that runs ahead hides its age
    fleet.take("north", [listed("d1", T + 3_600_000, T - 120_000)], T + 1_000);
    expect(fleet.freshnessOf(fleet.drivers.get("d1")!, T + 1_000, 60_000)).toBe("stale");
  });

  it("makes an old position of the list stale at once", () => {
    const fleet = new Fleet();
    fleet.take("north", [listed("d1", T - 300_000)], T);
    expect(fleet.freshnessOf(fleet.drivers.get("d1")!, T, 60_000)).toBe("stale");
  });

  it("knows somebody who is connected and has sent nothing yet", () => {
    const fleet = new Fleet();
    fleet.take("north", [listed("d1", null)], T);
    const driver = fleet.drivers.get("d1")!;
    expect([driver.point, fleet.ageOf(driver, T), fleet.freshnessOf(driver, T, 60_000)]).toEqual([null, null, "stale"]);
  });

  it("does not let the list undo a presence that was heard after it was asked for", () => {
    const fleet = new Fleet();
    fleet.take("north", [listed("d1", T)], T);
    fleet.hear("d1", { state: "offline", sinceMs: T, reason: "lost" }, T + 500);
    fleet.take("north", [listed("d1", T)], T + 400);
    expect(fleet.presenceOf("d1")?.state).toBe("offline");
    fleet.take("north", [listed("d1", T)], T + 900);
    expect(fleet.presenceOf("d1")?.state).toBe("online");
  });

  it("forgets whom the whole list does not name, save who was heard since", () => {
    const fleet = new Fleet();
    fleet.take("north", [listed("gone", T), listed("new", T)], T);
    fleet.take("south", [listed("other", T)], T);
    fleet.accept(readFixes([fix("new", T + 2_000, 2)]), T + 2_000);
    expect(fleet.forgetUnlisted("north", new Set(), T + 1_000)).toEqual(["gone"]);
    expect(fleet.keepVendors(["south"])).toEqual(["new"]);
    expect([...fleet.drivers.keys()]).toEqual(["other"]);
  });

  it("knows when a journey has ended, and forgets that with the next one", () => {
    const fleet = new Fleet();
    fleet.accept(readFixes([fix("d1", T)]), T);
    fleet.journey({ journey: "j1", driver: "d1", state: "ended" }, T);
    fleet.accept(readFixes([fix("d1", T + 1_000, 2)]), T + 1_000);
    expect(fleet.drivers.get("d1")?.journeyEnded).toBe(true);
    fleet.accept(readFixes([fix("d1", T + 2_000, 1, "j2")]), T + 2_000);
    expect(fleet.drivers.get("d1")).toMatchObject({ journey: "j2", journeyEnded: false });
  });

  it("is under way as the server says, unless the line has said something newer", () => {
    const fleet = new Fleet();
    const row = (journey_open: unknown, journey_id = "j1"): ReturnType<typeof readListed> => readListed([{ driver: "d1", journey_id, point: [1, T, 53.4, -2.9], received_ms: T, presence: null, journey_open }]);
    fleet.take("north", row(undefined), T);
    expect(fleet.drivers.get("d1")?.underWay).toBeNull();
    fleet.take("north", row(false), T + 1);
    expect(fleet.drivers.get("d1")?.underWay).toBe(false);
    fleet.accept(readFixes([fix("d1", T + 2_000, 1, "j2")]), T + 2_000);
    expect(fleet.drivers.get("d1")?.underWay, "a position of another journey").toBeNull();
    fleet.journey({ journey: "j2", driver: "d1", state: "started" }, T + 3_000);
    fleet.take("north", row(false), T + 2_500);
    expect(fleet.drivers.get("d1")?.underWay, "asked for before the line said it").toBe(true);
    fleet.journey({ journey: "j1", driver: "d1", state: "ended" }, T + 4_000);
    expect(fleet.drivers.get("d1")?.underWay, "an older journey's end").toBe(true);
    fleet.journey({ journey: "j2", driver: "d1", state: "expired" }, T + 5_000);
    expect(fleet.drivers.get("d1")?.underWay).toBe(false);
    fleet.take("north", row("yes", "j2"), T + 6_000);
    expect(fleet.drivers.get("d1")?.underWay, "of another shape").toBe(false);
  });

  it("leaves out rows of another shape", () => {
    expect(readListed([1, null, { driver: 3 }, { driver: "d1", point: ["x"] }])).toEqual([
      { driver: "d1", journey: "", point: null, receivedMs: null, presence: null, underWay: null },
    ]);
  });
});
