import { describe, expect, it } from "vitest";

import { readAlert, type Alert } from "../src/common/alertwire";
import { isAudible, newlyUnanswered, soundOf } from "../src/console/deskalarm";
import { actsOf } from "../src/console/deskacts";
import { CLOSED_SHOWN_MS, merged, ordered, pruned, unheardOf, type Alerts } from "../src/console/deskbook";
import { KEYS, meaningOf, stepped, type Stroke } from "../src/console/deskkeys";
import { atMs, preceded, readDetail, renewed, tried, type Pages } from "../src/console/deskwire";
import { Delay } from "../src/console/healthdelay";
import { deviceOf, readSessions } from "../src/console/signinwire";
import { pickedOf } from "../src/console/shellvendors";

function alert(id: string, change: Record<string, unknown> = {}): Alert {
  const raw = { alert_id: id, vendor: "north", driver: "d1", kind: "sos", severity: "critical", state: "active", version: 1, pressed_at: 1_000, raised_at: 1_000, ...change };
  return readAlert(raw)!;
}
const book = (...alerts: Alert[]): Alerts => new Map(alerts.map((one) => [one.id, one]));
const ids = (alerts: readonly Alert[]): string[] => alerts.map((one) => one.id);

describe("the book of alerts", () => {
  it("keeps the highest version, whichever way it came, and is the same where nothing is new", () => {
    const known = merged(new Map(), [alert("a", { version: 2 }), alert("a", { version: 3, state: "acknowledged" }), alert("a", { version: 1 })]);
    expect([known.get("a")?.version, known.get("a")?.state]).toEqual([3, "acknowledged"]);
    expect(merged(known, [alert("a", { version: 3 }), alert("a", { version: 2 })])).toBe(known);
  });

  it("misses what a whole list does not name, of the vendors that it was about and of nobody else", () => {
    const known = book(alert("a"), alert("b"), alert("c", { state: "resolved" }), alert("d", { vendor: "south" }));
    expect(unheardOf(known, [alert("b")], ["north"])).toEqual(["a"]);
    expect(unheardOf(known, [alert("b")], null)).toEqual(["a", "d"]);
    expect(unheardOf(new Map(), [], null)).toEqual([]);
  });

  it("drops what has been closed for long, and nothing that is open", () => {
    const closed = alert("c", { state: "resolved", closed_at: 5_000 });
    const known = book(alert("a"), closed);
    expect(pruned(known, 5_000 + CLOSED_SHOWN_MS)).toBe(known);
    expect([...pruned(known, 5_001 + CLOSED_SHOWN_MS).keys()]).toEqual(["a"]);
  });

  it("puts the worst first, then what nobody answered, then the oldest; drills apart", () => {
    const { open, drills, closed, elsewhere } = ordered(
      book(
        alert("notice", { severity: "notice", pressed_at: 1 }),
        alert("new", { pressed_at: 900 }),
        alert("old", { pressed_at: 100 }),
        alert("taken", { state: "acknowledged", pressed_at: 1 }),
        alert("counting", { state: "pending", pressed_at: 500 }),
        alert("drill", { drill: true }),
        alert("over", { state: "cancelled", closed_at: 1 }),
        alert("later", { state: "resolved", closed_at: 2 }),
        alert("theirs", { vendor: "south" }),
        alert("their-drill", { vendor: "south", drill: true }),
      ),
      ["north"],
    );
    expect(ids(open)).toEqual(["old", "counting", "new", "taken", "notice"]);
    expect([ids(drills), ids(closed), elsewhere]).toEqual([["drill"], ["later", "over"], 1]);
  });

  it("shows all vendors where all are looked at", () => {
    expect(ordered(book(alert("a"), alert("b", { vendor: "new" })), null)).toMatchObject({ open: [{ id: "a" }, { id: "b" }], elsewhere: 0 });
  });
});

describe("what is heard", () => {
  it.each([
    ["nothing", [], null],
    ["an SOS goes on", [alert("a")], "alarm"],
    ["somebody is on it", [alert("a", { state: "acknowledged" })], null],
    ["a countdown is said softly", [alert("a", { state: "pending" })], "chime"],
    ["a notice is said softly", [alert("a", { severity: "notice" })], "chime"],
    ["a drill is no alarm", [alert("a", { drill: true })], "chime"],
    ["a silent one is never heard", [alert("a", { silent: true })], null],
    ["nor one under duress", [alert("a", { duress: true })], null],
    ["the worst of several", [alert("a", { drill: true }), alert("b", { silent: true }), alert("c", { severity: "warning" })], "alarm"],
  ] as const)("%s", (_name, alerts, sound) => {
    expect(soundOf(alerts)).toBe(sound);
  });

  it("calls for what is new, and for what is nobody's again", () => {
    const before = book(alert("same"), alert("taken", { state: "acknowledged" }), alert("counting", { state: "pending" }));
    const now = [alert("same"), alert("taken"), alert("counting"), alert("new", { silent: true }), alert("gone", { state: "resolved" })];
    expect(ids(newlyUnanswered(before, now))).toEqual(["taken", "counting", "new"]);
    expect(isAudible(now[3]!)).toBe(false);
  });
});

describe("keys", () => {
  const stroke = (key: string, more: Partial<Stroke> = {}): Stroke => ({ key, code: "", ctrlKey: false, metaKey: false, altKey: false, repeat: false, ...more });

  it("has a key for the alert that was raised last", () => {
    expect(meaningOf(stroke("ل", { code: "KeyG" }), "control")).toBe("newest");
  });

  it.each(KEYS)("%s means %s", (key, meaning) => {
    expect(meaningOf(stroke(key), "page")).toBe(meaning);
  });

  it("means nothing while something is typed, or with a key held that makes it a command of the browser", () => {
    expect([meaningOf(stroke("a"), "field"), meaningOf(stroke("a", { ctrlKey: true }), "page"), meaningOf(stroke("r", { metaKey: true }), "page"), meaningOf(stroke("x"), "page")]).toEqual([null, null, null, null]);
  });

  it("leaves Enter to a button, and acts once however long a key is held", () => {
    expect([meaningOf(stroke("Enter"), "control"), meaningOf(stroke("a"), "control")]).toEqual([null, "acknowledge"]);
    expect([meaningOf(stroke("a", { repeat: true }), "page"), meaningOf(stroke("j", { repeat: true }), "page")]).toEqual([null, "next"]);
  });

  it("goes by the place of a key where letters are not Latin", () => {
    expect([meaningOf(stroke("ت", { code: "KeyJ" }), "page"), meaningOf(stroke("؟", { code: "Slash" }), "page"), meaningOf(stroke("A"), "page")]).toEqual(["next", "help", "acknowledge"]);
  });

  it("walks a list and stays at its ends", () => {
    const list = ["a", "b", "c"];
    expect([stepped(list, null, 1), stepped(list, "a", 1), stepped(list, "c", 1), stepped(list, "a", -1), stepped(list, "gone", 1), stepped([], null, 1)]).toEqual(["a", "b", "c", "a", "a", null]);
  });
});

describe("what may be done", () => {
  it("goes by the state", () => {
    expect(actsOf(alert("a"))).toContain("acknowledge");
    expect(actsOf(alert("a", { state: "acknowledged" }))).not.toContain("acknowledge");
    expect(actsOf(alert("a", { state: "resolved" }))).toEqual(["note"]);
  });
});

describe("who was tried", () => {
  const attempt = (change: Record<string, unknown>): object => ({ attempt_id: "x", contact_id: "c1", contact: "Ana", channel: "sms", status: "sent", due_at: 1, ...change });

  it("names each person once, each way with how it went last", () => {
    const { attempts } = readDetail({
      attempts: [
        attempt({ status: "delivered", due_at: 30, number: 2, delivered_at: 35 }),
        attempt({ status: "failed", due_at: 10 }),
        attempt({ channel: "call", due_at: 20 }),
        attempt({ contact_id: "c2", contact: "Ben", due_at: 5 }),
        attempt({ purpose: "all_clear", due_at: 40 }),
        { status: "sent" },
        "nonsense",
      ],
    });
    const people = tried(attempts.entries);
    expect(people.map((person) => person.contact)).toEqual(["Ben", "Ana"]);
    expect(people[1]!.ways.map((way) => [way.channel, way.purpose, way.newest.status, way.tries])).toEqual([
      ["sms", "alert", "delivered", 2], ["call", "alert", "sent", 1], ["sms", "all_clear", "sent", 1],
    ]);
    expect(atMs(people[1]!.ways[0]!.newest)).toBe(35);
  });

  it("reads history, and nothing of another shape", () => {
    const { history } = readDetail({ history: [{ what: "noted", arrow: "V", at: 7, by_id: "ana", by_name: "", by_kind: "dispatcher", detail: { note: "hello" } }, { arrow: "A" }, null] });
    expect(history.entries).toMatchObject([{ what: "noted", note: "hello", byName: "ana", atMs: 7 }]);
    const none = { entries: [], earlier: null };
    expect([readDetail(null), readDetail({ attempts: 3, history: {} })]).toEqual([{ attempts: none, history: none }, { attempts: none, history: none }]);
    expect(readDetail({ attempts: [], attempts_cursor: "a", history: [], history_cursor: "h" })).toMatchObject({ attempts: { earlier: "a" }, history: { earlier: "h" } });
  });
});

describe("pages of a history", () => {
  const pages = (from: number, to: number, earlier: string | null): Pages<number> => ({ entries: Array.from({ length: to - from + 1 }, (_, n) => from + n), earlier });
  const renew = (known: Pages<number>, newest: Pages<number>): Pages<number> => renewed(known, newest, String);

  it("keeps the earlier pages that were asked for when the newest moves on", () => {
    const known = preceded(pages(101, 200, "before 101"), pages(51, 100, "before 51"));
    expect(known).toEqual(pages(51, 200, "before 51"));
    expect(renew(known, pages(150, 249, "before 150"))).toEqual(pages(51, 249, "before 51"));
    expect(renew(known, pages(101, 200, "before 101"))).toEqual(known);
  });

  it("shows no hole: where the newest page does not touch what is known, the rest is asked for again", () => {
    expect(renew(pages(1, 100, null), pages(301, 400, "before 301"))).toEqual(pages(301, 400, "before 301"));
    expect(renew(pages(1, 100, null), pages(101, 200, "before 101"))).toEqual(pages(101, 200, "before 101"));
  });

  it("is the newest page where that has all, or reaches back as far", () => {
    expect(renew(pages(1, 3, null), pages(1, 5, null))).toEqual(pages(1, 5, null));
    expect(renew(pages(5, 9, "before 5"), pages(5, 12, "before 5"))).toEqual(pages(5, 12, "before 5"));
    expect(renew(pages(5, 9, "before 5"), { entries: [], earlier: null })).toEqual({ entries: [], earlier: null });
  });

  it("names no entry twice, in whichever order the server gives those of one moment", () => {
    const known: Pages<number> = { entries: [1, 3, 2, 4], earlier: "before 1" };
    expect(renew(known, { entries: [2, 3, 4, 5], earlier: "before 2" })).toEqual({ entries: [1, 2, 3, 4, 5], earlier: "before 1" });
  });
});

describe("the live delay", () => {
  it("is the median of the last seconds, and unknown when nothing comes", () => {
    const delay = new Delay();
    expect(delay.median(0)).toBeNull();
    for (const [at, taken] of [[1_000, 900], [2_000, 1_700], [3_000, 0], [3_500, 4_000]] as const) delay.add(at, taken);
    expect(delay.median(3_500)).toBe(300);
    expect(delay.median(13_400)).toBe(0);
    expect(delay.median(14_000)).toBeNull();
  });
});

describe("sessions and vendors", () => {
  it("names a browser and its system", () => {
    expect(deviceOf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/140.0 Safari/537.36")).toBe("Chrome, Linux");
    expect(deviceOf("Mozilla/5.0 (Windows NT 10.0) Chrome/140 Safari/537 Edg/140.0")).toBe("Edge, Windows");
    expect(deviceOf("curl/8.\u202e")).toBe("curl/8.");
    expect(readSessions([{ session_id: "s", current: true }, 7])).toMatchObject([{ id: "s", current: true }]);
  });

  it("picks all where none of the picked is left, or all are", () => {
    expect([pickedOf(["a", "b"], null), pickedOf(["a", "b"], ["gone"]), pickedOf(["a", "b"], ["a", "b"]), pickedOf(["a", "b"], ["b", "gone"])]).toEqual([null, null, null, ["b"]]);
  });
});
