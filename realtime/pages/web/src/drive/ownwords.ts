/** Words about what a driver has set: who is notified, and why something was refused. */
import { clean } from "../common/words";
import type { Refusal } from "../common/wire";
import type { Key, Speech } from "./face";
import { everybody, type Notified, type Plan } from "./own";

/** Of more than this many only the first are named. */
const MOST_NAMED = 3;

/** What a contact is called: the dispatchers and the operator in the reader's language. */
export function nameOf({ words }: Speech, { id, name }: { id: string; name: string }): string {
  if (id === "dispatch") return words.say("plan.dispatch");
  if (id === "operator") return words.say("plan.operator");
  return clean(name, 60) || words.say("contacts.unnamed");
}

/** "Ana, Bo and your dispatchers"; null: nobody. */
export function namesOf(speech: Speech, people: readonly Notified[]): string | null {
  if (people.length === 0) return null;
  const named = people.slice(0, MOST_NAMED).map((one) => nameOf(speech, one));
  const more = people.length - named.length;
  if (more > 0) named.push(speech.words.say("plan.more", { n: more }));
  return new Intl.ListFormat(speech.words.locale, { type: "conjunction" }).format(named);
}

/** Who is notified by a plan, as one sentence: `key` names them, with `{names}` in it. */
export function whoIsNotified(speech: Speech, plan: Plan | undefined, key: Key): string {
  const people = everybody(plan);
  if (people === null) return speech.words.say("plan.unknown");
  const names = plan!.reaches ? namesOf(speech, people) : null;
  return names === null ? speech.words.say("plan.nobody") : speech.words.say(key, { names });
}

/** "by text and push". */
export function channelsOf({ words }: Speech, channels: readonly string[]): string {
  const names = channels.map((channel) => words.find(`channel.${channel}`) ?? clean(channel, 20));
  return new Intl.ListFormat(words.locale, { type: "conjunction" }).format(names);
}

/** Why the server did not do it; `fallback` where its code says no more than that. */
export function whyNot({ words, formats }: Speech, refusal: Refusal, fallback: Key): string {
  switch (refusal.code) {
    case "unavailable":
      return words.say("own.offline");
    case "rate_limited":
      return words.say("own.limited", { time: formats.duration(Math.max(60, refusal.retryAfterS ?? 600) * 1_000) });
    case "overloaded":
      return words.say("own.busy");
    case "revoked":
    case "unauthenticated":
      return words.say("access.revoked");
    case "token_expired":
      return words.say("access.expired");
    case "not_found":
      return words.say("own.gone");
    default:
      return words.say(fallback);
  }
}
