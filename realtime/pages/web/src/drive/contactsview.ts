/** A driver's contacts: listed in the order in which they are notified; and one of them: changed, verified, tested, deleted. */
import { icon, make, say, show } from "../common/dom";
import type { Refusal } from "../common/wire";
import { digitsOf, plain } from "../common/typed";
import { clean } from "../common/words";
import { asked, bigButton, field, type Key, type Speech } from "./face";
import { counts, MOST_CONTACTS, type Address, type Channel, type Contact, type Draft, type OwnSettings } from "./own";
import { whyNot } from "./ownwords";

const UP = "M6 14l6-6 6 6";
const DOWN = "M6 10l6 6 6-6";
/** The languages that messages are written in (`alerts/words`), each in its own words. */
export const MESSAGE_LANGUAGES = [
  ["en", "English"], ["de", "Deutsch"], ["es", "Español"], ["fr", "Français"], ["pt", "Português"], ["hi", "हिन्दी"],
] as const;

export class ContactsPage {
  readonly element: HTMLElement;
  private readonly list = make("ol", "contacts");
  private readonly empty = make("p", "note");
  private readonly answer = make("p", "answer", "", { role: "alert" });
  private readonly said = make("p", "unseen", "", { role: "status" });
  private readonly add: HTMLButtonElement;
  private made = "";
  private busy = false;

  constructor(
    private readonly speech: Speech,
    private readonly own: OwnSettings,
    private readonly open: (contact: Contact | null) => void,
  ) {
    const { words } = speech;
    this.add = bigButton(words.say("contacts.add"), () => this.open(null));
    this.element = make("div", "stack", [this.empty, this.list, this.answer, this.said, this.add]);
  }

  update(): void {
    const { words } = this.speech;
    const { contacts } = this.own.own;
    show(this.add, (contacts ?? []).length < MOST_CONTACTS);
    show(this.empty, contacts !== null && contacts.length === 0);
    say(this.empty, words.say("contacts.empty"));
    const key = JSON.stringify(contacts);
    if (key === this.made) return;
    this.made = key;
    const all = contacts ?? [];
    this.list.replaceChildren(...all.map((contact, index) => this.row(contact, index, all.length)));
  }

  private row(contact: Contact, index: number, length: number): HTMLElement {
    const { words } = this.speech;
    const name = clean(contact.name, 60) || words.say("contacts.unnamed");
    const open = make("button", "row", [make("b", "", [make("bdi", "", name)]), make("span", "", statusOf(this.speech, contact))], { type: "button" });
    (open.lastElementChild as HTMLElement).dataset["lacks"] = String(!counts(contact.phone) && !counts(contact.email));
    open.addEventListener("click", () => this.open(contact));
    const arrow = (by: -1 | 1): HTMLButtonElement => {
      const label = words.say(by < 0 ? "contacts.up" : "contacts.down", { name });
      const button = make("button", "round", [icon(by < 0 ? UP : DOWN)], { type: "button", "aria-label": label, "data-move": `${contact.id}${by}` });
      button.disabled = by < 0 ? index === 0 : index === length - 1;
      button.addEventListener("click", () => void this.move(contact, by, name));
      return button;
    };
    return make("li", "", length > 1 ? [open, arrow(-1), arrow(1)] : [open]);
  }

  private async move(contact: Contact, by: -1 | 1, name: string): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    say(this.answer, "");
    const refusal = await this.own.move(contact.id, by);
    this.busy = false;
    this.update();
    const { words } = this.speech;
    if (refusal) return say(this.answer, whyNot(this.speech, refusal, refusal.code === "conflict" ? "contacts.moved" : "own.refused"));
    const place = (this.own.own.contacts ?? []).findIndex((one) => one.id === contact.id) + 1;
    say(this.said, words.say("contacts.place", { name, n: place }));
    // The list was made anew: the finger and the keyboard stay where they were.
    const same = this.list.querySelector<HTMLButtonElement>(`[data-move="${CSS.escape(`${contact.id}${by}`)}"]`);
    const other = this.list.querySelector<HTMLButtonElement>(`[data-move="${CSS.escape(`${contact.id}${-by}`)}"]`);
    (same && !same.disabled ? same : other)?.focus();
  }
}

export class ContactPage {
  readonly element = make("div", "stack");
  private readonly name = make("input", "", [], { type: "text", maxlength: "100", autocomplete: "off" });
  private readonly phone = make("input", "", [], { type: "tel", maxlength: "40", autocomplete: "off" });
  private readonly email = make("input", "", [], { type: "email", maxlength: "254", autocomplete: "off" });
  private readonly language = make("select");
  private readonly save: HTMLButtonElement;
  private readonly answer = make("p", "answer", "", { role: "alert" });
  private readonly done = make("p", "done", "", { role: "status" });
  private readonly addresses = make("div", "stack");
  private readonly drop: HTMLButtonElement;
  private made = "";
  private busy = false;

  constructor(
    private readonly speech: Speech,
    private readonly own: OwnSettings,
    private contact: Contact | null,
    private readonly leave: () => void,
  ) {
    const { words } = speech;
    for (const [code, name] of MESSAGE_LANGUAGES) this.language.append(make("option", "", name, { value: code, lang: code }));
    this.save = make("button", "big", words.say("contact.save"), { type: "submit" });
    // The browser's own complaints are in its language and place; ours are beside the button.
    const form = make("form", "stack", [
      field(words.say("menu.name"), this.name),
      field(words.say("contact.phone"), this.phone, words.say("contact.phone.hint")),
      field(words.say("contact.email"), this.email),
      field(words.say("contact.language"), this.language),
      this.answer,
      this.save,
    ], { novalidate: "" });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.store();
    });
    this.drop = bigButton(words.say("contact.delete"), () => void this.remove(), "big grave-quiet");
    this.element.append(this.done, this.addresses, form, this.drop);
    this.fill();
  }

  update(): void {
    const id = this.contact?.id;
    if (id !== undefined) this.contact = this.own.own.contacts?.find((one) => one.id === id) ?? this.contact;
    show(this.drop, this.contact !== null);
    const key = JSON.stringify(this.contact);
    if (key === this.made) return;
    this.made = key;
    const { contact } = this;
    const parts: HTMLElement[] = [];
    if (contact?.phone) parts.push(this.address(contact, contact.phone, ["sms", "call"]));
    if (contact?.email) parts.push(this.address(contact, contact.email, ["email"]));
    this.addresses.replaceChildren(...parts);
  }

  private fill(): void {
    const { contact } = this;
    this.name.value = contact?.name ?? "";
    this.phone.value = contact?.phone?.address ?? "";
    this.email.value = contact?.email?.address ?? "";
    this.language.value = (contact?.language ?? this.speech.words.language).split("-")[0]!;
    if (this.language.selectedIndex < 0) this.language.value = "en";
  }

  private get draft(): Draft {
    return { name: this.name.value.trim(), phone: plain(this.phone.value) || null, email: plain(this.email.value) || null, language: this.language.value };
  }

  private async store(): Promise<void> {
    const { draft, contact } = this;
    if (!draft.name) return this.complain("contact.fault.name", this.name);
    if (draft.phone === null && draft.email === null) return this.complain("contact.fault.address", this.phone);
    await this.during(this.save, async () => {
      const made = contact === null ? await this.own.add(draft) : await this.own.edit(contact.id, changed(contact, draft));
      if (made !== null && "id" in made) this.contact = made;
      else if (made !== null) return this.refuse(made);
      this.update();
      this.fill();
      const { phone, email } = this.contact!;
      say(this.done, this.speech.words.say(counts(phone) || counts(email) ? "contact.saved" : "contact.saved.verify"));
      this.done.scrollIntoView({ block: "center" });
    });
  }

  private refuse(refusal: Refusal): void {
    if (refusal.code === "conflict") return say(this.answer, this.speech.words.say("contact.fault.conflict"));
    if (refusal.code !== "invalid") return say(this.answer, whyNot(this.speech, refusal, "own.refused"));
    const by = refusal.message;
    if (by.includes("mail")) this.complain("contact.fault.email", this.email);
    else if (by.includes("name")) this.complain("contact.fault.name", this.name);
    else this.complain("contact.fault.phone", this.phone);
  }

  /** An address, whether it counts, and what can be done about it. */
  private address(contact: Contact, address: Address, channels: readonly Channel[]): HTMLElement {
    const { words } = this.speech;
    const answer = make("p", "answer", "", { role: "alert" });
    const done = make("p", "done", "", { role: "status" });
    const parts: HTMLElement[] = [make("h2", "", [addressOf(address)]), make("p", "state-of", addressStatus(this.speech, address))];
    const act = (key: Key, run: () => Promise<Refusal | null>, well: Key, then: () => void = () => undefined): HTMLButtonElement => {
      const button = bigButton(words.say(key), () => void this.during(button, async () => {
        say(answer, "");
        say(done, "");
        const refusal = await run();
        if (refusal) return say(answer, whyNot(this.speech, refusal, "contact.fault.send"));
        say(done, words.say(well));
        then();
      }), "big quiet");
      return button;
    };
    if (counts(address)) {
      parts.push(make("p", "why", words.say("test.why")));
      for (const channel of channels) parts.push(act(`test.${channel}`, () => this.own.test(contact.id, channel), "test.sent"));
    } else {
      const code = make("input", "", [], { type: "text", inputmode: "numeric", maxlength: "24", autocomplete: "one-time-code" });
      let sent: Channel = channels[0]!;
      const form = make("form", "verify", [
        field(words.say("verify.code"), code, words.say("verify.code.hint")),
        make("button", "big", words.say("verify.go"), { type: "submit" }),
      ], { hidden: "" });
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        const typed = digitsOf(code.value);
        if (typed.length !== 6) {
          say(answer, words.say("verify.wrong"));
          return code.focus();
        }
        void this.during(form.querySelector("button")!, async () => {
          say(done, "");
          const refusal = await this.own.verify(contact.id, sent, typed);
          if (!refusal) return say(this.done, words.say("verify.done"));
          say(answer, whyNot(this.speech, refusal, "verify.wrong"));
          code.focus();
        });
      });
      parts.push(make("p", "why", words.say(address.optedOut ? "verify.why.stop" : "verify.why")));
      for (const channel of channels) {
        parts.push(act(`verify.${channel}`, () => this.own.sendCode(contact.id, channel), "verify.sent", () => {
          sent = channel;
          show(form, true);
          code.focus();
        }));
      }
      parts.push(form);
    }
    parts.push(done, answer);
    return make("section", "card address", parts);
  }

  private async remove(): Promise<void> {
    const { words } = this.speech;
    const { contact } = this;
    if (!contact) return;
    const name = clean(contact.name, 60);
    if (!(await asked(words.say("contact.delete.sure", { name }), words.say("contact.delete.why"), words.say("contact.delete.yes"), words.say("contact.delete.no"), true))) return;
    await this.during(this.drop, async () => {
      const refusal = await this.own.remove(contact.id);
      if (refusal && refusal.code !== "not_found") return say(this.answer, whyNot(this.speech, refusal, "own.refused"));
      this.leave();
    });
  }

  /** One thing at a time. */
  private async during(button: HTMLButtonElement, run: () => Promise<void>): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    button.disabled = true;
    say(this.answer, "");
    say(this.done, "");
    await run();
    this.busy = false;
    button.disabled = false;
  }

  private complain(key: Key, input: HTMLInputElement): void {
    say(this.answer, this.speech.words.say(key));
    input.focus();
  }
}

/** What differs of a contact; an address that stays is not named, so that it stays verified. */
function changed(contact: Contact, draft: Draft): Partial<Draft> {
  const now: Draft = { name: contact.name, phone: contact.phone?.address ?? null, email: contact.email?.address ?? null, language: contact.language };
  return Object.fromEntries(Object.entries(draft).filter(([key, value]) => now[key as keyof Draft] !== value));
}

function addressStatus({ words }: Speech, address: Address): string {
  return words.say(address.optedOut ? "address.stop" : address.verified ? "address.counts" : "address.unverified");
}

function statusOf(speech: Speech, contact: Contact): (HTMLElement | string)[] {
  const all = [contact.phone, contact.email].filter((one): one is Address => one !== null);
  if (all.length === 0) return [speech.words.say("plan.why.no_address")];
  const best = all.find(counts) ?? all[0]!;
  return [addressOf(best), ` · ${addressStatus(speech, best)}`];
}

/** An address reads from left to right in every language: "+" stays in front of a number. */
function addressOf(address: Address): HTMLElement {
  return make("bdi", "", clean(address.address, 60), { dir: "ltr" });
}
