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

const lent: { state: () => object; at: Probe["at"] }[] = [];

/** What one part of a page adds to what its page exposes. */
export function lend(state: () => object, at: Probe["at"]): void {
  lent.push({ state, at });
}

export function expose(state: () => unknown, at: Probe["at"] = () => null): void {
  window.__wayguard = {
    get state() {
      return lent.length ? Object.assign({}, state(), ...lent.map((part) => part.state())) : state();
    },
    at: (id) => lent.reduce<ReturnType<Probe["at"]>>((found, part) => found ?? part.at(id), at(id)),
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
