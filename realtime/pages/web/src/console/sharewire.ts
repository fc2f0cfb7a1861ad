/** The links to a journey as the server lists them, read defensively; and what of it is worth saying. Pure. */
import { isObject, number, text } from "../common/read";

export interface Look {
  address: string;
  program: string;
  lastMs: number;
  times: number;
}

export interface ShareLink {
  id: string;
  scope: "live" | "journey";
  /** Who was given it; empty when nobody was named. */
  holder: string;
  mayAnswer: boolean;
  /** Whether it is to the driver, and goes on with the next journey. */
  follows: boolean;
  createdMs: number;
  createdBy: string;
  expiresMs: number;
  revokedMs: number | null;
  looks: Look[];
}

export function readShares(raw: unknown): ShareLink[] {
  if (!Array.isArray(raw)) return [];
  const links: ShareLink[] = [];
  for (const entry of raw) {
    const id = isObject(entry) ? text(entry["id"]) : null;
    if (!isObject(entry) || id === null) continue;
    links.push({
      id,
      scope: entry["scope"] === "journey" ? "journey" : "live",
      holder: text(entry["name"]) ?? "",
      mayAnswer: entry["may_answer"] === true,
      follows: entry["follows"] === true,
      createdMs: number(entry["created_at"]) ?? 0,
      createdBy: text(entry["created_by"]) ?? "",
      expiresMs: number(entry["expires_at"]) ?? 0,
      revokedMs: number(entry["revoked_at"]),
      looks: readLooks(entry["views"]),
    });
  }
  return links;
}

function readLooks(raw: unknown): Look[] {
  if (!Array.isArray(raw)) return [];
  const looks: Look[] = [];
  for (const entry of raw) {
    if (!isObject(entry)) continue;
    const lastMs = number(entry["last_at"]);
    if (lastMs === null) continue;
    looks.push({ address: text(entry["address"]) ?? "", program: text(entry["user_agent"]) ?? "", lastMs, times: number(entry["times"]) ?? 1 });
  }
  return looks;
}

export type ShareState = "open" | "expired" | "revoked";

export function stateOf(link: ShareLink, nowMs: number): ShareState {
  if (link.revokedMs !== null) return "revoked";
  return link.expiresMs <= nowMs ? "expired" : "open";
}

const BROWSERS: readonly [RegExp, string][] = [
  [/\bEdg(?:e|A|iOS)?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/\b(?:Chrome|CriOS)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS: readonly [RegExp, string][] = [
  [/\b(?:iPhone|iPad)\b/, "iOS"],
  [/\bAndroid\b/, "Android"],
  [/\bWindows\b/, "Windows"],
  [/\bMac OS X\b/, "macOS"],
  [/\bLinux\b/, "Linux"],
];

/** "Chrome · Android" of a browser's long name for itself; the beginning of anything else. */
export function programText(agent: string): string {
  const named = [BROWSERS, SYSTEMS].map((table) => table.find(([pattern]) => pattern.test(agent))?.[1]).filter((name) => name !== undefined);
  return named.length ? named.join(" · ") : agent.slice(0, 40);
}
