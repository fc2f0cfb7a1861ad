/** A request by HTTP that is answered like an event: the page's way while its socket is down, and the service worker's. */
import type { Json } from "../common/read";

const TIMEOUT_MS = 15_000;

/** The answer, a refusal too. Throws when none came. `heard`: the server's clock, to the second. */
export async function post(token: string, path: string, payload: Json, heard?: (serverMs: number) => void): Promise<Json> {
  const response = await fetch(path, {
    method: "POST",
    headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" },
    body: JSON.stringify(payload),
    credentials: "omit",
    cache: "no-store",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const serverMs = Date.parse(response.headers.get("Date") ?? "");
  if (Number.isFinite(serverMs)) heard?.(serverMs);
  return (await response.json()) as Json;
}
