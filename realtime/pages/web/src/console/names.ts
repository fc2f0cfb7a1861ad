/**
 * What drivers are called. The feeds and the list have ids alone, many times a second; names are looked up by id, some hundreds at a
 * time, and are kept for a while. Until a name is known the id stands in its place.
 */
import { isObject, text, type Json } from "../common/read";
import { plain } from "../common/typed";
import { isRefusal } from "../common/wire";
import { clean } from "../common/words";

/** Ids of one look-up: the most that the server accepts. */
const BATCH = 500;
/** Between two look-ups. */
export const PAUSE_MS = 1_000;
/** An older name is requested again when it is wanted: another page may have changed it. */
export const KEPT_MS = 120_000;
const FAILED_MS = 5_000;
/** Where the server has no names to give, or not for this reader. */
const REFUSED_MS = 60_000;
/** Drivers that are remembered, and that wait: beyond it those that came first are forgotten. */
const MOST = 50_000;
const LONGEST = 80;
/** The server refuses a whole look-up with an id of another shape. */
const IDENTIFIER = /^[A-Za-z0-9][A-Za-z0-9._~@:+-]{0,63}$/;

interface Entry {
  /** As it may be shown; empty: the driver has none. */
  name: string;
  /** For searching: without case and accents. */
  folded: string;
  atMs: number;
}

export type AskNames = (ids: readonly string[]) => Promise<Json>;

export class NameBook {
  private readonly entries = new Map<string, Entry>();
  private readonly wanted = new Set<string>();
  private readonly listeners = new Set<() => void>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private asking = false;
  private nextMs = 0;

  /** `now`: milliseconds of a clock that does not go back. */
  constructor(
    private readonly ask: AskNames,
    private readonly now: () => number = () => performance.now(),
  ) {}

  /** The name as it may be shown, or the id where there is none. */
  of(id: string): string {
    return this.entries.get(id)?.name || clean(id, LONGEST);
  }

  /** The name alone; null: none, or not known yet. */
  nameOf(id: string): string | null {
    return this.entries.get(id)?.name || null;
  }

  /** Name and id, folded, for a search. */
  foldedOf(id: string): string {
    return `${this.entries.get(id)?.folded ?? ""} ${fold(id)}`;
  }

  /** Those whose name or id has all the words. */
  find(search: string): string[] {
    const words = wordsOf(search);
    return words.length ? [...this.entries.keys()].filter((id) => matches(this.foldedOf(id), words)) : [];
  }

  /** Names that were learnt or have changed. */
  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  /** Has these names known soon. */
  want(ids: Iterable<string>): void {
    const now = this.now();
    for (const id of ids) {
      const entry = this.entries.get(id);
      if ((!entry || now - entry.atMs > KEPT_MS) && IDENTIFIER.test(id)) this.wanted.add(id);
    }
    this.bound(this.wanted);
    this.plan();
  }

  /** A name that was just given. */
  learn(id: string, name: string): void {
    if (this.put(id, name)) this.tell();
  }

  /** Has these looked up again when they are wanted. */
  forget(ids: Iterable<string>): void {
    for (const id of ids) {
      const entry = this.entries.get(id);
      if (entry) entry.atMs = -Infinity;
    }
  }

  private plan(): void {
    if (this.asking || this.timer !== undefined || !this.wanted.size) return;
    this.timer = setTimeout(() => void this.lookUp(), Math.max(0, this.nextMs - this.now()));
  }

  private async lookUp(): Promise<void> {
    this.timer = undefined;
    this.asking = true;
    const ids = [...this.wanted].slice(0, BATCH);
    let pauseMs = PAUSE_MS;
    try {
      const answer = await this.ask(ids);
      const names = isObject(answer["names"]) ? answer["names"] : {};
      let changed = false;
      for (const id of ids) {
        this.wanted.delete(id);
        const name = Object.hasOwn(names, id) ? text(names[id]) : null;
        changed = this.put(id, name ?? "") || changed;
      }
      if (changed) this.tell();
    } catch (error) {
      pauseMs = isRefusal(error) && !error.retryable ? REFUSED_MS : FAILED_MS;
    }
    this.asking = false;
    this.nextMs = this.now() + pauseMs;
    this.plan();
  }

  /** Whether it is another name than before. */
  private put(id: string, given: string): boolean {
    const name = clean(given, LONGEST);
    const had = this.entries.get(id);
    const atMs = this.now();
    if (had?.name === name) {
      had.atMs = atMs;
      return false;
    }
    this.entries.set(id, { name, folded: fold(name), atMs });
    this.bound(this.entries);
    return name !== "" || had !== undefined;
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }

  private bound(held: Map<string, unknown> | Set<string>): void {
    for (const id of held.keys()) {
      if (held.size <= MOST) return;
      held.delete(id);
    }
  }
}

const MARKS = /\p{Mn}+/gu;

/** A text as it is searched: "José" is found by "jose", and "7" by "٧". */
export function fold(text: string): string {
  return plain(text).normalize("NFKD").replace(MARKS, "").toLowerCase();
}

export function wordsOf(search: string): string[] {
  return fold(search).split(/\s+/u).filter(Boolean);
}

/** Whether a folded text has all the words, in any order. */
export function matches(folded: string, words: readonly string[]): boolean {
  return words.every((word) => folded.includes(word));
}
