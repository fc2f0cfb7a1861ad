/** What the server wants of its pages. Without an answer the defaults serve. */
import { isObject } from "./wire";

export interface Config {
  mapStyleUrl: string;
  staleAfterMs: number;
  /** Where an SOS is sent first; empty: nowhere but here; null: the server did not say. */
  safetyUrl: string | null;
}

export async function loadConfig(): Promise<Config> {
  const config: Config = { mapStyleUrl: "", staleAfterMs: 60_000, safetyUrl: null };
  try {
    const answer = await fetch("/pages/config.json", { signal: AbortSignal.timeout(5_000) });
    const raw: unknown = answer.ok ? await answer.json() : null;
    if (!isObject(raw)) return config;
    if (typeof raw["map_style_url"] === "string") config.mapStyleUrl = raw["map_style_url"];
    if (typeof raw["safety_url"] === "string") config.safetyUrl = raw["safety_url"];
    if (typeof raw["stale_after_s"] === "number" && raw["stale_after_s"] > 0) {
      config.staleAfterMs = raw["stale_after_s"] * 1_000;
    }
  } catch {
    // The map and the positions matter more than the settings of either.
  }
  return config;
}
