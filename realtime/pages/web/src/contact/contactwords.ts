/** What a contact is told, in plain and kind words. Pure, so that every case can be read and tested. */
import { agoText, type Freshness } from "../common/freshness";
import type { Refusal } from "../common/wire";

export interface Words {
  title: string;
  lines: string[];
}

const ADVICE = "If you are worried about them, call them, or your local emergency number.";

export function closedWords(refusal: Refusal | null): Words {
  const ask = `Ask the person who sent it for a new one. ${ADVICE}`;
  if (refusal?.code === "revoked") return { title: "This link has been switched off", lines: ["The person who shared it, or their dispatcher, has ended the sharing.", ask] };
  if (refusal?.code === "token_expired") return { title: "This link has expired", lines: ["Shared links work for a limited time.", ask] };
  return { title: "This link does not work", lines: ["It may have expired or been switched off, or a part of it got lost on the way.", ask] };
}

export interface Situation {
  freshness: Freshness;
  ageMs: number;
  /** Whether our own line is up. */
  live: boolean;
  ended: boolean;
}

/** The headline of the card and the sentence under it. */
export function statusWords({ freshness, ageMs, live, ended }: Situation): [string, string] {
  if (ended) return ["Journey ended", `Last position ${agoText(ageMs)}.`];
  const last = `This is where they were ${agoText(ageMs)}.`;
  if (freshness === "fresh") return [live ? "Live" : "Not live", `Updated ${agoText(ageMs)}`];
  if (!live) return ["Not live", `${last} This page has lost its connection and keeps trying.`];
  if (freshness === "offline") return ["Not connected", `${last} Their phone is not connected at the moment.`];
  return ["No news", `${last} Their phone may be out of signal.`];
}
