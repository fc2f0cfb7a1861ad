import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import type { Json } from "../src/common/read";
import { Outbox, type Change, type Fix, type Journey, type Store } from "../src/drive/outbox";
import { makePress, type Press } from "../src/drive/press";
import { postSos, safetyUrlOf } from "../src/drive/post";
import { BY_HTTP_MS, FAULT_MS, Pump, STUCK_MS } from "../src/drive/pump";
import { Raiser, type PressStore } from "../src/drive/raise";
import { NOTHING, Timers, type Watch } from "../src/drive/timers";
import { Ledger } from "./drive.server";

/** The outbox's store in a map: what is tried here is who sends when, not the disk. */
class MemoryStore implements Store {
  private readonly held = new Map<number, Journey>();
  private readonly points = new Map<number, Fix>();
  journeys = async () => [...this.held.values()];
  count = async () => this.points.size;
  oldest = async (limit: number) => [...this.points.keys()].slice(0, limit);
  rows = async (from: number, to: number, limit: number) => [...this.points].filter(([id]) => id >= from && id <= to).slice(0, limit);
  async write({ put = [], forget = [], add = [], drop = [] }: Change): Promise<void> {
    for (const journey of put) this.held.set(journey.n, journey);
    for (const n of forget) this.held.delete(n);
    for (const [from, to] of drop) for (const id of [...this.points.keys()]) if (id >= from && id <= to) this.points.delete(id);
    for (const [id, fix] of add) this.points.set(id, fix);
  }
}

const refusal = (code: string, more: Json = {}): Json => ({ ok: false, error: { code, retryable: false, ...more } });
const passed = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

describe("the pump", () => {
  async function pumping() {
    const outbox = await Outbox.open(new MemoryStore(), { uuid: () => crypto.randomUUID(), now: () => Date.now() });
    const server = new Ledger();
    const ways = {
      up: true,
      script: [] as unknown[],
      asked: [] as [string, number][],
      reconnects: 0,
      refusals: [] as string[],
      faults: [] as string[],
      live: () => ways.up,
      bySocket: async (event: string, payload: Json) => ways.answer("socket", event, payload),
      byHttp: async (payload: Json) => ways.answer("http", "positions", payload),
      answer: (way: string, event: string, payload: Json): unknown => {
        ways.asked.push([`${way} ${event}`, Date.now()]);
        return ways.script.length > 0 ? ways.script.shift() : server.answer({ event: event as "positions", payload, clientId: "" });
      },
      reconnect: () => void ways.reconnects++,
      refused: (code: string) => void ways.refusals.push(code),
      stuck: (code: string | null) => void (code && ways.faults.push(code)),
      changed: () => undefined,
      random: () => 0.5,
    };
    const pump = new Pump(outbox, ways);
    await outbox.begin(null);
    await outbox.record([Date.now(), 1, 2]);
    void pump.run();
    await passed(0);
    return { outbox, server, ways, pump };
  }

  it("asks one thing after the other until all is safe, and again when there is more", async () => {
    const { outbox, ways, pump } = await pumping();
    expect([ways.asked.map(([what]) => what), outbox.unsafe]).toEqual([["socket journey:start", "socket positions"], 0]);
    await outbox.record([Date.now(), 1, 3]);
    pump.kick();
    await passed(0);
    expect(outbox.unsafe).toBe(0);
    pump.stop();
  });

  it("waits as long as it is told to, and not at all on a new connection", async () => {
    const { outbox, ways, pump } = await pumping();
    ways.script = [refusal("overloaded", { retryable: true, retry_after_s: 10 }), refusal("overloaded", { retryable: true, retry_after_s: 10 })];
    await outbox.record([Date.now(), 1, 3]);
    pump.kick();
    await passed(9_000);
    expect(ways.asked).toHaveLength(3);
    await passed(7_000);
    expect(ways.asked).toHaveLength(4);
    pump.hurry();
    await passed(0);
    expect(outbox.unsafe).toBe(0);
    pump.stop();
  });

  it("takes a connection on which no answer came for dead", async () => {
    const { outbox, ways, pump } = await pumping();
    ways.script = [null];
    await outbox.record([Date.now(), 1, 3]);
    pump.kick();
    await passed(0);
    expect([ways.reconnects, outbox.unsafe]).toEqual([1, 1]);
    pump.stop();
  });

  it("goes by HTTP while the socket is down, seldom while that fails too", async () => {
    const { outbox, ways, pump } = await pumping();
    ways.up = false;
    ways.script = [null];
    await outbox.record([Date.now(), 1, 3]);
    pump.kick();
    await passed(BY_HTTP_MS - 100);
    expect(ways.asked.slice(2).map(([what]) => what)).toEqual(["http positions"]);
    await passed(200);
    expect([outbox.unsafe, ways.reconnects]).toEqual([0, 0]);
    pump.stop();
  });

  it("goes on after a fault of the device, without being opened again", async () => {
    const { outbox, ways, pump } = await pumping();
    await outbox.record([Date.now(), 1, 3]);
    const next = outbox.next.bind(outbox);
    let faults = 0;
    outbox.next = async (byHttp) => {
      if (faults++ < 2) throw new DOMException("the disk", "UnknownError");
      return next(byHttp);
    };
    pump.kick();
    await passed(FAULT_MS - 100);
    expect(outbox.unsafe).toBe(1);
    await passed(FAULT_MS + 200);
    expect([faults >= 3, outbox.unsafe, ways.faults]).toEqual([true, 0, []]);
    pump.stop();
    await passed(FAULT_MS);
  });

  it("waits for a token whose time has not come, as for any other delay", async () => {
    const { outbox, ways, pump } = await pumping();
    ways.script = [{ ok: false, error: { code: "token_not_yet_valid", message: "", retryable: true, retry_after_s: 30 } }];
    await outbox.record([Date.now(), 1, 3]);
    pump.kick();
    await passed(100);
    expect([ways.refusals, ways.faults, outbox.unsafe]).toEqual([[], [], 1]);
    await passed(46_000);
    expect(outbox.unsafe).toBe(0);
    pump.stop();
  });

  it.each([["token_expired", "refusals"], ["invalid", "faults"]] as const)("says %s, keeps the point, and looks again much later", async (code, where) => {
    const { outbox, ways, pump } = await pumping();
    ways.script = [refusal(code)];
    await outbox.record([Date.now(), 1, 3]);
    pump.kick();
    await passed(STUCK_MS - 1_000);
    expect([ways[where], ways.asked.length, outbox.unsafe]).toEqual([[code], 3, 1]);
    await passed(2_000);
    expect(outbox.unsafe).toBe(0);
    pump.stop();
  });
});

describe("an SOS", () => {
  function raising(disk = new Map<string, Press>(), broken = false) {
    const store: PressStore = {
      all: async () => [...disk.values()],
      put: async (press) => {
        if (broken) throw new Error("full");
        disk.set(press.sos_id, press);
      },
      delete: async (id) => void disk.delete(id),
    };
    const ok = { ok: true, alert_id: "a1", state: "active", durability: "committed" };
    const ways = {
      asked: [] as string[],
      socket: (): unknown => null as unknown,
      http: (): unknown => ok as unknown,
      bySocket: async (event: string) => {
        ways.asked.push(event);
        return ways.socket();
      },
      byHttp: async () => {
        ways.asked.push("http");
        return ways.http();
      },
      changed: () => undefined,
      pause: (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)),
    };
    return { raiser: new Raiser(store, ways), ways, disk, ok };
  }
  const cut = (): never => {
    throw new Error("no network");
  };

  it("goes by both ways at once, and one that takes it is enough", async () => {
    const { raiser, ways } = raising();
    ways.socket = () => new Promise(() => undefined);
    await raiser.press(makePress("s1", 1, false, null, null));
    await passed(0);
    expect([ways.asked, raiser.foremost?.kept?.durability]).toEqual([["sos", "http"], "committed"]);
  });

  it("is tried again and again, and by the next start of the app, until it is taken; then never more", async () => {
    const first = raising();
    first.ways.http = cut;
    await first.raiser.press(makePress("s1", 1, false, null, null));
    await passed(60_000);
    const tries = first.ways.asked.filter((way) => way === "http").length;
    expect(tries).toBeGreaterThan(12);
    expect(first.disk.get("s1")?.kept).toBeNull();
    const second = raising(first.disk);
    await second.raiser.resume();
    await passed(0);
    expect(second.disk.get("s1")?.kept?.alertId).toBe("a1");
    await passed(60_000);
    expect(second.ways.asked).toEqual(["sos", "http"]);
  });

  it("is sent even when the disk would not have it", async () => {
    const { raiser } = raising(new Map(), true);
    await raiser.press(makePress("s1", 1, false, null, null));
    await passed(0);
    expect(raiser.foremost?.kept?.alertId).toBe("a1");
  });

  it("says why it is not taken, and goes on", async () => {
    const { raiser, ways } = raising();
    ways.http = () => refusal("revoked");
    await raiser.press(makePress("s1", 1, false, null, null));
    await passed(0);
    expect([raiser.refusal, raiser.foremost?.kept]).toEqual(["revoked", null]);
  });

  it("is cancelled with all that have joined it, by the right PIN alone", async () => {
    const { raiser, ways } = raising();
    for (const id of ["s1", "s2"]) await raiser.press(makePress(id, 1, false, null, null));
    await passed(0);
    ways.socket = () => refusal("forbidden");
    expect(await raiser.cancel("s1", "0")).toBe("wrong");
    ways.socket = () => null;
    expect(await raiser.cancel("s1", "1")).toBe("later");
    expect(raiser.open).toBe(true);
    ways.socket = () => ({ ok: true, state: "cancelled" });
    expect([await raiser.cancel("s1", "1"), raiser.open]).toEqual(["done", false]);
    await raiser.close();
    expect(raiser.foremost).toBeNull();
  });
});

describe("timers", () => {
  function timing(watch: Watch = NOTHING) {
    const ways = {
      posted: [] as [string, Json][],
      journey: null as string | null,
      fault: null as unknown,
      saved: watch,
      post: async (path: string, body: Json) => {
        if (ways.fault) throw ways.fault;
        ways.posted.push([path.replace("/api/v1/timers", ""), body]);
        return {};
      },
      journeyId: () => ways.journey,
      save: async (now: Watch) => void (ways.saved = now),
      now: () => 1_000,
      changed: () => undefined,
    };
    return { timers: new Timers(watch, ways), ways };
  }
  let n = 0;
  const uuid = (): string => `t${++n}`;

  it("are armed once the server knows the journey, each once", async () => {
    const { timers, ways } = timing();
    await timers.begin(uuid, 99_000, 900);
    await passed(0);
    expect([ways.posted, timers.pending, timers.watch.dueMs]).toEqual([[], true, 901_000]);
    ways.journey = "j1";
    await timers.settle();
    expect(ways.posted.map(([, body]) => body["kind"])).toEqual(["arrive_by", "check_in"]);
    expect(ways.posted[0]![1]).toMatchObject({ by: 99_000, journey_id: "j1" });
    await timers.settle();
    expect([ways.posted.length, timers.pending]).toEqual([2, false]);
  });

  it("are answered later, when they could not be at once, and by the next start of the app", async () => {
    const { timers, ways } = timing();
    ways.journey = "j1";
    await timers.begin(uuid, null, 900);
    await passed(0);
    ways.fault = { code: "unavailable", retryable: true };
    await timers.checkIn();
    await passed(0);
    expect([timers.watch.checkIn, timers.refusal]).toEqual([true, null]);
    const again = timing(ways.saved);
    await again.timers.settle();
    expect(again.ways.posted.map(([path]) => path)).toEqual(["/check-in"]);
  });

  it("end with the journey, whether they were armed or not", async () => {
    const { timers, ways } = timing();
    await timers.begin(uuid, null, 900);
    await timers.arrive();
    await passed(0);
    expect([ways.posted, timers.pending]).toEqual([[], false]);
    ways.journey = "j1";
    await timers.begin(uuid, null, 900);
    await passed(0);
    await timers.arrive();
    await passed(0);
    expect(ways.posted.map(([path]) => path)).toEqual(["", "/arrive"]);
  });

  it("say what the server would not have", async () => {
    const { timers, ways } = timing();
    ways.journey = "j1";
    ways.fault = { code: "invalid", retryable: false };
    await timers.begin(uuid, 1, null);
    await passed(0);
    expect([timers.refusal, timers.pending]).toEqual(["invalid", true]);
  });
});

describe("the safety address", () => {
  const taken = { ok: true, alert_id: "a" };
  const asked: string[] = [];

  function answering(answers: Record<string, () => Promise<Response>>): void {
    asked.length = 0;
    vi.stubGlobal("fetch", (url: string) => {
      asked.push(url);
      return (answers[url] ?? (() => Promise.reject(new Error("no network"))))();
    });
  }
  const json = (body: unknown, status = 200) => async () => new Response(JSON.stringify(body), { status });
  afterEach(() => void vi.unstubAllGlobals());

  it("is asked first, and alone when it takes the press", async () => {
    answering({ "https://sos.example/api/v1/sos": json(taken) });
    expect(await postSos("t", {}, "https://sos.example")).toEqual(taken);
    expect(asked).toEqual(["https://sos.example/api/v1/sos"]);
  });

  it.each([
    ["does not answer", () => Promise.reject(new Error("no network"))],
    ["refuses", json(refusal("unavailable", { retryable: true }), 503)],
    ["is something else", async () => new Response("<html>", { status: 404 })],
  ])("that %s leaves the press to the ordinary one", async (_, answer) => {
    answering({ "https://sos.example/api/v1/sos": answer, "/api/v1/sos": json(taken) });
    expect(await postSos("t", {}, "https://sos.example")).toEqual(taken);
    expect(asked).toEqual(["https://sos.example/api/v1/sos", "/api/v1/sos"]);
  });

  it("is not needed", async () => {
    answering({ "/api/v1/sos": json(taken) });
    expect(await postSos("t", {}, null)).toEqual(taken);
    expect(asked).toEqual(["/api/v1/sos"]);
  });

  it("is an origin, whatever the server says", () => {
    expect(["https://sos.example", "http://127.0.0.1:8010", "https://[::1]:8010"].map(safetyUrlOf)).not.toContain(null);
    expect(["", "javascript:alert(1)", "https://a/b", "https://u@a", "//a", null, 7, undefined].map(safetyUrlOf)).toEqual(Array(8).fill(null));
  });
});
