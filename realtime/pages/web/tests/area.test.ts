import { describe, expect, it } from "vitest";

import { AreaBoard, areaRequest } from "../src/console/area";
import { readFixes, readSnapshot, type Snapshot } from "../src/common/wire";

const fixes = (...drivers: string[]): unknown[] => drivers.map((driver) => [driver, "j", [1, 1, 53, -3]]);
const answer = (drivers: string[], more: object = {}): Snapshot =>
  readSnapshot({ ok: true, feed: "area", mode: "markers", fresh: true, left: [], counts: [], snapshot: { positions: fixes(...drivers) }, ...more });

describe("what an area shows", () => {
  it("is all that a fresh answer says, and nothing else", () => {
    const board = new AreaBoard();
    board.answer(answer(["d1", "d2"]));
    expect(board.answer(answer(["d2", "d3"])).left).toEqual(["d1"]);
    expect([...board.shown]).toEqual(["d2", "d3"]);
  });

  it("takes an answer that is not fresh as the difference", () => {
    const board = new AreaBoard();
    board.answer(answer(["d1", "d2"]));
    expect(board.answer(answer(["d3"], { fresh: false, left: ["d1"] })).left).toEqual(["d1"]);
    expect([...board.shown].sort()).toEqual(["d2", "d3"]);
  });

  it("takes off who has left, and only those it showed", () => {
    const board = new AreaBoard();
    board.answer(answer(["d1"]));
    expect(board.moved(readFixes(fixes("d2")), ["d1", "nobody"]).left).toEqual(["d1"]);
    expect([...board.shown]).toEqual(["d2"]);
  });

  it("counts by cell, and forgets a cell that is empty", () => {
    const board = new AreaBoard();
    board.answer(answer(["d1"]));
    const far = answer([], { mode: "counts", counts: [["a", 50, 0, 3], ["b", 51, 1, 2]] });
    expect(board.answer(far).left).toEqual(["d1"]);
    expect(board.counted([["a", 50, 0, 0], ["b", 51, 1, 5], ["c", 91, 0, 1], "x", ["d", 1, 1]])).toBe(true);
    expect([...board.cells.values()]).toEqual([{ id: "b", lat: 51, lon: 1, count: 5 }]);
  });

  it("has no counts beside markers", () => {
    const board = new AreaBoard();
    board.answer(answer([], { mode: "counts", counts: [["a", 50, 0, 3]] }));
    board.answer(answer(["d1"]));
    expect([board.mode, board.cells.size, board.shown.size]).toEqual(["markers", 0, 1]);
  });

  it("forgets everything when the vendors change", () => {
    const board = new AreaBoard();
    board.answer(answer(["d1"]));
    expect(board.clear()).toEqual(["d1"]);
    expect(board.shown.size).toBe(0);
  });
});

describe("the request", () => {
  it("is what the map shows, and the vendors when they are named", () => {
    const bounds = { south: 53.12345678, west: -3, north: 54, east: -2 };
    expect(areaRequest(bounds, 11.239, ["north"])).toEqual({ area: { bbox: [[53.123457, -3], [54, -2]], zoom: 11.24, vendors: ["north"] } });
    expect(areaRequest(bounds, -1, null)).toEqual({ area: { bbox: [[53.123457, -3], [54, -2]], zoom: 0 } });
  });

  it("of a view wider than the world is the world, and goes across the date line as maps say it", () => {
    expect(areaRequest({ south: -95, west: -400, north: 95, east: 300 }, 1, null)).toEqual({ area: { bbox: [[-90, -180], [90, 180]], zoom: 1 } });
    expect(areaRequest({ south: 0, west: 170, north: 1, east: 190 }, 6, null)).toEqual({ area: { bbox: [[0, 170], [1, 190]], zoom: 6 } });
  });
});
