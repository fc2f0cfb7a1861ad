/** The console's keys. Pure: what a key means here, or null when it is none of ours. */

export type DeskKey = "next" | "previous" | "newest" | "open" | "acknowledge" | "respond" | "note" | "resolve" | "false_alarm" | "map" | "search" | "help";

/** Those that act on an alert, or lead somewhere. */
export const KEYS: readonly (readonly [string, DeskKey])[] = [
  ["j", "next"],
  ["k", "previous"],
  ["g", "newest"],
  ["Enter", "open"],
  ["a", "acknowledge"],
  ["c", "respond"],
  ["n", "note"],
  ["r", "resolve"],
  ["f", "false_alarm"],
  ["m", "map"],
  ["/", "search"],
  ["?", "help"],
];
const MEANING: ReadonlyMap<string, DeskKey> = new Map(KEYS);

/** What other parts take themselves; shown with the others. */
export const OTHER_KEYS = [
  ["↑ ↓", "rows"],
  ["Esc", "close"],
  ["Ctrl + Enter", "send"],
] as const;

/** The key of an act, for its button. */
export function keyOf(meaning: DeskKey): string {
  return KEYS.find(([, other]) => other === meaning)?.[0] ?? "";
}

export interface Stroke {
  key: string;
  /** The key's place on the board, for layouts whose letters are not Latin. */
  code: string;
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  repeat: boolean;
  /** Whether the key is part of a character that is being composed. */
  isComposing?: boolean;
}

/** Where a stroke went: `field` takes text, `control` does something of its own on Enter. */
export type Target = "field" | "control" | "page";

export function meaningOf(stroke: Stroke, target: Target): DeskKey | null {
  if (target === "field" || stroke.ctrlKey || stroke.metaKey || stroke.altKey || stroke.isComposing === true) return null;
  const meaning = MEANING.get(letterOf(stroke)) ?? null;
  if (meaning === "open" && target === "control") return null;
  const moves = meaning === "next" || meaning === "previous";
  return stroke.repeat && !moves ? null : meaning;
}

function letterOf({ key, code }: Stroke): string {
  if (key === "؟") return "?";
  if (key.length !== 1 || key.charCodeAt(0) < 128) return key.length === 1 ? key.toLowerCase() : key;
  return /^Key[A-Z]$/.test(code) ? code.slice(3).toLowerCase() : key;
}

/** The entry `steps` away from `id` in a list; from nowhere the first, at an end it stays. */
export function stepped(ids: readonly string[], id: string | null, steps: 1 | -1): string | null {
  if (!ids.length) return null;
  const at = id === null ? -1 : ids.indexOf(id);
  if (at < 0) return ids[0] ?? null;
  return ids[Math.min(ids.length - 1, Math.max(0, at + steps))] ?? null;
}
