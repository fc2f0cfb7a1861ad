/** The page of a link that is no good: why, in the reader's language, and whom to call. */
import { notice } from "../common/chrome";
import { make } from "../common/dom";
import type { Refusal } from "../common/wire";
import { closedWords, type ContactWords } from "./contactwords";
import { ANYWHERE } from "./places";

type Said = Record<string, string>;

/** Shows it in the words of the page at once, and in a language that only these few sentences are in when they come. */
export async function showClosed(root: HTMLElement, words: ContactWords, refusal: Refusal | null): Promise<void> {
  const { why, title, lines } = closedWords(words, refusal);
  // Who knows the person by a link that was good once knows whom to call.
  const finish = (element: HTMLElement, label: string): HTMLElement => (why === "broken" ? withCall(element, label) : element);
  root.replaceChildren(finish(notice(title, ...lines), words.say("sos.call.number", { number: ANYWHERE })));
  const wish = foreign(navigator.languages, words.language);
  if (wish === null) return;
  try {
    const { default: all } = await import("./closedwords.json");
    const said = (all as Record<string, Said>)[wish];
    if (!said) return;
    document.documentElement.lang = wish;
    document.documentElement.dir = "ltr";
    const element = notice(said[why]!, said[`${why}.why`]!, said["ask"]!);
    root.replaceChildren(finish(element, said["call"]!.replace("{number}", ANYWHERE)));
  } catch {
    // The sentences that stand there will do.
  }
}

/** The first language that the reader wishes, when the page does not speak it and may be able to say this much. */
export function foreign(wishes: readonly string[], spoken: string): string | null {
  const first = wishes[0]?.toLowerCase().split("-")[0] ?? "";
  return first !== "" && first !== spoken && first !== "en" && first !== "ar" ? first : null;
}

function withCall(element: HTMLElement, label: string): HTMLElement {
  element.append(make("a", "button call", label, { href: `tel:${ANYWHERE}`, rel: "noreferrer" }));
  return element;
}
