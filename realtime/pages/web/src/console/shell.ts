/** Where everything is: a bar above, drivers, map and alerts below it; on a narrow screen one of the three at a time. */
import { brand, languageSelect, themeButton } from "../common/chrome";
import { make, say } from "../common/dom";
import { clean } from "../common/words";
import type { ConsoleWords, Places } from "./context";
import type { Me } from "./signin";

export type Tab = "desk" | "map" | "side";
const TABS: readonly Tab[] = ["desk", "map", "side"];
const TOLD_MS = 6_000;

export class Shell {
  readonly element: HTMLElement;
  readonly places: Places;
  readonly desk = make("section", "desk-place", [], { "aria-labelledby": "desk-title", id: "desk" });
  private readonly tools = make("div", "tools");
  private readonly strip = make("div", "strip");
  private readonly tabs = new Map<Tab, HTMLButtonElement>();
  private readonly polite = make("p", "told", [], { role: "status" });
  private readonly urgent = make("p", "unseen", [], { role: "alert" });
  private readonly calm = make("p", "unseen", [], { role: "status" });
  private readonly badge = make("span", "badge", [], { hidden: "" });
  private toldTimer = 0;

  constructor(words: ConsoleWords, me: Me, acts: { sessions(): void; signOut(): void }) {
    this.places = {
      map: make("div", "map-field", [], { role: "region", "aria-label": words.say("shell.map") }),
      side: make("aside", "side-place", [], { "aria-label": words.say("shell.side"), id: "side" }),
      panel: make("div", "panel-place"),
    };
    const skip = make("a", "skip", words.say("shell.skip"), { href: "#desk" });
    skip.addEventListener("click", (event) => {
      event.preventDefault();
      this.front("desk");
      document.getElementById("desk-title")?.focus();
    });
    const bar = make("header", "bar-top", [make("h1", "", [brand()]), this.strip, this.tools, this.menu(words, me, acts)]);
    const work = make("main", "work", [this.places.side, make("div", "map-place", [this.places.map, this.places.panel]), this.desk]);
    this.element = make("div", "console", [skip, bar, work, this.nav(words), this.polite, this.urgent, this.calm]);
    this.front("desk");
  }

  /** What stands in the bar beside the brand. */
  furnish(strip: readonly HTMLElement[], tools: readonly HTMLElement[]): void {
    this.strip.append(...strip);
    this.tools.append(...tools);
  }

  /** Which of the three is at the front, where only one of them fits. */
  get shows(): Tab {
    return this.element.dataset["tab"] as Tab;
  }

  /** Brings one of the three to the front, where only one of them fits. */
  front(tab: Tab): void {
    this.element.dataset["tab"] = tab;
    for (const [name, button] of this.tabs) button.setAttribute("aria-pressed", String(name === tab));
  }

  /** How many alerts are open, where the desk is not to be seen. */
  count(open: number): void {
    say(this.badge, String(open));
    this.badge.hidden = open === 0;
  }

  tell(text: string): void {
    window.clearTimeout(this.toldTimer);
    say(this.polite, text);
    this.toldTimer = window.setTimeout(() => say(this.polite, ""), TOLD_MS);
  }

  /** For who does not see the desk; `urgently` interrupts. */
  announce(text: string, urgently: boolean): void {
    say(urgently ? this.urgent : this.calm, text);
  }

  private menu(words: ConsoleWords, me: Me, acts: { sessions(): void; signOut(): void }): HTMLElement {
    const entry = (text: string, act: () => void): HTMLElement => {
      const button = make("button", "plain", text, { type: "button" });
      button.addEventListener("click", act);
      return button;
    };
    const who = make("p", "me", [make("bdi", "", clean(me.name, 60)), make("span", "detail", words.find(`shell.role.${me.role}`) ?? clean(me.role, 20))]);
    const menu = make("details", "menu", [
      make("summary", "", [make("bdi", "", clean(me.name, 24) || words.say("shell.menu"))], { "aria-label": `${words.say("shell.menu")}: ${clean(me.name, 24)}` }),
      make("div", "popover", [
        who,
        make("div", "row", [languageSelect(words), themeButton(words)]),
        entry(words.say("signin.sessions"), () => {
          menu.open = false;
          acts.sessions();
        }),
        entry(words.say("signin.out"), acts.signOut),
      ]),
    ]);
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      event.preventDefault();
      menu.open = false;
      menu.querySelector("summary")?.focus();
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (target instanceof Node && !menu.contains(target)) menu.open = false;
    });
    return menu;
  }

  private nav(words: ConsoleWords): HTMLElement {
    const nav = make("nav", "tabs", [], { "aria-label": words.say("shell.tabs") });
    for (const tab of TABS) {
      const button = make("button", "", [make("span", "", words.say(`shell.tab.${tab}`)), ...(tab === "desk" ? [this.badge] : [])], { type: "button" });
      button.addEventListener("click", () => this.front(tab));
      this.tabs.set(tab, button);
      nav.append(button);
    }
    return nav;
  }
}
