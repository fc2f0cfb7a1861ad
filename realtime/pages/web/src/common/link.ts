/**
 * What a link carries: a dispatcher's token, a contact's share, the token of an answer link, a code that pairs a phone. It
 * stands in the fragment, which no server or log sees, until a program on the way has changed the link.
 *
 * The rule, for every kind of link (`realtime/answers/static/page.js` applies it to `/a`; `tests/links.json` has the cases):
 * 1. undo what mail gateways and messengers do: their wrappers, percent codes however often, HTML entities, soft line breaks;
 * 2. drop characters that are not seen; a hyphen of typesetting is a hyphen;
 * 3. the token follows the first `#`, or the path where there is no `#`;
 * 4. cut what is none of `A-Za-z0-9_-`.
 */

const JWT = /[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+/;
const TOKEN = "[A-Za-z0-9_-]";
const LONGEST = 128;
/** Without a `#`, what follows the path is a token when it is at least this long. */
const LEAST = 20;
const DECODINGS = 5;
/** Soft hyphens, zero-width characters, marks of direction, byte order marks, tags. */
const UNSEEN = /[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]/g;
const ENTITIES: Readonly<Record<string, string>> = { amp: "&", num: "#", lowbar: "_", hyphen: "-", dash: "-", equals: "=", period: ".", shy: "", quot: '"', lt: "<", gt: ">" };

export interface Place {
  pathname: string;
  search?: string;
  hash: string;
}

/** The address without its host. */
export function addressOf({ pathname, search = "", hash }: Place): string {
  return pathname + search + hash;
}

/** The text of a link as it was sent, as far as that can be told. */
export function restored(text: string): string {
  let now = unwrapped(text);
  for (let i = 0; i < DECODINGS; i += 1) {
    const before = now;
    now = now.replace(/(?:%[0-9a-f]{2})+/gi, decoded).replace(/&(#x?[0-9a-f]+|[a-z]+);/gi, entity);
    if (now === before) break;
  }
  return now.replace(/=\r?\n/g, "").replace(UNSEEN, "").replace(/[\u2010\u2011\ufe63\uff0d]/g, "-").replace(/\uff03/g, "#");
}

function decoded(run: string): string {
  try {
    return decodeURIComponent(run);
  } catch {
    return run.replace(/%([0-7][0-9a-f])/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  }
}

function entity(whole: string, name: string): string {
  const code = /^#x([0-9a-f]+)$/i.exec(name)?.[1];
  const point = code !== undefined ? parseInt(code, 16) : parseInt(/^#(\d+)$/.exec(name)?.[1] ?? "", 10);
  if (point >= 0 && point <= 0x10ffff) return String.fromCodePoint(point);
  return ENTITIES[name.toLowerCase()] ?? whole;
}

/** What Proofpoint has wrapped: by v2 `%` is `-` and `/` is `_`; by v3 each `*` is a byte of the part behind. */
function unwrapped(text: string): string {
  const v2 = /urldefense\.proofpoint\.com\/v2\/url\?(?:[^\s#]*&)?u=([^&\s]+)/i.exec(text)?.[1];
  if (v2 !== undefined) return v2.replace(/-/g, "%").replace(/_/g, "/");
  const v3 = /urldefense\.(?:com|us|proofpoint\.com)\/v3\/__(.+?)__;([A-Za-z0-9_=-]*)!/i.exec(text);
  if (!v3) return text;
  let bytes = "";
  try {
    bytes = atob(v3[2]!.replace(/-/g, "+").replace(/_/g, "/"));
  } catch {
    // Each `*` stands for what cannot be read: the `#`, nearly always.
  }
  let at = 0;
  return v3[1]!.replace(/\*/g, () => bytes[at++] ?? "#");
}

/** The token of `#token=…`, or null when the address names none that could be one. */
export function tokenOf(address: string): string | null {
  const said = /(?:^|[^A-Za-z0-9_-])token[^A-Za-z0-9_-]+(?:3D)?([\s\S]*)$/.exec(restored(address))?.[1];
  return said === undefined ? null : (startOf(said, JWT) ?? null);
}

function startOf(text: string, pattern: RegExp): string | undefined {
  const found = pattern.exec(text);
  return found?.index === 0 ? found[0] : undefined;
}

/** The token in what a person pasted: the token itself, or a text with the link in it. */
export function tokenIn(pasted: string): string | null {
  const plain = restored(pasted).trim();
  return tokenOf(plain) ?? startOf(plain.replace(/^[^A-Za-z0-9_-]+/, ""), JWT) ?? null;
}

/** The vendor of `#token=…&vendor=…`: which one to watch first, for a token that names them all. */
export function vendorOf(address: string): string | null {
  return /[#&?;]vendor=([^&#\s"'<>),]*)/.exec(restored(address))?.[1]?.replace(/\+/g, " ") ?? null;
}

/** The code of `#pair=…` in an address or in what a person pasted. */
export function codeOf(address: string): string | null {
  // A mail program that left quoted-printable as it was writes `=3D` for `=`. A code of ours has 32 characters.
  const pattern = `(?:^|[^A-Za-z0-9_-])pair(?:=3D(?=${TOKEN}{32}(?!${TOKEN}))|[^A-Za-z0-9_-]+)(${TOKEN}{6,${LONGEST}})(?!${TOKEN})`;
  return new RegExp(pattern).exec(restored(address))?.[1] ?? null;
}

/** `{id}.{secret}` of `/s/{id}#{secret}`, or null when the link is not whole. */
export function shareOf(place: Place): string | null {
  const whole = restored(addressOf(place));
  const [, id, rest] = new RegExp(`^/*s/+(${TOKEN}{1,${LONGEST}})([\\s\\S]*)$`, "i").exec(whole) ?? [];
  const secret = rest === undefined ? null : secretIn(rest);
  return id !== undefined && secret !== null ? `${id}.${secret}` : null;
}

function secretIn(rest: string): string | null {
  const marked = new RegExp(`^[^A-Za-z0-9_#*?&-]*(?:[?&][^#]*?)?[#*]["'\\s/!#*]*(${TOKEN}{1,${LONGEST}})(?!${TOKEN})`).exec(rest)?.[1];
  if (marked !== undefined) return marked;
  return new RegExp(`^[^A-Za-z0-9_-]*(${TOKEN}{${LEAST},${LONGEST}})(?!${TOKEN})`).exec(rest)?.[1] ?? null;
}

/** The address of a share as we write it: a reload of it asks the server for nothing that the fragment holds. */
export function shareAddress(share: string): string {
  const at = share.indexOf(".");
  return `/s/${share.slice(0, at)}#${share.slice(at + 1)}`;
}
