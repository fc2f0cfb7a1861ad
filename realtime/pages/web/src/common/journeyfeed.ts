/** A journey as a feed: keeps its log, asks for what comes after what it holds, and says when it grew. */
import { JourneyLog } from "./journeylog";
import type { Feed } from "./session";
import type { Fix, Point, Presence, Refusal, Snapshot } from "./wire";

export interface JourneyListener {
  grew(points: Point[], driver: string | null): void;
  heard(presence: Presence): void;
  gap(): void;
  /** Whether it was over already when it was watched. */
  ended(ended: boolean): void;
  /** What was held does not fit what the server has (it was restored, say): the log begins anew. */
  startedOver(): void;
  refused(refusal: Refusal): void;
}

export class JourneyFeed implements Feed {
  readonly name: string;
  log = new JourneyLog();
  driver: string | null = null;

  constructor(
    readonly journey: string,
    private readonly listener: JourneyListener,
  ) {
    this.name = `journey:${journey}`;
  }

  request(): Record<string, unknown> {
    const since = this.log.through;
    return since > 0 ? { journey: this.journey, since_seq: since } : { journey: this.journey };
  }

  snapshot(snapshot: Snapshot): void {
    if (snapshot.journey) {
      this.driver = snapshot.journey.driver ?? this.driver;
      this.listener.ended(snapshot.journey.ended);
    }
    this.tell(snapshot.fixes, this.log.restore(points(snapshot.fixes), snapshot.through));
    const [only] = snapshot.presence.size === 1 ? snapshot.presence.values() : [];
    const presence = this.driver === null ? only : snapshot.presence.get(this.driver);
    if (presence) this.listener.heard(presence);
  }

  positions(fixes: readonly Fix[]): void {
    this.tell(fixes, this.log.accept(points(fixes)));
  }

  refused(refusal: Refusal): void {
    if (refusal.code !== "invalid" || this.log.through === 0) return this.listener.refused(refusal);
    this.log = new JourneyLog();
    this.listener.startedOver();
  }

  private tell(fixes: readonly Fix[], taken: Point[]): void {
    this.driver = fixes[fixes.length - 1]?.driver ?? this.driver;
    if (taken.length) this.listener.grew(taken, this.driver);
    if (this.log.hasGap) this.listener.gap();
  }
}

const points = (fixes: readonly Fix[]): Point[] => fixes.map((fix) => fix.point);
