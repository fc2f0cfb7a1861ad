/**
 * Sends what was pressed: by socket and by HTTP at once, the same press, again and again, until one of them says that it is
 * durable. A press is on the disk before it is sent, and leaves it only when its driver closes it.
 */
import type { Json } from "../common/read";
import { adoptedFrom, isOver, readKept, readView, withState, withView, wireOf, type Press, type SosState } from "./press";

export interface PressStore {
  all(): Promise<Press[]>;
  put(press: Press): Promise<void>;
  delete(sosId: string): Promise<void>;
}

export interface SosWays {
  bySocket(event: string, payload: Json): Promise<unknown>;
  byHttp(payload: Json): Promise<unknown>;
  changed(): void;
  /** Waits, unless woken. */
  pause(ms: number): Promise<void>;
}

export const FIRST_PAUSE_MS = 1_000;
export const LONGEST_PAUSE_MS = 5_000;

export type CancelResult = "done" | "wrong" | "later";

export class Raiser {
  presses: Press[] = [];
  /** What the server last said of a press that it did not take; null: nothing was heard. */
  refusal: string | null = null;
  private readonly sending = new Set<string>();

  constructor(
    private readonly store: PressStore,
    private readonly ways: SosWays,
  ) {}

  /** What was pressed before the app was closed goes on being sent. */
  async resume(): Promise<void> {
    this.presses = await this.store.all();
    for (const press of this.presses) if (press.kept === null) void this.send(press.sos_id);
  }

  /** The press that counts: one that is not over, else the newest. */
  get foremost(): Press | null {
    return this.presses.filter((press) => !isOver(press)).at(-1) ?? this.presses.at(-1) ?? null;
  }

  get open(): boolean {
    return this.presses.some((press) => !isOver(press));
  }

  /** Written first; sent even when the disk would not have it. */
  async press(press: Press): Promise<void> {
    this.presses.push(press);
    await this.store.put(press).catch(() => undefined);
    void this.send(press.sos_id);
    this.ways.changed();
  }

  /** The server tells of an alert. */
  async told(raw: unknown): Promise<void> {
    const view = readView(raw);
    if (!view) return;
    const isKnown = this.presses.some((press) => press.sos_id === view.sosId || press.kept?.alertId === view.alertId);
    const adopted = isKnown ? null : adoptedFrom(view);
    if (adopted) {
      this.presses.push(adopted);
      this.ways.changed();
      return this.store.put(adopted).catch(() => undefined);
    }
    await Promise.all(this.presses.map((press) => this.become(press, withView(press, view))));
  }

  /** Asks how those that are not over are: of a silent one nothing is pushed. */
  async ask(): Promise<void> {
    for (const { sos_id, kept } of this.presses.filter((press) => !isOver(press))) {
      if (kept === null) continue;
      const answer = (await this.ways.bySocket("sos:state", { sos_id })) as Json | null;
      if (answer?.["ok"] === true) await this.told(answer["sos"]);
    }
  }

  async cancel(sosId: string, pin: string): Promise<CancelResult> {
    const answer = (await this.ways.bySocket("sos:cancel", { sos_id: sosId, pin })) as Json | null;
    if (answer?.["ok"] === true) {
      const alertId = this.find(sosId)?.kept?.alertId;
      // Presses that have joined are one alert.
      const joined = this.presses.filter((press) => press.kept !== null && press.kept.alertId === alertId);
      await Promise.all(joined.map((press) => this.become(press, withState(press, answer["state"] as SosState))));
      return "done";
    }
    return (answer?.["error"] as Json | undefined)?.["code"] === "forbidden" ? "wrong" : "later";
  }

  /** One that is over is put away, and every other that is. */
  async close(): Promise<void> {
    const over = this.presses.filter(isOver);
    this.presses = this.presses.filter((press) => !isOver(press));
    await Promise.all(over.map((press) => this.store.delete(press.sos_id)));
    this.ways.changed();
  }

  private find(sosId: string): Press | undefined {
    return this.presses.find((press) => press.sos_id === sosId);
  }

  private async send(sosId: string): Promise<void> {
    if (this.sending.has(sosId)) return;
    this.sending.add(sosId);
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 1.5)) {
      const press = this.find(sosId);
      if (!press || press.kept !== null) break;
      const wire = wireOf(press) as Json;
      const ways = [this.ways.bySocket("sos", wire), this.ways.byHttp(wire)];
      const kept = await Promise.any(ways.map((way) => way.then((answer) => this.keptOrThrow(answer)))).catch(() => null);
      const now = this.find(sosId);
      if (kept && now && now.kept === null) await this.become(now, { ...now, kept });
      if (!kept) await this.ways.pause(pauseMs);
    }
    this.sending.delete(sosId);
  }

  private keptOrThrow(answer: unknown): NonNullable<Press["kept"]> {
    const kept = readKept(answer);
    if (kept) {
      this.refusal = null;
      return kept;
    }
    const code = ((answer as Json | null)?.["error"] as Json | undefined)?.["code"];
    if (typeof code === "string" && code !== this.refusal) {
      this.refusal = code;
      this.ways.changed();
    }
    throw new Error("not kept");
  }

  private async become(before: Press, after: Press): Promise<void> {
    if (before === after) return;
    this.presses = this.presses.map((press) => (press.sos_id === after.sos_id ? after : press));
    this.ways.changed();
    await this.store.put(after).catch(() => undefined);
  }
}
