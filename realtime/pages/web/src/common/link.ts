/** What a link carries: a dispatcher's token or a contact's share, in the fragment, which no server or log ever sees. */

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

/** The token in what somebody pasted: the token itself, or the whole link that ends in it. */
export function tokenIn(pasted: string): string | null {
  const at = pasted.indexOf("#");
  const given = pasted.trim();
  return at >= 0 ? tokenOf(given.slice(given.indexOf("#"))) : JWT.test(given) ? given : null;
}

/** The vendor of `#token=…&vendor=…`: which one to watch first, for a token that names them all. */
export function vendorOf(hash: string): string | null {
  return new URLSearchParams(hash.replace(/^#/, "")).get("vendor");
}

/** `{id}.{secret}` of `/s/{id}#{secret}`, or null when the link is not whole. */
export function shareOf(place: Place): string | null {
  const id = /^\/s\/([^/]+)\/?$/.exec(place.pathname)?.[1];
  const secret = place.hash.replace(/^#/, "");
  return id !== undefined && PLAIN.test(id) && PLAIN.test(secret) ? `${id}.${secret}` : null;
}
