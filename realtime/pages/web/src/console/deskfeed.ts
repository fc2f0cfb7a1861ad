/**
 * Keeps `context.alerts` true: events as they come, what every snapshot lists, and as a net under both what the HTTP API
 * lists every few seconds, which works with the line down too.
 */
import { isOpen, readAlert, readAlerts, type Alert } from "../common/alertwire";
import { text } from "../common/read";
import { isRefusal, type Refusal, type Snapshot } from "../common/wire";
import type { Context } from "./context";
import { merged, pruned, unheardOf } from "./deskbook";

export const AREA = "area";
const POLL_MS = 12_000;
const PAGES = 10;
const OPEN_STATES = ["pending", "active", "acknowledged"] as const;
/** Somewhere at sea where nobody drives: an area without a map, for the alerts that come with every area. */
const NOWHERE = { bbox: [[-60.001, -140.001], [-60, -140]], zoom: 16 };
/** Refusals that end the session, whoever hears them. */
const ENDED = new Set(["unauthenticated", "token_expired", "revoked"]);

export class DeskFeed {
  /** When the server last listed all that is open, by the local clock; null before the first time. */
  listedMs: number | null = null;
  private timer = 0;
  private polling = false;
  private again = false;
  private ownArea = false;
  private wasLive = false;

  /** `ended`: what to do when the server says that the session is over. */
  constructor(
    private readonly context: Context,
    private readonly ended: (refusal: Refusal) => void,
  ) {}

  start(): void {
    this.context.hear({
      alert: (_feed, alert) => this.take([alert]),
      answered: (feed, snapshot) => this.answered(feed, snapshot),
      state: ({ kind }) => {
        if (kind === "live" && !this.wasLive) this.hurry();
        this.wasLive = kind === "live";
      },
    });
    const changed = (): void => this.ownArea ? this.context.session.rewatch(AREA) : undefined;
    this.context.vendors.listen(changed);
    this.context.allVendors.listen(changed);
    this.keepArea();
    void this.poll();
  }

  /** Watches an area for the alerts alone, while no map does. */
  keepArea(): void {
    this.ownArea = true;
    const { session, vendors, allVendors } = this.context;
    session.watch({
      name: AREA,
      request: () => ({ area: allVendors.get() || !vendors.get().length ? NOWHERE : { ...NOWHERE, vendors: vendors.get() } }),
      snapshot: () => undefined,
      refused: () => undefined, // the net holds
    });
  }

  /** A map is about to watch its own area; whatever it sees of it is then new to it. */
  lendArea(): void {
    this.ownArea = false;
    this.context.session.unwatch(AREA);
  }

  take(alerts: Iterable<Alert>): void {
    this.context.alerts.set(merged(this.context.alerts.get(), alerts));
  }

  prune(nowMs: number): void {
    this.context.alerts.set(pruned(this.context.alerts.get(), nowMs));
  }

  /** Asks for everything that is open, now. */
  hurry(): void {
    if (this.polling) this.again = true;
    else void this.poll();
  }

  private answered(feed: string, { alerts }: Snapshot): void {
    const before = this.context.alerts.get();
    this.take(alerts);
    const { vendors, allVendors } = this.context;
    // Any other feed lists but a part of what is open.
    if (feed === AREA && this.context.session.state.kind !== "refused") {
      void this.lookUp(unheardOf(before, alerts, allVendors.get() ? null : vendors.get()));
    }
  }

  private async poll(): Promise<void> {
    window.clearTimeout(this.timer);
    this.polling = true;
    this.again = false;
    const before = this.context.alerts.get();
    try {
      const open: Alert[] = [];
      for (const state of OPEN_STATES) open.push(...(await this.list(state)));
      this.take(open);
      this.listedMs = Date.now();
      await this.lookUp(unheardOf(before, open, null));
    } catch (error) {
      this.failed(error);
    } finally {
      this.polling = false;
      this.timer = window.setTimeout(() => void this.poll(), this.again ? 500 : POLL_MS * (0.85 + 0.3 * Math.random()));
    }
  }

  private async list(state: string): Promise<Alert[]> {
    const found: Alert[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < PAGES; page += 1) {
      const next: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const answer = await this.context.api.get(`/api/v1/alerts?state=${state}&limit=500${next}`);
      found.push(...readAlerts(answer["alerts"]));
      cursor = text(answer["next_cursor"]);
      if (cursor === null) break;
    }
    return found;
  }

  /** What has become of alerts that nobody lists as open any more. */
  private async lookUp(ids: readonly string[]): Promise<void> {
    for (const id of ids) {
      try {
        const answer = await this.context.api.get(`/api/v1/alerts/${encodeURIComponent(id)}?limit=1`);
        const alert = readAlert(answer["alert"]);
        if (alert) this.take([alert]);
      } catch (error) {
        if (isRefusal(error) && error.code === "not_found") this.forget(id);
        else this.failed(error);
      }
    }
  }

  private forget(id: string): void {
    const left = new Map(this.context.alerts.get());
    if (left.delete(id)) this.context.alerts.set(left);
  }

  private failed(error: unknown): void {
    if (!isRefusal(error)) throw error;
    if (ENDED.has(error.code)) this.ended(error);
  }
}

/** Whether an alert may still be worth asking about: its messages go on for a while after its end. */
export function stillMoves(alert: Alert, nowMs: number): boolean {
  return isOpen(alert) || nowMs - (alert.closedMs ?? 0) < 5 * 60_000;
}
