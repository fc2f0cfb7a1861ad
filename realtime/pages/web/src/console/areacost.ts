/** What the map's and the list's own script costs between two frames, so that it can be judged on the machine it runs on. */

/** Frames that are looked back at: some ten seconds. */
const KEPT = 512;

export class Cost {
  frames = 0;
  private since = 0;
  private readonly costs = new Float32Array(KEPT);

  /** Runs `act` and counts its time into the frame to come. */
  measure<T>(act: () => T): T {
    const began = performance.now();
    try {
      return act();
    } finally {
      this.since += performance.now() - began;
    }
  }

  /** A frame is over. */
  frame(): void {
    this.costs[this.frames % KEPT] = this.since;
    this.frames += 1;
    this.since = 0;
  }

  /** Of the latest frames, in ms. */
  figures(): Record<"p50" | "p95" | "p99" | "most", number> {
    const sorted = this.costs.slice(0, Math.min(KEPT, this.frames)).sort();
    const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
    return { p50: at(0.5), p95: at(0.95), p99: at(0.99), most: at(1) };
  }
}
