/**
 * The newest position of every driver of the watched vendors, and who is there.
 *
 * A snapshot is the whole truth of its feed at the moment it was asked for; what arrived as an event after that
 * moment is newer than it. Nothing here knows a map or a clock: `nowMs` is the server's time as the page knows it.
 */
import { ageMs, freshness, orderMs, type Freshness } from "../common/freshness";
import { isPlaced, type Fix, type JourneyNews, type PlacedPoint, type Presence, type Snapshot } from "../common/wire";

export interface Driver {
  id: string;
  feed: string;
  journey: string;
  point: PlacedPoint;
  seenMs: number;
  journeyEnded: boolean;
}

export interface Counts {
  drivers: number;
  fresh: number;
  silent: number;
}

export class Fleet {
  readonly drivers = new Map<string, Driver>();
  private readonly presence = new Map<string, Presence & { heardMs: number }>();

  /** Makes the feed as the snapshot says, save for what came in as an event since `askedMs`. Returns changed ids. */
  restore(snapshot: Snapshot, askedMs: number, nowMs: number): string[] {
    const named = new Set(snapshot.fixes.map((fix) => fix.driver));
    const gone: string[] = [];
    for (const driver of this.drivers.values()) {
      const older = driver.feed === snapshot.feed && driver.seenMs < askedMs;
      if (older && !named.has(driver.id)) gone.push(driver.id);
    }
    for (const id of gone) this.drivers.delete(id);
    for (const [driver, presence] of snapshot.presence) {
      if ((this.presence.get(driver)?.heardMs ?? 0) < askedMs) this.hear(driver, presence, askedMs);
    }
    return [...gone, ...this.accept(snapshot.feed, snapshot.fixes, nowMs)];
  }

  /** Takes positions of a feed; of two of a driver the newer stands. Returns the ids that changed. */
  accept(feed: string, fixes: readonly Fix[], nowMs: number): string[] {
    const changed: string[] = [];
    for (const { driver, journey, point } of fixes) {
      if (!isPlaced(point)) continue;
      const held = this.drivers.get(driver);
      if (held && !isNewer(point, journey, held, nowMs)) continue;
      const journeyEnded = held?.journey === journey && held.journeyEnded;
      this.drivers.set(driver, { id: driver, feed, journey, point, seenMs: nowMs, journeyEnded });
      changed.push(driver);
    }
    return changed;
  }

  hear(driver: string, presence: Presence, nowMs: number): void {
    this.presence.set(driver, { ...presence, heardMs: nowMs });
  }

  journey(news: JourneyNews): void {
    const driver = this.drivers.get(news.driver);
    if (driver?.journey === news.journey) driver.journeyEnded = news.state !== "started";
  }

  presenceOf(driver: string): Presence | null {
    return this.presence.get(driver) ?? null;
  }

  ageOf(driver: Driver, nowMs: number): number {
    return ageMs(nowMs, driver.point.tMs, driver.seenMs);
  }

  freshnessOf(driver: Driver, nowMs: number, staleAfterMs: number): Freshness {
    return freshness(this.ageOf(driver, nowMs), this.presence.get(driver.id)?.state ?? null, staleAfterMs);
  }

  counts(nowMs: number, staleAfterMs: number): Counts {
    let fresh = 0;
    for (const driver of this.drivers.values()) {
      if (this.freshnessOf(driver, nowMs, staleAfterMs) === "fresh") fresh += 1;
    }
    return { drivers: this.drivers.size, fresh, silent: this.drivers.size - fresh };
  }

  clear(): void {
    this.drivers.clear();
    this.presence.clear();
  }
}

function isNewer(point: PlacedPoint, journey: string, held: Driver, nowMs: number): boolean {
  const order = orderMs(point.tMs, nowMs) - orderMs(held.point.tMs, held.seenMs);
  if (order !== 0) return order > 0;
  return journey !== held.journey || point.seq > held.point.seq;
}
