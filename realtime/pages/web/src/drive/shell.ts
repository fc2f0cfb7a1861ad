/** What the service worker answers from its own store, and what it lets pass. Pure. */

export interface Shell {
  /** The pages' build: one store each. */
  version: string;
  /** Every file that the app is made of, its page among them. */
  files: readonly string[];
}

export const PAGE = "/drive";
const PREFIX = "wayguard-drive-";

export const storeOf = (shell: Shell): string => PREFIX + shell.version;

/** Stores of builds that are gone; those of others on this origin are theirs. */
export function outdated(shell: Shell, names: readonly string[]): string[] {
  return names.filter((name) => name.startsWith(PREFIX) && name !== storeOf(shell));
}

/** The file that answers a request, null where it is not ours to answer: the API, the socket, every other page. */
export function answering(shell: Shell, method: string, url: string, origin: string): string | null {
  if (method !== "GET") return null;
  const { origin: theirs, pathname } = new URL(url);
  if (theirs !== origin) return null;
  return shell.files.includes(pathname) ? pathname : null;
}
