import { describe, expect, it } from "vitest";

import { drainDelayMs, retryDelayMs } from "../src/common/backoff";
import { accuracyText, ageMs, agoText, seenThrough, speedText } from "../src/common/freshness";
import { lines, stepFor } from "../src/map/graticule";
import { shareOf, tokenIn, tokenOf, vendorOf } from "../src/common/link";
import { circle, Glide, headingBetween, metresBetween } from "../src/map/motion";
import { Pace } from "../src/map/pace";
import { line, passed } from "../src/map/way";
import { readFixes, readIdentity, readPoint, readRefusal, readSnapshot, type PlacedPoint } from "../src/common/wire";

describe("back-off", () => {
  it("doubles, stays within bounds, and is half random", () => {
    expect([0, 1, 2, 9].map((n) => retryDelayMs(n, 0))).toEqual([200, 400, 800, 3_000]);
    expect([0, 1, 2, 9].map((n) => retryDelayMs(n, 1))).toEqual([400, 800, 1_600, 6_000]);
  });
  it("never comes back before the server said", () => {
    expect(retryDelayMs(0, 0, 5)).toBe(5_000);
    expect(retryDelayMs(0, 0.5, 5)).toBe(7_500);
  });
  it("drains within the window and takes nonsense for soon", () => {
    expect(drainDelayMs(1_000, 4_000, 0.5)).toBe(3_000);
    expect(drainDelayMs("x", Number.NaN, 0.9)).toBe(0);
    expect(drainDelayMs(1e12, 0, 0)).toBe(60_000);
  });
});

describe("age", () => {
  it("is the older of the phone's word and ours, never negative", () => {
    expect(ageMs(10_000, 4_000, 9_000)).toBe(6_000);
    expect(ageMs(10_000, 50_000, 9_000)).toBe(1_000);
    expect(ageMs(10_000, 50_000, 11_000)).toBe(0);
  });
  it("reads well", () => {
    expect([900, 12_300, 61_000, 7_300_000, 200_000_000].map(agoText)).toEqual(
      ["just now", "12 s ago", "1 min ago", "2 h ago", "2 days ago"],
    );
    expect([speedText(null), speedText(13.9), accuracyText(8.4), accuracyText(1_230)]).toEqual(["–", "50 km/h", "± 8 m", "± 1.2 km"]);
  });
  it("trusts nothing while the line is down", () => {
    expect([seenThrough("fresh", 9_000), seenThrough("fresh", 11_000), seenThrough("offline", 11_000)]).toEqual(["fresh", "stale", "offline"]);
  });
});

describe("gliding", () => {
  const at = (lon: number, lat = 53, headingDeg: number | null = null) => ({ lon, lat, headingDeg });
  it("moves steadily from the last place to the new one and stays there", () => {
    const glide = new Glide(at(0), 0);
    glide.aim(at(0.001), 1_000);
    const seen = [1_000, 1_300, 1_600, 1_900, 9_000].map((t) => glide.at(t).lon);
    expect(seen[0]).toBe(0);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(new Set(seen).size).toBe(5);
    expect(seen[4]).toBe(0.001);
    expect(glide.isMoving(9_000)).toBe(false);
  });
  it("starts from where it is shown when a fix comes midway: no jump back or ahead", () => {
    const glide = new Glide(at(0), 0);
    glide.aim(at(0.001), 1_000);
    const before = glide.at(1_500).lon;
    glide.aim(at(0.002), 1_500);
    expect(glide.at(1_500).lon).toBeCloseTo(before, 9);
  });
  it("jumps where gliding would show places nobody was at, and when it is to be still", () => {
    const far = new Glide(at(0), 0);
    far.aim(at(1), 1_000);
    expect(far.at(1_000).lon).toBe(1);
    const still = new Glide(at(0), 0);
    still.aim(at(0.001), 1_000, true);
    expect(still.at(1_000).lon).toBe(0.001);
  });
  it("crosses the antimeridian and north the short way", () => {
    const glide = new Glide(at(179.9995, 10, 350), 0);
    glide.aim(at(-179.9995, 10, 10), 1_000);
    const { lon, headingDeg } = glide.at(1_200);
    expect(Math.abs(lon)).toBeGreaterThan(179.999);
    expect(headingDeg! > 350 || headingDeg! <= 10).toBe(true);
  });
  it("keeps the heading a fix does not say", () => {
    const glide = new Glide(at(0, 53, 90), 0);
    glide.aim(at(0.0001, 53, null), 1_000);
    expect(glide.at(60_000).headingDeg).toBe(90);
  });
  it("knows distance, bearing and circles", () => {
    expect(metresBetween({ lon: 0, lat: 0 }, { lon: 0, lat: 1 })).toBeCloseTo(111_195, -2);
    expect(headingBetween({ lon: 0, lat: 53 }, { lon: 0.01, lat: 53 })).toBeCloseTo(90, 3);
    expect(headingBetween({ lon: 0, lat: 53 }, { lon: 0.00001, lat: 53 })).toBeNull();
    for (const [lon, lat] of circle({ lon: -2.9, lat: 53.4 }, 250)) {
      expect(metresBetween({ lon: -2.9, lat: 53.4 }, { lon, lat })).toBeCloseTo(250, 0);
    }
  });
});

describe("the way", () => {
  const points = [0, 1, 2, 3, 4].map((n) => readPoint([n + 1, 1_000, 53, n / 1_000])! as PlacedPoint);
  const shown = (lon: number) => ({ lon, lat: 53, headingDeg: null });
  it("ends behind the marker, however many points came at once", () => {
    expect(passed(points, shown(0.0005))).toBe(1);
    expect(passed(points, shown(0.0035))).toBe(4);
    expect(passed(points, shown(0.004))).toBe(4);
    expect([passed(points.slice(0, 1), shown(0)), passed([], shown(0))]).toEqual([0, 0]);
  });
  it("crosses the antimeridian the short way, and is nothing with one place", () => {
    const [feature] = line([{ lon: 179.9, lat: 0 }, { lon: -179.9, lat: 0 }]);
    expect((feature!.geometry as GeoJSON.LineString).coordinates[1]![0]).toBeCloseTo(180.1, 6);
    expect(line([{ lon: 1, lat: 1 }])).toEqual([]);
  });
});

describe("pace", () => {
  it("draws at most a share of the time", () => {
    const pace = new Pace();
    expect(pace.isDue(0)).toBe(true);
    pace.ran(0, 10);
    expect([pace.isDue(16), pace.isDue(49), pace.isDue(50)]).toEqual([false, false, true]);
  });
});

describe("graticule", () => {
  it("has a few lines at every zoom", () => {
    for (const half of [60, 5, 0.3, 0.01, 0.001]) {
      const view = { west: -half, east: half, south: 10 - half, north: 10 + half };
      const count = lines(view).length;
      expect(count).toBeGreaterThan(8);
      expect(count).toBeLessThan(140);
      expect(stepFor(view)).toBeLessThanOrEqual(half / 2);
    }
  });
});

describe("links", () => {
  const place = (pathname: string, hash: string) => ({ pathname, hash });
  it("finds the token in a pasted link, or alone", () => {
    expect([tokenIn(" a.b.c\n"), tokenIn("http://x/console#token=a.b.c&vendor=n"), tokenIn("hello"), tokenIn("http://x/#a.b.c")]).toEqual(["a.b.c", "a.b.c", null, null]);
  });
  it("reads which vendor to watch first", () => {
    expect([vendorOf("#token=a.b.c&vendor=north"), vendorOf("#token=a.b.c")]).toEqual(["north", null]);
  });
  it("takes nothing that is no token", () => {
    expect([tokenOf("#token=<script>"), tokenOf("#a.b.c"), tokenOf("")]).toEqual([null, null, null]);
  });
  it("reads a share's link, whole or not at all", () => {
    expect(shareOf(place("/s/abc", "#s3cr_et-"))).toBe("abc.s3cr_et-");
    expect([shareOf(place("/s/abc", "")), shareOf(place("/s/", "#x")), shareOf(place("/s/a/b", "#x")), shareOf(place("/s/a", "#<b>"))]).toEqual([null, null, null, null]);
  });
});

describe("the wire", () => {
  it("reads a point and refuses what is none", () => {
    expect(readPoint([7, 5, 53.4, -2.9, 3.5, 90, 8, 20, 55])).toEqual(
      { seq: 7, tMs: 5, lat: 53.4, lon: -2.9, speedMps: 3.5, headingDeg: 90, accuracyM: 8, batteryPct: 55 },
    );
    expect([readPoint("x"), readPoint([]), readPoint([-1, 0, 0, 0]), readPoint([1.5, 0, 0, 0]), readPoint(["7", 0, 0, 0])]).toEqual([null, null, null, null, null]);
    expect(readPoint([1, 5, 91, -2.9])?.lat).toBeNull();
  });
  it("leaves out entries of another shape", () => {
    expect(readFixes([["d", "j", [1, 2, 3, 4]], ["d"], 7, null, [7, "j", [1, 2, 3, 4]]])).toHaveLength(1);
    expect(readFixes({})).toEqual([]);
  });
  it("throws a refusal as a refusal", () => {
    const answer = { ok: false, error: { code: "forbidden", message: "no", retryable: false } };
    expect(() => readSnapshot(answer)).toThrowError(expect.objectContaining({ code: "forbidden", retryable: false }));
    expect(() => readIdentity(null)).toThrowError(expect.objectContaining({ code: "unknown" }));
    expect(readRefusal({ retry_after_s: -1 })).toEqual({ code: "unknown", message: "", retryable: true, retryAfterS: null });
  });
  it("tells all vendors from none", () => {
    expect(readIdentity({ ok: true, vendors: "*", now_ms: 1 }).vendors).toBeNull();
    expect(readIdentity({ ok: true, vendors: [], now_ms: 1 }).vendors).toEqual([]);
  });
});
