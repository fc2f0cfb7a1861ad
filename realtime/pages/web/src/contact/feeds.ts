/** The feeds of a contact's page. */
import type { Alert } from "../common/alertwire";
import { JourneyFeed, type JourneyListener } from "../common/journeyfeed";
import type { Feed } from "../common/session";
import type { Refusal, Snapshot } from "../common/wire";

/** A journey's feed that also tells what comes with the journey. */
export class TripFeed extends JourneyFeed {
  constructor(
    journey: string,
    listener: JourneyListener,
    private readonly told: (snapshot: Snapshot) => void,
  ) {
    super(journey, listener);
  }

  override snapshot(snapshot: Snapshot): void {
    super.snapshot(snapshot);
    this.told(snapshot);
  }
}

/** One alert: how it stands after a line that was down, closed or not. */
export class AlertFeed implements Feed {
  readonly name: string;

  constructor(
    readonly id: string,
    private readonly heard: (alert: Alert) => void,
    private readonly gone: (id: string, refusal: Refusal) => void,
  ) {
    this.name = `alert:${id}`;
  }

  request(): Record<string, unknown> {
    return { alert: this.id };
  }

  snapshot(snapshot: Snapshot): void {
    for (const alert of snapshot.alerts) this.heard(alert);
  }

  refused(refusal: Refusal): void {
    this.gone(this.id, refusal);
  }
}
