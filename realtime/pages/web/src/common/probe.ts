/** `window.__wayguard`: what a browser test reads to judge the page. It holds no token and no secret. */

import type { JourneyFeed } from "./journeyfeed";

export interface Probe {
  readonly state: unknown;
  /** Where a marker is on the screen, in CSS pixels. */
  at(id: string): { x: number; y: number } | null;
}

declare global {
  interface Window {
    __wayguard?: Probe;
  }
}

export function expose(state: () => unknown, at: Probe["at"]): void {
  window.__wayguard = {
    get state() {
      return state();
    },
    at,
  };
}

export function journeyProbe({ log }: JourneyFeed): unknown {
  return {
    through: log.through,
    seqs: log.placed.map((point) => point.seq),
    voids: log.voids,
    repeats: log.repeats,
    gap: log.hasGap,
  };
}
