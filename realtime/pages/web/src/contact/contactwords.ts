/** What a contact is told, in plain and kind words. Pure, so that every case can be read and tested. */
import { isOpen, type Alert, type Person } from "../common/alertwire";
import type { Freshness } from "../common/freshness";
import type { Formats } from "../common/format";
import type { Presence, Refusal } from "../common/wire";
import type { Words } from "../common/words";
import type en from "../../messages/contact.en.json";
import { arrivalMs, isMe } from "./sos";

export type ContactWords = Words<Extract<keyof typeof en, string>>;

export interface Closed {
  why: "revoked" | "expired" | "broken";
  title: string;
  lines: string[];
}

export function closedWords(words: ContactWords, refusal: Refusal | null): Closed {
  const why = refusal?.code === "revoked" ? "revoked" : refusal?.code === "token_expired" ? "expired" : "broken";
  return { why, title: words.say(`link.${why}`), lines: [words.say(`link.${why}.why`), words.say("link.ask")] };
}

export interface Situation {
  freshness: Freshness;
  ageMs: number;
  /** Whether our own line is up. */
  live: boolean;
  ended: boolean;
  presence: Presence | null;
  nowMs: number;
}

const WHY = ["lost", "left", "silent"] as const;

/** The headline of the card and the sentence under it. */
export function statusWords(words: ContactWords, formats: Formats, now: Situation): [string, string] {
  if (!Number.isFinite(now.ageMs)) return [whyNotFresh(words, formats, now)[0], words.say("last.unknown")];
  const ago = formats.ago(now.ageMs);
  if (now.ended) return [words.say("state.ended"), words.say("last.ended", { ago })];
  if (now.freshness === "fresh") return [words.say(now.live ? "state.live" : "state.not_live"), words.say("updated", { ago })];
  const [title, why] = whyNotFresh(words, formats, now);
  return [title, `${words.say("last", { ago })} ${why}`];
}

function whyNotFresh(words: ContactWords, formats: Formats, now: Situation): [string, string] {
  if (!now.live) return [words.say("state.not_live"), words.say("why.line")];
  const offline = now.freshness === "offline";
  const title = words.say(offline ? "state.offline" : "state.quiet");
  const { presence } = now;
  const reason = WHY.find((one) => one === presence?.reason);
  if (presence && presence.state !== "online" && reason && presence.sinceMs !== null) {
    return [title, words.say(`why.${reason}`, { time: formats.clock(presence.sinceMs, now.nowMs) })];
  }
  return [title, words.say(offline ? "why.away" : "why.signal")];
}

/** The name of somebody in an alert; empty when it is not told. */
export function personName(words: ContactWords, person: Person | null): string {
  if (person === null) return "";
  if (person.kind === "operator" && (person.name === "" || person.name === "operator")) return person.name && words.say("sos.operator");
  return person.name;
}

/** The big sentence: who needs what. */
export function needWords(words: ContactWords, alert: Alert, name: string): string {
  return words.find(`sos.needs.${alert.kind}`, { name }) ?? words.say("sos.needs.sos", { name });
}

/** Who is on it, and who is coming: a line each. */
export function whoWords(words: ContactWords, formats: Formats, alert: Alert, shareId: string, name: string, nowMs: number): string[] {
  const at = (ms: number | null): string => formats.clock(ms ?? nowMs, nowMs);
  const by = personName(words, alert.acknowledgedBy);
  const lines: string[] = [];
  if (alert.state === "acknowledged") {
    const time = at(alert.acknowledgedMs);
    if (isMe(alert.acknowledgedBy, shareId)) lines.push(words.say("sos.you", { time }));
    else lines.push(by ? words.say("sos.by", { name: by, time }) : words.say("sos.somebody", { time }));
  } else if (alert.state === "pending" && alert.pendingUntilMs !== null) {
    lines.push(words.say("sos.counting", { name, time: formats.clock(alert.pendingUntilMs, nowMs, true) }));
  } else if (!alert.responders.length) {
    lines.push(words.say(alert.exhaustedMs === null ? "sos.nobody" : "sos.exhausted"));
  }
  for (const responder of alert.responders) {
    const there = arrivalMs(responder);
    const who = personName(words, responder.person);
    const whose = isMe(responder.person, shareId) ? ".you" : who ? "" : ".somebody";
    const values = { name: who, time: at(there) };
    lines.push(words.say(there === null ? `sos.coming${whose}` : `sos.coming${whose}.at`, values));
  }
  return lines;
}

/** How it ended. */
export function overWords(words: ContactWords, formats: Formats, alert: Alert, shareId: string, driver: string, nowMs: number): string {
  if (isOpen(alert)) return "";
  const state = alert.state === "cancelled" ? "cancelled" : "resolved";
  const time = formats.clock(alert.closedMs ?? nowMs, nowMs);
  if (isMe(alert.closedBy, shareId)) return words.say(`sos.over.${state}.you`, { time });
  const name = alert.closedBy?.kind === "driver" ? driver : personName(words, alert.closedBy);
  return name ? words.say(`sos.over.${state}.by`, { name, time }) : words.say(`sos.over.${state}.at`, { time });
}

/** Why what was asked for did not happen. */
export function refusalWords(words: ContactWords, refusal: Refusal): string {
  if (refusal.retryable) return words.say("sos.unsent");
  if (refusal.code === "forbidden" || refusal.code === "not_found") return words.say("sos.refused.forbidden");
  if (refusal.code === "conflict") return words.say("sos.refused.conflict");
  return words.say("sos.refused.other");
}
