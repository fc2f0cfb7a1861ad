/** Settings of this phone: whom to call and text, language, theme, and letting go of it all. */
import { icon, ICONS, make, say, show } from "../common/dom";
import { languageSelect, themeButton } from "../common/chrome";
import { dialable, MOST_HELPERS, type Help } from "./fallback";
import { asked, bigButton, field, type Speech } from "./face";

export interface Unsafe {
  points: number;
  sos: boolean;
}

export class Menu {
  readonly element: HTMLDialogElement;
  private readonly list = make("ul", "helpers");
  private readonly name = make("input", "", [], { type: "text", maxlength: "60", autocomplete: "off" });
  private readonly number = make("input", "", [], { type: "tel", maxlength: "40", autocomplete: "off" });
  private readonly emergency = make("input", "", [], { type: "tel", maxlength: "40", autocomplete: "off" });
  private readonly own: HTMLElement;
  private readonly complaint = make("p", "answer", "", { role: "alert" });

  constructor(
    private readonly speech: Speech,
    private help: Help,
    private readonly save: (help: Help) => void,
    private readonly unsafe: () => Unsafe,
    private readonly unpair: () => void,
    /** To what the server keeps: PIN, contacts, who is notified. */
    settings: (place: "pin" | "contacts" | "plan") => void,
  ) {
    const { words } = speech;
    const close = make("button", "round", [icon(ICONS.close)], { type: "button", "aria-label": words.say("close") });
    close.addEventListener("click", () => this.element.close());
    const add = make("form", "add", [
      make("div", "pair", [field(words.say("menu.name"), this.name), field(words.say("menu.number"), this.number)]),
      make("button", "big quiet", words.say("menu.add"), { type: "submit" }),
    ]);
    const row = (place: "pin" | "contacts" | "plan"): HTMLElement => {
      const button = make("button", "row", [make("b", "", words.say(`${place}.title`))], { type: "button" });
      button.addEventListener("click", () => {
        this.element.close();
        settings(place);
      });
      return make("li", "", [button]);
    };
    this.own = make("ul", "rows", [row("pin"), row("contacts"), row("plan")]);
    add.addEventListener("submit", (event) => {
      event.preventDefault();
      this.add();
    });
    this.emergency.addEventListener("change", () => this.setEmergency());
    this.element = make("dialog", "menu", [
      make("header", "", [make("h2", "", words.say("menu"), { id: "menu-title" }), close]),
      make("div", "tools", [languageSelect(words), themeButton(words)]),
      this.own,
      make("h3", "", words.say("menu.help")),
      field(words.say("menu.emergency"), this.emergency),
      make("h3", "", words.say("menu.helpers")),
      this.list,
      add,
      this.complaint,
      bigButton(words.say("menu.unpair"), () => void this.letGo(), "big grave-quiet"),
    ], { "aria-labelledby": "menu-title" });
    this.render();
  }

  /** `paired`: whether this phone is a driver's, so that there is something the server keeps. */
  open(paired: boolean): void {
    show(this.own, paired);
    this.element.showModal();
  }

  private render(): void {
    const { words } = this.speech;
    this.emergency.value = this.help.emergency;
    this.list.replaceChildren(...this.help.helpers.map((helper) => {
      const remove = make("button", "round", [icon(ICONS.close)], { type: "button", "aria-label": words.say("menu.remove", { name: helper.name || helper.number }) });
      remove.addEventListener("click", () => this.become({ ...this.help, helpers: this.help.helpers.filter((one) => one !== helper) }));
      return make("li", "", [make("bdi", "", helper.name), make("bdi", "number", helper.number), remove]);
    }));
  }

  private add(): void {
    const number = dialable(this.number.value);
    say(this.complaint, number === null ? this.speech.words.say("menu.badnumber") : "");
    if (number === null || this.help.helpers.length >= MOST_HELPERS) return;
    this.become({ ...this.help, helpers: [...this.help.helpers, { name: this.name.value.trim(), number }] });
    this.name.value = this.number.value = "";
  }

  private setEmergency(): void {
    const emergency = dialable(this.emergency.value);
    say(this.complaint, emergency === null ? this.speech.words.say("menu.badnumber") : "");
    if (emergency !== null) this.become({ ...this.help, emergency });
  }

  private become(help: Help): void {
    this.help = help;
    this.save(help);
    this.render();
  }

  private async letGo(): Promise<void> {
    const { words } = this.speech;
    const { points, sos } = this.unsafe();
    const why = [points > 0 ? words.say("menu.unpair.unsafe", { n: points }) : words.say("menu.unpair.safe")];
    if (sos) why.push(words.say("menu.unpair.sos"));
    if (await asked(words.say("menu.unpair.sure"), why.join(" "), words.say("menu.unpair.yes"), words.say("menu.unpair.no"), true)) this.unpair();
  }
}
