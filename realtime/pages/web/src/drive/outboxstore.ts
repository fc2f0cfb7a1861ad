/** The outbox's store in IndexedDB: a change is one transaction, and done when that is on the disk. */
import type { Db } from "./db";
import type { Change, Fix, Journey, Store } from "./outbox";

export class IdbStore implements Store {
  constructor(private readonly db: Db) {}

  journeys(): Promise<Journey[]> {
    return this.db.getAll("journeys");
  }

  async write({ put = [], forget = [], add = [], drop = [] }: Change): Promise<void> {
    // Strict: an answer from the disk, not from a cache in front of it, before anything is sent.
    const both = this.db.transaction(["journeys", "points"], "readwrite", { durability: "strict" });
    const journeys = both.objectStore("journeys");
    const points = both.objectStore("points");
    await Promise.all([
      ...put.map((journey) => journeys.put(journey)),
      ...forget.map((n) => journeys.delete(n)),
      ...drop.map(([from, to]) => points.delete(IDBKeyRange.bound(from, to))),
      // `add`, not `put`: a number that is taken is another tab's, and that one's point stays.
      ...add.map(([id, fix]) => points.add(fix, id)),
      both.done,
    ]);
  }

  async rows(fromId: number, toId: number, limit: number): Promise<[number, Fix][]> {
    if (toId < fromId) return [];
    const range = IDBKeyRange.bound(fromId, toId);
    const look = this.db.transaction("points").store;
    const [ids, fixes] = await Promise.all([look.getAllKeys(range, limit), look.getAll(range, limit)]);
    return ids.map((id, index) => [id, fixes[index]!]);
  }

  count(): Promise<number> {
    return this.db.count("points");
  }

  oldest(limit: number): Promise<number[]> {
    return this.db.getAllKeys("points", null, limit);
  }
}
