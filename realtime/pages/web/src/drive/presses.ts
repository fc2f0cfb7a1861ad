/** Presses in IndexedDB, and the one way to send them that needs no page: the service worker's too. */
import type { Json } from "../common/read";
import type { Db } from "./db";
import { postSos, safetyUrlOf } from "./post";
import { readKept, wireOf, type Press } from "./press";
import type { PressStore } from "./raise";

/** Under which name the settings hold the safety address. */
export const SAFETY_URL = "safety_url";

export class IdbPresses implements PressStore {
  constructor(private readonly db: Db) {}

  async all(): Promise<Press[]> {
    return (await this.db.getAll("presses")).sort((a, b) => a.pressed_at - b.pressed_at);
  }

  async put(press: Press): Promise<void> {
    const change = this.db.transaction("presses", "readwrite", { durability: "strict" });
    await Promise.all([change.store.put(press), change.done]);
  }

  delete(sosId: string): Promise<void> {
    return this.db.delete("presses", sosId);
  }
}

/** Sends what was not sent yet. Throws while any of it is not: then the browser tries again later. */
export async function sendUnsent(db: Db): Promise<void> {
  const pairing = await db.get("pairing", "me");
  const safetyUrl = safetyUrlOf(await db.get("settings", SAFETY_URL));
  const store = new IdbPresses(db);
  for (const press of pairing ? await store.all() : []) {
    if (press.kept !== null) continue;
    const kept = readKept(await postSos(pairing!.token, wireOf(press) as Json, safetyUrl));
    if (kept === null) throw new Error("an sos was not taken");
    await store.put({ ...press, kept });
  }
}
