/** An SOS, from the press on: whether it is sent, who was reached, who is coming; the PIN; and what works without us. */
import { make, say, show } from "../common/dom";
import { pinOf } from "../common/typed";
import { clean } from "../common/words";
import type { App } from "./app";
import { placeText, smsLink, telLink, type Help } from "./fallback";
import { asked, bigButton, field, type Key, type Speech } from "./face";
import { HoldButton } from "./hold";
import type { Fix } from "./outbox";
import { isOver, shownOf, type Press } from "./press";

export class SosView {
  readonly element: HTMLElement;
  private readonly title = make("h1", "", "", { tabindex: "-1" });
  private readonly count = make("p", "countdown");
  private readonly why = make("p", "why");
  private readonly details = make("div", "details", [], { "aria-live": "polite" });
  private readonly links = make("div", "links");
  private readonly form: HTMLFormElement;
  private readonly pin = make("input", "", [], { type: "password", inputmode: "numeric", autocomplete: "off" });
  private readonly answer = make("p", "answer", "", { role: "alert" });
  private readonly close: HTMLButtonElement;
  /** Without a PIN: held, and then asked, so that no slip of a finger ends an SOS. */
  private readonly hold: HoldButton;
  private press: Press | null = null;
  private made = "";

  constructor(
    private readonly speech: Speech,
    private readonly app: App,
    private readonly leave: () => void,
  ) {
    const { words } = speech;
    const cancel = make("button", "big quiet", words.say("sos.cancel"), { type: "submit" });
    this.form = make("form", "cancel", [field(words.say("sos.pin"), this.pin), cancel]);
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.cancel();
    });
    const held = { label: words.say("sos.cancel.label"), title: words.say("sos.cancel"), hint: words.say("sos.hold.hint"), holding: words.say("sos.holding") };
    this.hold = new HoldButton("calm", held, () => void this.askFirst(), () => void this.askFirst());
    this.close = bigButton(words.say("sos.close"), () => this.leave(), "big quiet");
    const head = make("div", "state", [this.title, this.count, this.why], { role: "alert" });
    this.element = make("section", "sos-view", [head, this.details, this.links, this.form, this.hold.element, this.answer, this.close], { hidden: "" });
  }

  /** Puts the eye, and a screen reader, on it. */
  focus(): void {
    this.title.focus();
  }

  update(press: Press, help: Help, place: Fix | null, serverMs: number): void {
    const { words } = this.speech;
    if (this.press?.sos_id !== press.sos_id) this.pin.value = "";
    this.press = press;
    const shown = shownOf(press);
    const view = press.view;
    this.element.dataset["state"] = shown;
    const by = view?.acknowledgedBy ?? "";
    const title = shown === "acknowledged" ? (by ? words.say("sos.acknowledged", { name: by }) : words.say("sos.acknowledged.nobody")) : words.say(`sos.${shown}`);
    say(this.title, view?.drill === true ? words.say("sos.drill", { title }) : title);
    const untilMs = shown === "pending" ? (view?.pendingUntilMs ?? null) : null;
    show(this.count, untilMs !== null);
    if (untilMs !== null) say(this.count, this.speech.formats.number(Math.max(0, Math.ceil((untilMs - serverMs) / 1_000))));
    const gaveUp = shown === "active" && view?.exhausted === true;
    const { pinSet } = this.app.own.own;
    const why = shown === "pending" && pinSet === false ? "sos.pending.nopin" : (`sos.${shown}.why` as const);
    say(this.why, words.say(gaveUp ? "sos.exhausted" : why));
    const over = isOver(press);
    const open = shown !== "unsent" && !over;
    // Where it is not known whether there is a PIN, both are there: the server decides.
    show(this.form, open && pinSet !== false);
    show(this.hold.element, open && pinSet !== true);
    show(this.links, !over);
    show(this.close, over);
    this.tell(press, over);
    this.offer(help, place, press.pressed_at);
  }

  /** Of one that is over nothing more is told, whatever is known: what was, is not what is. */
  private tell(press: Press, over: boolean): void {
    const { words } = this.speech;
    const lines: HTMLElement[] = [];
    const line = (text: string): void => void lines.push(make("p", "", text));
    if (!over) {
      line(this.originOf(press));
      const refusal = press.kept === null ? this.app.raiser.refusal : null;
      if (refusal !== null) line(words.say("sos.refused", { code: refusal }));
      const durable = press.kept && words.find(`sos.kept.${press.kept.durability}`);
      if (durable) line(durable);
      if (press.view?.reachedMs != null) line(words.say("sos.reached"));
      lines.push(...this.people(press));
    }
    const made = lines.map((one) => one.textContent).join("\n");
    if (made === this.made) return;
    this.made = made;
    this.details.replaceChildren(...lines);
  }

  /** When it was pressed, or which dispatcher raised it. */
  private originOf({ view, pressed_at: atMs }: Press): string {
    const { words, formats } = this.speech;
    const time = formats.clock(atMs, atMs);
    const by = view?.raisedBy ?? null;
    if (by === null) return words.say("sos.pressed", { time });
    const what = view?.drill === true ? "drill" : "sos";
    return by === "operator" ? words.say(`raised.${what}`, { time }) : words.say(`raised.${what}.by`, { name: by, time });
  }

  private people(press: Press): HTMLElement[] {
    const { words, formats } = this.speech;
    const { responders = [], told = [] } = press.view ?? {};
    const coming = responders.map(({ name, etaS }) => [name, etaS === null ? "" : words.say("sos.coming.in", { time: formats.duration(etaS * 1_000) })] as const);
    const tried = told.map(({ name, channel, status }) => {
      const how = words.find(`channel.${channel}`) ?? clean(channel, 20);
      return [name, `${how} · ${words.find(`attempt.${status}`) ?? clean(status, 20)}`] as const;
    });
    return [...this.list("sos.coming", coming), ...this.list("sos.told", tried)];
  }

  private list(key: Key, rows: (readonly [string, string])[]): HTMLElement[] {
    if (rows.length === 0) return [];
    const items = rows.map(([name, what]) => make("li", "", [make("bdi", "", clean(name, 60)), make("span", "", what)]));
    return [make("h2", "", this.speech.words.say(key)), make("ul", "", items)];
  }

  /** What works without a server: a call and a text, ready. Made anew only when it differs, so that a thumb does not miss. */
  private offer(help: Help, place: Fix | null, pressedMs: number): void {
    const { words, formats } = this.speech;
    const body = [words.say("sos.sms", { time: formats.clock(pressedMs, pressedMs), driver: this.app.pairing.driver })];
    if (place) body.push(words.say("sos.sms.place", { place: placeText(place), ago: formats.clock(place[0], pressedMs) }));
    const plain = clean(body.join(" "), 400);
    const links = [
      { href: telLink(help.emergency), text: words.say("sos.call", { number: help.emergency }), className: "big" },
      ...help.helpers.map(({ name, number }) => ({ href: smsLink(number, plain), text: words.say("sos.text", { name: name || number }), className: "big quiet" })),
    ];
    const key = JSON.stringify(links);
    if (this.links.dataset["key"] === key) return;
    this.links.dataset["key"] = key;
    this.links.replaceChildren(...links.map(({ href, text, className }) => make("a", className, text, { href })));
    if (help.helpers.length === 0) this.links.append(make("p", "why", words.say("sos.text.add")));
  }

  private async cancel(): Promise<void> {
    const pin = pinOf(this.pin.value);
    this.pin.value = "";
    if (pin === "") {
      say(this.answer, this.speech.words.say("sos.cancel.pin"));
      return this.pin.focus();
    }
    await this.send(pin);
  }

  private async askFirst(): Promise<void> {
    const { words } = this.speech;
    const sure = await asked(words.say("sos.cancel.sure"), words.say("sos.cancel.why"), words.say("sos.cancel.yes"), words.say("sos.cancel.no"), true);
    if (sure) await this.send("");
  }

  private async send(pin: string): Promise<void> {
    const { press } = this;
    if (!press) return;
    say(this.answer, "");
    const result = await this.app.cancel(press.sos_id, pin);
    if (result === "wrong" && pin === "") say(this.answer, this.speech.words.say("sos.cancel.pin"));
    else if (result !== "done") say(this.answer, this.speech.words.say(`sos.cancel.${result}`));
  }
}
