/**
 * The words of a page, from plain message files: `messages/{page}.{language}.json`.
 *
 * A message is a text with `{name}` in it, or one for each plural form by `n` (`{"one": …, "other": …}`, the names of
 * CLDR). What is put in comes from outside: texts lose control characters that turn reading order around, and are isolated, so
 * that a name cannot rearrange the sentence around it. They become text, never markup.
 */
import commonEn from "../../messages/common.en.json";
import { currentLanguage, dressDocument, localeOf, type Language } from "./language";

export type Message = string | Readonly<Partial<Record<Intl.LDMLPluralRule, string>> & { other: string }>;
export type Messages = Readonly<Record<string, Message>>;
export type Values = Readonly<Record<string, string | number>>;

export const COMMON = commonEn;
export type CommonKey = keyof typeof commonEn;

const FIRST_STRONG_ISOLATE = "\u2068";
const POP_ISOLATE = "\u2069";
// eslint-disable-next-line no-control-regex
const UNWANTED = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** A text from outside as it may be shown: without control characters, no longer than `longest` characters. */
export function clean(text: string, longest = 200): string {
  const plain = text.replace(UNWANTED, "").replace(/\s+/g, " ").trim();
  const characters = Array.from(plain);
  return characters.length > longest ? `${characters.slice(0, longest - 1).join("")}…` : plain;
}

export class Words<K extends string = string> {
  private readonly plural: Intl.PluralRules;
  private readonly number: Intl.NumberFormat;

  constructor(
    private readonly messages: Messages,
    readonly language: Language,
    readonly locale: string,
  ) {
    this.plural = new Intl.PluralRules(language);
    this.number = new Intl.NumberFormat(locale);
  }

  /** The message of `key` with `values` put in; plural forms go by `values.n`. */
  say(key: K | CommonKey, values: Values = {}): string {
    const message = this.messages[key];
    if (message === undefined) return key;
    const form = typeof message === "string" ? message : (message[this.plural.select(Number(values["n"] ?? 0))] ?? message.other);
    return form.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const value = values[name];
      if (value === undefined) return whole;
      return typeof value === "number" ? this.number.format(value) : `${FIRST_STRONG_ISOLATE}${clean(value)}${POP_ISOLATE}`;
    });
  }

  /** As `say`, or null where there is no such message: for keys made of what a server says. */
  find(key: string, values: Values = {}): string | null {
    return key in this.messages ? this.say(key as K, values) : null;
  }
}

/** Those of our words that are the page's own business to load: English is in the page, others are fetched. */
export interface Source<M extends Messages> {
  en: M;
  ar: () => Promise<{ default: Messages }>;
}

/** The words of this page in the reader's language; English where they cannot be fetched. Dresses the document. */
export async function loadWords<M extends Messages>(source: Source<M>): Promise<Words<Extract<keyof M, string>>> {
  const language = currentLanguage();
  const locale = localeOf(language, navigator.languages);
  if (language === "ar") {
    try {
      const [common, own] = await Promise.all([import("../../messages/common.ar.json"), source.ar()]);
      dressDocument(language);
      return new Words({ ...common.default, ...own.default }, language, locale);
    } catch {
      // The page matters more than its language.
    }
  }
  dressDocument("en");
  return new Words({ ...commonEn, ...source.en }, "en", localeOf("en", navigator.languages));
}
