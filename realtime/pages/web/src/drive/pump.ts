/** Drives the outbox: asks one thing at a time, by the socket or, while that is down, by HTTP; waits as it is told to. */
import { retryDelayMs } from "../common/backoff";
import type { Json } from "../common/read";
import type { Ask, Outbox, Verdict } from "./outbox";

export interface Ways {
  /** Whether the socket takes events now. */
  live(): boolean;
  /** The answer, or null when none came in time. */
  bySocket(event: string, payload: Json): Promise<unknown>;
  /** The answer to a batch of positions by HTTP, or null. */
  byHttp(payload: Json): Promise<unknown>;
  reconnect(): void;
  refused(code: string): void;
  stuck(code: string | null): void;
  /** Something was settled: what is shown may be old. */
  changed(): void;
  random(): number;
}

/** While the socket is down, HTTP is tried this often. */
export const BY_HTTP_MS = 5_000;
/** After a fault of the device itself (its storage, most likely) the next try comes so late. */
export const FAULT_MS = 5_000;
/** What is refused for good is tried again all the same: somebody may have mended it. */
export const STUCK_MS = 60_000;

export class Pump {
  private stopped = false;
  private failures = 0;
  private wake: () => void = () => undefined;
  private notBeforeMs = 0;

  constructor(
    private readonly outbox: Outbox,
    private readonly ways: Ways,
    private readonly now: () => number = () => Date.now(),
  ) {}

  /** Something is new: a point, a connection. */
  kick(): void {
    this.wake();
  }

  /** A connection is new, or the network is back: what was to be waited for counts no more. */
  hurry(): void {
    this.notBeforeMs = 0;
    this.failures = 0;
    this.kick();
  }

  stop(): void {
    this.stopped = true;
    this.kick();
  }

  async run(): Promise<void> {
    while (!this.stopped) {
      try {
        await this.turn();
      } catch {
        // The points are on the device still: an end here would keep them there until the page is opened again.
        if (!this.stopped) await this.rest(FAULT_MS);
      }
    }
  }

  private async turn(): Promise<void> {
    const waitMs = this.notBeforeMs - this.now();
    const byHttp = !this.ways.live();
    const ask = waitMs > 0 ? null : await this.outbox.next(byHttp);
    if (this.stopped) return;
    if (ask) await this.step(ask, byHttp);
    else await this.rest(waitMs > 0 ? waitMs : byHttp ? BY_HTTP_MS : null);
  }

  private async step(ask: Ask, byHttp: boolean): Promise<void> {
    const answer = await (byHttp ? this.ways.byHttp(ask.payload) : this.ways.bySocket(ask.event, ask.payload)).catch(() => null);
    if (this.stopped) return;
    const verdict = await this.outbox.heard(ask, answer);
    this.follow(verdict, byHttp);
    this.ways.changed();
  }

  private follow(verdict: Verdict, byHttp: boolean): void {
    if (verdict.do === "go") {
      this.failures = 0;
      return this.ways.stuck(null);
    }
    const delayMs = retryDelayMs(this.failures++, this.ways.random(), verdict.do === "wait" ? verdict.afterS : null);
    this.notBeforeMs = this.now() + (byHttp ? Math.max(BY_HTTP_MS, delayMs) : delayMs);
    if (verdict.do === "reconnect" && !byHttp) this.ways.reconnect();
    if (verdict.do === "refused" || verdict.do === "stuck") this.notBeforeMs = this.now() + STUCK_MS;
    if (verdict.do === "refused") this.ways.refused(verdict.code);
    if (verdict.do === "stuck") this.ways.stuck(verdict.code);
  }

  private rest(ms: number | null): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === null ? 0 : setTimeout(resolve, ms);
      this.wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
