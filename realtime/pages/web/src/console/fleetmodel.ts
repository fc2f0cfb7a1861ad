/** What the map, the list and the driver's panel have in common: the fleet, who is on the map, and how each is doing now. */
import { AreaBoard } from "./area";
import type { Context } from "./context";
import { Fleet, type Driver } from "./fleet";
import { urgencyOf, type Row } from "./fleetlist";
import { isOpen, type Alert } from "../common/alertwire";
import { seenThrough, type Freshness } from "../common/freshness";
import type { Fix } from "../common/wire";

/** What hears of changes; `ids` are those whose position is new, or who came or went. */
export type Moved = (ids: readonly string[]) => void;

/** A place of unknown age counts as so much older than the press, like at the server: it is never the newest. */
const UNKNOWN_AGE_MS = 3_600_000;

export class FleetModel {
  readonly fleet = new Fleet();
  readonly board = new AreaBoard();
  /** The open alerts of each driver, the worst first. */
  readonly alarmed = new Map<string, Alert[]>();
  private readonly listeners = new Set<Moved>();
  private downSinceMs: number | null = null;

  constructor(readonly context: Context) {
    context.hear({
      state: ({ kind }) => {
        if (kind === "live") this.downSinceMs = null;
        else this.downSinceMs ??= Date.now();
      },
      positions: (feed, fixes, left) => {
        if (feed === "area") this.changed(this.board.moved(fixes, left));
        else if (feed.startsWith("driver:")) this.accept(fixes);
      },
      presence: (_feed, driver, presence) => {
        this.fleet.hear(driver, presence, this.now());
        this.tell([driver]);
      },
      journey: (_feed, news) => this.fleet.journey(news, this.now()),
    });
    context.alerts.listen((alerts) => this.alertsChanged(alerts));
    this.alertsChanged(context.alerts.get());
  }

  now(): number {
    return this.context.session.now();
  }

  onMove(listener: Moved): void {
    this.listeners.add(listener);
  }

  /** Takes what the area says: who is on the map now, and where. */
  changed(change: { fixes: readonly Fix[]; left: readonly string[] }): void {
    this.fleet.accept(change.fixes, this.now());
    this.tell([...change.fixes.map((fix) => fix.driver), ...change.left]);
  }

  accept(fixes: readonly Fix[]): void {
    this.tell(this.fleet.accept(fixes, this.now()));
  }

  tell(ids: readonly string[]): void {
    if (ids.length) for (const listener of this.listeners) listener(ids);
  }

  /** Who is chosen or in an alert is always on the map, wherever the map looks. */
  isOnMap(id: string): boolean {
    return this.board.shown.has(id) || this.alarmed.has(id) || this.context.chosen.get() === id;
  }

  freshnessOf(driver: Driver): Freshness {
    const state = this.fleet.freshnessOf(driver, this.now(), this.context.config.staleAfterMs);
    return seenThrough(state, this.downMs());
  }

  rowOf(driver: Driver): Row {
    const worst = this.alarmed.get(driver.id)?.[0];
    return {
      id: driver.id,
      name: this.context.names.of(driver.id),
      sought: this.context.names.foldedOf(driver.id),
      freshness: this.freshnessOf(driver),
      ageMs: this.fleet.ageOf(driver, this.now()),
      speedMps: driver.point?.speedMps ?? null,
      batteryPct: driver.point?.batteryPct ?? null,
      onJourney: driver.underWay ?? (driver.journey !== "" && !driver.journeyEnded),
      alert: worst?.severity ?? null,
      urgency: worst ? urgencyOf(worst) : null,
    };
  }

  /** For how long nothing has been heard over a line that is not up. */
  private downMs(): number {
    if (this.downSinceMs === null) return 0;
    return Date.now() - Math.max(this.downSinceMs, this.context.session.lastHeardMs ?? 0);
  }

  private alertsChanged(alerts: ReadonlyMap<string, Alert>): void {
    const before = [...this.alarmed.keys()];
    this.alarmed.clear();
    for (const alert of alerts.values()) {
      if (!isOpen(alert)) continue;
      const held = this.alarmed.get(alert.driver);
      if (held) held.push(alert);
      else this.alarmed.set(alert.driver, [alert]);
      this.placeByAlert(alert);
    }
    for (const held of this.alarmed.values()) held.sort((a, b) => urgencyOf(a) - urgencyOf(b));
    this.tell([...new Set([...before, ...this.alarmed.keys()])]);
  }

  /** Where somebody in an alert is, when nothing newer is known. */
  private placeByAlert({ driver, journey, place, pressedMs }: Alert): void {
    if (!place) return;
    const { lat, lon, accuracyM, batteryPct } = place;
    const tMs = place.tMs ?? pressedMs - UNKNOWN_AGE_MS;
    const point = { seq: 0, tMs, lat, lon, accuracyM, batteryPct, speedMps: null, headingDeg: null };
    this.fleet.accept([{ driver, journey: journey ?? "", point }], tMs);
  }
}
