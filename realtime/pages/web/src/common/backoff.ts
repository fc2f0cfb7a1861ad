/** When to try again. Jitter is passed in (`random`: 0 ≤ x < 1), so that a fleet of pages never returns in step. */

const FIRST_MS = 400;
const LONGEST_MS = 6_000;

/**
 * Delay before attempt number `attempt` (0 = the first after a loss): doubling from 0.4 s to 6 s, the upper half of
 * it random. When the server said when to come back, not before that, and spread over as long again.
 */
export function retryDelayMs(attempt: number, random: number, retryAfterS: number | null = null): number {
  if (retryAfterS !== null && retryAfterS > 0) return Math.round(retryAfterS * 1_000 * (1 + random));
  const whole = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(whole / 2 + (whole / 2) * random);
}

/** When to move away from a server that drains: at a random moment of its window. Odd values mean soon. */
export function drainDelayMs(afterMs: unknown, spreadMs: unknown, random: number): number {
  return Math.round(bounded(afterMs) + bounded(spreadMs) * random);
}

function bounded(raw: unknown): number {
  return typeof raw === "number" && Number.isFinite(raw) ? Math.min(60_000, Math.max(0, raw)) : 0;
}
