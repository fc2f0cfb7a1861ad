/**
 * Which language a page speaks, and how numbers, units and times are written for whoever reads it.
 *
 * English or Arabic: what was chosen on this device, else the first of the browser's wishes that we speak. Numbers and
 * times follow the browser's own locale where it is of that language, so that en-US reads miles and 12-hour clocks.
 */

export type Language = "en" | "ar";

export const LANGUAGES: readonly { code: Language; name: string }[] = [
  { code: "en", name: "English" },
  { code: "ar", name: "العربية" },
];

const KEY = "wayguard.language";
/** Regions that drive in miles. */
const MILES = new Set(["US", "GB", "LR", "MM"]);

const isLanguage = (code: string): code is Language => LANGUAGES.some((language) => language.code === code);

/** The first of `wishes` (BCP 47) that we speak; English when there is none. */
export function languageOf(wishes: readonly string[], chosen: string | null): Language {
  if (chosen !== null && isLanguage(chosen)) return chosen;
  for (const wish of wishes) {
    const base = wish.toLowerCase().split("-")[0] ?? "";
    if (isLanguage(base)) return base;
  }
  return "en";
}

/** The locale by which numbers and times are written. */
export function localeOf(language: Language, wishes: readonly string[]): string {
  return wishes.find((wish) => wish.toLowerCase().split("-")[0] === language) ?? language;
}

/** Whether the reader thinks in miles: by the region of the first wish that names one. */
export function usesMiles(wishes: readonly string[]): boolean {
  for (const wish of wishes) {
    const region = /-([A-Za-z]{2})\b/.exec(wish)?.[1]?.toUpperCase();
    if (region) return MILES.has(region);
  }
  return false;
}

export function currentLanguage(): Language {
  return languageOf(navigator.languages, localStorage.getItem(KEY));
}

/** Remembers the choice; the page is loaded anew, since every word on it changes. */
export function chooseLanguage(language: Language): void {
  localStorage.setItem(KEY, language);
  location.reload();
}

/** Tells the document which language it is in and which way it reads. */
export function dressDocument(language: Language): void {
  document.documentElement.lang = language;
  document.documentElement.dir = language === "ar" ? "rtl" : "ltr";
}
