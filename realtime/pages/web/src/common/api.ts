/**
 * The HTTP API for a page that is signed in by cookie, or holds a token. Answers are the server's JSON; a refusal is thrown
 * as `Refusal`, and so is a network that does not answer (`unavailable`, retryable).
 */
import { isObject, type Json } from "./read";
import { readRefusal, type Refusal } from "./wire";

const TIMEOUT_MS = 15_000;

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export class Api {
  /** `token`: a bearer token; null: the session cookie of this browser. `cookies`: whether an answer may set or take some. */
  constructor(
    private readonly token: string | null = null,
    private readonly cookies = token === null,
  ) {}

  get(path: string): Promise<Json> {
    return this.ask("GET", path);
  }

  post(path: string, body: unknown = {}): Promise<Json> {
    return this.ask("POST", path, body);
  }

  delete(path: string): Promise<Json> {
    return this.ask("DELETE", path);
  }

  async ask(method: Method, path: string, body?: unknown): Promise<Json> {
    // The header tells the server that no other site's form sent this: only our own script can set it.
    const headers: Record<string, string> = { Accept: "application/json", "X-Wayguard": "console" };
    if (this.token !== null) headers["Authorization"] = `Bearer ${this.token}`;
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let response: Response;
    let answer: unknown;
    try {
      response = await fetch(path, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        credentials: this.cookies ? "same-origin" : "omit",
        cache: "no-store",
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      answer = await response.json();
    } catch {
      throw { code: "unavailable", message: "no answer", retryable: true, retryAfterS: null } satisfies Refusal;
    }
    if (!isObject(answer) || !response.ok || answer["ok"] === false) throw readRefusal(isObject(answer) ? answer["error"] : null);
    return answer;
  }
}
