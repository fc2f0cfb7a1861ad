/** What the parts of the console share: the line, the API, words and figures, and what is chosen now. */
import type { Alert } from "../common/alertwire";
import type { Api } from "../common/api";
import type { Config } from "../common/config";
import type { Formats } from "../common/format";
import type { Handlers, Session } from "../common/session";
import { isRefusal, type Identity } from "../common/wire";
import type { Words } from "../common/words";
import type { NameBook } from "./names";
import type en from "../../messages/console.en.json";

export type ConsoleWords = Words<keyof typeof en>;

/** A value that parts look at and listen to. Nobody is told of a value that is the same. */
export class Topic<T> {
  private readonly listeners = new Set<(value: T) => void>();

  constructor(private value: T) {}

  get(): T {
    return this.value;
  }

  set(value: T): void {
    if (Object.is(value, this.value)) return;
    this.value = value;
    for (const listener of [...this.listeners]) listener(value);
  }

  /** Tells of every later value; returns how to stop that. */
  listen(listener: (value: T) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }
}

/** Whom the map is asked to show, and where they were when they called for help, as far as is known. */
export interface LookAt {
  readonly driver: string;
  readonly lat: number | null;
  readonly lon: number | null;
}

export interface Context {
  readonly session: Session;
  readonly api: Api;
  readonly words: ConsoleWords;
  readonly formats: Formats;
  readonly config: Config;
  /** What drivers are called. */
  readonly names: NameBook;
  readonly identity: Topic<Identity | null>;
  /** The vendors that are looked at, of those that may be. */
  readonly vendors: Topic<readonly string[]>;
  /** Whether those are all there are, also those to come: then no feed needs to name them. */
  readonly allVendors: Topic<boolean>;
  /** The driver that is chosen on the map, in the list or by an alert. */
  readonly chosen: Topic<string | null>;
  /** Whom the map is asked to show from near, by an alert of a driver who may be nowhere on it. */
  readonly place: Topic<LookAt | null>;
  /** How many drivers are shown; null while nobody says. The map sets it. */
  readonly drivers: Topic<number | null>;
  /** Every alert known by id, open or lately closed; a new map with every change. */
  readonly alerts: Topic<ReadonlyMap<string, Alert>>;
  /** Hears what the line brings, beside the other parts. */
  hear(handlers: Partial<Handlers>): void;
  /** Tells the reader something short that passes, politely. */
  tell(text: string): void;
}

/** Where a part may put its elements: the map's field, the list's column, and what lies over the map. */
export interface Places {
  readonly map: HTMLElement;
  readonly side: HTMLElement;
  readonly panel: HTMLElement;
}

/** A part of the console: an element that is placed once, and keeps itself current. */
export interface Part {
  readonly element: HTMLElement;
}

/** What went wrong, in words: of a refusal its own, of anything else that it did. */
export function explained(words: ConsoleWords, error: unknown): string {
  if (!isRefusal(error)) return words.say("error.unknown", { code: "?" });
  const named = error.reason === undefined ? null : words.find(`desk.refused.${error.reason}`);
  return named ?? words.find(`error.${error.code}`) ?? words.say("error.unknown", { code: error.code });
}
