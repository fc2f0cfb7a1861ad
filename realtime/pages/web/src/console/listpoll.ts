/** Asks for every driver of the vendors looked at, page by page, again and again: also those that the map does not show. */
import type { Context } from "./context";
import { readListed } from "./fleet";
import type { FleetModel } from "./fleetmodel";
import { text } from "../common/read";

export const EVERY_MS = 10_000;
/** Small pages: reading one is over within a frame. */
const PAGE_ROWS = 500;

export class ListPoll {
  /** Lists that were read to their end. */
  rounds = 0;
  private timer = 0;
  private turn = 0;

  constructor(
    private readonly context: Context,
    private readonly model: FleetModel,
    private readonly heard: () => void,
  ) {}

  /** Begins anew at once: other vendors, or the page has woken up. */
  start(): void {
    window.clearTimeout(this.timer);
    void this.round(++this.turn);
  }

  private async round(turn: number): Promise<void> {
    for (const vendor of document.hidden ? [] : this.context.vendors.get()) {
      try {
        await this.read(vendor, turn);
      } catch {
        // What is known stays, and grows old in plain sight; the next round is near.
      }
      if (turn !== this.turn) return;
    }
    this.rounds += 1;
    this.heard();
    this.timer = window.setTimeout(() => void this.round(turn), EVERY_MS * (0.9 + 0.2 * Math.random()));
  }

  private async read(vendor: string, turn: number): Promise<void> {
    const { api } = this.context;
    const askedMs = this.model.now();
    const named = new Set<string>();
    let cursor: string | null = null;
    do {
      const next: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const page = await api.get(`/api/v1/vendors/${encodeURIComponent(vendor)}/positions?limit=${PAGE_ROWS}${next}`);
      if (turn !== this.turn) return;
      const rows = readListed(page["positions"]);
      for (const row of rows) named.add(row.driver);
      this.context.names.want(rows.map((row) => row.driver));
      this.model.tell(this.model.fleet.take(vendor, rows, askedMs));
      cursor = text(page["next_cursor"]);
    } while (cursor !== null);
    this.model.tell(this.model.fleet.forgetUnlisted(vendor, named, askedMs));
  }
}
