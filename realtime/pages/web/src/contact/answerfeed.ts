/** Where the driver of an alert is now, for the holder of an answer link: what the page was told, and the journey's feed. */
import { Session } from "../common/session";
import type { PlacedPoint } from "../common/wire";
import type { Told } from "./answer";
import { TripFeed } from "./feeds";

export class AnswerFeed {
  private session: Session | null = null;
  private token = "";
  private feed: TripFeed | null = null;
  private point: PlacedPoint | null = null;

  constructor(private readonly changed: () => void) {}

  nowMs(): number {
    return this.session?.now() ?? Date.now();
  }

  /**
   * The newer of what the page was told and what the feed says; null without a place. The place of the alert, if its age is unknown: the server has
   * chosen it among all, the feed's point included.
   */
  spot({ view }: Told): PlacedPoint | null {
    const { point } = this;
    if (view.lat === null || view.lon === null) return point;
    if (point && view.place_ms !== null && point.tMs >= view.place_ms) return point;
    return { seq: 0, tMs: view.place_ms ?? 0, lat: view.lat, lon: view.lon, speedMps: null, headingDeg: null, accuracyM: view.accuracy_m, batteryPct: null };
  }

  /** Follows the alert of a link; one that is over, or no good, is left. */
  follow(told: Told | null): void {
    const token = told && !told.view.closed ? told.token : "";
    if (token === this.token) return;
    this.token = token;
    this.session?.stop();
    this.session = this.feed = null;
    if (told === null) this.point = null;
    if (token) this.open(token);
  }

  private open(answer: string): void {
    const session = new Session({ answer }, {
      state: () => this.changed(),
      identified: ({ journeyId }) => {
        if (journeyId !== null && journeyId !== this.feed?.journey) this.watch(journeyId);
      },
      positions: (feed, fixes) => {
        if (feed === this.feed?.name) this.feed.positions(fixes);
      },
      presence: () => undefined,
      journey: () => undefined,
    });
    this.session = session;
    session.start();
  }

  private watch(journey: string): void {
    if (this.feed) this.session?.unwatch(this.feed.name);
    const feed: TripFeed = new TripFeed(
      journey,
      {
        grew: () => this.grew(feed),
        heard: () => undefined,
        gap: () => this.session?.rewatch(feed.name),
        ended: () => undefined,
        startedOver: () => this.session?.watch(feed),
        refused: () => undefined,
      },
      () => this.changed(),
    );
    this.feed = feed;
    this.session?.watch(feed);
  }

  private grew(feed: TripFeed): void {
    const last = feed.log.placed[feed.log.placed.length - 1];
    if (!last || feed !== this.feed) return;
    this.point = last;
    this.changed();
  }
}
