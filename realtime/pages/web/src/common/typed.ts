/**
 * Text as people type it, in plain characters: the one place of the pages where it is normalised. Pure.
 *
 * The rule is that of the server (`alerts/addresses/typed.py`), and `tests/typed.json` has the cases of both. Each input of
 * a number, a code, an address or an id is read by one of these functions. Names and notes stay as they were typed.
 */

/** Signs that stand for a dash and have another category: minus, bullet, long vowel, waves. */
const DASHES = /[\p{Pd}\u2212\u2043\u30fc\u301c\u223c~]/u;
const SIGNS: readonly (readonly [RegExp, string])[] = [
  [/[\u2018\u2019\u201a\u201b\u2039\u203a\u02b9\u02bb\u02bc`\u00b4]/g, "'"],
  [/[\u201c\u201d\u201e\u201f\u00ab\u00bb]/g, '"'],
  [/[\u00b7\u2022\u2219\u22c5\u2027\u30fb]/g, "."],
  [/\u2795/g, "+"],
];
/** Most text is this already, and a list of 2,000 drivers is searched through it. */
const ALREADY = /^[A-Za-z0-9 .,:;@_+()'"/-]*$/;
const DIGIT = /^\p{Nd}$/u;
const SPACE = /[\p{Z}\p{Cc}]/u;
const UNSEEN = /[\p{Cf}\p{Me}\ufe00-\ufe0f]/u;

/** The text on one line, with ASCII digits, dashes, quotes and single spaces, without characters that cannot be seen. */
export function plain(text: string): string {
  if (ALREADY.test(text)) return text.trim().replace(/ +/g, " ");
  const signs = SIGNS.reduce((now, [pattern, sign]) => now.replace(pattern, sign), text.normalize("NFKC"));
  const kept = Array.from(signs, (char) => {
    if (DIGIT.test(char)) return String(decimal(char));
    if (SPACE.test(char)) return " ";
    if (DASHES.test(char)) return "-";
    return UNSEEN.test(char) ? "" : char;
  });
  return kept.join("").split(" ").filter(Boolean).join(" ");
}

/** The digits of a code that was typed, whatever separates them; empty when it has other signs. */
export function digitsOf(text: string): string {
  const joined = plain(text).replace(/[ -]/g, "").replace(/^[.,]+|[.,]+$/g, "");
  return /^[0-9]+$/.test(joined) ? joined : "";
}

/** An id or a code in ASCII where it was typed in other digits or widths. Its signs stay: an id may have "~" in it. */
export function idOf(text: string): string {
  const chars = Array.from(text.normalize("NFKC"), (char) => (DIGIT.test(char) ? String(decimal(char)) : UNSEEN.test(char) ? "" : char));
  return chars.join("").trim();
}

/** A PIN in ASCII digits. Text that is none stays as it is: it is wrong, and is not the empty PIN. */
export function pinOf(text: string): string {
  return digitsOf(text) || text;
}

/** The value of a digit. Unicode keeps the ten digits of each script together, in order, and no two such runs touch. */
function decimal(digit: string): number {
  const point = digit.codePointAt(0)!;
  let value = 0;
  while (value < 9 && DIGIT.test(String.fromCodePoint(point - value - 1))) value += 1;
  return value;
}
