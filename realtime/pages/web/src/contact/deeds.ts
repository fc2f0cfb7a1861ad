/** What is asked of the server about an alert: what the reader did, until it got through, and who was told. No DOM. */
import { isOpen, type Alert } from "../common/alertwire";
import type { Refusal } from "../common/wire";
import type { Json } from "../common/read";
import { clean } from "../common/words";
import { readTold, type Told } from "./sos";
import { readPhone } from "./trip";

const TRY_AGAIN_MS = 1_500;
const TRIES = 20;

/**
 * Asks until it is answered: who taps once in a dead zone has said it. Acknowledging, coming and ending are safe to say twice.
 * Throws the Refusal that stands, or the last one when it never got through.
 */
export async function insist(
  ask: () => Promise<Json>,
  trying: () => void,
  givenUp: () => boolean,
  wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms)),
): Promise<Json> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask();
    } catch (error) {
      const refusal = error as Refusal;
      if (!refusal.retryable || tries >= TRIES || givenUp()) throw refusal;
      trying();
      await wait(Math.max(TRY_AGAIN_MS, (refusal.retryAfterS ?? 0) * 1_000));
    }
  }
}

/** Who was told of an alert, and whom to call, as far as it was last heard. */
export class Hearsay {
  name = "";
  phone: string | null = null;
  private told: { id: string; version: number; rows: Told[] } | null = null;
  private asking = false;

  constructor(private readonly request: (alert: Alert) => Promise<Json>) {}

  of(alert: Alert): readonly Told[] | null {
    return this.told?.id === alert.id ? this.told.rows : null;
  }

  /** Whether anything was heard; of an alert that is over it is asked once. */
  async ask(alert: Alert): Promise<boolean> {
    const settled = !isOpen(alert) && this.told?.id === alert.id && this.told.version === alert.version;
    if (this.asking || settled) return false;
    this.asking = true;
    try {
      const answer = await this.request(alert);
      this.told = { id: alert.id, version: alert.version, rows: readTold(answer) };
      this.name = clean(typeof answer["name"] === "string" ? answer["name"] : "", 80);
      this.phone = readPhone(answer["phone"]);
      return true;
    } catch {
      return false; // what was known stays; it is asked for again
    } finally {
      this.asking = false;
    }
  }

  clear(): void {
    this.told = null;
    this.name = "";
    this.phone = null;
  }
}
