/** A driver's own settings: an index, and a page for each of PIN, contacts, one contact, and who is notified. */
import { make, say, show } from "../common/dom";
import type { App } from "./app";
import { ContactPage, ContactsPage } from "./contactsview";
import { bigButton, type Speech } from "./face";
import { counts, type Contact } from "./own";
import { PinPage } from "./pinview";
import { PlanPage } from "./planview";

export type Place = "index" | "pin" | "contacts" | "contact" | "plan";

/** One page of the settings; `update` shows what is known now. */
export interface SettingsPage {
  readonly element: HTMLElement;
  update(nowMs: number): void;
}

export class SettingsView {
  readonly element = make("section", "settings");
  place: Place = "index";
  private readonly state = make("p", "why state-line", "", { role: "status" });
  private readonly body = make("div", "body");
  private readonly back: HTMLButtonElement;
  private readonly rows: Record<"pin" | "contacts" | "plan", HTMLElement>;
  private readonly index: HTMLElement;
  private readonly title = make("h1", "", "", { tabindex: "-1" });
  private readonly why = make("p", "why");
  private readonly done: HTMLButtonElement;
  private page: SettingsPage | null = null;
  /** Right after pairing: a step that may be left for later. */
  private first = false;

  constructor(
    private readonly speech: Speech,
    private readonly app: App,
    private readonly leave: () => void,
  ) {
    const { words } = speech;
    this.back = bigButton(words.say("back"), () => this.goBack(), "back");
    this.rows = {
      pin: make("span"),
      contacts: make("span"),
      plan: make("span"),
    };
    const row = (place: "pin" | "contacts" | "plan", title: string): HTMLElement => {
      const button = make("button", "row", [make("b", "", title), this.rows[place]], { type: "button" });
      button.addEventListener("click", () => this.open(place));
      return make("li", "", [button]);
    };
    const list = make("ul", "rows", [
      row("pin", words.say("pin.title")),
      row("contacts", words.say("contacts.title")),
      row("plan", words.say("plan.title")),
    ]);
    this.done = bigButton("", () => this.leave());
    this.index = make("div", "index", [list, this.done]);
    this.element.append(this.back, this.title, this.why, this.state, this.body);
  }

  open(place: Place, first = this.first, contact: Contact | null = null): void {
    this.first = first;
    this.place = place;
    this.page = this.make(place, contact);
    this.body.replaceChildren(this.page?.element ?? this.index);
    void this.app.own.freshen();
    this.update(Date.now());
    window.scrollTo(0, 0);
    this.title.focus({ preventScroll: true });
  }

  update(nowMs: number): void {
    const { words, formats } = this.speech;
    const { own } = this.app.own;
    const reached = this.app.own.reached && this.app.line.state !== "offline";
    const titles = { index: this.first ? "setup.title" : "own.title", pin: "pin.title", contacts: "contacts.title", contact: "contact.title", plan: "plan.title" } as const;
    const whys = { index: this.first ? "setup.why" : "", pin: "", contacts: "contacts.why", contact: "", plan: "plan.why" } as const;
    say(this.title, words.say(titles[this.place]));
    const why = whys[this.place];
    show(this.why, why !== "");
    if (why !== "") say(this.why, words.say(why));
    show(this.back, this.place !== "index" || !this.first);
    show(this.state, !reached);
    if (!reached) say(this.state, own.readMs === null ? words.say("own.unread") : words.say("own.asof", { time: formats.clock(own.readMs, nowMs) }));
    say(this.done, words.say(this.first ? (this.complete ? "setup.done" : "setup.later") : "setup.done"));
    this.done.classList.toggle("quiet", this.first && !this.complete);
    say(this.rows.pin, own.pinSet === null ? words.say("own.notknown") : words.say(own.pinSet ? "pin.set" : "pin.unset"));
    this.rows.pin.dataset["lacks"] = String(own.pinSet === false);
    const usable = (own.contacts ?? []).filter((contact) => counts(contact.phone) || counts(contact.email)).length;
    say(this.rows.contacts, own.contacts === null ? words.say("own.notknown") : usable > 0 ? words.say("contacts.usable", { n: usable }) : words.say("contacts.none"));
    this.rows.contacts.dataset["lacks"] = String(own.contacts !== null && usable === 0);
    const plan = own.plans.sos;
    say(this.rows.plan, plan === undefined ? words.say("own.notknown") : words.say(plan.reaches ? "plan.reaches" : "plan.nobody"));
    this.rows.plan.dataset["lacks"] = String(plan !== undefined && !plan.reaches);
    this.page?.update(nowMs);
  }

  private get complete(): boolean {
    const { own } = this.app.own;
    return own.pinSet === true && (own.contacts ?? []).some((contact) => counts(contact.phone) || counts(contact.email));
  }

  /** One page back; from the index: out. */
  goBack(): void {
    if (this.place === "index") this.leave();
    else this.open(this.place === "contact" ? "contacts" : "index");
  }

  private make(place: Place, contact: Contact | null): SettingsPage | null {
    const { speech, app } = this;
    if (place === "pin") return new PinPage(speech, app.own);
    if (place === "plan") return new PlanPage(speech, app.own, () => this.open("contacts"));
    if (place === "contacts") return new ContactsPage(speech, app.own, (one) => this.open("contact", this.first, one));
    if (place === "contact") return new ContactPage(speech, app.own, contact, () => this.open("contacts"));
    return null;
  }
}
