/** Who this phone is: from a link or a code, once, and then from its own storage. */
import { isObject, number, text, type Json } from "../common/read";
import { codeOf, restored, tokenOf } from "../common/link";
import { idOf } from "../common/typed";

export interface Pairing {
  token: string;
  driver: string;
  vendor: string;
  expiresAtMs: number | null;
}

export type Invitation = { code: string } | { token: string };

/** Within this of its end, the end of the access is spoken of. */
export const NEAR_MS = 3 * 86_400_000;

/** A code alone, and what was pasted with it. */
const CODE = /^[^A-Za-z0-9_-]*([A-Za-z0-9_-]{6,128})[^A-Za-z0-9_-]*$/;

/** What an address invites to: `#pair=CODE`, or `#token=…` while developing. */
export function invitationOf(address: string): Invitation | null {
  const code = codeOf(address);
  if (code !== null) return { code };
  const token = tokenOf(address);
  return token === null ? null : { token };
}

/** Whether an address was meant to invite, whole or not. */
export function isInviting(address: string): boolean {
  return /[^A-Za-z0-9_-](pair|token)\b/.test(restored(address));
}

/** What a person typed or pasted: a text with the link in it, or the code alone. */
export function typedInvitation(typed: string): Invitation | null {
  const invitation = invitationOf(typed);
  if (invitation) return invitation;
  const code = CODE.exec(idOf(restored(typed)))?.[1];
  return code === undefined ? null : { code };
}

/** The pairing that the server's answer to a code makes; null when it is none. */
export function pairingOf(answer: Json): Pairing | null {
  const token = text(answer["token"]);
  const driver = text(answer["driver"]);
  if (token === null || driver === null) return null;
  return { token, driver, vendor: text(answer["vendor"]) ?? "", expiresAtMs: number(answer["expires_at"]) ?? claimsOf(token)?.expiresAtMs ?? null };
}

/** What a token says of itself; only the server can tell whether it is true. */
export function claimsOf(token: string): Pairing | null {
  try {
    const body = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    const claims: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (!isObject(claims)) return null;
    const vendors = claims["vendors"];
    const exp = number(claims["exp"]);
    const vendor = Array.isArray(vendors) ? text(vendors[0]) : null;
    return { token, driver: text(claims["driver"]) ?? "", vendor: vendor ?? "", expiresAtMs: exp === null ? null : exp * 1_000 };
  } catch {
    return null;
  }
}

export type Access = "good" | "ending" | "expired" | "revoked";

/** How good the access is: the server's word first, else by the clock. */
export function accessOf(pairing: Pairing, refusal: string | null, nowMs: number): Access {
  if (refusal === "revoked" || refusal === "unauthenticated" || refusal === "forbidden") return "revoked";
  if (refusal === "token_expired") return "expired";
  const { expiresAtMs } = pairing;
  if (expiresAtMs === null) return "good";
  if (expiresAtMs <= nowMs) return "expired";
  return expiresAtMs - nowMs <= NEAR_MS ? "ending" : "good";
}
