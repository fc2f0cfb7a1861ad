import { describe, expect, it } from "vitest";

import ar from "../messages/contact.ar.json";
import commonAr from "../messages/common.ar.json";
import en from "../messages/contact.en.json";
import { readAlert, type Alert } from "../src/common/alertwire";
import { Formats } from "../src/common/format";
import type { PlacedPoint, Refusal } from "../src/common/wire";
import { COMMON, Words } from "../src/common/words";
import type { Told } from "../src/contact/answer";
import { AnswerFeed } from "../src/contact/answerfeed";
import { closedWords, needWords, overWords, refusalWords, statusWords, whoWords, type ContactWords, type Situation } from "../src/contact/contactwords";
import { Hearsay, insist } from "../src/contact/deeds";
import { Person } from "../src/contact/person";
import { AlertBook, arrivalMs, choices, isMe, mayBeCalled, readTold } from "../src/contact/sos";
import { mapsUri, movement, readDestination, readPhone, readTrip, webMapUrl } from "../src/contact/trip";

const words: ContactWords = new Words({ ...COMMON, ...en }, "en", "en-GB");
const formats = new Formats({ locale: "en-GB", miles: false });
const NOON = new Date(2026, 10, 28, 12, 0).getTime();
const MINUTE = 60_000;
const ME = "s1";
const plain = (text: string): string => text.replace(/[\u2068\u2069]/g, "");
const refusal = (code: string, retryable = false): Refusal => ({ code, message: "", retryable, retryAfterS: null });

function alert(more: Record<string, unknown> = {}): Alert {
  const raw = { alert_id: "a1", state: "active", version: 1, kind: "sos", severity: "critical", driver: "d1", pressed_at: NOON, raised_at: NOON, ...more };
  return readAlert(raw)!;
}

const contact = (id: string, name = "Mum"): unknown => ({ kind: "contact", id, name });
const mine = { state: "acknowledged", acknowledged_by: contact(`share:${ME}`), acknowledged_at: NOON };
const theirs = { state: "acknowledged", acknowledged_by: contact("c9", "Ben"), acknowledged_at: NOON };

describe("a person's state in words", () => {
  const base: Situation = { freshness: "fresh", ageMs: 1_000, live: true, ended: false, presence: null, nowMs: NOON };

  it("never calls live what is not", () => {
    expect(statusWords(words, formats, base)[0]).toBe("Live");
    for (const other of [{ live: false }, { freshness: "stale" }, { freshness: "offline" }, { ended: true }] as const) {
      expect(statusWords(words, formats, { ...base, ...other })[0]).not.toBe("Live");
    }
  });

  it("says why and since when, as far as the server has said", () => {
    const presence = { state: "offline", sinceMs: NOON - 5 * MINUTE, reason: "lost" } as const;
    const [title, sentence] = statusWords(words, formats, { ...base, freshness: "offline", ageMs: 6 * MINUTE, presence });
    expect([title, plain(sentence)]).toEqual(["Not connected", "This is where they were 6 min ago. Their phone lost its network at 11:55."]);
    const odd = statusWords(words, formats, { ...base, freshness: "offline", presence: { ...presence, reason: "<img>" } });
    expect(odd[1]).toContain("Their phone is not connected at the moment.");
    expect(statusWords(words, formats, { ...base, freshness: "stale", presence: null })[1]).toContain("may be out of signal");
  });

  it("has kind words for every link that is no good, and shows nothing of it", () => {
    const titles = ["revoked", "token_expired", "unauthenticated"].map((code) => closedWords(words, refusal(code)).title);
    expect(new Set([...titles, closedWords(words, null).title]).size).toBe(3);
  });
});

describe("where the person is", () => {
  const at = (tMs: number, lat: number): PlacedPoint => ({ seq: 5, tMs, lat, lon: 13, speedMps: null, headingDeg: null, accuracyM: 5, batteryPct: null });
  const place = (t_ms: number | null, lat = 52): Record<string, unknown> => ({ place: { lat, lon: 13, accuracy_m: 5, t_ms, battery_pct: null } });

  function seen(point: PlacedPoint | null): Person {
    const person = new Person();
    if (point) person.took([point], [point], NOON);
    return person;
  }

  it("is the newer of the last point and the place of the open alert", () => {
    const point = at(NOON - MINUTE, 50);
    expect(seen(point).spot(alert(place(NOON)))!.lat).toBe(52);
    expect(seen(point).spot(alert(place(NOON - 2 * MINUTE)))).toBe(point);
    expect(seen(point).spot(alert(place(NOON - MINUTE)))).toBe(point);
    expect(seen(point).spot(alert({ ...place(NOON), state: "resolved" }))).toBe(point);
    expect(seen(null).spot(alert(place(NOON)))!.lat).toBe(52);
    expect(seen(null).spot(alert())).toBe(null);
  });

  it("is never of now when nobody knows of when it is", () => {
    const person = seen(null);
    const spot = person.spot(alert(place(null)));
    const ageMs = person.age(spot, NOON);
    expect(spot!.lat).toBe(52);
    expect(ageMs).toBe(Infinity);
    expect(person.freshness(spot, NOON, 0)).toBe("stale");
    const situation: Situation = { freshness: "stale", ageMs, live: true, ended: false, presence: null, nowMs: NOON };
    expect(statusWords(words, formats, situation)).toEqual(["No news", "It is not known when they were here."]);
    const point = at(NOON - MINUTE, 50);
    expect(seen(point).spot(alert(place(null)))).toBe(point);
  });
});

describe("what may be done about an alert", () => {
  const nothing = { take: null, eta: false, end: false, falseAlarm: false };

  it.each([
    ["nobody is on it", {}, { ...nothing, take: "on_it" }],
    ["it counts down", { state: "pending" }, { ...nothing, take: "on_it" }],
    ["somebody else is", theirs, { ...nothing, take: "me_too" }],
    ["I am", mine, { take: "still", eta: true, end: true, falseAlarm: true }],
    ["I am, under duress", { ...mine, duress: true }, { take: "still", eta: true, end: true, falseAlarm: false }],
    ["I am coming too", { ...theirs, responders: [{ person: contact(`share:${ME}`), at: NOON, eta_s: 60 }] }, { take: null, eta: true, end: true, falseAlarm: true }],
    ["I am coming, nobody has it", { responders: [{ person: contact(`share:${ME}`), at: NOON }] }, { take: "on_it", eta: true, end: true, falseAlarm: true }],
    ["it is over", { ...mine, state: "resolved" }, nothing],
    ["it was false", { state: "cancelled" }, nothing],
  ])("when %s", (_, more, wanted) => {
    expect(choices(alert(more), ME, true)).toEqual(wanted);
    expect(choices(alert(more), ME, false), "a link that looks").toEqual(nothing);
  });

  it("knows its holder by kind and id, never by name", () => {
    expect(isMe({ kind: "contact", id: "share:s1", name: "" }, ME)).toBe(true);
    expect(isMe({ kind: "operator", id: "share:s1", name: "" }, ME)).toBe(false);
    expect(isMe({ kind: "contact", id: "", name: "Mum" }, "")).toBe(false);
  });

  it("calls nobody whose phone must stay silent", () => {
    expect([{}, { silent: true }, { duress: true }, { silent: true, state: "resolved" }].map((more) => mayBeCalled(alert(more)))).toEqual([true, false, false, true]);
    expect(mayBeCalled(null)).toBe(true);
  });
});

describe("the alerts a page has heard of", () => {
  it("keeps the newest version of each, and shows the open before what is over, and the real before a drill", () => {
    const book = new AlertBook();
    expect(book.shown).toBeNull();
    expect(book.take(alert({ version: 3 }))).toBe(true);
    expect(book.take(alert({ version: 3, state: "resolved" }))).toBe(false);
    expect(book.take(alert({ version: 2, state: "resolved" }))).toBe(false);
    book.take(alert({ alert_id: "drill", drill: true, raised_at: NOON + 1 }));
    book.take(alert({ alert_id: "notice", severity: "notice", raised_at: NOON + 2 }));
    expect(book.shown?.id).toBe("a1");
    book.take(alert({ version: 4, state: "resolved" }));
    expect(book.shown?.id).toBe("notice");
    book.drop("notice");
    book.drop("drill");
    expect(book.shown?.state).toBe("resolved");
    book.hide("a1");
    expect(book.shown).toBeNull();
    book.take(alert({ version: 5, state: "active" }));
    expect(book.shown?.state, "it was raised again").toBe("active");
    book.clear();
    expect(book.get("a1")).toBeNull();
  });
});

describe("an alert in words", () => {
  const who = (more: Record<string, unknown>): string[] => whoWords(words, formats, alert(more), ME, "Ada", NOON + MINUTE).map(plain);

  it("says who is on it, and who is coming when", () => {
    expect(who({})).toEqual(["Nobody is on it yet."]);
    expect(who({ exhausted_at: NOON })).toEqual(["Everyone was tried, and nobody has answered yet."]);
    expect(who({ state: "pending", pending_until: NOON + 15_000 })).toEqual(["Nobody has been told yet. Ada can stop this until 12:00:15."]);
    expect(who(mine)).toEqual(["You are on it since 12:00."]);
    expect(who(theirs)).toEqual(["Ben is on it since 12:00."]);
    expect(who({ state: "acknowledged", acknowledged_at: NOON, acknowledged_by: { kind: "operator", id: "", name: "operator" } })).toEqual(["The control room is on it since 12:00."]);
    expect(who({ state: "acknowledged", acknowledged_at: NOON, acknowledged_by: { kind: "contact", id: "", name: "" } })).toEqual(["Somebody is on it since 12:00."]);
    const responders = [
      { person: contact("c9", "Ben"), at: NOON, eta_s: 600 },
      { person: contact(`share:${ME}`), at: NOON, eta_s: null },
      { person: { kind: "contact", id: "", name: "" }, at: NOON, eta_s: 300 },
    ];
    expect(who({ ...theirs, responders }).slice(1)).toEqual(["Ben is on the way, there at about 12:10.", "You are on the way.", "Somebody is on the way, there at about 12:05."]);
  });

  it("says how it ended, and nothing of who when that is not told", () => {
    const over = (more: Record<string, unknown>): string => plain(overWords(words, formats, alert({ closed_at: NOON, ...more }), ME, "Ada", NOON));
    expect(over({})).toBe("");
    expect(over({ state: "resolved", closed_by: contact("c9", "Ben") })).toBe("Ben has said that it is over, at 12:00.");
    expect(over({ state: "resolved", closed_by: contact(`share:${ME}`) })).toBe("You said that it is over, at 12:00.");
    expect(over({ state: "cancelled", closed_by: { kind: "driver", id: "", name: "" } })).toBe("Ada has called it off, at 12:00.");
    expect(over({ state: "resolved", closed_by: { kind: "operator", id: "", name: "" } })).toBe("Ended at 12:00.");
  });

  it("has a sentence for every kind, and for one that nobody knows", () => {
    for (const kind of ["sos", "crash", "fall", "check_in_missed", "arrive_by_missed", "signal_lost"]) {
      expect(plain(needWords(words, alert({ kind }), "Ada"))).toMatch(/^Ada /);
    }
    expect(plain(needWords(words, alert({ kind: "__proto__" }), "Ada"))).toBe("Ada needs help");
  });

  it("refuses kindly", () => {
    const said = [refusal("unavailable", true), refusal("forbidden"), refusal("conflict"), refusal("invalid")].map((one) => refusalWords(words, one));
    expect(new Set(said).size).toBe(4);
    for (const line of said) expect(line).not.toMatch(/error|code|[_{}]/i);
  });

  it("isolates a name that turns the line around", () => {
    const arabic: ContactWords = new Words({ ...commonAr, ...ar }, "ar", "ar");
    expect(needWords(arabic, alert(), "\u202eevil <b>")).toBe("\u2068evil <b>\u2069 يحتاج إلى المساعدة");
  });

  it("reads who was told, and nothing that is no row", () => {
    const rows = [["Mum", "sms", "delivered"], ["x"], [1, 2, 3], null, "x", ["Ben", "call", "failed", "more"]];
    expect(readTold({ told: rows }).map(({ name }) => name)).toEqual(["Mum", "x", "Ben"]);
    for (const raw of [null, {}, { told: 5 }, { told: {} }]) expect(readTold(raw)).toEqual([]);
    expect(readTold({ told: Array.from({ length: 1_000 }, () => ["a", "b", "c"]) })).toHaveLength(50);
  });

  it("counts an arrival from when it was said", () => {
    expect(arrivalMs({ atMs: 1_000, etaS: 60 })).toBe(61_000);
    expect(arrivalMs({ atMs: 1_000, etaS: null })).toBeNull();
  });
});

describe("what comes with a journey", () => {
  it.each([
    ["Pier Head", { name: "Pier Head", place: null }],
    [{ name: "Home", lat: 53.4, lon: -3 }, { name: "Home", place: { lat: 53.4, lon: -3 } }],
    [{ address: "1 High St", latitude: 1, lng: 2 }, { name: "1 High St", place: { lat: 1, lon: 2 } }],
    [{ lat: 53.4, lon: -3 }, { name: "", place: { lat: 53.4, lon: -3 } }],
    [{ name: "X", lat: 91, lon: 0 }, { name: "X", place: null }],
    [{ name: { a: 1 }, lat: "5", lon: [] }, null],
    [[1, 2], null],
    [{}, null],
    ["\u202e \u0000", null],
    [null, null],
    [7, null],
  ])("reads where to from %j", (raw, wanted) => {
    expect(readDestination(raw)).toEqual(wanted);
  });

  it("cuts a name of a thousand characters, and takes no number but a plain one", () => {
    expect(readTrip({ name: "n".repeat(1_000), arrive_by: "soon" })).toMatchObject({ name: `${"n".repeat(79)}…`, arriveByMs: null, phone: null });
    expect(["+442079460958", "112", "tel:+442079460958", "+44;ext=1", "javascript:alert(1)", 5].map(readPhone)).toEqual(["+442079460958", null, null, null, null, null]);
  });

  it("asks the phone's own map app, and a web site only by its own button", () => {
    const place = { lat: 53.4084, lon: -2.9916 };
    expect(mapsUri(place, "Mozilla/5.0 (Linux; Android 9)")).toBe("geo:53.408400,-2.991600?q=53.408400,-2.991600");
    expect(mapsUri(place, "Mozilla/5.0 (iPhone; CPU iPhone OS 12)")).toBe("maps:?ll=53.408400,-2.991600&q=53.408400,-2.991600");
    expect(new URL(webMapUrl(place)).host).toBe("www.openstreetmap.org");
  });

  const point = (seq: number, speedMps: number | null, more: Partial<PlacedPoint> = {}): PlacedPoint => ({
    seq, tMs: NOON + seq * 1_000, lat: 53.4, lon: -3, speedMps, headingDeg: null, accuracyM: 5, batteryPct: 50, ...more,
  });

  it("tells moving from standing, and since when", () => {
    expect(movement([], true)).toBeNull();
    expect(movement([point(1, null)], true)).toBeNull();
    expect(movement([point(1, 8), point(2, 0.2), point(3, 0)], true)).toEqual({ moving: false, sinceMs: NOON + 2_000 });
    expect(movement([point(1, 8), point(2, 7)], true)).toEqual({ moving: true, sinceMs: NOON + 1_000 });
    expect(movement([point(4, 8), point(5, 7)], false), "what came before is not held").toEqual({ moving: true, sinceMs: null });
    expect(movement([point(1, null), point(2, null, { lat: 53.401 })], true)).toMatchObject({ moving: true });
  });
});

describe("what is asked of the server", () => {
  it("is asked again until it got through, and not when the answer stands", async () => {
    let asked = 0;
    let tried = 0;
    const waits: number[] = [];
    const wait = async (ms: number): Promise<void> => void waits.push(ms);
    const later = async (): Promise<Record<string, unknown>> => {
      asked += 1;
      if (asked < 4) throw { ...refusal("unavailable", true), retryAfterS: asked === 2 ? 5 : null };
      return { ok: true };
    };
    expect(await insist(later, () => (tried += 1), () => false, wait)).toEqual({ ok: true });
    expect([asked, tried, waits]).toEqual([4, 3, [1_500, 5_000, 1_500]]);
    await expect(insist(async () => Promise.reject(refusal("forbidden")), () => undefined, () => false, wait)).rejects.toMatchObject({ code: "forbidden" });
    asked = 0;
    const never = async (): Promise<never> => {
      asked += 1;
      throw refusal("unavailable", true);
    };
    await expect(insist(never, () => undefined, () => false, wait)).rejects.toMatchObject({ code: "unavailable" });
    expect(asked).toBe(20);
    await expect(insist(never, () => undefined, () => true, wait), "the page was shut").rejects.toBeTruthy();
    expect(asked).toBe(21);
  });

  it("hears who was told, once of an alert that is over, and forgets it", async () => {
    let asked = 0;
    const hearsay = new Hearsay(async () => ({ told: [["Mum", "sms", "sent"]], name: "Ada", phone: "+442079460958", n: (asked += 1) }));
    expect([await hearsay.ask(alert()), await hearsay.ask(alert())]).toEqual([true, true]);
    const over = alert({ state: "resolved", version: 2 });
    expect([await hearsay.ask(over), await hearsay.ask(over), asked]).toEqual([true, false, 3]);
    expect([hearsay.of(over)?.length, hearsay.name, hearsay.phone]).toEqual([1, "Ada", "+442079460958"]);
    hearsay.clear();
    expect([hearsay.of(over), hearsay.name, hearsay.phone]).toEqual([null, "", null]);
  });
});

describe("where the driver of an alert is", () => {
  const point = { seq: 7, tMs: 5_000, lat: 53, lon: -3 } as PlacedPoint;
  const spot = (place: object, known: PlacedPoint | null): number | undefined => {
    const feed = new AnswerFeed(() => undefined);
    Object.assign(feed, { point: known });
    return feed.spot({ token: "t", view: { lat: 50, lon: 10, accuracy_m: 5, place_ms: null, ...place } } as unknown as Told)?.lat;
  };

  it("is the newer of the alert's place and the feed's point", () => {
    expect(spot({ place_ms: 6_000 }, point)).toBe(50);
    expect(spot({ place_ms: 4_000 }, point)).toBe(53);
    expect(spot({ place_ms: 4_000 }, null)).toBe(50);
    expect(spot({ lat: null, lon: null }, point)).toBe(53);
    expect(spot({ lat: null, lon: null }, null)).toBeUndefined();
  });

  it("is the alert's place where the age of that is unknown", () => {
    expect(spot({}, point)).toBe(50);
    expect(spot({}, null)).toBe(50);
  });
});
