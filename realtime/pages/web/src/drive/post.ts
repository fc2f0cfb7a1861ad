/** A request by HTTP that is answered like an event: the page's way while its socket is down, and the service worker's. */
import type { Json } from "../common/read";

const TIMEOUT_MS = 15_000;
/** How long the safety address may take before the ordinary one is tried as well. */
const SAFETY_TIMEOUT_MS = 3_000;

type Heard = (serverMs: number) => void;

/** The answer, a refusal too. Throws when none came. `heard`: the server's clock, to the second. */
export async function post(token: string, path: string, payload: Json, heard?: Heard, timeoutMs = TIMEOUT_MS): Promise<Json> {
  const response = await fetch(path, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify(payload),
    credentials: "omit",
    cache: "no-store",
    signal: AbortSignal.timeout(timeoutMs),
  });
  const serverMs = Date.parse(response.headers.get("Date") ?? "");
  if (Number.isFinite(serverMs)) heard?.(serverMs);
  return (await response.json()) as Json;
}

/**
 * Sends a press: to the safety address first, which has connections of its own, then to the ordinary one unless it was taken.
 * The same press twice is one alert.
 */
export async function postSos(token: string, payload: Json, safetyUrl: string | null, heard?: Heard): Promise<Json> {
  if (safetyUrl !== null) {
    const answer = await post(token, `${safetyUrl}/api/v1/sos`, payload, heard, SAFETY_TIMEOUT_MS).catch(() => null);
    if (answer?.["ok"] === true) return answer;
  }
  return post(token, "/api/v1/sos", payload, heard);
}

/** The safety address that the server names, or null: an origin, and nothing that could be taken for something else. */
export function safetyUrlOf(raw: unknown): string | null {
  return typeof raw === "string" && /^https?:\/\/[A-Za-z0-9.:[\]-]+$/.test(raw) ? raw : null;
}
