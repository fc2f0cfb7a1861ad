import { describe, expect, it } from "vitest";

import { Cost } from "../src/console/areacost";
import { radiusPx } from "../src/console/area";
import { presenceText, doingText } from "../src/console/drivertext";
import { squares } from "../src/console/shareqr";
import { programText, readShares, stateOf } from "../src/console/sharewire";
import { Formats } from "../src/common/format";
import { Words } from "../src/common/words";
import { chooseNames } from "../src/map/names";
import { mercatorX, mercatorY } from "../src/map/mercator";
import { cellOf, DIRECTIONS } from "../src/map/spriteatlas";
import { RANK, Records, type Look, type Shown } from "../src/map/spriterecord";
import { project } from "../src/map/spriteview";
import { Troupe } from "../src/map/troupe";
import common from "../messages/common.en.json";
import en from "../messages/console.en.json";

const look: Look = { icon: 0, rank: RANK.fresh, turns: true, chosen: false, alarmed: false };
const shown = (): Shown => ({ x: 0, y: 0, icon: 0, heading: NaN, rank: 0, chosen: false, alarmed: false, slot: -1 });
const spot = (lon: number, lat: number, headingDeg: number | null = 90): { lon: number; lat: number; headingDeg: number | null; tMs: number } => ({ lon, lat, headingDeg, tMs: 1 });

describe("the markers", () => {
  const read = (records: Records, index: number, nowMs: number): Shown => {
    const into = shown();
    records.read(index, nowMs, into);
    return into;
  };

  it("are drawn where the glide says they are, at any moment", () => {
    const records = new Records();
    const troupe = new Troupe(records);
    troupe.aim("a", spot(-2.9, 53.4), look, 0, false);
    troupe.aim("a", spot(-2.899, 53.401, 180), look, 1_000, false);
    for (const nowMs of [1_000, 1_300, 1_900, 5_000]) {
      const place = troupe.at("a", nowMs)!;
      const there = read(records, 0, nowMs);
      expect(there.x).toBeCloseTo(mercatorX(place.lon), 10);
      expect(there.y).toBeCloseTo(mercatorY(place.lat), 7);
      expect(there.heading).toBeCloseTo(place.headingDeg!, 6);
    }
  });

  it("write a record a change, and none when nothing changed", () => {
    const troupe = new Troupe(new Records());
    troupe.aim("a", spot(0, 0), look, 0, false);
    troupe.dress("a", { ...look });
    expect(troupe.writes).toBe(1);
    troupe.dress("a", { ...look, alarmed: true });
    expect(troupe.writes).toBe(2);
  });

  it("close the ranks when one goes", () => {
    const records = new Records();
    const troupe = new Troupe(records);
    for (const [n, id] of ["a", "b", "c"].entries()) troupe.aim(id, spot(n, 0), look, 0, false);
    troupe.drop("a");
    troupe.drop("nobody");
    expect(records.count).toBe(2);
    expect([0, 1].map((index) => read(records, index, 9).x)).toEqual([mercatorX(2), mercatorX(1)]);
    expect(troupe.actors.get("c")!.index).toBe(0);
  });

  it("in a group are not drawn, and who is marked is never in one", () => {
    const records = new Records();
    const troupe = new Troupe(records);
    for (const [n, id] of ["a", "b", "c"].entries()) troupe.aim(id, spot(n, 0), look, 0, false);
    for (const actor of troupe.actors.values()) troupe.gather(actor, true);
    troupe.gather(troupe.actors.get("c")!, false);
    expect([0, 1, 2].map((index) => records.isHidden(index))).toEqual([true, true, false]);
    troupe.drop("a"); // c takes its place
    expect([0, 1].map((index) => records.isHidden(index))).toEqual([false, true]);
    troupe.dress("b", { ...look, rank: RANK.marked, alarmed: true });
    expect(records.isHidden(1)).toBe(false);
    troupe.gather(troupe.actors.get("b")!, true);
    expect(records.isHidden(1)).toBe(false);
    troupe.aim("d", spot(9, 0), look, 0, false);
    expect(records.isHidden(2)).toBe(false);
  });

  it("have an arrow only where a heading is known", () => {
    const records = new Records();
    const troupe = new Troupe(records);
    troupe.aim("a", spot(0, 0, null), look, 0, false);
    expect(read(records, 0, 0).heading).toBeNaN();
    troupe.aim("a", spot(0.01, 0, null), look, 1_000, false);
    expect(read(records, 0, 9_000).heading).toBeCloseTo(90);
    expect([cellOf(2, NaN), cellOf(0, 0), cellOf(0, 359.9), cellOf(0, -90)]).toEqual([2, 3, 3, 3 + DIRECTIONS * 0.75]);
  });

  it("are on the copy of the world that is nearest", () => {
    const looked = { lon: 179, lat: 0, zoom: 5, width: 800, height: 600 };
    const { x, y } = project(looked, -179, 0);
    expect(x - 400).toBeCloseTo((2 / 360) * 512 * 32);
    expect(y).toBeCloseTo(300);
  });
});

describe("names on the map", () => {
  const name = (id: string, x: number, weight: number): Parameters<typeof chooseNames>[0][number] => ({ id, x, y: 100, width: 60, weight });

  it("are those that matter most, none over another", () => {
    expect(chooseNames([name("a", 0, 1), name("b", 30, 5), name("c", 100, 1)], 9)).toEqual(["b", "c"]);
    expect(chooseNames([name("a", 0, 1), name("b", 300, 5), name("c", 600, 2)], 2)).toEqual(["b", "c"]);
  });
});

describe("links", () => {
  const [link] = readShares([
    { id: "s1", scope: "journey", created_at: 1, created_by: "desk", expires_at: 50, revoked_at: null, views: [{ address: "10.0.0.1", user_agent: "x", first_at: 1, last_at: 2, times: 3 }, { times: 1 }, 7] },
    { scope: "live" },
    "x",
  ]);

  it("are read with who looked, and nothing that has no shape", () => {
    expect(link).toMatchObject({ id: "s1", scope: "journey", looks: [{ address: "10.0.0.1", lastMs: 2, times: 3 }] });
  });

  it("are open, expired or revoked", () => {
    expect([stateOf(link!, 49), stateOf(link!, 50), stateOf({ ...link!, revokedMs: 3 }, 60)]).toEqual(["open", "expired", "revoked"]);
  });

  it.each([
    ["Mozilla/5.0 (Linux; Android 14) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36", "Chrome · Android"],
    ["Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605 Version/17.5 Mobile/15E148 Safari/604.1", "Safari · iOS"],
    ["Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:127.0) Gecko/20100101 Firefox/127.0", "Firefox · Windows"],
    ["curl/8.0", "curl/8.0"],
    ["", ""],
  ])("%s is %s", (agent, program) => {
    expect(programText(agent)).toBe(program);
  });

  it("are drawn as squares, those beside each other in one", () => {
    expect(squares([[true, true, false], [false, false, true]])).toBe("M0 0h2v1h-2zM2 1h1v1h-1z");
  });
});

describe("what the panel says", () => {
  const words = new Words({ ...common, ...en }, "en", "en-IE");
  const formats = new Formats({ locale: "en-IE", miles: false });
  const noon = new Date(2026, 10, 28, 12, 5).getTime();
  const plain = (text: string): string => text.replace(/[\u2066-\u2069]/g, "");
  const said = (state: "online" | "stale" | "offline", reason: string | null, sinceMs: number | null = noon): string =>
    plain(presenceText(words, formats, { state, reason, sinceMs }, noon));

  it("is the presence with its reason and since when", () => {
    expect(said("offline", "lost")).toBe("Not connected since 12:05: lost the network");
    expect(said("online", "connected")).toBe("Connected since 12:05");
    expect(said("stale", "silent", null)).toBe("Silent: silent");
    expect(said("offline", "<b>new</b>")).toBe("Not connected since 12:05: <b>new</b>");
    expect(presenceText(words, formats, null, noon)).toBe("Nothing is known of the connection.");
  });

  it("is a past speed when nothing is known now", () => {
    const row = { id: "a", name: "a", urgency: null, freshness: "fresh", ageMs: 1, speedMps: 10, batteryPct: null, onJourney: false, alert: null } as const;
    expect(plain(doingText(words, formats, row))).toBe("36 km/h");
    expect(plain(doingText(words, formats, { ...row, freshness: "stale" }))).toBe("was 36 km/h");
    expect(doingText(words, formats, { ...row, speedMps: null })).toBe("–");
  });
});

describe("small things", () => {
  it("circles grow with what they count", () => {
    expect([1, 10, 1_000].map(radiusPx)).toEqual([14, 20, 32]);
  });

  it("a frame's cost is what was measured since the last", () => {
    const cost = new Cost();
    expect(cost.measure(() => 7)).toBe(7);
    cost.frame();
    cost.frame();
    expect(cost.frames).toBe(2);
    expect(cost.figures().most).toBeGreaterThanOrEqual(cost.figures().p50);
  });
});
