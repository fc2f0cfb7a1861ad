/** Timers that call for help when somebody does not arrive, or does not check in: armed, answered, ended; offline too, later. */
import type { Json } from "../common/read";

export interface Timer {
  /** Made here, so that arming it twice is arming it once. */
  id: string;
  kind: "arrive_by" | "check_in";
  by: number | null;
  everyS: number | null;
  armed: boolean;
}

export interface Watch {
  timers: Timer[];
  /** When the next check-in is due, by this device's clock; null without one. */
  dueMs: number | null;
  /** Not told to the server yet. */
  checkIn: boolean;
  arrive: boolean;
}

export const NOTHING: Watch = { timers: [], dueMs: null, checkIn: false, arrive: false };

export interface TimerWays {
  /** Throws a Refusal. */
  post(path: string, body: Json): Promise<unknown>;
  journeyId(): string | null;
  save(watch: Watch): Promise<void>;
  now(): number;
  changed(): void;
}

interface Refused {
  code?: string;
  retryable?: boolean;
}

export class Timers {
  /** Why the server would not have a timer; null: it has them, or was not asked yet. */
  refusal: string | null = null;
  private busy = false;

  constructor(
    public watch: Watch,
    private readonly ways: TimerWays,
  ) {}

  /** What the server does not know yet. */
  get pending(): boolean {
    return this.watch.checkIn || this.watch.arrive || this.watch.timers.some((timer) => !timer.armed);
  }

  get everyS(): number | null {
    return this.watch.timers.find((timer) => timer.kind === "check_in")?.everyS ?? null;
  }

  get by(): number | null {
    return this.watch.timers.find((timer) => timer.kind === "arrive_by")?.by ?? null;
  }

  async begin(uuid: () => string, by: number | null, everyS: number | null): Promise<void> {
    const timers: Timer[] = [];
    if (by !== null) timers.push({ id: uuid(), kind: "arrive_by", by, everyS: null, armed: false });
    if (everyS !== null) timers.push({ id: uuid(), kind: "check_in", by: null, everyS, armed: false });
    const dueMs = everyS === null ? null : this.ways.now() + everyS * 1_000;
    this.refusal = null;
    await this.become({ timers, dueMs, checkIn: false, arrive: false });
    void this.settle();
  }

  async checkIn(): Promise<void> {
    const every = this.everyS;
    if (every === null) return;
    await this.become({ ...this.watch, checkIn: true, dueMs: this.ways.now() + every * 1_000 });
    void this.settle();
  }

  /** The journey is over: whoever was asked to worry need not. */
  async arrive(): Promise<void> {
    const armed = this.watch.timers.some((timer) => timer.armed);
    await this.become({ ...NOTHING, arrive: armed });
    void this.settle();
  }

  /** Tells the server what it does not know, as far as it can be told. */
  async settle(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      while (await this.step()) this.ways.changed();
    } finally {
      this.busy = false;
      this.ways.changed();
    }
  }

  private async step(): Promise<boolean> {
    const { watch } = this;
    if (watch.arrive) return this.tell("/api/v1/timers/arrive", {}, (now) => ({ ...now, arrive: false }));
    const timer = watch.timers.find((one) => !one.armed);
    const journeyId = this.ways.journeyId();
    if (timer && journeyId !== null) {
      const { id, kind, by, everyS } = timer;
      const body: Json = { kind, client_timer_id: id, journey_id: journeyId, ...(by === null ? {} : { by }), ...(everyS === null ? {} : { every_s: everyS }) };
      return this.tell("/api/v1/timers", body, (now) => ({ ...now, timers: now.timers.map((one) => (one.id === id ? { ...one, armed: true } : one)) }));
    }
    // Arming begins the interval anew: until then there is nothing to check in to.
    if (watch.checkIn && !timer) return this.tell("/api/v1/timers/check-in", {}, (now) => ({ ...now, checkIn: false }));
    return false;
  }

  private async tell(path: string, body: Json, done: (now: Watch) => Watch): Promise<boolean> {
    const before = this.watch;
    try {
      await this.ways.post(path, body);
    } catch (error) {
      const { code = "unknown", retryable = true } = error as Refused;
      if (!retryable) this.refusal = code;
      return false;
    }
    this.refusal = null;
    // A check-in or an end that came meanwhile is not undone by this answer.
    const overtaken = before !== this.watch && path.endsWith("check-in");
    if (!overtaken) await this.become(done(this.watch));
    return true;
  }

  private async become(watch: Watch): Promise<void> {
    this.watch = watch;
    await this.ways.save(watch).catch(() => undefined);
    this.ways.changed();
  }
}
