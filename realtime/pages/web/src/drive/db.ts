/** The app's own storage on this device. The page and its service worker open it alike. */
import { openDB, type DBSchema, type IDBPDatabase } from "idb";

import type { Fix, Journey } from "./outbox";
import type { Pairing } from "./pairing";
import type { Press } from "./press";

export const DB_NAME = "wayguard-drive";

interface Schema extends DBSchema {
  /** Who this phone is: one entry, `me`. */
  pairing: { key: string; value: Pairing };
  journeys: { key: number; value: Journey };
  /** What is not yet safe, by the running number of this device. */
  points: { key: number; value: Fix };
  presses: { key: string; value: Press };
  /** What was chosen or begun, by name: contacts, timers. */
  settings: { key: string; value: unknown };
}

export type Db = IDBPDatabase<Schema>;

const STORES = ["pairing", "journeys", "points", "presses", "settings"] as const;

export function openDb(name = DB_NAME): Promise<Db> {
  return openDB<Schema>(name, 1, {
    upgrade(db) {
      db.createObjectStore("pairing");
      db.createObjectStore("journeys", { keyPath: "n" });
      db.createObjectStore("points");
      db.createObjectStore("presses", { keyPath: "sos_id" });
      db.createObjectStore("settings");
    },
  });
}

/** Forgets everything, in one transaction. */
export async function wipe(db: Db): Promise<void> {
  const all = db.transaction(STORES, "readwrite");
  await Promise.all([...STORES.map((name) => all.objectStore(name).clear()), all.done]);
}
