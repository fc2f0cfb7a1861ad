/** What a link carries: a dispatcher's token or a contact's share, in the fragment, which no server or log ever sees. */

const TOKEN_KEY = "wayguard.token";
const JWT = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;
const PLAIN = /^[A-Za-z0-9_-]{1,128}$/;

interface Place {
  hash: string;
  pathname: string;
}

/** The token of `#token=…`, or null when the fragment names none that could be one. */
export function tokenOf(hash: string): string | null {
  const token = new URLSearchParams(hash.replace(/^#/, "")).get("token");
  return token !== null && JWT.test(token) ? token : null;
}

/** The vendor of `#token=…&vendor=…`: which one to watch first, for a token that names them all. */
export function vendorOf(hash: string): string | null {
  return new URLSearchParams(hash.replace(/^#/, "")).get("vendor");
}

/**
 * Moves a token from the address bar to the tab's own storage, so that it is in no bookmark, screenshot or shared
 * address, and returns the one to use: a new link wins over what the tab held.
 */
export function takeToken(
  place: Place,
  storage: Pick<Storage, "getItem" | "setItem">,
  cleanAddress: () => void,
): string | null {
  const given = tokenOf(place.hash);
  if (place.hash.includes("token=")) cleanAddress();
  if (given !== null) storage.setItem(TOKEN_KEY, given);
  return given ?? storage.getItem(TOKEN_KEY);
}

export function forgetToken(storage: Pick<Storage, "removeItem">): void {
  storage.removeItem(TOKEN_KEY);
}

/** `{id}.{secret}` of `/s/{id}#{secret}`, or null when the link is not whole. */
export function shareOf(place: Place): string | null {
  const id = /^\/s\/([^/]+)\/?$/.exec(place.pathname)?.[1];
  const secret = place.hash.replace(/^#/, "");
  return id !== undefined && PLAIN.test(id) && PLAIN.test(secret) ? `${id}.${secret}` : null;
}
