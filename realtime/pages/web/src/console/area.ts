/**
 * What the area feed shows: who is on the map one by one, or how many are in each cell seen from far away.
 *
 * It holds who, not where: places go to the fleet, which keeps the newer of two. An answer that is `fresh` is all there is; one
 * that is not is the difference to what was shown before (docs/PROTOCOL.md, "Areas").
 */
import { number, text, within } from "../common/read";
import type { Fix, Snapshot } from "../common/wire";

export interface Cell {
  id: string;
  lat: number;
  lon: number;
  count: number;
}

export interface Change {
  /** Those the feed speaks of; their places are the fleet's to judge. */
  fixes: readonly Fix[];
  /** Those that are not on the map any more. */
  left: string[];
}

export class AreaBoard {
  mode: "markers" | "counts" = "markers";
  readonly shown = new Set<string>();
  readonly cells = new Map<string, Cell>();

  /** Takes the answer to a `watch`. */
  answer(snapshot: Snapshot): Change {
    const before = new Set(this.shown);
    this.mode = snapshot.raw["mode"] === "counts" ? "counts" : "markers";
    if (snapshot.raw["fresh"] !== false) {
      this.shown.clear();
      this.cells.clear();
    }
    if (this.mode === "counts") this.shown.clear();
    else this.cells.clear();
    this.counted(snapshot.raw["counts"]);
    for (const { driver } of snapshot.fixes) this.shown.add(driver);
    const left = snapshot.raw["left"];
    if (Array.isArray(left)) for (const id of left) this.shown.delete(String(id));
    return { fixes: snapshot.fixes, left: [...before].filter((id) => !this.shown.has(id)) };
  }

  /** Takes a `positions` event of the area. */
  moved(fixes: readonly Fix[], left: readonly string[]): Change {
    for (const { driver } of fixes) this.shown.add(driver);
    const gone = left.filter((id) => this.shown.delete(id));
    return { fixes, left: gone };
  }

  /** Takes `[[cell, lat, lon, n], …]`; entries of another shape are left out. Returns whether anything changed. */
  counted(raw: unknown): boolean {
    if (!Array.isArray(raw)) return false;
    let changed = false;
    for (const entry of raw) {
      const cell = readCell(entry);
      if (!cell) continue;
      changed = true;
      if (cell.count > 0) this.cells.set(cell.id, cell);
      else this.cells.delete(cell.id);
    }
    return changed;
  }

  clear(): string[] {
    const gone = [...this.shown];
    this.shown.clear();
    this.cells.clear();
    return gone;
  }
}

function readCell(raw: unknown): Cell | null {
  if (!Array.isArray(raw)) return null;
  const id = text(raw[0]);
  const lat = within(raw[1], -90, 90);
  const lon = within(raw[2], -180, 180);
  const count = number(raw[3]);
  return id === null || lat === null || lon === null || count === null ? null : { id, lat, lon, count };
}

export interface Bounds {
  south: number;
  west: number;
  north: number;
  east: number;
}

/** The request for what a map shows; `vendors` null: of all there are. A view wider than the world is the world. */
export function areaRequest(bounds: Bounds, zoom: number, vendors: readonly string[] | null): Record<string, unknown> {
  const whole = bounds.east - bounds.west >= 360;
  const [west, east] = whole ? [-180, 180] : [rounded(bounds.west), rounded(bounds.east)];
  const south = Math.max(-90, rounded(bounds.south));
  const north = Math.min(90, rounded(bounds.north));
  const area = { bbox: [[south, west], [north, east]], zoom: Math.max(0, Math.round(zoom * 100) / 100) };
  return { area: vendors === null ? area : { ...area, vendors } };
}

const rounded = (degrees: number): number => Math.round(degrees * 1e6) / 1e6;

/** The circle of a count: ten times as many are a step wider, so that one is still seen and a thousand fits. */
export function radiusPx(count: number): number {
  return Math.round(14 + 6 * Math.log10(Math.max(1, count)));
}
