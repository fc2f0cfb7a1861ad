/** How old the newest position is when it comes here: the median over the last seconds. Pure. */

const SPAN_MS = 10_000;
const MOST = 400;

export class Delay {
  private readonly samples: { atMs: number; ageMs: number }[] = [];

  /** An event came: `newestMs` is when the newest fix in it was taken, by the phone's clock. */
  add(nowMs: number, newestMs: number): void {
    this.samples.push({ atMs: nowMs, ageMs: Math.max(0, nowMs - newestMs) });
    if (this.samples.length > MOST) this.samples.shift();
  }

  /** null when nothing has come lately: that nothing comes is no small delay. */
  median(nowMs: number): number | null {
    while (this.samples[0] && this.samples[0].atMs < nowMs - SPAN_MS) this.samples.shift();
    if (!this.samples.length) return null;
    const ages = this.samples.map((sample) => sample.ageMs).sort((a, b) => a - b);
    return ages[Math.floor(ages.length / 2)] ?? null;
  }

  clear(): void {
    this.samples.length = 0;
  }
}
