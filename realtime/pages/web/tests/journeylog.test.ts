import { describe, expect, it } from "vitest";

import { JourneyLog } from "../src/common/journeylog";
import { readPoint, type Point } from "../src/common/wire";

const point = (seq: number): Point => readPoint([seq, 1_000 * seq, 53.4 + seq / 1_000, -2.97])!;
const emptySeq = (seq: number): Point => readPoint([seq, null, null, null])!;
const seqs = (points: readonly Point[]): number[] => points.map((p) => p.seq);

/** A small generator of pseudo-random numbers (mulberry32), so that a failure can be repeated. */
function randomOf(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

describe("a journey's log", () => {
  it("takes a snapshot and what follows it, each seq once", () => {
    const log = new JourneyLog();
    expect(seqs(log.restore([1, 2, 3].map(point), 3))).toEqual([1, 2, 3]);
    expect(seqs(log.accept([point(3), point(4)]))).toEqual([4]);
    expect([log.through, log.repeats, log.hasGap]).toEqual([4, 1, false]);
  });

  it("holds back what comes after a gap until the gap is filled", () => {
    const log = new JourneyLog();
    log.restore([point(1)], 1);
    expect(log.accept([point(3), point(4)])).toEqual([]);
    expect([log.through, log.hasGap]).toEqual([1, true]);
    expect(seqs(log.restore([2, 3].map(point), 3))).toEqual([2, 3, 4]);
    expect([log.through, log.hasGap]).toEqual([4, false]);
  });

  it("counts voids as seqs but shows no place for them", () => {
    const log = new JourneyLog();
    log.restore([point(1), emptySeq(2), point(3)], 3);
    expect(seqs(log.placed)).toEqual([1, 3]);
    expect([log.through, log.voids]).toEqual([3, 1]);
  });

  it("does not wait for what a live-only share is not shown", () => {
    const log = new JourneyLog();
    expect(seqs(log.restore([point(70)], 70))).toEqual([70]);
    expect(log.hasGap).toBe(false);
    expect(seqs(log.accept([point(71)]))).toEqual([71]);
  });

  it("continues behind a snapshot that ends in a void or says it covers more than it shows", () => {
    const log = new JourneyLog();
    log.accept([point(9)]);
    expect(seqs(log.restore([], 8))).toEqual([9]);
    expect(log.through).toBe(9);
  });

  it("does not take a second answer to the same question twice", () => {
    const log = new JourneyLog();
    log.restore([1, 2].map(point), 2);
    expect(log.restore([1, 2].map(point), 2)).toEqual([]);
    expect(seqs(log.placed)).toEqual([1, 2]);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])("is whole and in order whatever is lost, doubled or shuffled (seed %i)", (seed) => {
    const random = randomOf(seed);
    const all = Array.from({ length: 200 }, (_, i) => (random() < 0.1 ? emptySeq(i + 1) : point(i + 1)));
    const log = new JourneyLog();
    for (let at = 0; at < all.length; ) {
      const next = Math.min(all.length, at + 1 + Math.floor(random() * 9));
      const event = all.slice(Math.max(0, at - Math.floor(random() * 3)), next);
      if (random() > 0.25) log.accept(event.sort(() => random() - 0.5));
      at = next;
      if (log.hasGap && random() < 0.5) log.restore(all.slice(log.through, at), at);
    }
    log.restore(all.slice(log.through), all.length);
    expect([log.through, log.hasGap]).toEqual([200, false]);
    expect(seqs(log.placed)).toEqual(seqs(all.filter((p) => p.lat !== null)));
  });
});
