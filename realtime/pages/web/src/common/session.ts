/**
 * The line to the server: connects, says who we are, watches the feeds the page wants, and starts over whenever
 * in doubt. One socket at a time; every attempt is a new one, so that nothing of an old one can speak.
 *
 *   connecting ──whoami and every watch answered──▶ live ──lost, drained, silent──▶ offline ──back-off──▶ connecting
 *        └──────────── refused for good (expired, revoked, forbidden) ────────────▶ refused
 */
import { io, type Socket } from "socket.io-client";

import { readAlert, type Alert } from "./alertwire";
import { drainDelayMs, retryDelayMs } from "./backoff";
import {
  isObject,
  isRefusal,
  readFixes,
  readIdentity,
  readJourneyNews,
  readIds,
  readPresence,
  readRefusal,
  readSnapshot,
  type Fix,
  type Identity,
  type JourneyNews,
  type Presence,
  type Refusal,
  type Snapshot,
} from "./wire";

export type LinkState =
  | { kind: "connecting" }
  | { kind: "live" }
  | { kind: "offline" }
  | { kind: "refused"; refusal: Refusal };

/** Something to watch. `request` is asked for anew at every watch, so that a journey can say how far it has got. */
export interface Feed {
  name: string;
  request(): Record<string, unknown>;
  snapshot(snapshot: Snapshot, askedMs: number): void;
  refused(refusal: Refusal): void;
}

export interface Handlers {
  state(state: LinkState): void;
  identified(identity: Identity): void;
  /** `left`: of an area feed, the drivers that are not in it any more. */
  positions(feed: string, fixes: Fix[], left: string[]): void;
  presence(feed: string, driver: string, presence: Presence): void;
  journey(feed: string, news: JourneyNews): void;
  /** An alert was raised or has changed; it may come before the answer of `watch`, and once a feed. */
  alert?(feed: string, alert: Alert): void;
  /** How many drivers are in each cell of an area seen from far away, as it came. */
  counts?(feed: string, raw: unknown): void;
  /** A feed was answered with what is true now; told before the feed itself hears it. */
  answered?(feed: string, snapshot: Snapshot): void;
}

const OPEN_TIMEOUT_MS = 12_000;
const CONNECT_TIMEOUT_MS = 16_000;
const ACK_TIMEOUT_MS = 10_000;
/** With nothing heard for this long the line is asked whether it still lives. */
const SILENCE_MS = 15_000;

/** A feed is asked for anew at most this often, however often there is a reason to. */
const REWATCH_MS = 500;

interface Watched {
  feed: Feed;
  answered: boolean;
  asking: boolean;
  again: boolean;
  askedAtMs: number;
}

export class Session {
  state: LinkState = { kind: "connecting" };
  /** When the server was last heard, by the local clock; null before the first time. */
  lastHeardMs: number | null = null;
  /** How often a connection was made. */
  connections = 0;
  /** Why the last connection ended or watch was refused; for a human who looks. */
  lastLoss = "";
  private socket: Socket | null = null;
  private attempt = 0;
  private clockOffsetMs = 0;
  private identified = false;
  private closing: Refusal | null = null;
  private stopped = false;
  private readonly watched = new Map<string, Watched>();
  private retryTimer = 0;
  private guardTimer = 0;
  private drainTimer = 0;

  constructor(
    private readonly auth: Record<string, unknown>,
    private readonly handlers: Handlers,
  ) {}

  /** The server's time, as well as we know it. */
  now(): number {
    return Date.now() + this.clockOffsetMs;
  }

  /** Which instance answers: a connection's id begins with its name. Null while there is no connection. */
  get instance(): string | null {
    const id = this.identified ? this.socket?.io.engine?.id : undefined;
    return typeof id === "string" && id.includes(".") ? id.slice(0, id.indexOf(".")) : null;
  }

  start(): void {
    window.addEventListener("online", () => this.hurry());
    window.addEventListener("pageshow", () => this.hurry());
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState === "visible") this.hurry();
    });
    window.setInterval(() => this.checkSilence(SILENCE_MS), 3_000);
    this.open();
  }

  watch(feed: Feed): void {
    this.watched.set(feed.name, { feed, answered: false, asking: false, again: false, askedAtMs: 0 });
    if (this.identified) this.ask(feed.name);
  }

  unwatch(name: string): void {
    if (this.watched.delete(name) && this.identified) this.socket?.emit("unwatch", { feed: name });
  }

  /** Asks for a feed anew: a gap was seen, or the server said so. */
  rewatch(name: string): void {
    const watched = this.watched.get(name);
    if (!watched || !this.identified) return;
    if (watched.asking || watched.again) {
      watched.again = true;
      return;
    }
    watched.again = true;
    const socket = this.socket;
    const wait = Math.max(0, watched.askedAtMs + REWATCH_MS - Date.now());
    window.setTimeout(() => socket === this.socket && this.watched.get(name) === watched && this.ask(name), wait);
  }

  /** Asks the server for something that is no feed. Throws the Refusal; a line that is not up is `unavailable`. */
  async request(event: string, payload: Record<string, unknown>): Promise<Record<string, unknown>> {
    const away: Refusal = { code: "unavailable", message: "not connected", retryable: true, retryAfterS: null };
    const socket = this.socket;
    if (!socket || !this.identified) throw away;
    let answer: unknown;
    try {
      answer = await socket.timeout(ACK_TIMEOUT_MS).emitWithAck(event, payload);
    } catch {
      throw away;
    }
    this.heard();
    if (!isObject(answer) || answer["ok"] !== true) throw readRefusal(isObject(answer) ? answer["error"] : null);
    return answer;
  }

  /** Ends the line for good. */
  stop(): void {
    this.stopped = true;
    window.clearTimeout(this.retryTimer);
    this.drop();
  }

  private open(): void {
    if (this.stopped) return;
    window.clearTimeout(this.retryTimer);
    this.drop();
    this.become({ kind: "connecting" });
    this.closing = null;
    const socket = io("/watch", {
      path: "/socket.io/",
      transports: ["websocket", "polling"],
      tryAllTransports: true,
      reconnection: false,
      forceNew: true,
      timeout: OPEN_TIMEOUT_MS,
      auth: this.auth,
    });
    this.socket = socket;
    this.guardTimer = window.setTimeout(() => this.lost("not connected in time"), CONNECT_TIMEOUT_MS);
    socket.on("connect", () => void this.greet(socket));
    socket.on("connect_error", (error: Error & { data?: unknown }) => {
      if (isObject(error.data)) this.refusedOrLost(readRefusal(error.data));
      else this.lost(error.message);
    });
    socket.on("disconnect", (reason) => (this.closing ? this.refusedOrLost(this.closing) : this.lost(reason)));
    socket.io.on("ping", () => this.heard());
    this.listen(socket);
  }

  private listen(socket: Socket): void {
    const on = (event: string, act: (...args: unknown[]) => void): void => {
      socket.on(event, (...args: unknown[]) => {
        this.heard();
        act(...args);
      });
    };
    on("positions", (feed, list, left) => {
      if (typeof feed !== "string") return;
      this.handlers.positions(feed, readFixes(list), readIds(left));
    });
    on("counts", (feed, raw) => {
      if (typeof feed === "string") this.handlers.counts?.(feed, raw);
    });
    on("alert", (feed, raw) => {
      const alert = readAlert(raw);
      if (typeof feed === "string" && alert) this.handlers.alert?.(feed, alert);
    });
    on("presence", (feed, raw) => {
      const presence = readPresence(raw);
      if (typeof feed === "string" && presence && isObject(raw) && typeof raw["driver"] === "string") {
        this.handlers.presence(feed, raw["driver"], presence);
      }
    });
    on("journey", (feed, raw) => {
      const news = readJourneyNews(raw);
      if (typeof feed === "string" && news) this.handlers.journey(feed, news);
    });
    on("reset", (raw) => {
      if (isObject(raw) && typeof raw["feed"] === "string") this.rewatch(raw["feed"]);
    });
    // What the link shows has changed: the driver is on another journey.
    on("share", () => {
      this.whoami(socket).then(
        (identity) => socket === this.socket && this.handlers.identified(identity),
        (error: unknown) => socket === this.socket && this.failed(error),
      );
    });
    on("closing", (raw) => {
      this.closing = readRefusal(raw);
      if (!this.closing.retryable) this.refusedOrLost(this.closing);
    });
    on("drain", (raw) => {
      const { after_ms, spread_ms } = isObject(raw) ? raw : {};
      window.clearTimeout(this.drainTimer);
      this.drainTimer = window.setTimeout(() => this.open(), drainDelayMs(after_ms, spread_ms, Math.random()));
    });
  }

  private async greet(socket: Socket): Promise<void> {
    this.connections += 1;
    this.heard();
    try {
      const identity = await this.whoami(socket);
      if (socket !== this.socket) return;
      window.clearTimeout(this.guardTimer);
      this.handlers.identified(identity); // may add feeds; all are asked for below, once
      this.identified = true;
      for (const [name, watched] of this.watched) {
        watched.answered = false;
        this.ask(name);
      }
      this.settle();
    } catch (error) {
      if (socket === this.socket) this.failed(error);
    }
  }

  private async whoami(socket: Socket): Promise<Identity> {
    const asked = Date.now();
    const identity = readIdentity(await socket.timeout(ACK_TIMEOUT_MS).emitWithAck("whoami"));
    const answered = Date.now();
    this.clockOffsetMs = identity.nowMs - (asked + answered) / 2;
    this.heard();
    return identity;
  }

  private ask(name: string): void {
    const socket = this.socket;
    const watched = this.watched.get(name);
    if (!socket || !watched) return;
    watched.asking = true;
    watched.again = false;
    watched.askedAtMs = Date.now();
    const askedMs = this.now();
    const stillWanted = (): boolean => socket === this.socket && this.watched.get(name) === watched;
    socket
      .timeout(ACK_TIMEOUT_MS)
      .emitWithAck("watch", { feed: watched.feed.request() })
      .then((answer: unknown) => {
        if (!stillWanted()) return;
        const snapshot = readSnapshot(answer);
        this.heard();
        watched.answered = true;
        watched.asking = false;
        this.handlers.answered?.(name, snapshot);
        watched.feed.snapshot(snapshot, askedMs);
        if (watched.again) {
          watched.again = false;
          this.rewatch(name);
        }
        this.settle();
      })
      .catch((error: unknown) => {
        if (!stillWanted()) return;
        watched.asking = false;
        this.feedFailed(watched, error);
      });
  }

  private feedFailed(watched: Watched, error: unknown): void {
    if (!isRefusal(error)) return this.lost(String(error));
    this.lastLoss = `${watched.feed.name} ${error.code}`;
    if (error.retryable) {
      const delay = retryDelayMs(this.attempt++, Math.random(), error.retryAfterS);
      const socket = this.socket;
      window.setTimeout(() => socket === this.socket && this.rewatch(watched.feed.name), delay);
      return;
    }
    this.watched.delete(watched.feed.name);
    watched.feed.refused(error);
    this.settle();
  }

  private settle(): void {
    if (!this.identified || ![...this.watched.values()].every((w) => w.answered)) return;
    this.attempt = 0;
    this.become({ kind: "live" });
  }

  private failed(error: unknown): void {
    if (isRefusal(error)) this.refusedOrLost(error);
    else this.lost(String(error));
  }

  private refusedOrLost(refusal: Refusal): void {
    if (refusal.retryable) return this.lost(refusal.code, refusal.retryAfterS);
    this.drop();
    this.become({ kind: "refused", refusal });
  }

  private lost(why: string, retryAfterS: number | null = null): void {
    this.lastLoss = why;
    this.drop();
    this.become({ kind: "offline" });
    window.clearTimeout(this.retryTimer);
    const delay = retryDelayMs(this.attempt++, Math.random(), retryAfterS);
    this.retryTimer = window.setTimeout(() => this.open(), delay);
  }

  private drop(): void {
    window.clearTimeout(this.guardTimer);
    window.clearTimeout(this.drainTimer);
    const socket = this.socket;
    this.socket = null;
    this.identified = false;
    for (const watched of this.watched.values()) watched.asking = watched.again = false;
    socket?.removeAllListeners();
    socket?.disconnect();
  }

  /** Comes back from sleep or from no network: try now, or ask the line whether it lives. */
  private hurry(): void {
    if (this.state.kind === "offline") this.open();
    else this.checkSilence(2_000);
  }

  private checkSilence(longestMs: number): void {
    const socket = this.socket;
    if (!socket || !this.identified || this.lastHeardMs === null) return;
    if (Date.now() - this.lastHeardMs < longestMs) return;
    this.whoami(socket).catch((error: unknown) => {
      if (socket === this.socket) this.failed(error);
    });
  }

  private heard(): void {
    this.lastHeardMs = Date.now();
  }

  private become(state: LinkState): void {
    this.state = state;
    this.handlers.state(state);
  }
}
