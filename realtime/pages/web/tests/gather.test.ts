import { describe, expect, it } from "vitest";

import { Gatherer, JOIN_PX, STAY_PX, type Group, type Spot } from "../src/map/gather";

const spot = (id: string, x: number, y = 0): Spot => ({ id, x, y });
const ids = (groups: readonly Group[]): string[][] => groups.map((group) => [...group.ids].sort()).sort();

describe("markers that lie close", () => {
  it("are one group, others stand alone", () => {
    const groups = new Gatherer().gather([spot("a", 0), spot("b", 10), spot("c", 500), spot("d", 505, 5), spot("e", 900)], 11);
    expect(ids(groups)).toEqual([["a", "b"], ["c", "d"]]);
    expect(groups.find((group) => group.ids.includes("a"))).toMatchObject({ x: 5, y: 0 });
    expect(new Gatherer().gather([spot("a", 0)], 11)).toEqual([]);
    expect(new Gatherer().gather([], 11)).toEqual([]);
  });

  it("join from nearer than they leave, so that no circle flickers", () => {
    const gatherer = new Gatherer();
    const between = (JOIN_PX + STAY_PX) / 2;
    expect(ids(gatherer.gather([spot("a", 0), spot("b", 2 * between)], 11))).toEqual([]);
    const [group] = gatherer.gather([spot("a", 0), spot("b", JOIN_PX - 1)], 11);
    for (const apart of [JOIN_PX + 2, 2 * between, 2 * STAY_PX - 2]) {
      expect(gatherer.gather([spot("a", (JOIN_PX - apart) / 2), spot("b", (JOIN_PX + apart) / 2)], 11)).toMatchObject([{ key: group!.key }]);
    }
    expect(gatherer.gather([spot("a", -STAY_PX * 2), spot("b", STAY_PX * 2)], 11)).toEqual([]);
  });

  it("are each in one place: in one group, or alone", () => {
    let seed = 7;
    const chance = (): number => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
    const gatherer = new Gatherer();
    let spots = Array.from({ length: 2_000 }, (_, n) => spot(`d${n}`, 1e8 + chance() * 900, chance() * 700));
    for (let round = 0; round < 20; round += 1) {
      const groups = gatherer.gather(spots, 11);
      const all = groups.flatMap((group) => group.ids);
      expect(new Set(all).size).toBe(all.length);
      expect(groups.every((group) => group.ids.length > 1)).toBe(true);
      const nearest = Math.min(...groups.flatMap((one) => groups.map((other) => (one === other ? Infinity : Math.hypot(one.x - other.x, one.y - other.y)))));
      expect(nearest, "circles do not cover each other").toBeGreaterThan(20);
      spots = spots.map(({ id, x, y }) => spot(id, x + chance() * 4 - 2, y + chance() * 4 - 2));
    }
  });

  it("come apart when the map comes near, and together again from afar", () => {
    const gatherer = new Gatherer();
    expect(ids(gatherer.gather([spot("a", 100), spot("b", 120)], 11))).toEqual([["a", "b"]]);
    expect(ids(gatherer.gather([spot("a", 800), spot("b", 960)], 14))).toEqual([]);
    expect(ids(gatherer.gather([spot("a", 100), spot("b", 120)], 11))).toEqual([["a", "b"]]);
  });

  it("of two thousand are gathered in a few milliseconds", () => {
    const spots = Array.from({ length: 10_000 }, (_, n) => spot(`d${n}`, (n * 7_919) % 1_280, (n * 104_729) % 800));
    const gatherer = new Gatherer();
    gatherer.gather(spots, 11);
    // Neighbours alone are compared: ten thousand on one screen are no hundred million pairs.
    expect(gatherer.gather(spots, 11).length).toBeLessThan(1_280);
  });
});
