/**
 * The log of one journey as this page holds it: seqs 1..n, each once, in order, and what is missing is known.
 *
 * `through` is the last seq up to which everything is held (or was said by the server to be all there is for us).
 * Whoever reconnects asks for what comes after it. Three cases for a point that arrives:
 * 1. seq ≤ through: a repeat; ignored.
 * 2. seq = through + 1: taken, with whatever waited behind it.
 * 3. seq > through + 1: waits, and the caller asks the server again: there is a gap.
 */
import { isPlaced, type PlacedPoint, type Point } from "./wire";

const MAX_WAITING = 20_000;

export class JourneyLog {
  through = 0;
  /** The points with a place, in seq order. */
  readonly placed: PlacedPoint[] = [];
  voids = 0;
  repeats = 0;
  private readonly waiting = new Map<number, Point>();

  /** Whether points wait for one that has not come. */
  get hasGap(): boolean {
    return this.waiting.size > 0;
  }

  /**
   * Takes the answer to a `watch` since our `through`: its points are all there is up to `through` of the answer,
   * so seqs it skips are not for us (a share of the live position only) and are not waited for.
   * Returns the points taken, in order.
   */
  restore(points: readonly Point[], through: number | null): Point[] {
    const taken: Point[] = [];
    for (const point of inOrder(points)) {
      if (point.seq > this.through) this.take(point, taken);
      else this.repeats += 1;
    }
    if (through !== null && through > this.through) this.through = through;
    this.drain(taken);
    return taken;
  }

  /** Takes points of an event. Returns those that continue the log, in order; ask `hasGap` afterwards. */
  accept(points: readonly Point[]): Point[] {
    const taken: Point[] = [];
    for (const point of inOrder(points)) {
      if (point.seq <= this.through || this.waiting.has(point.seq)) this.repeats += 1;
      else if (point.seq === this.through + 1) this.take(point, taken);
      else if (this.waiting.size < MAX_WAITING) this.waiting.set(point.seq, point);
    }
    this.drain(taken);
    return taken;
  }

  private take(point: Point, taken: Point[]): void {
    this.through = point.seq;
    if (isPlaced(point)) this.placed.push(point);
    else this.voids += 1;
    taken.push(point);
  }

  private drain(taken: Point[]): void {
    for (const seq of this.waiting.keys()) if (seq <= this.through) this.waiting.delete(seq);
    for (;;) {
      const next = this.waiting.get(this.through + 1);
      if (!next) return;
      this.waiting.delete(next.seq);
      this.take(next, taken);
    }
  }
}

function inOrder(points: readonly Point[]): Point[] {
  return [...points].sort((a, b) => a.seq - b.seq);
}
