/** What the server says, read defensively: anything of another shape is null or left out, never trusted. */
import { readAlerts, type Alert } from "./alertwire";
import { isObject, number, text, within, type Json } from "./read";

export { isObject } from "./read";

export interface Point {
  seq: number;
  /** null in a void: a seq that holds no position. */
  tMs: number | null;
  lat: number | null;
  lon: number | null;
  speedMps: number | null;
  headingDeg: number | null;
  accuracyM: number | null;
  batteryPct: number | null;
}

/** A point that has a place and a time. */
export type PlacedPoint = Point & { tMs: number; lat: number; lon: number };

export interface Fix {
  driver: string;
  journey: string;
  point: Point;
}

export type PresenceState = "online" | "stale" | "offline";

export interface Presence {
  state: PresenceState;
  sinceMs: number | null;
  reason: string | null;
}

export interface JourneyNews {
  journey: string;
  driver: string;
  state: "started" | "ended" | "expired";
}

export interface Refusal {
  code: string;
  message: string;
  retryable: boolean;
  retryAfterS: number | null;
  /** Of a conflict: the named reason, where the server gives one. */
  reason?: string;
}

export interface JourneyHead {
  driver: string | null;
  ended: boolean;
  /** The head as it came, for what only one page shows. */
  raw: Json;
}

export interface Snapshot {
  feed: string;
  fixes: Fix[];
  presence: Map<string, Presence>;
  /** Of a journey feed: the last seq the snapshot covers. */
  through: number | null;
  more: boolean;
  /** Of a journey feed: whose it is, and whether it is over. */
  journey: JourneyHead | null;
  /** The open alerts of the feed. */
  alerts: Alert[];
  /** The whole answer, for what only one kind of feed has. */
  raw: Json;
}

export interface Identity {
  role: string;
  tenant: string;
  /** null: every vendor of the tenant. */
  vendors: string[] | null;
  journeyId: string | null;
  scope: "live" | "journey" | null;
  /** Of a link to an alert: which, and whether whoever holds it may answer it. */
  alertId: string | null;
  mayAnswer: boolean;
  /** Of a link to a driver, which goes on with the next journey: whom; and their open alerts. */
  follows: string | null;
  alerts: string[];
  /** Who was given a link that answers. */
  holder: string;
  expiresAtMs: number | null;
  nowMs: number;
}

/** `[seq, t_ms, lat, lon, speed_mps, heading_deg, accuracy_m, altitude_m, battery_pct]`, or null when it is none. */
export function readPoint(raw: unknown): Point | null {
  if (!Array.isArray(raw)) return null;
  const seq = number(raw[0]);
  if (seq === null || !Number.isInteger(seq) || seq < 0) return null;
  return {
    seq,
    tMs: number(raw[1]),
    lat: within(raw[2], -90, 90),
    lon: within(raw[3], -180, 180),
    speedMps: within(raw[4], 0, 1_000),
    headingDeg: within(raw[5], 0, 360),
    accuracyM: within(raw[6], 0, 1_000_000),
    batteryPct: within(raw[8], 0, 100),
  };
}

export function isPlaced(point: Point): point is PlacedPoint {
  return point.tMs !== null && point.lat !== null && point.lon !== null;
}

/** `[[driver, journey, point], …]`; entries of another shape are left out. */
export function readFixes(raw: unknown): Fix[] {
  if (!Array.isArray(raw)) return [];
  const fixes: Fix[] = [];
  for (const entry of raw) {
    if (!Array.isArray(entry) || typeof entry[0] !== "string") continue;
    const point = readPoint(entry[2]);
    if (point) fixes.push({ driver: entry[0], journey: text(entry[1]) ?? "", point });
  }
  return fixes;
}

/** A list of ids; anything else in it is left out. */
export function readIds(raw: unknown): string[] {
  return Array.isArray(raw) ? raw.filter((id): id is string => typeof id === "string") : [];
}

export function readPresence(raw: unknown): Presence | null {
  if (!isObject(raw)) return null;
  const state = raw["state"];
  if (state !== "online" && state !== "stale" && state !== "offline") return null;
  return { state, sinceMs: number(raw["since_ms"]), reason: text(raw["reason"]) };
}

export function readJourneyNews(raw: unknown): JourneyNews | null {
  if (!isObject(raw)) return null;
  const journey = text(raw["journey"]);
  const state = raw["state"];
  if (journey === null || (state !== "started" && state !== "ended" && state !== "expired")) return null;
  return { journey, driver: text(raw["driver"]) ?? "", state };
}

/** An error object, in an ack, in CONNECT_ERROR's data or in `closing`. */
export function readRefusal(raw: unknown): Refusal {
  const error = isObject(raw) ? raw : {};
  const reason = text(error["reason"]);
  return {
    ...(reason === null ? {} : { reason }),
    code: text(error["code"]) ?? "unknown",
    message: text(error["message"]) ?? "",
    retryable: error["retryable"] !== false,
    retryAfterS: within(error["retry_after_s"], 0, 3_600),
  };
}

/** `{driver, ended_ms, expired, …}`; one that was closed for its age has ended too. */
function readHead(head: Json): JourneyHead {
  const ended = number(head["ended_ms"]) !== null || head["expired"] === true;
  return { driver: text(head["driver"]), ended, raw: head };
}

/** Whether something that was thrown is the server's refusal. */
export function isRefusal(error: unknown): error is Refusal {
  return isObject(error) && typeof error["code"] === "string" && typeof error["retryable"] === "boolean";
}

/** The answer to `watch`. Throws the Refusal when it is a refusal. */
export function readSnapshot(raw: unknown): Snapshot {
  if (!isObject(raw) || raw["ok"] !== true) throw readRefusal(isObject(raw) ? raw["error"] : null);
  const snapshot = isObject(raw["snapshot"]) ? raw["snapshot"] : {};
  const presence = new Map<string, Presence>();
  if (isObject(snapshot["presence"])) {
    for (const [driver, entry] of Object.entries(snapshot["presence"])) {
      const read = readPresence(entry);
      if (read) presence.set(driver, read);
    }
  }
  return {
    feed: text(raw["feed"]) ?? "",
    fixes: readFixes(snapshot["positions"]),
    presence,
    through: number(raw["through"]),
    more: raw["more"] === true,
    journey: isObject(raw["journey"]) ? readHead(raw["journey"]) : null,
    alerts: readAlerts(snapshot["alerts"]),
    raw,
  };
}

/** The answer to `whoami`. Throws the Refusal when it is a refusal. */
export function readIdentity(raw: unknown): Identity {
  if (!isObject(raw) || raw["ok"] !== true) throw readRefusal(isObject(raw) ? raw["error"] : null);
  const vendors = raw["vendors"];
  const scope = raw["scope"];
  return {
    role: text(raw["role"]) ?? "",
    tenant: text(raw["tenant"]) ?? "",
    vendors: Array.isArray(vendors) ? vendors.filter((v): v is string => typeof v === "string") : null,
    journeyId: text(raw["journey_id"]),
    scope: scope === "live" || scope === "journey" ? scope : null,
    alertId: text(raw["alert_id"]),
    mayAnswer: raw["may_answer"] === true,
    follows: text(raw["follows"]),
    alerts: readIds(raw["alerts"]),
    holder: text(raw["name"]) ?? "",
    expiresAtMs: number(raw["expires_at"]),
    nowMs: number(raw["now_ms"]) ?? Date.now(),
  };
}
