/** The outbox's store in IndexedDB: a change is one transaction, and done when that is on the disk. */
import type { Db } from "./db";
import { Overtaken, type Change, type Fix, type Journey, type Store } from "./outbox";

/** Names the last write of all tabs, under `settings`. */
const STAMP = "outbox";

export class IdbStore implements Store {
  /** The last write that this copy knows of. */
  private stamp: unknown = undefined;

  constructor(private readonly db: Db) {}

  async journeys(): Promise<Journey[]> {
    const look = this.db.transaction(["settings", "journeys"]);
    const [stamp, journeys] = await Promise.all([look.objectStore("settings").get(STAMP), look.objectStore("journeys").getAll()]);
    this.stamp = stamp;
    return journeys;
  }

  async write({ put = [], forget = [], add = [], drop = [] }: Change): Promise<void> {
    // Strict: an answer from the disk, not from a cache in front of it, before anything is sent.
    const all = this.db.transaction(["settings", "journeys", "points"], "readwrite", { durability: "strict" });
    const settings = all.objectStore("settings");
    // A tab that was just taken over from may write once more: neither tab goes on from what the other has changed.
    if ((await settings.get(STAMP)) !== this.stamp) throw new Overtaken();
    const journeys = all.objectStore("journeys");
    const points = all.objectStore("points");
    const stamp = crypto.randomUUID();
    await Promise.all([
      settings.put(stamp, STAMP),
      ...put.map((journey) => journeys.put(journey)),
      ...forget.map((n) => journeys.delete(n)),
      ...drop.map(([from, to]) => points.delete(IDBKeyRange.bound(from, to))),
      // `add`, not `put`: a number that is taken is another tab's, and that one's point stays.
      ...add.map(([id, fix]) => points.add(fix, id)),
      all.done,
    ]);
    this.stamp = stamp;
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
