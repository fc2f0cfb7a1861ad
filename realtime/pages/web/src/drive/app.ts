/** The app without its face: everything it is made of, wired, and what a driver can do. */
import { Api } from "../common/api";
import { loadConfig } from "../common/config";
import { isObject } from "../common/read";
import type { Db } from "./db";
import { DriverLine } from "./line";
import { Awake, Locator } from "./locator";
import { Outbox, type Fix } from "./outbox";
import { OwnSettings, UNKNOWN, type Own } from "./own";
import { IdbStore } from "./outboxstore";
import { accessOf, type Access, type Pairing } from "./pairing";
import { makePress } from "./press";
import { post, postSos, safetyUrlOf } from "./post";
import { IdbPresses, SAFETY_URL } from "./presses";
import { Pump } from "./pump";
import { Raiser, type CancelResult } from "./raise";
import { NOTHING, Timers, type Watch } from "./timers";

/** A silent SOS is asked for this often: nothing of it is pushed. */
const ASK_MS = 5_000;
const SETTLE_MS = 10_000;

const uuid = (): string => crypto.randomUUID();

export class App {
  readonly line: DriverLine;
  readonly raiser: Raiser;
  readonly timers: Timers;
  readonly locator: Locator;
  readonly own: OwnSettings;
  /** A fault that keeps points from going up; null when all is well. */
  stuck: string | null = null;
  /** How far the server's clock is ahead of ours: a countdown runs by its. */
  skewMs = 0;
  /** Where an SOS is sent first, as the server last said; null: nowhere but to it. */
  private safetyUrl: string | null = null;
  private readonly pump: Pump;
  private readonly api: Api;
  private readonly awake = new Awake();
  private readonly ended = new AbortController();
  private wakeSos: () => void = () => undefined;
  private refusedCode: string | null = null;

  private constructor(
    readonly outbox: Outbox,
    private readonly db: Db,
    readonly pairing: Pairing,
    watch: Watch,
    own: Own,
    private readonly changed: () => void,
    private readonly sendLater: () => Promise<void>,
  ) {
    this.api = new Api(pairing.token);
    this.raiser = new Raiser(new IdbPresses(db), {
      bySocket: (event, payload) => this.line.ask(event, payload, 5_000),
      byHttp: (payload) => postSos(pairing.token, payload, this.safetyUrl, (serverMs) => void (this.skewMs = serverMs - Date.now())),
      changed,
      pause: (ms) => this.pauseSos(ms),
    });
    this.line = new DriverLine(pairing.token, () => this.raiser.open, {
      changed,
      up: () => this.up(),
      sos: (view) => void this.raiser.told(view),
      safety: (news) => void this.learn(isObject(news) ? news["url"] : null),
    });
    this.timers = new Timers(watch, {
      post: (path, body) => this.api.post(path, body),
      journeyId: () => outbox.current?.journeyId ?? null,
      save: async (now) => void (await db.put("settings", now, "timers")),
      now: () => Date.now(),
      changed,
    });
    this.locator = new Locator({ take: (fix) => void this.take(fix), changed, sos: () => this.raiser.open });
    this.own = new OwnSettings(own, pairing.driver, {
      ask: (method, path, body) => this.api.ask(method, path, body),
      save: async (now) => void (await db.put("settings", now, "own")),
      now: () => Date.now(),
      changed,
    });
    this.pump = new Pump(outbox, {
      live: () => this.line.live,
      bySocket: (event, payload) => this.line.ask(event, payload),
      byHttp: (payload) => post(pairing.token, "/api/v1/positions", payload),
      reconnect: () => this.line.reconnect(),
      refused: (code) => void (this.refusedCode = code),
      stuck: (code) => void (this.stuck = code),
      changed: () => this.settled(),
      random: Math.random,
    });
  }

  /** As it was when it was closed. */
  static async open(db: Db, pairing: Pairing, changed: () => void, sendLater: () => Promise<void>): Promise<App> {
    const outbox = await Outbox.open(new IdbStore(db), { uuid, now: () => Date.now() });
    const watch = ((await db.get("settings", "timers")) as Watch | undefined) ?? NOTHING;
    const own = ((await db.get("settings", "own")) as Own | undefined) ?? UNKNOWN;
    const app = new App(outbox, db, pairing, watch, own, changed, sendLater);
    app.safetyUrl = safetyUrlOf(await db.get("settings", SAFETY_URL));
    return app;
  }

  async run(): Promise<void> {
    const { signal } = this.ended;
    window.addEventListener("online", () => this.hurry(), { signal });
    window.addEventListener("pageshow", () => this.hurry(), { signal });
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.hurry(), { signal });
    this.every(SETTLE_MS, () => void this.timers.settle());
    this.every(ASK_MS, () => void this.raiser.ask());
    await this.raiser.resume();
    void loadConfig().then(({ safetyUrl }) => (safetyUrl === null ? undefined : this.learn(safetyUrl)));
    this.line.start();
    void this.pump.run();
    void this.timers.settle();
    this.follow();
  }

  /** Another tab goes on. */
  stop(): void {
    this.ended.abort();
    this.pump.stop();
    this.line.stop();
    this.locator.stop();
    this.awake.want(false);
  }

  get access(): Access {
    return accessOf(this.pairing, this.line.refusal ?? this.refusedCode ?? this.raiser.refusal, Date.now());
  }

  async start(destination: string | null, by: number | null, everyS: number | null): Promise<void> {
    void navigator.storage?.persist?.();
    await this.outbox.begin(destination);
    await this.timers.begin(uuid, by, everyS);
    this.follow();
  }

  async end(): Promise<void> {
    await this.outbox.end();
    await this.timers.arrive();
    this.follow();
  }

  async press(silent: boolean): Promise<void> {
    const { newest } = this.locator;
    const point: Fix | null = newest ?? (await this.lastPlace());
    await this.raiser.press(makePress(uuid(), Date.now(), silent, this.outbox.current?.journeyId ?? null, point));
    void this.sendLater();
    this.line.hurry();
    this.follow();
  }

  async cancel(sosId: string, pin: string): Promise<CancelResult> {
    const result = await this.raiser.cancel(sosId, pin);
    if (result === "wrong" && pin === "") await this.own.pinIsSet();
    return result;
  }

  /** Where this phone was last, for a text that is sent without us. */
  async lastPlace(): Promise<Fix | null> {
    if (this.locator.newest) return this.locator.newest;
    const kept = (await this.db.get("settings", "place")) as Fix | undefined;
    return kept ?? null;
  }

  /** For the service worker too, which sends when there is no page. */
  private async learn(raw: unknown): Promise<void> {
    this.safetyUrl = safetyUrlOf(raw);
    await this.db.put("settings", this.safetyUrl, SAFETY_URL).catch(() => undefined);
  }

  private async take(fix: Fix): Promise<void> {
    await this.outbox.record(fix);
    await this.db.put("settings", fix, "place").catch(() => undefined);
    this.pump.kick();
    this.changed();
  }

  private hurry(): void {
    this.line.hurry();
    this.pump.hurry();
    this.wakeSos();
    void this.timers.settle();
  }

  private up(): void {
    this.refusedCode = null;
    this.outbox.connected();
    this.pump.hurry();
    this.wakeSos();
    void this.raiser.ask();
    void this.timers.settle();
    void this.own.freshen();
  }

  private settled(): void {
    if (this.timers.pending) void this.timers.settle();
    this.follow();
  }

  /** The device follows what is under way: the place is watched while somebody drives or calls for help. */
  private follow(): void {
    const busy = this.outbox.current !== null || this.raiser.open;
    if (busy) this.locator.start();
    else this.locator.stop();
    this.awake.want(busy);
    this.pump.kick();
    this.changed();
  }

  private every(ms: number, act: () => void): void {
    const timer = window.setInterval(act, ms);
    this.ended.signal.addEventListener("abort", () => window.clearInterval(timer));
  }

  private pauseSos(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = window.setTimeout(resolve, ms);
      this.wakeSos = () => {
        window.clearTimeout(timer);
        resolve();
      };
    });
  }
}
