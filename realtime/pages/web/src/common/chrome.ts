/** What every page has: the state of the line, a bar that says when it is not live, theme, language, messages. */
import { icon, ICONS, make, say, show } from "./dom";
import type { Formats } from "./format";
import { chooseLanguage, LANGUAGES, type Language } from "./language";
import type { Session } from "./session";
import { toggleTheme } from "./theme";
import type { Words } from "./words";

/** The chip and the bar; `update` is called whenever the line changes and once a second. */
export class LineSigns {
  readonly chip = make("span", "chip", [], { role: "status" });
  readonly bar = make("div", "bar", [], { role: "status", hidden: "" });
  private readonly word = make("span");
  private downSinceMs: number | null = null;

  constructor(
    private readonly words: Words,
    private readonly formats: Formats,
  ) {
    say(this.word, words.say("line.connecting"));
    this.chip.append(make("i", "dot"), this.word);
    this.chip.dataset["state"] = "connecting";
  }

  update(session: Session, hasData: boolean): void {
    const { kind } = session.state;
    this.chip.dataset["state"] = kind;
    say(this.word, this.words.say(`line.${kind}`));
    if (kind === "live") this.downSinceMs = null;
    else this.downSinceMs ??= Date.now();
    // A first connection and a quick reconnection need no alarm: the chip says it.
    const alarm = kind !== "refused" && this.downMs(session) > 1_500;
    show(this.bar, alarm);
    if (!alarm) return;
    const heard = session.lastHeardMs;
    const known = hasData && heard !== null;
    const ago = known ? this.formats.ago(Date.now() - heard) : "";
    say(this.bar, known ? this.words.say("bar.known", { ago }) : this.words.say("bar.nothing"));
  }

  /** For how long nothing has been heard over a line that is not up, in ms. */
  downMs(session: Session): number {
    if (this.downSinceMs === null) return 0;
    return Date.now() - Math.max(this.downSinceMs, session.lastHeardMs ?? 0);
  }
}

export function brand(): HTMLElement {
  return make("span", "brand", [make("i", "mark"), make("b", "", "Wayguard")]);
}

export function button(label: string, path: string, act: () => void): HTMLButtonElement {
  const element = make("button", "round", [icon(path)], { type: "button", "aria-label": label, title: label });
  element.addEventListener("click", act);
  return element;
}

export function themeButton(words: Words): HTMLButtonElement {
  return button(words.say("theme"), ICONS.theme, toggleTheme);
}

/** Chooses the language; each is named in itself. */
export function languageSelect(words: Words): HTMLSelectElement {
  const select = make("select", "language", [], { "aria-label": words.say("language") });
  for (const { code, name } of LANGUAGES) select.append(make("option", "", name, { value: code, lang: code }));
  select.value = words.language;
  select.addEventListener("change", () => chooseLanguage(select.value as Language));
  return select;
}

/** A message in place of everything else. */
export function notice(title: string, ...lines: string[]): HTMLElement {
  const words = lines.map((line) => make("p", "", line));
  return make("section", "notice", [make("i", "mark large"), make("h1", "", title), ...words], { role: "alert" });
}

/** A term and its value; the value's element is handed back to be kept current. */
export function fact(list: HTMLElement, term: string): HTMLElement {
  const value = make("dd");
  list.append(make("div", "", [make("dt", "", term), value]));
  return value;
}
