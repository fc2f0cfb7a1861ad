/**
 * What is known of every driver of the vendors looked at: the newest position, who is there, since when and why.
 *
 * Two sources feed it, and neither is trusted over the other but by age: events of the line, and the list that is asked for every few
 * seconds. Of two positions of a driver the newer stands, by the server's rule (realtime/live/precedence.py). No map and no clock here: `nowMs` is the server's time as the page knows it.
 */
import { ageMs, freshness, type Freshness } from "../common/freshness";
import { isObject, number, text } from "../common/read";
import { isPlaced, readPoint, readPresence, type Fix, type JourneyNews, type PlacedPoint, type Presence } from "../common/wire";

/** Two seqs of one journey that are further apart than this are not compared: see realtime/live/precedence.py. */
const SEQ_WINDOW = 2 ** 20;

export interface Driver {
  id: string;
  /** null until the list has said so: the line does not. */
  vendor: string | null;
  journey: string;
  /** null: connected, and has sent nothing yet. */
  point: PlacedPoint | null;
  /** When the position came to the server, as early as is known. */
  seenMs: number;
  journeyEnded: boolean;
  /** Whether some journey of the driver is open, as the server or the line said last; null: neither has. */
  underWay: boolean | null;
}

/** A row of `GET /api/v1/vendors/{vendor}/positions`. */
export interface Listed {
  driver: string;
  journey: string;
  point: PlacedPoint | null;
  receivedMs: number | null;
  presence: Presence | null;
  /** Whether the driver has an open journey; null where the server does not say. */
  underWay: boolean | null;
}

export class Fleet {
  readonly drivers = new Map<string, Driver>();
  private readonly presence = new Map<string, Presence & { heardMs: number }>();
  /** When the line last said that a journey of the driver began or ended. */
  private readonly journeyNews = new Map<string, number>();

  /** Takes positions of the line. Returns the ids that changed. */
  accept(fixes: readonly Fix[], nowMs: number): string[] {
    const changed: string[] = [];
    for (const { driver, journey, point } of fixes) {
      if (isPlaced(point) && this.place(driver, journey, point, nowMs)) changed.push(driver);
    }
    return changed;
  }

  /** Takes a page of a vendor's list that was asked for at `askedMs`. Returns the ids whose position changed. */
  take(vendor: string, rows: readonly Listed[], askedMs: number): string[] {
    const changed: string[] = [];
    for (const { driver, journey, point, receivedMs, presence, underWay } of rows) {
      if (point && this.place(driver, journey, point, receivedMs ?? askedMs)) changed.push(driver);
      let held = this.drivers.get(driver);
      if (!held) {
        held = { id: driver, vendor, journey, point: null, seenMs: askedMs, journeyEnded: false, underWay: null };
        this.drivers.set(driver, held);
      }
      held.vendor = vendor;
      // What the line has said since the list was asked for is newer.
      if (underWay !== null && (this.journeyNews.get(driver) ?? 0) < askedMs) held.underWay = underWay;
      if (presence && (this.presence.get(driver)?.heardMs ?? 0) < askedMs) this.hear(driver, presence, askedMs);
    }
    return changed;
  }

  /** Forgets drivers of a vendor that its whole list, asked for at `askedMs`, did not name. Returns them. */
  forgetUnlisted(vendor: string, named: ReadonlySet<string>, askedMs: number): string[] {
    return this.forget((driver) => driver.vendor === vendor && !named.has(driver.id) && driver.seenMs < askedMs);
  }

  /** Forgets everybody who is not of these vendors. Returns them. */
  keepVendors(vendors: readonly string[]): string[] {
    return this.forget((driver) => driver.vendor === null || !vendors.includes(driver.vendor));
  }

  hear(driver: string, presence: Presence, atMs: number): void {
    this.presence.set(driver, { ...presence, heardMs: atMs });
  }

  journey(news: JourneyNews, nowMs: number): void {
    const driver = this.drivers.get(news.driver);
    if (!driver) return;
    const ended = news.state !== "started";
    if (driver.journey === news.journey) driver.journeyEnded = ended;
    // The end of an older journey says nothing of a newer one.
    if (ended && driver.journey !== news.journey) return;
    driver.underWay = !ended;
    this.journeyNews.set(news.driver, nowMs);
  }

  presenceOf(driver: string): Presence | null {
    return this.presence.get(driver) ?? null;
  }

  /** The age of the position; null when there is none. */
  ageOf(driver: Driver, nowMs: number): number | null {
    return driver.point && ageMs(nowMs, driver.point.tMs, driver.seenMs);
  }

  freshnessOf(driver: Driver, nowMs: number, staleAfterMs: number): Freshness {
    const age = this.ageOf(driver, nowMs) ?? Infinity;
    return freshness(age, this.presence.get(driver.id)?.state ?? null, staleAfterMs);
  }

  private place(id: string, journey: string, point: PlacedPoint, seenMs: number): boolean {
    const held = this.drivers.get(id);
    if (held?.point) {
      const same = held.journey === journey && held.point.seq === point.seq && held.point.tMs === point.tMs;
      if (same) held.seenMs = Math.min(held.seenMs, seenMs);
      if (same || !isNewer(point, journey, seenMs, held, held.point)) return false;
    }
    const journeyEnded = held?.journey === journey && held.journeyEnded;
    // A position of another journey than the one that ended: the driver is under way again.
    const underWay = held && held.journey !== journey && held.underWay === false ? null : (held?.underWay ?? null);
    if (held) Object.assign(held, { journey, point, seenMs, journeyEnded, underWay });
    else this.drivers.set(id, { id, vendor: null, journey, point, seenMs, journeyEnded, underWay });
    return true;
  }

  private forget(unwanted: (driver: Driver) => boolean): string[] {
    const gone = [...this.drivers.values()].filter(unwanted).map((driver) => driver.id);
    for (const id of gone) {
      this.drivers.delete(id);
      this.presence.delete(id);
      this.journeyNews.delete(id);
    }
    return gone;
  }
}

/**
 * There are three cases: 1. of one journey the higher seq is newer, whatever the clocks say, unless the two are further apart than the queue
 * of any phone: one of them is wrong then; 2. of two journeys one that is open goes before
 * one that has ended; 3. else what came later. The place of an alert has no seq (0).
 */
function isNewer(point: PlacedPoint, journey: string, seenMs: number, held: Driver, known: PlacedPoint): boolean {
  const apart = journey === held.journey && point.seq > 0 && known.seq > 0 ? point.seq - known.seq : 0;
  if (apart !== 0 && Math.abs(apart) <= SEQ_WINDOW) return apart > 0;
  if (journey !== held.journey && held.journeyEnded && point.seq > 0) return true;
  return seenMs > held.seenMs || (seenMs === held.seenMs && journey !== held.journey);
}

/** The rows of a page; what has another shape is left out. */
export function readListed(raw: unknown): Listed[] {
  if (!Array.isArray(raw)) return [];
  const rows: Listed[] = [];
  for (const entry of raw) {
    const driver = isObject(entry) ? text(entry["driver"]) : null;
    if (!isObject(entry) || driver === null) continue;
    const point = readPoint(entry["point"]);
    rows.push({
      driver,
      journey: text(entry["journey_id"]) ?? "",
      point: point && isPlaced(point) ? point : null,
      receivedMs: number(entry["received_ms"]),
      presence: readPresence(entry["presence"]),
      underWay: typeof entry["journey_open"] === "boolean" ? entry["journey_open"] : null,
    });
  }
  return rows;
}
