/** An alert's attempts and history as the server tells them (docs/API.md), read defensively and put together. Pure. */
import { isObject, number, text } from "../common/read";

export interface Attempt {
  id: string;
  purpose: string;
  contactId: string;
  contact: string;
  channel: string;
  status: string;
  round: number;
  step: number;
  number: number;
  dueMs: number;
  sentMs: number | null;
  deliveredMs: number | null;
  provider: string | null;
  providerStatus: string | null;
  reason: string | null;
}

export interface HistoryLine {
  atMs: number;
  byKind: string;
  byName: string;
  what: string;
  arrow: string | null;
  note: string | null;
  reason: string | null;
  etaS: number | null;
  contacts: number | null;
  contactId: string | null;
}

/** Entries in order of time; `earlier` is the cursor of the page before them, null when these are all. */
export interface Pages<T> {
  entries: T[];
  earlier: string | null;
}

export interface Detail {
  attempts: Pages<Attempt>;
  history: Pages<HistoryLine>;
}

export function readDetail(raw: unknown): Detail {
  const answer = isObject(raw) ? raw : {};
  return {
    attempts: { entries: listOf(answer["attempts"], readAttempt), earlier: text(answer["attempts_cursor"]) },
    history: { entries: listOf(answer["history"], readLine), earlier: text(answer["history_cursor"]) },
  };
}

export function readAttemptsPage(answer: Record<string, unknown>): Pages<Attempt> {
  return { entries: listOf(answer["attempts"], readAttempt), earlier: text(answer["next_cursor"]) };
}

export function readHistoryPage(answer: Record<string, unknown>): Pages<HistoryLine> {
  return { entries: listOf(answer["history"], readLine), earlier: text(answer["next_cursor"]) };
}

/**
 * `known`, of which earlier pages may have been asked for, with the newest page as it is now. Where the newest page no
 * longer touches what is known, what is known is dropped: its cursor leads back to it, and no hole is left unseen.
 */
export function renewed<T>(known: Pages<T>, newest: Pages<T>, keyOf: (entry: T) => string): Pages<T> {
  const first = newest.entries[0];
  if (first === undefined || newest.earlier === null) return newest;
  const at = known.entries.map(keyOf).lastIndexOf(keyOf(first));
  if (at <= 0) return newest;
  const renewedKeys = new Set(newest.entries.map(keyOf));
  const before = known.entries.slice(0, at).filter((entry) => !renewedKeys.has(keyOf(entry)));
  return { entries: [...before, ...newest.entries], earlier: known.earlier };
}

/** `known` with the page before it. */
export function preceded<T>(known: Pages<T>, page: Pages<T>): Pages<T> {
  return { entries: [...page.entries, ...known.entries], earlier: page.earlier };
}

export const keyOfAttempt = (attempt: Attempt): string => attempt.id;
export const keyOfLine = (line: HistoryLine): string => JSON.stringify(line);

function listOf<T>(raw: unknown, read: (raw: unknown) => T | null): T[] {
  return Array.isArray(raw) ? raw.map(read).filter((entry): entry is Awaited<T> => entry !== null) : [];
}

function readAttempt(raw: unknown): Attempt | null {
  if (!isObject(raw)) return null;
  const status = text(raw["status"]);
  const channel = text(raw["channel"]);
  if (status === null || channel === null) return null;
  return {
    id: text(raw["attempt_id"]) ?? "",
    purpose: text(raw["purpose"]) ?? "alert",
    contactId: text(raw["contact_id"]) ?? "",
    contact: text(raw["contact"]) ?? "",
    channel,
    status,
    round: number(raw["round"]) ?? 0,
    step: number(raw["step"]) ?? 0,
    number: number(raw["number"]) ?? 1,
    dueMs: number(raw["due_at"]) ?? 0,
    sentMs: number(raw["sent_at"]),
    deliveredMs: number(raw["delivered_at"]),
    provider: text(raw["provider"]),
    providerStatus: text(raw["provider_status"]),
    reason: text(raw["reason"]),
  };
}

function readLine(raw: unknown): HistoryLine | null {
  if (!isObject(raw)) return null;
  const what = text(raw["what"]);
  if (what === null) return null;
  const detail = isObject(raw["detail"]) ? raw["detail"] : {};
  return {
    atMs: number(raw["at"]) ?? 0,
    byKind: text(raw["by_kind"]) ?? "",
    byName: text(raw["by_name"]) || (text(raw["by_id"]) ?? ""),
    what,
    arrow: text(raw["arrow"]),
    note: text(detail["note"]) || null,
    reason: text(detail["reason"]),
    etaS: number(detail["eta_s"]),
    contacts: number(detail["contacts"]),
    contactId: text(detail["contact_id"]),
  };
}

/** One way in which one person was tried for one purpose: the newest attempt of it, and how many there were. */
export interface Way {
  purpose: string;
  channel: string;
  newest: Attempt;
  tries: number;
}

export interface Tried {
  contactId: string;
  contact: string;
  ways: Way[];
}

/** Who was tried, in the order in which they first were; each way once, with how it went last. */
export function tried(attempts: readonly Attempt[]): Tried[] {
  const people = new Map<string, Tried>();
  const inOrder = [...attempts].sort((a, b) => a.dueMs - b.dueMs || a.number - b.number);
  for (const attempt of inOrder) {
    let person = people.get(attempt.contactId);
    if (!person) people.set(attempt.contactId, (person = { contactId: attempt.contactId, contact: attempt.contact, ways: [] }));
    const way = person.ways.find((one) => one.purpose === attempt.purpose && one.channel === attempt.channel);
    if (!way) person.ways.push({ purpose: attempt.purpose, channel: attempt.channel, newest: attempt, tries: 1 });
    else {
      way.newest = attempt;
      way.tries += 1;
    }
  }
  return [...people.values()];
}

/** When an attempt got as far as it is. */
export function atMs(attempt: Attempt): number {
  return attempt.deliveredMs ?? attempt.sentMs ?? attempt.dueMs;
}
