/** The SOS part of the sheet: what happened, who is on it, what has been done, and what the reader can do now. */
import { isOpen, type Alert } from "../common/alertwire";
import { icon, make, say, show } from "../common/dom";
import type { Formats } from "../common/format";
import type { Refusal } from "../common/wire";
import { clean } from "../common/words";
import { needWords, overWords, refusalWords, whoWords, type ContactWords } from "./contactwords";
import { ANYWHERE, type Emergency } from "./places";
import { choices, mayBeCalled, MINUTES, type Told } from "./sos";

const BELL = "M12 3a6 6 0 0 0-6 6v4l-2 4h16l-2-4V9a6 6 0 0 0-6-6zM9.5 20a2.5 2.5 0 0 0 5 0";
const CHECK = "M4 12.5l5 5L20 6.5";
const PHONE = "M5 4h4l2 5-2.5 1.5a11 11 0 0 0 5 5L15 13l5 2v4a1 1 0 0 1-1 1A15 15 0 0 1 4 5a1 1 0 0 1 1-1z";
const LONGEST_MESSAGE = 500;

export type Act = "ack" | "resolve" | "false_alarm" | "respond";
/** Sends what the reader did; resolves when it is done, throws the Refusal. `trying`: it has to be sent again. */
export type Send = (act: Act, alert: Alert, more: Record<string, unknown>, trying: () => void) => Promise<void>;

export interface Scene {
  alert: Alert;
  name: string;
  mayAnswer: boolean;
  told: readonly Told[] | null;
  phone: string | null;
  emergency: Emergency | null;
  nowMs: number;
}

export class Banner {
  readonly element = make("section", "sos", [], { hidden: "", "aria-labelledby": "sos-title" });
  private readonly head = make("header", "sos-head");
  private readonly sign = make("span", "sign");
  private readonly kind = make("p", "kind");
  private readonly title = make("h2", "", [], { id: "sos-title", tabindex: "-1" });
  private readonly when = make("p", "when");
  private readonly drill = make("p", "drill", [], { hidden: "" });
  private readonly message = make("blockquote", "", [], { hidden: "", dir: "auto" });
  private readonly who = make("ul", "lines");
  private readonly note = make("p", "note", [], { role: "status", hidden: "" });
  private readonly actions = make("div", "actions");
  private readonly calls = make("div", "calls");
  private readonly done = make("ul", "lines told");
  private readonly doneTitle = make("h3");
  private scene: Scene | null = null;
  private asking: "end" | "false" | null = null;
  private busy = false;
  private shownId = "";
  private drawn = "";

  constructor(
    private readonly words: ContactWords,
    private readonly formats: Formats,
    private readonly shareId: string,
    private readonly send: Send,
    private readonly hide: (id: string) => void,
  ) {
    this.head.append(this.sign, make("div", "", [this.kind, this.title, this.when]));
    say(this.doneTitle, words.say("sos.done"));
    const body = make("div", "sos-body", [this.drill, this.message, make("div", "", [this.who], { role: "status" }), this.actions, this.note, this.calls, this.doneTitle, this.done]);
    this.element.append(this.head, body);
  }

  /** `null`: there is nothing to say. */
  update(scene: Scene | null): void {
    this.scene = scene;
    show(this.element, scene !== null);
    if (scene === null) {
      this.shownId = this.drawn = "";
      this.message.textContent = "";
      this.who.replaceChildren();
      this.done.replaceChildren();
      return;
    }
    const { alert, nowMs } = scene;
    const { words, formats } = this;
    if (alert.id !== this.shownId) {
      this.shownId = alert.id;
      this.asking = null;
      this.tell(null);
    }
    const open = isOpen(alert);
    const cancelled = alert.state === "cancelled";
    const kind = words.find(`alert.kind.${alert.kind}`) ?? words.say("alert.kind.sos");
    this.element.dataset["state"] = alert.state;
    this.element.dataset["drill"] = String(alert.drill);
    const what = open ? kind : words.say(`alert.state.${cancelled ? "cancelled" : "resolved"}`);
    say(this.kind, alert.drill ? `${words.say("sos.drill")} · ${what}` : what);
    say(this.title, open ? needWords(words, alert, scene.name) : words.say(cancelled ? "sos.over.cancelled" : "sos.over.resolved"));
    show(this.kind, open || alert.drill);
    const [time, ago] = [formats.clock(alert.pressedMs, nowMs), formats.ago(nowMs - alert.pressedMs)];
    say(this.when, words.say(PRESSED.has(alert.kind) ? "sos.pressed" : "sos.raised", { time, ago }));
    show(this.drill, alert.drill);
    say(this.drill, alert.drill ? words.say("sos.drill.why") : "");
    show(this.message, open && alert.message !== "");
    say(this.message, open ? clean(alert.message, LONGEST_MESSAGE) : "");
    const lines = open ? whoWords(words, formats, alert, this.shareId, scene.name, nowMs) : [overWords(words, formats, alert, this.shareId, scene.name, nowMs)];
    fill(this.who, lines);
    this.updateDone(scene, open);
    this.draw(scene, open);
  }

  private updateDone({ alert, told, mayAnswer, nowMs }: Scene, open: boolean): void {
    const lines = (told ?? []).map(({ name, channel, status }) => this.toldLine(name, channel, status));
    if (!lines.length && open && alert.state !== "pending") {
      if (alert.reachedMs !== null) lines.push(this.words.say("sos.reached", { time: this.formats.clock(alert.reachedMs, nowMs) }));
      else lines.push(this.words.say(mayAnswer ? "sos.done.none" : "sos.done.hidden"));
    }
    show(this.doneTitle, lines.length > 0);
    show(this.done, lines.length > 0);
    fill(this.done, lines);
  }

  private toldLine(name: string, channel: string, status: string): string {
    const by = this.words.find(`channel.${channel}`) ?? channel;
    return this.words.say("sos.told", { name, channel: by, status: this.words.find(`attempt.${status}`) ?? status });
  }

  /** The buttons are made anew only when they differ: a thumb that is on its way meets the one it aimed at. */
  private draw(scene: Scene, open: boolean): void {
    const may = choices(scene.alert, this.shareId, scene.mayAnswer);
    if (!may.end) this.asking = this.asking === "end" ? null : this.asking;
    if (!may.falseAlarm) this.asking = this.asking === "false" ? null : this.asking;
    const { alert, emergency, phone, name } = scene;
    const callable = phone !== null && mayBeCalled(alert) ? phone : null;
    const key = JSON.stringify([alert.id, alert.version, open, may, this.asking, this.busy, emergency, callable, name]);
    if (key === this.drawn) return;
    this.drawn = key;
    const focused = this.element.contains(document.activeElement) ? (document.activeElement as HTMLElement).dataset["act"] : undefined;
    this.sign.replaceChildren(icon(open ? BELL : CHECK));
    this.actions.replaceChildren(...this.actionButtons(scene, may, open));
    this.calls.replaceChildren(...(open ? this.callButtons(scene, callable) : []));
    if (focused) (this.element.querySelector<HTMLElement>(`[data-act="${focused}"]`) ?? this.title).focus({ preventScroll: true });
  }

  private actionButtons(scene: Scene, may: ReturnType<typeof choices>, open: boolean): HTMLElement[] {
    const { alert } = scene;
    const { words } = this;
    if (!open) return [make("p", "soft", words.say("sos.over.thanks")), this.button("hide", words.say("sos.hide"), "", () => this.hide(alert.id))];
    if (!scene.mayAnswer) return [make("p", "soft", words.say("sos.look"))];
    if (this.asking !== null) return this.question(alert, this.asking);
    const made: HTMLElement[] = [];
    if (may.take && may.take !== "still") {
      made.push(this.button("take", words.say(`sos.act.${may.take}`), "primary", () => void this.act("ack", alert, {})));
    }
    if (may.eta) {
      const group = make("div", "etas", [], { role: "group", "aria-label": words.say("sos.act.eta") });
      for (const n of MINUTES) {
        const label = words.say("sos.act.minutes", { n });
        group.append(this.button(`eta-${n}`, label, "small", () => void this.act("respond", alert, { eta_s: n * 60 })));
      }
      made.push(make("p", "soft", words.say("sos.act.eta")), group);
    }
    if (may.end) {
      const row = make("div", "row", [this.button("end", words.say("sos.act.end"), "", () => this.ask("end", scene))]);
      if (may.falseAlarm) row.append(this.button("false", words.say("sos.act.false"), "", () => this.ask("false", scene)));
      made.push(row);
    }
    if (may.take === "still") made.push(this.button("take", words.say("sos.act.still"), "quiet", () => void this.act("ack", alert, {})));
    return made;
  }

  private question(alert: Alert, what: "end" | "false"): HTMLElement[] {
    const yes = (): void => void this.act(what === "end" ? "resolve" : "false_alarm", alert, {});
    return [
      make("p", "ask", this.words.say(`sos.act.${what}.ask`)),
      make("div", "row", [
        this.button("sure", this.words.say(`sos.act.${what}.sure`), "primary calm", yes),
        this.button("no", this.words.say("sos.act.no"), "", () => this.askNoMore()),
      ]),
    ];
  }

  private callButtons({ alert, emergency, name }: Scene, phone: string | null): HTMLElement[] {
    const made: HTMLElement[] = [];
    const number = emergency?.number ?? ANYWHERE;
    const known = emergency?.known === true;
    made.push(this.call(number, this.words.say("sos.call.number", { number }), this.words.say(known ? "sos.call.here" : "sos.call.anywhere")));
    if (phone !== null) made.push(this.call(phone, this.words.say("sos.call.them", { name }), ""));
    if (!mayBeCalled(alert)) made.push(make("p", "quiet-note", this.words.say("sos.quiet")));
    return made;
  }

  private call(number: string, label: string, hint: string): HTMLElement {
    const text = make("span", "", [make("b", "", label)]);
    if (hint) text.append(make("small", "", hint));
    return make("a", "button call", [icon(PHONE), text], { href: `tel:${number}`, "data-act": `call-${number}`, rel: "noreferrer" });
  }

  private button(act: string, label: string, look: string, tap: () => void): HTMLButtonElement {
    const made = make("button", `button ${look}`.trim(), label, { type: "button", "data-act": act });
    made.setAttribute("aria-disabled", String(this.busy)); // not `disabled`: that would take the focus away
    made.addEventListener("click", tap);
    return made;
  }

  private ask(what: "end" | "false", scene: Scene): void {
    this.asking = what;
    this.draw(scene, true);
    this.element.querySelector<HTMLElement>('[data-act="no"]')?.focus({ preventScroll: true });
  }

  private askNoMore(): void {
    this.asking = null;
    if (this.scene) this.draw(this.scene, isOpen(this.scene.alert));
  }

  private async act(act: Act, alert: Alert, more: Record<string, unknown>): Promise<void> {
    if (this.busy) return;
    this.hold(true);
    this.tell(this.words.say("sos.sending"));
    try {
      await this.send(act, alert, more, () => this.tell(this.words.say("sos.trying")));
      this.tell(null);
    } catch (error) {
      this.tell(refusalWords(this.words, error as Refusal));
    } finally {
      this.asking = null;
      this.hold(false);
      if (this.scene) this.draw(this.scene, isOpen(this.scene.alert));
    }
  }

  private hold(busy: boolean): void {
    this.busy = busy;
    this.drawn = "";
    this.element.setAttribute("aria-busy", String(busy));
    for (const one of this.actions.querySelectorAll("button")) one.setAttribute("aria-disabled", String(busy));
  }

  private tell(text: string | null): void {
    show(this.note, text !== null);
    say(this.note, text ?? "");
  }
}

/** Kinds that somebody pressed for. */
const PRESSED = new Set(["sos"]);

function fill(list: HTMLElement, lines: readonly string[]): void {
  if (list.children.length === lines.length && lines.every((line, i) => list.children[i]!.textContent === line)) return;
  list.replaceChildren(...lines.map((line) => make("li", "", line)));
}
