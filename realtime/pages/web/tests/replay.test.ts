import { describe, expect, it } from "vitest";

import { Player, Replay, SILENCE_MS } from "../src/console/replay";
import { readPoint, type Point } from "../src/common/wire";

const T = 1_700_000_000_000;
const at = (seq: number, afterMs: number, lat: number, lon = 0): Point => readPoint([seq, T + afterMs, lat, lon, 5, 90, 8, null, 70])!;
const nothing = (seq: number): Point => readPoint([seq, null, null, null])!;

describe("where somebody was", () => {
  const replay = new Replay([at(1, 0, 10), at(2, 10_000, 11), nothing(3), at(4, 20_000, 12), at(5, 30_000, 13), at(6, 31_000 + SILENCE_MS, 14)]);

  it.each([
    [-5_000, 10, false],
    [0, 10, false],
    [2_500, 10.25, false],
    [10_000, 11, false],
    [15_000, 11, true],
    [25_000, 12.5, false],
    [30_000, 13, false],
    [40_000, 13, true],
    [31_000 + SILENCE_MS, 14, false],
    [9_999_999, 14, false],
  ])("after %d ms", (afterMs, lat, gap) => {
    expect(replay.at(T + afterMs)).toMatchObject({ lat, gap });
  });

  it("is three stretches, and two gaps on the scale", () => {
    expect(replay.stretches.map((stretch) => stretch.map(({ seq }) => seq))).toEqual([[1, 2], [4, 5], [6]]);
    const whole = 31_000 + SILENCE_MS;
    expect(replay.gaps()).toEqual([{ from: 10_000 / whole, to: 20_000 / whole }, { from: 30_000 / whole, to: 1 }]);
  });

  it("goes the short way across the date line", () => {
    const across = new Replay([at(1, 0, 0, 179), at(2, 10_000, 0, -179)]);
    expect(Math.abs(across.at(T + 5_000)!.lon)).toBeCloseTo(180);
  });

  it("does not go back with a clock that did", () => {
    const odd = new Replay([at(1, 0, 10), at(2, -60_000, 11), at(3, 10_000, 12)]);
    expect(odd.startMs).toBe(T);
    expect(odd.at(T + 5_000)!.lat).toBeCloseTo(11);
  });

  it.each([3_600_000, 1024 * 7 * 86_400_000])("goes on when the clock was set back by %i ms for good", (backMs) => {
    const set = new Replay([at(1, 0, 10), at(2, 10_000, 11), at(3, 20_000 - backMs, 12), at(4, 30_000 - backMs, 13), at(5, 40_000 - backMs, 14)]);
    expect([set.startMs, set.endMs]).toEqual([T, T + 31_000]);
    expect([set.at(T + 11_000)!.lat, set.at(T + 21_000)!.lat, set.at(T + 31_000)!.lat]).toEqual([12, 13, 14]);
    expect(set.gaps()).toEqual([]);
  });

  it("goes by the clock again once it is right", () => {
    const mended = new Replay([at(1, 0, 10), at(2, -3_600_000, 11), at(3, -3_590_000, 12), at(4, 20_000, 13)]);
    expect([mended.endMs, mended.at(T + 1_000)!.lat, mended.at(T + 11_000)!.lat]).toEqual([T + 20_000, 11, 12]);
  });

  it("of nothing is nothing", () => {
    const empty = new Replay([nothing(1)]);
    expect([empty.isEmpty, empty.at(T), empty.gaps()]).toEqual([true, null, []]);
  });

  it("of one point is that point", () => {
    expect(new Replay([at(1, 0, 10)]).at(T + 99)).toMatchObject({ lat: 10, gap: false });
  });

  it("finds a moment among many", () => {
    const long = new Replay(Array.from({ length: 50_000 }, (_, n) => at(n + 1, n * 1_000, n / 1_000)));
    expect(long.at(T + 31_234_500)!.lat).toBeCloseTo(31.2345);
  });
});

describe("the player", () => {
  const span = { startMs: T, endMs: T + 60_000 };

  it("goes as many times as fast, and stops at the end", () => {
    const player = new Player(span);
    player.speed = 20;
    player.play(1_000);
    expect(player.tick(2_000)).toBe(true);
    expect(player.tMs).toBe(T + 20_000);
    player.tick(9_000);
    expect([player.tMs, player.playing]).toEqual([span.endMs, false]);
    expect(player.tick(10_000)).toBe(false);
  });

  it("begins anew from the end, goes on from a pause, and stays within the journey", () => {
    const player = new Player(span);
    player.seek(T + 999_999);
    player.play(0);
    expect(player.tMs).toBe(T);
    player.pause();
    player.seek(T + 30_000);
    player.play(50_000);
    player.speed = 1;
    player.tick(51_000);
    expect(player.tMs).toBe(T + 31_000);
    player.seek(T - 1);
    expect(player.tMs).toBe(T);
  });
});
