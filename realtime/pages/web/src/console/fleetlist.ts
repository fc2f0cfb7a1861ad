/** Which drivers the list shows, in which order. Pure. */
import type { Freshness } from "../common/freshness";
import type { Severity } from "../common/alertwire";
import { fold, matches, wordsOf } from "./names";

/** From this speed on somebody moves; slower is the drift of a phone that lies still. */
export const MOVING_FROM_MPS = 1;
/** A battery at or below this is low. */
export const LOW_BATTERY_PCT = 20;

export interface Row {
  id: string;
  /** What the driver is called: the name, or the id where there is none. */
  name: string;
  /** The text that a search is matched against, folded; the id alone when missing. */
  sought?: string;
  freshness: Freshness;
  ageMs: number | null;
  speedMps: number | null;
  batteryPct: number | null;
  onJourney: boolean;
  /** The worst of the driver's open alerts; null: none. */
  alert: Severity | null;
  /** How soon an alert comes in the list; null: none. */
  urgency: number | null;
}

/** Of open alerts: an SOS before a crash that a phone felt, the worse before the better, drills last. */
export function urgencyOf(alert: { severity: Severity; kind: string; drill: boolean }): number {
  return (alert.drill ? 10 : 0) + SEVERITY[alert.severity] * 2 + (alert.kind === "sos" ? 0 : 1);
}

export const STATE_FILTERS = ["moving", "stopped", "stale", "offline"] as const;
export const TRAIT_FILTERS = ["low_battery", "on_journey", "in_alert"] as const;
export const FILTERS = [...STATE_FILTERS, ...TRAIT_FILTERS] as const;
export type Filter = (typeof FILTERS)[number];

export const SORTS = ["name", "state", "age", "speed", "battery"] as const;
export type Sort = (typeof SORTS)[number];

export interface Query {
  search: string;
  filters: ReadonlySet<Filter>;
  sort: Sort;
}

/** Whether a filter holds for a row. Who is not fresh neither moves nor stands, for all we know. */
export function has(row: Row, filter: Filter): boolean {
  switch (filter) {
    case "moving":
      return isMoving(row);
    case "stopped":
      return row.freshness === "fresh" && !isMoving(row);
    case "stale":
    case "offline":
      return row.freshness === filter;
    case "low_battery":
      return row.batteryPct !== null && row.batteryPct <= LOW_BATTERY_PCT;
    case "on_journey":
      return row.onJourney;
    case "in_alert":
      return row.alert !== null;
  }
}

export function isMoving(row: Row): boolean {
  return row.freshness === "fresh" && (row.speedMps ?? 0) >= MOVING_FROM_MPS;
}

export function tally(rows: Iterable<Row>): Record<Filter, number> {
  const counts = Object.fromEntries(FILTERS.map((filter) => [filter, 0])) as Record<Filter, number>;
  for (const row of rows) for (const filter of FILTERS) if (has(row, filter)) counts[filter] += 1;
  return counts;
}

/** The rows that match, in order. States are alternatives of each other; every other filter narrows what is left. */
export function select(rows: readonly Row[], query: Query): Row[] {
  const states = STATE_FILTERS.filter((filter) => query.filters.has(filter));
  const traits = TRAIT_FILTERS.filter((filter) => query.filters.has(filter));
  const words = wordsOf(query.search);
  const found = rows.filter(
    (row) =>
      (!states.length || states.some((filter) => has(row, filter))) &&
      traits.every((filter) => has(row, filter)) &&
      matches(row.sought ?? fold(row.id), words),
  );
  // Drivers in an alert come first in every order.
  return found.sort((a, b) => last(a.urgency) - last(b.urgency) || ORDERS[query.sort](a, b) || byName(a, b));
}

type Order = (a: Row, b: Row) => number;

const collator = new Intl.Collator("en", { numeric: true });
const byName: Order = (a, b) => (a.id === b.id ? 0 : collator.compare(a.name, b.name) || collator.compare(a.id, b.id) || (a.id < b.id ? -1 : 1));

/** What is unknown comes last. */
const last = (value: number | null): number => value ?? Number.MAX_VALUE;

const SEVERITY: Record<Severity, number> = { critical: 0, warning: 1, notice: 2 };

/** Moving, standing, without news, offline. */
function stateOrder(row: Row): number {
  if (row.freshness === "fresh") return isMoving(row) ? 3 : 4;
  return row.freshness === "stale" ? 5 : 6;
}

const ORDERS: Record<Sort, Order> = {
  name: () => 0,
  state: (a, b) => stateOrder(a) - stateOrder(b),
  age: (a, b) => last(a.ageMs) - last(b.ageMs),
  speed: (a, b) => last(negative(a.speedMps)) - last(negative(b.speedMps)),
  battery: (a, b) => last(a.batteryPct) - last(b.batteryPct),
};

/** The fastest first. */
const negative = (value: number | null): number | null => (value === null ? null : -value);
