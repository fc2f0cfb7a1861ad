/** What the desk knows of alerts: merged by version, whichever way it came, and in which order it is shown. Pure. */
import { isOpen, type Alert, type Severity } from "../common/alertwire";

export type Alerts = ReadonlyMap<string, Alert>;

/** Closed alerts stay on the desk for so long; after that they are in the history. */
export const CLOSED_SHOWN_MS = 15 * 60_000;

const WEIGHT: Record<Severity, number> = { critical: 2, warning: 1, notice: 0 };

/** `known` with what is newer in `news`; the same map when nothing is. */
export function merged(known: Alerts, news: Iterable<Alert>): Alerts {
  let result: Map<string, Alert> | null = null;
  for (const alert of news) {
    const had = (result ?? known).get(alert.id);
    if (had && had.version >= alert.version) continue;
    result ??= new Map(known);
    result.set(alert.id, alert);
  }
  return result ?? known;
}

/** `known` without what has been closed for long; the same map when there is none. */
export function pruned(known: Alerts, nowMs: number): Alerts {
  const old = [...known.values()].filter((alert) => !isOpen(alert) && nowMs - (alert.closedMs ?? 0) > CLOSED_SHOWN_MS);
  if (!old.length) return known;
  const left = new Map(known);
  for (const alert of old) left.delete(alert.id);
  return left;
}

/**
 * Those that are open here and that a complete list of open ones does not name: they were closed unheard, and have to be
 * asked for. `vendors` are those the list was about; `before` is what was known when it was asked for, since what has
 * come later cannot be in it.
 */
export function unheardOf(before: Alerts, open: Iterable<Alert>, vendors: readonly string[] | null): string[] {
  const named = new Set([...open].map((alert) => alert.id));
  return [...before.values()]
    .filter((alert) => isOpen(alert) && !named.has(alert.id) && (vendors === null || vendors.includes(alert.vendor)))
    .map((alert) => alert.id);
}

/** Whether nobody has said yet that they are on it. */
export function isUnanswered(alert: Pick<Alert, "state">): boolean {
  return alert.state === "active" || alert.state === "pending";
}

export interface Ordered {
  open: Alert[];
  drills: Alert[];
  closed: Alert[];
  /** How many are open in vendors that are not picked. */
  elsewhere: number;
}

/** The desk's order: open ones, worst first, then unanswered ones, an SOS before what a phone felt, the oldest first; drills apart; then what was closed lately. null: all vendors. */
export function ordered(alerts: Alerts, vendors: readonly string[] | null): Ordered {
  const all = [...alerts.values()];
  const isPicked = (alert: Alert): boolean => vendors === null || vendors.includes(alert.vendor);
  const picked = all.filter(isPicked);
  const open = picked.filter(isOpen).sort(compareOpen);
  return {
    open: open.filter((alert) => !alert.drill),
    drills: open.filter((alert) => alert.drill),
    closed: picked.filter((alert) => !isOpen(alert)).sort((a, b) => (b.closedMs ?? 0) - (a.closedMs ?? 0) || byId(a, b)),
    elsewhere: all.filter((alert) => isOpen(alert) && !alert.drill && !isPicked(alert)).length,
  };
}

export function compareOpen(a: Alert, b: Alert): number {
  return (
    WEIGHT[b.severity] - WEIGHT[a.severity] ||
    Number(isUnanswered(b)) - Number(isUnanswered(a)) ||
    Number(b.kind === "sos") - Number(a.kind === "sos") ||
    a.pressedMs - b.pressedMs ||
    byId(a, b)
  );
}

function byId(a: Alert, b: Alert): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
