/** What both pages have around the map: the state of the line, a bar that says when it is not live, theme, messages. */
import { icon, ICONS, make, say, show } from "./dom";
import { agoText } from "./freshness";
import type { Session } from "./session";
import { toggleTheme } from "./theme";

const LINE_WORDS = { live: "Live", connecting: "Connecting", offline: "Offline", refused: "Closed" } as const;

/** The chip and the bar; `update` is called whenever the line changes and once a second. */
export class LineSigns {
  readonly chip = make("span", "chip", [], { role: "status" });
  readonly bar = make("div", "bar", [], { role: "status", hidden: "" });
  private readonly word = make("span", "", "Connecting");
  private downSinceMs: number | null = null;

  constructor() {
    this.chip.append(make("i", "dot"), this.word);
    this.chip.dataset["state"] = "connecting";
  }

  update(session: Session, hasData: boolean): void {
    const { kind } = session.state;
    this.chip.dataset["state"] = kind;
    say(this.word, LINE_WORDS[kind]);
    if (kind === "live") this.downSinceMs = null;
    else this.downSinceMs ??= Date.now();
    // A first connection and a quick reconnection need no alarm: the chip says it.
    const alarm = kind !== "refused" && this.downMs(session) > 1_500;
    show(this.bar, alarm);
    if (!alarm) return;
    const heard = session.lastHeardMs;
    const known = hasData && heard !== null;
    say(this.bar, known ? `Not live. You see what was known ${agoText(Date.now() - heard)}. Trying again…` : "No connection yet. Trying again…");
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

export function themeButton(): HTMLButtonElement {
  return button("Light or dark", ICONS.theme, toggleTheme);
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
