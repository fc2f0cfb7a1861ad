/** Sessions as the server lists them (docs/API.md), read defensively. Pure. */
import { isObject, number, text } from "../common/read";
import { clean } from "../common/words";

export interface Entry {
  id: string;
  name: string;
  createdMs: number;
  seenMs: number;
  expiresMs: number | null;
  address: string;
  agent: string;
  current: boolean;
}

export function readSessions(raw: unknown): Entry[] {
  if (!Array.isArray(raw)) return [];
  return raw.filter(isObject).map((entry) => ({
    id: text(entry["session_id"]) ?? "",
    name: text(entry["name"]) ?? "",
    createdMs: number(entry["created_at"]) ?? 0,
    seenMs: number(entry["seen_at"]) ?? 0,
    expiresMs: number(entry["expires_at"]),
    address: text(entry["address"]) ?? "",
    agent: text(entry["user_agent"]) ?? "",
    current: entry["current"] === true,
  }));
}

const BROWSERS = ["Firefox", "Edg", "OPR", "Chrome", "Safari"] as const;
const SYSTEMS: readonly (readonly [string, string])[] = [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS", "Mac"], ["Linux", "Linux"]];

/** "Chrome, Linux" of a User-Agent; the text itself, cut, when it names none that we know. */
export function deviceOf(agent: string): string {
  const browser = BROWSERS.find((name) => agent.includes(`${name}/`));
  const system = SYSTEMS.find(([mark]) => agent.includes(mark))?.[1];
  const named = browser === "Edg" ? "Edge" : browser === "OPR" ? "Opera" : browser;
  return [named, system].filter((part) => part !== undefined).join(", ") || clean(agent, 60);
}
