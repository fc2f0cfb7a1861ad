/** What a contact is shown of an alert and may do about it. Pure: every state can be read and tested. */
import { isOpen, type Alert, type Person } from "../common/alertwire";
import { isObject } from "../common/read";

/** The alerts this page has heard of; of each the newest version. */
export class AlertBook {
  private readonly held = new Map<string, Alert>();
  private readonly hidden = new Set<string>();

  /** Takes what was heard; false for old news. */
  take(alert: Alert): boolean {
    const known = this.held.get(alert.id);
    if (known && known.version >= alert.version) return false;
    this.held.set(alert.id, alert);
    return true;
  }

  drop(id: string): void {
    this.held.delete(id);
  }

  /** The reader has read that it is over. */
  hide(id: string): void {
    this.hidden.add(id);
  }

  clear(): void {
    this.held.clear();
  }

  get(id: string): Alert | null {
    return this.held.get(id) ?? null;
  }

  /** The one to show: open before over, a real one before a drill, the worst, the newest. */
  get shown(): Alert | null {
    const [first] = [...this.held.values()].filter((alert) => isOpen(alert) || !this.hidden.has(alert.id)).sort(byUrgency);
    return first ?? null;
  }
}

const RANK = { critical: 2, warning: 1, notice: 0 } as const;

function byUrgency(a: Alert, b: Alert): number {
  return (
    Number(isOpen(b)) - Number(isOpen(a)) || Number(a.drill) - Number(b.drill) || RANK[b.severity] - RANK[a.severity] || b.raisedMs - a.raisedMs
  );
}

/** Whether a person of an alert is whoever holds this link. */
export function isMe(person: Person | null, shareId: string): boolean {
  return person !== null && person.kind === "contact" && person.id === `share:${shareId}`;
}

export interface Choices {
  /** The big button: to take it, to join who took it, or to say that one is still there. */
  take: "on_it" | "me_too" | "still" | null;
  /** To say when one will be there. */
  eta: boolean;
  end: boolean;
  falseAlarm: boolean;
}

const NOTHING: Choices = { take: null, eta: false, end: false, falseAlarm: false };

/** What the holder of a link may do about it now: end it only after having said that they are on it. */
export function choices(alert: Alert, shareId: string, mayAnswer: boolean): Choices {
  if (!mayAnswer || !isOpen(alert)) return NOTHING;
  const took = isMe(alert.acknowledgedBy, shareId);
  const on = took || alert.responders.some(({ person }) => isMe(person, shareId));
  // Whoever holds the driver can make them call it a false alarm: under duress only an operator may.
  if (on) return { take: took ? "still" : alert.acknowledgedBy ? null : "on_it", eta: true, end: true, falseAlarm: !alert.duress };
  return { ...NOTHING, take: alert.state === "acknowledged" ? "me_too" : "on_it" };
}

/** Whether the driver may be called: their phone must stay silent when they say so, or when somebody else holds it. */
export function mayBeCalled(alert: Alert | null): boolean {
  return alert === null || !isOpen(alert) || !(alert.silent || alert.duress);
}

export interface Told {
  name: string;
  channel: string;
  status: string;
}

const MOST = 50;

/** `[[name, channel, status], …]`, of another shape left out. */
export function readTold(raw: unknown): Told[] {
  if (!isObject(raw) || !Array.isArray(raw["told"])) return [];
  const rows: Told[] = [];
  for (const row of raw["told"].slice(0, MOST)) {
    if (!Array.isArray(row) || !row.every((part): part is string => typeof part === "string")) continue;
    const [name = "", channel = "", status = ""] = row;
    rows.push({ name, channel, status });
  }
  return rows;
}

export const MINUTES = [5, 10, 20, 30, 60] as const;

/** When a responder who says so many seconds is there. */
export function arrivalMs(responder: { atMs: number; etaS: number | null }): number | null {
  return responder.etaS === null ? null : responder.atMs + responder.etaS * 1_000;
}
