/** An alert as the server tells it (docs/API.md), read defensively. */
import { isObject, number, text, within } from "./read";

export type AlertState = "pending" | "active" | "acknowledged" | "resolved" | "cancelled";
export type Severity = "notice" | "warning" | "critical";

export interface Person {
  kind: string;
  id: string;
  name: string;
}

export interface Responder {
  person: Person;
  atMs: number;
  etaS: number | null;
}

export interface AlertPlace {
  lat: number;
  lon: number;
  accuracyM: number | null;
  tMs: number | null;
  batteryPct: number | null;
}

export interface Alert {
  id: string;
  vendor: string;
  driver: string;
  kind: string;
  severity: Severity;
  state: AlertState;
  /** Rises with every change; what has no higher one than is known is old news. */
  version: number;
  pressedMs: number;
  raisedMs: number;
  journey: string | null;
  place: AlertPlace | null;
  message: string;
  drill: boolean;
  silent: boolean;
  duress: boolean;
  presses: number;
  pendingUntilMs: number | null;
  acknowledgedBy: Person | null;
  acknowledgedMs: number | null;
  responders: Responder[];
  reachedMs: number | null;
  exhaustedMs: number | null;
  exhaustedReason: string | null;
  closedMs: number | null;
  closedBy: Person | null;
  /** The operator who raised it for the driver; null when the driver, their phone or a timer did. */
  raisedBy: Person | null;
}

const STATES: readonly string[] = ["pending", "active", "acknowledged", "resolved", "cancelled"];
const SEVERITIES: readonly string[] = ["notice", "warning", "critical"];

export function isOpen(alert: Pick<Alert, "state">): boolean {
  return alert.state === "pending" || alert.state === "active" || alert.state === "acknowledged";
}

/** The alert, or null when it is none. */
export function readAlert(raw: unknown): Alert | null {
  if (!isObject(raw)) return null;
  const id = text(raw["alert_id"]);
  const state = text(raw["state"]);
  const version = number(raw["version"]);
  if (id === null || version === null || state === null || !STATES.includes(state)) return null;
  const severity = text(raw["severity"]) ?? "";
  return {
    id,
    vendor: text(raw["vendor"]) ?? "",
    driver: text(raw["driver"]) ?? "",
    kind: text(raw["kind"]) ?? "sos",
    severity: SEVERITIES.includes(severity) ? (severity as Severity) : "critical",
    state: state as AlertState,
    version,
    pressedMs: number(raw["pressed_at"]) ?? number(raw["raised_at"]) ?? 0,
    raisedMs: number(raw["raised_at"]) ?? 0,
    journey: text(raw["journey_id"]),
    place: readPlace(raw["place"]),
    message: text(raw["message"]) ?? "",
    drill: raw["drill"] === true,
    silent: raw["silent"] === true,
    duress: raw["duress"] === true,
    presses: number(raw["presses"]) ?? 1,
    pendingUntilMs: number(raw["pending_until"]),
    acknowledgedBy: readPerson(raw["acknowledged_by"]),
    acknowledgedMs: number(raw["acknowledged_at"]),
    responders: readResponders(raw["responders"]),
    reachedMs: number(raw["reached_at"]),
    exhaustedMs: number(raw["exhausted_at"]),
    exhaustedReason: text(raw["exhausted_reason"]),
    closedMs: number(raw["closed_at"]),
    closedBy: readPerson(raw["closed_by"]),
    raisedBy: readPerson(raw["raised_by"]),
  };
}

export function readAlerts(raw: unknown): Alert[] {
  if (!Array.isArray(raw)) return [];
  return raw.map(readAlert).filter((alert): alert is Alert => alert !== null);
}

function readPlace(raw: unknown): AlertPlace | null {
  if (!isObject(raw)) return null;
  const lat = within(raw["lat"], -90, 90);
  const lon = within(raw["lon"], -180, 180);
  if (lat === null || lon === null) return null;
  const accuracyM = within(raw["accuracy_m"], 0, 10_000_000);
  return { lat, lon, accuracyM, tMs: number(raw["t_ms"]), batteryPct: within(raw["battery_pct"], 0, 100) };
}

function readPerson(raw: unknown): Person | null {
  if (!isObject(raw)) return null;
  return { kind: text(raw["kind"]) ?? "", id: text(raw["id"]) ?? "", name: text(raw["name"]) ?? "" };
}

function readResponders(raw: unknown): Responder[] {
  if (!Array.isArray(raw)) return [];
  const found: Responder[] = [];
  for (const entry of raw) {
    if (!isObject(entry)) continue;
    const person = readPerson(entry["person"]);
    if (person) found.push({ person, atMs: number(entry["at"]) ?? 0, etaS: within(entry["eta_s"], 0, 864_000) });
  }
  return found;
}
