import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { fixOf, Locator, timeOf } from "../src/drive/locator";
import { accessOf } from "../src/drive/pairing";
import type { Fix } from "../src/drive/outbox";
import { STILL_EVERY_MS } from "../src/drive/rate";

const T = 1_790_000_000_000;
const SINCE_2001 = 978_307_200_000;
const WEEKS_1024 = 1024 * 7 * 86_400_000;

describe("the time of a position", () => {
  it.each([
    ["the browser's", T - 1_000, T - 1_000],
    ["the browser's, rounded", T - 999.6, T - 1_000],
    ["the browser's, of a fix that is hours old", T - 5 * 3_600_000, T - 5 * 3_600_000],
    ["the browser's, a little ahead", T + 5_000, T + 5_000],
    ["the phone's: Safari counts from 2001", T - SINCE_2001, T],
    ["the phone's: in seconds", T / 1_000, T],
    ["the phone's: in microseconds", T * 1_000, T],
    ["the phone's: since the page was opened", 12_345.6, T],
    ["the phone's: 1,024 weeks ago", T - WEEKS_1024, T],
    ["the phone's: 1970", 0, T],
    ["the phone's: years ahead", T + 400 * 86_400_000, T],
    ["the phone's: no number", NaN, T],
    ["the phone's: infinite", Infinity, T],
    ["the phone's: none", undefined as unknown as number, T],
  ])("is %s", (_what, timestamp, expected) => {
    expect(timeOf(timestamp, null, T)).toBe(expected);
  });

  it("is the phone's where the browser says the same time again", () => {
    expect(timeOf(T - 5_000, T - 5_000, T)).toBe(T);
    expect(timeOf(T - 5_000, T - 6_000, T)).toBe(T - 5_000);
  });

  it("is whole in the point", () => {
    const coords = { latitude: 1, longitude: 2, speed: null, heading: NaN, accuracy: 5, altitude: null } as GeolocationCoordinates;
    expect(fixOf({ coords }, 80, timeOf(T + 0.5, null, T))).toEqual([T + 1, 1, 2, null, null, 5, null, 80]);
  });
});

describe("the locator", () => {
  let watched: ((position: unknown) => void) | null = null;
  let asked: ((position: unknown) => void)[] = [];
  const taken: Fix[] = [];
  const position = (timestamp: number): unknown => ({
    timestamp,
    coords: { latitude: 53.4, longitude: -2.9, speed: null, heading: null, accuracy: 5, altitude: null },
  });
  const passed = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

  beforeEach(() => {
    vi.useFakeTimers({ now: T, toFake: ["setInterval", "clearInterval", "setTimeout", "clearTimeout", "Date", "performance"] });
    watched = null;
    asked = [];
    taken.length = 0;
    vi.stubGlobal("window", globalThis);
    vi.stubGlobal("navigator", {
      geolocation: {
        watchPosition: (heard: (position: unknown) => void) => ((watched = heard), 1),
        clearWatch: () => (watched = null),
        getCurrentPosition: (heard: (position: unknown) => void) => void asked.push(heard),
      },
    });
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
  });

  const started = (): Locator => {
    const locator = new Locator({ take: (fix) => void taken.push(fix), changed: () => undefined, sos: () => false });
    locator.start();
    return locator;
  };

  it("asks at once after every start, also soon after the last", async () => {
    const locator = started();
    await passed(1_000);
    expect(asked).toHaveLength(1);
    locator.stop();
    locator.start();
    await passed(1_000);
    expect(asked).toHaveLength(2);
  });

  it("keeps asking when the phone's clock is set back an hour", async () => {
    started();
    await passed(1_000);
    vi.setSystemTime(Date.now() - 3_600_000);
    await passed(STILL_EVERY_MS * 2);
    expect(asked.length).toBeGreaterThan(1);
  });

  it.each([
    ["counts from 2001", (): number => Date.now() - SINCE_2001],
    ["stands still", (): number => T],
  ])("takes a point every 30 s of a phone that stands still and whose time %s", async (_what, time) => {
    started();
    watched!(position(time()));
    for (let s = 0; s < 180; s++) {
      await passed(1_000);
      for (const answer of asked.splice(0)) answer(position(time()));
    }
    expect(taken.length).toBeGreaterThanOrEqual(4);
    const times = taken.map((fix) => fix[0]);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(Math.min(...times)).toBeGreaterThanOrEqual(T);
    expect(Math.max(...times)).toBeLessThanOrEqual(T + 181_000);
  });
});

it("does not call an access withdrawn whose token is of the future", () => {
  const pairing = { token: "t", driver: "d", vendor: "v", expiresAtMs: T + 90 * 86_400_000 };
  expect(accessOf(pairing, "token_not_yet_valid", T)).toBe("good");
});
