/** How often the map's data may be rebuilt: once a frame at most, and never for more than a share of the time. */

const SHARE = 0.2;

export class Pace {
  /** Smoothed script time of one rebuild, in ms. */
  costMs = 0;
  updates = 0;
  private nextMs = 0;

  isDue(nowMs: number): boolean {
    return nowMs >= this.nextMs;
  }

  /** Notes a rebuild that began at `startMs` and ended at `endMs`; a dear one makes the next wait. */
  ran(startMs: number, endMs: number): void {
    const cost = endMs - startMs;
    this.updates += 1;
    this.costMs += (this.updates === 1 ? 1 : 0.1) * (cost - this.costMs);
    this.nextMs = startMs + cost / SHARE;
  }
}
