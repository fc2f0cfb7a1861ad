import { describe, expect, it } from "vitest";

import { dialable, placeText, readHelp, smsLink } from "../src/drive/fallback";
import { nextClock } from "../src/drive/homeview";
import type { Fix } from "../src/drive/outbox";
import { accessOf, claimsOf, invitationOf, NEAR_MS, pairingOf, typedInvitation, type Pairing } from "../src/drive/pairing";
import { adoptedFrom, isOver, makePress, readKept, readView, shownOf, withState, withView, wireOf, type Press, type SosView } from "../src/drive/press";
import * as rate from "../src/drive/rate";
import { answering, outdated, storeOf } from "../src/drive/shell";

const T = 1_790_000_000_000;
const at = (ms: number, lat = 53.4, speed: number | null = null, accuracy = 5): Fix => [T + ms, lat, -2.9, speed, null, accuracy, null, null];
const full = { pct: 80, charging: false };
const low = { pct: rate.LOW_BATTERY_PCT - 1, charging: false };

describe("how often a position is taken", () => {
  it("first at once, then by the rhythm of standing", () => {
    let pace: rate.Pace = { last: null, movedMs: null };
    const taken: number[] = [];
    for (let ms = 0; ms <= 65_000; ms += 1_000) {
      const after = rate.consider(pace, at(ms), full, false);
      if (after.take) taken.push(ms);
      pace = after.pace;
    }
    expect(taken).toEqual([0, 27_000, 54_000]);
  });

  it("at once when somebody sets off, then by the rhythm of moving, through a red light too", () => {
    const { pace } = rate.consider({ last: null, movedMs: null }, at(0), full, false);
    const off = rate.consider(pace, at(3_000, 53.4, 6), full, false);
    expect([off.take, rate.gaitOf(off.pace, T + 3_000)]).toEqual([true, "moving"]);
    expect(rate.consider(off.pace, at(4_000, 53.4, 6), full, false).take).toBe(false);
    const red = rate.consider(off.pace, at(5_000, 53.4, 0), full, false);
    expect([red.take, rate.gaitOf(red.pace, T + 5_000)]).toEqual([true, "moving"]);
    expect(rate.gaitOf(red.pace, T + 3_000 + rate.STILL_AFTER_MS)).toBe("still");
  });

  it("sees movement without a speed, but not in a fix that is no better than its error", () => {
    expect(rate.moved(at(0), at(1, 53.401))).toBe(true);
    expect(rate.moved(at(0), at(1, 53.401, null, 500))).toBe(false);
    expect(rate.moved(null, at(1))).toBe(false);
  });

  it.each([
    ["moving", full, false, rate.MOVING_EVERY_MS],
    ["still", full, false, rate.STILL_EVERY_MS],
    ["moving", low, false, rate.LOW_MOVING_EVERY_MS],
    ["still", low, false, rate.LOW_STILL_EVERY_MS],
    ["still", { ...low, charging: true }, false, rate.STILL_EVERY_MS],
    ["still", { pct: null, charging: false }, false, rate.STILL_EVERY_MS],
    ["still", low, true, rate.MOVING_EVERY_MS],
  ] as const)("%s with %j, SOS %s: every %i ms", (gait, battery, sos, ms) => {
    expect(rate.everyMs(gait, battery, sos)).toBe(ms);
  });

  it("takes a fix that came too early once its time has come, and none twice", () => {
    const pace = { last: at(0), movedMs: T };
    expect(rate.heldIsDue(pace, at(500), full, false, T + 1_000)).toBe(false);
    expect(rate.heldIsDue(pace, at(500), full, false, T + 2_000)).toBe(true);
    expect(rate.heldIsDue(pace, at(0), full, false, T + 90_000)).toBe(false);
  });

  it("goes on when the clock is set back", () => {
    expect(rate.consider({ last: at(0), movedMs: T }, at(-3_600_000), full, false).take).toBe(true);
  });
});

describe("pairing", () => {
  const jwt = (claims: object): string => `e30.${btoa(JSON.stringify(claims))}.sig`.replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
  const token = jwt({ driver: "d1", vendors: ["north"], exp: 1_800_000_000 });
  const pairing: Pairing = { token, driver: "d1", vendor: "north", expiresAtMs: 1_800_000_000_000 };

  it("reads a link, a code, a token, and nothing else", () => {
    expect(invitationOf("#pair=ABC-def_123")).toEqual({ code: "ABC-def_123" });
    expect(invitationOf(`#token=${token}`)).toEqual({ token });
    for (const hash of ["", "#pair=", "#pair=<b>", "#token=abc", "#other=1"]) expect(invitationOf(hash)).toBeNull();
    expect(typedInvitation(" https://x.example/drive#pair=ABCDEF ")).toEqual({ code: "ABCDEF" });
    expect(typedInvitation("ABCDEF")).toEqual({ code: "ABCDEF" });
    expect(typedInvitation("a b")).toBeNull();
  });

  it("knows whose a token is", () => {
    expect(claimsOf(token)).toEqual(pairing);
    expect(claimsOf("a.b.c")).toBeNull();
    expect(pairingOf({ token, driver: "d1", vendor: "north", expires_at: 5 })?.expiresAtMs).toBe(5);
    expect(pairingOf({ token })).toBeNull();
  });

  it.each([
    [null, -NEAR_MS - 1, "good"],
    [null, -NEAR_MS, "ending"],
    [null, 0, "expired"],
    ["token_expired", -NEAR_MS - 1, "expired"],
    ["revoked", 0, "revoked"],
    ["unauthenticated", -NEAR_MS - 1, "revoked"],
    ["overloaded", -NEAR_MS - 1, "good"],
  ] as const)("with %s at %i ms from its end it is %s", (refusal, ms, access) => {
    expect(accessOf(pairing, refusal, 1_800_000_000_000 + ms)).toBe(access);
  });
});

describe("an SOS", () => {
  const press = makePress("s1", T, false, "j1", at(0));
  const kept: Press = { ...press, kept: { alertId: "a1", state: "active", durability: "committed" } };
  const view = (more: Partial<Record<string, unknown>> = {}): SosView => readView({ alert_id: "a1", sos_id: "s1", state: "active", version: 2, ...more })!;

  it("is sent as it was pressed, and with nothing of ours", () => {
    expect(wireOf(kept)).toEqual({ sos_id: "s1", kind: "sos", pressed_at: T, journey_id: "j1", point: [null, ...at(0)] });
    expect(wireOf(makePress("s1", T, true, null, null))).toEqual({ sos_id: "s1", kind: "sos", pressed_at: T, silent: true });
  });

  it("is kept by an answer that says so, and by no other", () => {
    expect(readKept({ ok: true, alert_id: "a1", state: "pending", durability: "local" })).toEqual({ alertId: "a1", state: "pending", durability: "local" });
    for (const raw of [null, "ok", {}, { ok: false }, { ok: "true" }]) expect(readKept(raw)).toBeNull();
  });

  it("follows what is told of it, never an older word, and none of another", () => {
    const after = withView(kept, view({ state: "acknowledged", version: 3 }));
    expect(shownOf(after)).toBe("acknowledged");
    expect(withView(after, view({ version: 2 }))).toBe(after);
    expect(withView(kept, view({ alert_id: "other", sos_id: "other" }))).toBe(kept);
    expect(shownOf(withView({ ...kept, sos_id: "s2" }, view({ state: "resolved" })))).toBe("resolved");
  });

  it("is cancelled in the same way whatever the PIN was: as the server says", () => {
    const after = withState(withView(kept, view()), "cancelled");
    expect([shownOf(after), isOver(after)]).toEqual(["cancelled", true]);
    expect(withState(press, "cancelled")).toBe(press);
  });

  it("reads what it is told defensively", () => {
    expect(readView({ alert_id: "a1", version: 1, state: "odd" })).toBeNull();
    const odd = view({ told: [["Mum"], "x", [1, 2, 3]], responders: [["Dad", -5]], pending_until: "soon" });
    expect(odd.told).toEqual([{ name: "Mum", channel: "", status: "" }, { name: "", channel: "", status: "" }]);
    expect([odd.responders, odd.pendingUntilMs]).toEqual([[{ name: "Dad", etaS: null }], null]);
  });
});

describe("an alert that a dispatcher raised", () => {
  const raw = { alert_id: "a", sos_id: "s", kind: "sos", state: "active", version: 1, pressed_at: T, raised_by: "Olga", drill: false };
  const adopted = (more: object): Press | null => adoptedFrom(readView({ ...raw, ...more })!);

  it("is shown by a phone that has not pressed, and is not sent", () => {
    expect(adopted({})).toMatchObject({ sos_id: "s", pressed_at: T, kept: { alertId: "a", state: "active" }, view: { raisedBy: "Olga", drill: false } });
  });

  it.each([[{ raised_by: null }], [{ raised_by: undefined }], [{ raised_by: 7 }], [{ state: "cancelled" }], [{ state: "resolved" }], [{ sos_id: "" }], [{ pressed_at: "x" }], [{ kind: "fall" }]])("%j is none", (more) => {
    expect(adopted(more)).toBeNull();
  });
});

describe("without a network", () => {
  it("prepares a text that every phone reads", () => {
    expect(smsLink("+447700900123", "Help & rescue? 1, 2")).toBe("sms:+447700900123?&body=Help%20%26%20rescue%3F%201%2C%202");
    expect(placeText(at(0))).toBe("53.40000, -2.90000");
  });

  it.each([["+44 (7700) 900-123", "+447700900123"], ["112", "112"], ["", null], ["1", null], ["112;ext=1", null], ["javascript:1", null], ["\uff0b\u0664\u0664 (\u0967\u0968) \u06f3\u20114", "+441234"], ["\u0661\u0661\u0662", "112"], ["\u200e999\u200f", "999"], ["\u0661;1", null]])("dials %j as %j", (typed, number) => {
    expect(dialable(typed)).toBe(number);
  });

  it("reads what was stored defensively", () => {
    expect(readHelp(null)).toEqual({ emergency: "112", helpers: [] });
    expect(readHelp({ emergency: "<b>", helpers: [{ name: "x", number: "no" }, null, { name: "Mum", number: "999" }] })).toEqual({ emergency: "112", helpers: [{ name: "Mum", number: "999" }] });
  });
});

it("arrives by the next time that the clock shows it", () => {
  const now = new Date(2026, 10, 28, 18, 30);
  expect(nextClock("19:00", now)).toBe(new Date(2026, 10, 28, 19, 0).getTime());
  expect(nextClock("08:15", now)).toBe(new Date(2026, 10, 29, 8, 15).getTime());
  expect(nextClock("", now)).toBeNull();
});

describe("the service worker", () => {
  const shell = { version: "v2", files: ["/drive", "/pages/assets/drive-1.js"] };
  const origin = "https://x.example";

  it("answers for the app's own files and for nothing else", () => {
    const asked = (method: string, path: string) => answering(shell, method, `${origin}${path}`, origin);
    expect([asked("GET", "/drive"), asked("GET", "/drive?source=home"), asked("GET", "/pages/assets/drive-1.js")]).toEqual(["/drive", "/drive", "/pages/assets/drive-1.js"]);
    for (const path of ["/api/v1/timers", "/socket.io/?EIO=4", "/console", "/s/abc", "/drive/sw.js", "/pages/assets/other.js", "/"]) expect(asked("GET", path)).toBeNull();
    expect([asked("POST", "/drive"), answering(shell, "GET", "https://y.example/drive", origin)]).toEqual([null, null]);
  });

  it("removes the stores of builds that are gone, and no other's", () => {
    expect(outdated(shell, ["wayguard-drive-v1", storeOf(shell), "theirs"])).toEqual(["wayguard-drive-v1"]);
  });
});
