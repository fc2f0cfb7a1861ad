import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { fold, KEPT_MS, matches, NameBook, PAUSE_MS, wordsOf } from "../src/console/names";
import type { Json } from "../src/common/read";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A server of names; each request is noted. */
function served(names: Record<string, unknown>): { book: NameBook; asked: (readonly string[])[]; fail: { code: string; retryable: boolean } | null } {
  const server = {
    asked: [] as (readonly string[])[],
    fail: null as { code: string; retryable: boolean } | null,
    book: null as unknown as NameBook,
  };
  const ask = async (ids: readonly string[]): Promise<Json> => {
    server.asked.push(ids);
    if (server.fail) throw { message: "", retryAfterS: null, ...server.fail };
    return { names: Object.fromEntries(Object.entries(names).filter(([id]) => ids.includes(id))) };
  };
  server.book = new NameBook(ask, () => Date.now());
  return server;
}

describe("names", () => {
  it.each([["Van 12", "\u0661\u0662"], ["Van \u06f1\u06f2", "12"], ["Van \uff11\uff12", "van \u0967\u0968"], ["Jos\u00e9 \u0661", "jose 1"]])("%j is found by %j", (name, search) => {
    expect(matches(fold(name), wordsOf(search))).toBe(true);
  });

  it("are asked for once each, together, and the id stands in until then", async () => {
    const { book, asked } = served({ d1: "Asha Okoye" });
    let told = 0;
    book.onChange(() => (told += 1));
    book.want(["d1", "d2"]);
    book.want(["d1"]);
    expect([book.of("d1"), book.nameOf("d1")]).toEqual(["d1", null]);
    await vi.runAllTimersAsync();
    expect([book.of("d1"), book.of("d2"), book.nameOf("d2")]).toEqual(["Asha Okoye", "d2", null]);
    book.want(["d1", "d2"]);
    await vi.runAllTimersAsync();
    expect([asked, told]).toEqual([[["d1", "d2"]], 1]);
  });

  it("are asked for again when they are old, and a change is told", async () => {
    const names: Record<string, unknown> = { d1: "Asha" };
    const { book, asked } = served(names);
    book.want(["d1"]);
    await vi.runAllTimersAsync();
    names["d1"] = "Asha O";
    await vi.advanceTimersByTimeAsync(KEPT_MS + 1);
    book.want(["d1"]);
    await vi.runAllTimersAsync();
    expect([asked.length, book.of("d1")]).toEqual([2, "Asha O"]);
    delete names["d1"];
    await vi.advanceTimersByTimeAsync(KEPT_MS + 1);
    book.want(["d1"]);
    await vi.runAllTimersAsync();
    expect(book.of("d1"), "erased").toBe("d1");
  });

  it("come 500 at a time and a second apart, however many there are", async () => {
    const { book, asked } = served({});
    book.want(Array.from({ length: 1_200 }, (_, n) => `d${n}`));
    await vi.advanceTimersByTimeAsync(PAUSE_MS - 1);
    expect(asked.map((ids) => ids.length)).toEqual([500]);
    await vi.advanceTimersByTimeAsync(2 * PAUSE_MS + 2);
    expect(asked.map((ids) => ids.length)).toEqual([500, 500, 200]);
  });

  it("hold nothing up: a failure is tried again, a refusal later, and ids of another shape are not asked for", async () => {
    const server = served({ d1: "Asha" });
    server.fail = { code: "unavailable", retryable: true };
    server.book.want(["d1", "<img>", "x".repeat(65), "a b", "", "__proto__"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(server.asked).toEqual([["d1"]]);
    server.fail = { code: "forbidden", retryable: false };
    await vi.advanceTimersByTimeAsync(5_001);
    expect(server.asked.length).toBe(2);
    server.fail = null;
    await vi.advanceTimersByTimeAsync(5_001);
    expect(server.asked.length).toBe(2);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(server.book.of("d1")).toBe("Asha");
    expect(server.book.of("<img>")).toBe("<img>");
  });

  it("of a strange answer are none", async () => {
    const { book } = served({ d1: 5, d2: null, constructor: "x", d3: "\u202eevil  name\n" });
    book.want(["d1", "d2", "d3", "toString"]);
    await vi.runAllTimersAsync();
    expect(["d1", "d2", "d3", "toString"].map((id) => book.of(id))).toEqual(["d1", "d2", "evil name", "toString"]);
  });

  it("are found without accents", () => {
    expect(["Ñandú", "İpek", "ﬁn", "Ελένη"].map(fold)).toEqual(["nandu", "ipek", "fin", "ελενη"]);
  });
});
