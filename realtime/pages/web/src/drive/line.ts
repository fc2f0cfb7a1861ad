/**
 * The driver's socket: one at a time, made anew at every attempt. It says when it is up, carries requests, and comes back by
 * itself: in seconds, with jitter, at once when there is reason to.
 */
import { io, type Socket } from "socket.io-client";

import { drainDelayMs, retryDelayMs } from "../common/backoff";
import { isObject, type Json } from "../common/read";
import { readRefusal, type Refusal } from "../common/wire";

export type LineState = "connecting" | "live" | "offline" | "refused";

export interface LineEvents {
  changed(): void;
  /** A connection was made; `limited`: for an SOS alone. */
  up(): void;
  sos(view: unknown): void;
  /** The server says where an SOS is sent first. */
  safety(news: unknown): void;
}

const OPEN_TIMEOUT_MS = 12_000;
const ACK_TIMEOUT_MS = 15_000;
/** Who is refused for good looks again this seldom: an operator may have mended it. */
const REFUSED_RETRY_MS = 60_000;

export class DriverLine {
  state: LineState = "connecting";
  /** Why nobody lets us in, or lets us in for an SOS alone; null when all is well. */
  refusal: string | null = null;
  /** Let in for an SOS alone. */
  limited = false;
  connections = 0;
  private socket: Socket | null = null;
  private attempt = 0;
  private retryTimer = 0;
  private drainTimer = 0;
  private stopped = false;

  constructor(
    private readonly token: string,
    /** Whether an SOS is open: then we are let in by less. */
    private readonly crying: () => boolean,
    private readonly events: LineEvents,
  ) {}

  start(): void {
    this.open();
  }

  stop(): void {
    this.stopped = true;
    this.drop();
  }

  /** Whether positions may be sent. */
  get live(): boolean {
    return this.state === "live" && !this.limited;
  }

  /** There is reason to be connected now: the network is back, somebody looks, an SOS was pressed. */
  hurry(): void {
    if (this.stopped || this.state === "live" || (this.state === "connecting" && this.attempt === 0)) return;
    this.attempt = 0;
    this.open();
  }

  /** The connection is dead, or as good as. */
  reconnect(): void {
    if (this.state === "live") this.lost(null);
  }

  /** The answer, or null when none came in time: then the connection is taken for dead by whoever asked. */
  async ask(event: string, payload: Json, timeoutMs = ACK_TIMEOUT_MS): Promise<unknown> {
    const socket = this.socket;
    if (!socket || this.state !== "live") return null;
    try {
      return await socket.timeout(timeoutMs).emitWithAck(event, payload);
    } catch {
      return null;
    }
  }

  private open(): void {
    if (this.stopped) return;
    this.drop();
    this.become("connecting");
    const socket = io("/driver", {
      path: "/socket.io/",
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      reconnection: false,
      forceNew: true,
      timeout: OPEN_TIMEOUT_MS,
      auth: this.crying() ? { token: this.token, sos: true } : { token: this.token },
    });
    this.socket = socket;
    const guard = window.setTimeout(() => socket === this.socket && this.state !== "live" && this.lost(null), OPEN_TIMEOUT_MS + 4_000);
    const mine = (act: (raw?: unknown) => void) => (raw?: unknown) => socket === this.socket && act(raw);
    socket.on("connect", mine(() => this.up(guard)));
    socket.on("connect_error", mine((error) => {
      const data = (error as { data?: unknown }).data;
      this.lost(isObject(data) ? readRefusal(data) : null);
    }));
    socket.on("disconnect", mine(() => this.lost(null)));
    socket.on("closing", mine((error) => this.lost(readRefusal(error))));
    socket.on("sos:only", mine((error) => {
      this.limited = true;
      this.refusal = readRefusal(error).code;
      this.events.changed();
    }));
    socket.on("sos:update", mine((view) => this.events.sos(view)));
    socket.on("safety", mine((news) => this.events.safety(news)));
    socket.on("drain", mine((news) => this.drain(isObject(news) ? news : {})));
  }

  private up(guard: number): void {
    window.clearTimeout(guard);
    this.attempt = 0;
    this.connections++;
    // What it is limited by may have been said before the connection was.
    if (!this.limited) this.refusal = null;
    this.become("live");
    this.events.up();
  }

  private drain(news: Json): void {
    window.clearTimeout(this.drainTimer);
    this.drainTimer = window.setTimeout(() => this.open(), drainDelayMs(news["after_ms"], news["spread_ms"], Math.random()));
  }

  private lost(refusal: Refusal | null): void {
    this.drop();
    const final = refusal !== null && !refusal.retryable;
    if (final) this.refusal = refusal.code;
    this.become(final ? "refused" : "offline");
    const delayMs = final && !this.crying() ? REFUSED_RETRY_MS : retryDelayMs(this.attempt++, Math.random(), refusal?.retryAfterS ?? null);
    this.retryTimer = window.setTimeout(() => this.open(), delayMs);
  }

  private drop(): void {
    window.clearTimeout(this.retryTimer);
    window.clearTimeout(this.drainTimer);
    const socket = this.socket;
    this.socket = null;
    this.limited = false;
    socket?.removeAllListeners();
    socket?.disconnect();
  }

  private become(state: LineState): void {
    this.state = state;
    this.events.changed();
  }
}
