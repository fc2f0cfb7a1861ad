/** The map of the page of answers: in a box of a page that scrolls, so that it follows by itself and is not dragged. */
import "./answermap.css";

import { loadConfig } from "../common/config";
import { freshness } from "../common/freshness";
import type { PlacedPoint } from "../common/wire";
import { MapSide } from "./mapside";

const AROUND = { top: 62, right: 24, bottom: 24, left: 24 };

export class AnswerMap {
  constructor(
    private readonly side: MapSide,
    private readonly container: HTMLElement,
    private readonly staleAfterMs: number,
  ) {}

  /** `over`: where they are is not followed any more. */
  put(point: PlacedPoint | null, over: boolean, nowMs: number): void {
    // For tests, and for a reader of the page's source: where the marker stands.
    this.container.dataset["at"] = point ? `${point.lat.toFixed(5)}, ${point.lon.toFixed(5)}` : "";
    const look = over ? "offline" : freshness(nowMs - (point?.tMs ?? 0), null, this.staleAfterMs);
    this.side.put(point && { point, way: null, freshness: look });
  }
}

export async function openMap(container: HTMLElement): Promise<AnswerMap> {
  const config = await loadConfig();
  return new AnswerMap(new MapSide(container, config.mapStyleUrl, () => AROUND, () => undefined, true), container, config.staleAfterMs);
}
