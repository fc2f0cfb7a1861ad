/** An alert in sentences: when, who is on it, and each line of its history. */
import { isOpen, type Alert, type Person } from "../common/alertwire";
import type { Formats } from "../common/format";
import { clean } from "../common/words";
import type { ConsoleWords } from "./context";
import { atMs, type Attempt, type HistoryLine } from "./deskwire";

export interface Saying {
  words: ConsoleWords;
  formats: Formats;
}

export function kindText({ words }: Saying, alert: Alert): string {
  return words.find(`alert.kind.${alert.kind}`) ?? clean(alert.kind, 40);
}

export function stateText({ words }: Saying, alert: Alert): string {
  return words.say(`alert.state.${alert.state}`);
}

export function whenText({ words, formats }: Saying, alert: Alert, nowMs: number): string {
  const clock = formats.clock(alert.pressedMs, nowMs, true);
  const ago = formats.ago(nowMs - alert.pressedMs);
  if (alert.raisedBy) return words.say("desk.raised_for_at", { name: nameOf({ words, formats }, alert.raisedBy), clock, ago });
  return words.say(isMachine(alert) ? "desk.raised_at" : "desk.pressed_at", { clock, ago });
}

function isMachine(alert: Alert): boolean {
  return alert.kind !== "sos";
}

export function nameOf({ words }: Saying, person: Person | null): string {
  if (!person) return words.say("desk.somebody");
  if (person.kind === "system") return words.say("desk.system");
  return clean(person.name || person.id, 60) || words.say("desk.somebody");
}

/** Who is on it, or that nobody is; one sentence each. */
export function whoTexts(saying: Saying, alert: Alert, nowMs: number): string[] {
  const { words, formats } = saying;
  const clock = (ms: number | null): string => (ms === null ? "–" : formats.clock(ms, nowMs));
  const said: string[] = [];
  if (!isOpen(alert)) {
    const key = alert.state === "resolved" ? "desk.resolved_by" : "desk.cancelled_by";
    return [words.say(key, { name: nameOf(saying, alert.closedBy), clock: clock(alert.closedMs) })];
  }
  if (alert.state === "pending") said.push(words.say("desk.pending"));
  else if (alert.state === "acknowledged") {
    said.push(words.say("desk.on_it", { name: nameOf(saying, alert.acknowledgedBy), clock: clock(alert.acknowledgedMs) }));
  } else if (alert.exhaustedMs !== null) {
    const reason = words.find(`desk.exhausted.${alert.exhaustedReason ?? ""}`) ?? "";
    said.push([words.say("desk.exhausted", { clock: clock(alert.exhaustedMs) }), reason].filter(Boolean).join(" "));
  } else said.push(alert.reachedMs === null ? words.say("desk.nobody") : words.say("desk.reached", { clock: clock(alert.reachedMs) }));
  for (const { person, atMs: at, etaS } of alert.responders) {
    const name = nameOf(saying, person);
    said.push(etaS === null ? words.say("desk.coming", { name }) : words.say("desk.coming_by", { name, clock: clock(at + etaS * 1_000) }));
  }
  return said;
}

/** Seconds until a countdown is over; null where none runs. */
export function countdownS(alert: Alert, nowMs: number): number | null {
  if (alert.state !== "pending" || alert.pendingUntilMs === null) return null;
  return Math.max(0, Math.ceil((alert.pendingUntilMs - nowMs) / 1_000));
}

export function statusText({ words, formats }: Saying, attempt: Attempt, tries: number, nowMs: number): string {
  const status = words.find(`attempt.${attempt.status}`) ?? clean(attempt.status, 30);
  const parts = [status, formats.clock(atMs(attempt), nowMs, true)];
  if (tries > 1) parts.push(words.say("desk.tries", { n: tries }));
  const why = attempt.status === "failed" ? reasonText(words, attempt.reason) : attempt.providerStatus;
  if (why) parts.push(clean(why, 80));
  return parts.join(" · ");
}

function reasonText(words: ConsoleWords, reason: string | null): string | null {
  return reason === null ? null : (words.find(`desk.reason.${reason}`) ?? reason);
}

export function contactText({ words }: Saying, contactId: string, name: string): string {
  return words.find(`desk.contact.${contactId}`) ?? (clean(name || contactId, 60) || words.say("desk.somebody"));
}

/** One line of history: what happened, and who did it where that was a person. */
export function lineText(saying: Saying, line: HistoryLine): string {
  const { words } = saying;
  const what =
    words.find(`desk.arrow.${line.arrow ?? ""}`) ?? words.find(`desk.what.${line.what}`, { n: line.contacts ?? 0 }) ?? clean(line.what, 60);
  const by = line.byKind && line.byKind !== "system" && line.byName ? words.say("desk.by", { name: clean(line.byName, 60) }) : "";
  const why = line.reason === null ? "" : (words.find(`desk.refused.${line.reason}`) ?? words.find(`desk.exhausted.${line.reason}`) ?? reasonText(words, line.reason) ?? "");
  return [what, by, why].filter(Boolean).join(" · ");
}
