/** The PIN that cancels, and the one that only seems to: explained, set together, never shown. */
import { make, say, show } from "../common/dom";
import { asked, bigButton, field, type Key, type Speech } from "./face";
import { pinFault, type OwnSettings } from "./own";
import { whyNot } from "./ownwords";

export class PinPage {
  readonly element: HTMLElement;
  private readonly now = secret();
  private readonly pin = secret();
  private readonly again = secret();
  private readonly duress = secret();
  private readonly duressAgain = secret();
  private readonly answer = make("p", "answer", "", { role: "alert" });
  private readonly done = make("p", "done", "", { role: "status" });
  private readonly state = make("p", "state-of");
  private readonly save: HTMLButtonElement;
  private readonly drop: HTMLButtonElement;
  private readonly nowField: HTMLElement;
  private busy = false;

  constructor(
    private readonly speech: Speech,
    private readonly own: OwnSettings,
  ) {
    const { words } = speech;
    this.save = make("button", "big", words.say("pin.save"), { type: "submit" });
    this.drop = bigButton(words.say("pin.drop"), () => void this.remove(), "big grave-quiet");
    this.nowField = field(words.say("pin.now"), this.now, words.say("pin.now.hint"));
    const form = make("form", "stack", [
      this.nowField,
      make("fieldset", "", [
        make("legend", "", words.say("pin.cancel")),
        make("p", "why", words.say("pin.cancel.why")),
        field(words.say("pin.new"), this.pin, words.say("pin.new.hint")),
        field(words.say("pin.again"), this.again),
      ]),
      make("fieldset", "", [
        make("legend", "", words.say("pin.duress")),
        make("p", "why", words.say("pin.duress.why")),
        field(words.say("pin.duress.new"), this.duress, words.say("pin.duress.hint")),
        field(words.say("pin.duress.again"), this.duressAgain),
      ]),
      this.answer,
      this.save,
    ]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.submit();
    });
    const more = make("details", "", [
      make("summary", "", words.say("pin.more")),
      make("p", "", words.say("pin.more.forced")),
      make("p", "", words.say("pin.more.forgotten")),
    ]);
    this.element = make("div", "stack", [this.state, this.done, form, more, this.drop]);
  }

  update(): void {
    const { pinSet } = this.own.own;
    say(this.state, this.speech.words.say(pinSet === null ? "own.notknown" : pinSet ? "pin.is.set" : "pin.is.unset"));
    show(this.drop, pinSet !== false);
  }

  private async submit(): Promise<void> {
    const [pin, duress] = [this.pin.value, this.duress.value];
    const fault = pinFault(pin, this.again.value);
    if (fault) return this.complain(`pin.fault.${fault}` as Key, fault === "again" ? this.again : this.pin);
    if (duress !== "" || this.duressAgain.value !== "") {
      const other = pinFault(duress, this.duressAgain.value, pin);
      if (other) return this.complain(`pin.fault.${other}` as Key, other === "again" ? this.duressAgain : this.duress);
    }
    if (this.own.own.pinSet === true && this.now.value === "") return this.complain("pin.fault.now", this.now);
    await this.send(pin, duress || null, "pin.saved");
  }

  private async remove(): Promise<void> {
    const { words } = this.speech;
    if (this.own.own.pinSet === true && this.now.value === "") return this.complain("pin.fault.now", this.now);
    if (await asked(words.say("pin.drop.sure"), words.say("pin.drop.why"), words.say("pin.drop.yes"), words.say("pin.drop.no"), true)) await this.send(null, null, "pin.dropped");
  }

  /** What is said does not depend on whether there is a duress PIN, nor on which PIN was typed as the one now. */
  private async send(pin: string | null, duress: string | null, saved: Key): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    this.save.disabled = true;
    say(this.answer, "");
    say(this.done, "");
    const refusal = await this.own.setPins(pin, duress, this.now.value || null);
    this.busy = false;
    this.save.disabled = false;
    if (refusal?.code === "forbidden") {
      this.now.value = "";
      return this.complain("pin.fault.wrong", this.now);
    }
    if (refusal) return say(this.answer, whyNot(this.speech, refusal, "own.refused"));
    for (const input of [this.now, this.pin, this.again, this.duress, this.duressAgain]) input.value = "";
    say(this.done, this.speech.words.say(saved));
    this.state.scrollIntoView({ block: "center" });
  }

  private complain(key: Key, input: HTMLInputElement): void {
    say(this.answer, this.speech.words.say(key));
    input.focus();
  }
}

/** A PIN's field: never shown, never remembered by the browser. */
function secret(): HTMLInputElement {
  return make("input", "", [], { type: "password", inputmode: "numeric", autocomplete: "off", maxlength: "24" });
}
