/** When no network takes an SOS: a text and a call, prepared, one tap away. Pure. */
import { plain } from "../common/typed";
import type { Fix } from "./outbox";

export interface Helper {
  name: string;
  number: string;
}

export interface Help {
  /** 112 is answered by mobile networks nearly everywhere; a driver may set another. */
  emergency: string;
  helpers: Helper[];
}

export const NO_HELP: Help = { emergency: "112", helpers: [] };
export const MOST_HELPERS = 5;

/** A telephone number as it may stand in a link; null when it is none. */
export function dialable(typed: string): string | null {
  const number = plain(typed).replace(/[ ().\-/]/g, "");
  return /^\+?\d{2,20}$/.test(number) ? number : null;
}

export function telLink(number: string): string {
  return `tel:${number}`;
}

/** `?&body=` is read by Android and iOS alike. */
export function smsLink(number: string, body: string): string {
  return `sms:${number}?&body=${encodeURIComponent(body)}`;
}

/** "53.40840, -2.99160" */
export function placeText(fix: Fix): string {
  return `${fix[1].toFixed(5)}, ${fix[2].toFixed(5)}`;
}

export function readHelp(raw: unknown): Help {
  const { emergency, helpers } = (typeof raw === "object" && raw !== null ? raw : {}) as Partial<Help>;
  return {
    emergency: (typeof emergency === "string" ? dialable(emergency) : null) ?? NO_HELP.emergency,
    helpers: Array.isArray(helpers) ? helpers.filter((one) => dialable(String(one?.number)) !== null).slice(0, MOST_HELPERS) : [],
  };
}
