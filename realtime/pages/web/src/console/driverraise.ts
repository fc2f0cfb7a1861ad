/** Raising an SOS or a drill for a driver: what it is about, and a button that has to be held. */
import { make, say, show } from "../common/dom";
import { text } from "../common/read";
import { HoldButton } from "../drive/hold";
import { explained, type Context } from "./context";
import { Dialog } from "./dialog";

const MESSAGE_CHARS = 500;

export class RaiseDialog {
  private readonly dialog: Dialog;
  /** One for each choice of the dialog: the same alert however often it is sent, and never a drill in the place of an SOS. */
  private readonly sosIds = { sos: uuid(), drill: uuid() };
  private readonly message = make("textarea", "", [], { id: "raise-message", rows: "3", maxlength: String(MESSAGE_CHARS) });
  private readonly silent = make("input", "", [], { type: "checkbox", name: "silent" });
  private readonly real: HTMLInputElement;
  private readonly hold: HoldButton;
  private readonly drill: HoldButton;
  private readonly sure = make("div", "ask", [], { hidden: "" });
  private sending = false;

  constructor(
    private readonly context: Context,
    private readonly driver: { id: string; vendor: string },
    private readonly raised: (alertId: string) => void,
  ) {
    const { words, names } = context;
    const name = names.of(driver.id);
    this.dialog = new Dialog(words, words.say("raise.title", { driver: name }));
    const choice = (value: "sos" | "drill", checked: boolean): [HTMLInputElement, HTMLElement] => {
      const input = make("input", "", [], { type: "radio", name: "what", value, ...(checked ? { checked: "" } : {}) });
      const about = make("span", "", [make("b", "", words.say(`raise.${value}`)), make("small", "", words.say(`raise.${value}.what`))]);
      input.addEventListener("change", () => this.tell());
      return [input, make("label", "choice", [input, about])];
    };
    const [real, realChoice] = choice("sos", true);
    const [, drillChoice] = choice("drill", false);
    this.real = real;
    this.hold = this.holdButton("sos");
    this.drill = this.holdButton("drill");
    const who = name === driver.id ? driver.id : `${name} (${driver.id})`;
    this.dialog.body.append(
      make("p", "about", words.say("raise.who", { driver: who, vendor: driver.vendor })),
      make("fieldset", "choices", [make("legend", "", words.say("raise.what")), realChoice, drillChoice]),
      make("label", "", words.say("raise.message"), { for: "raise-message" }), this.message,
      make("label", "choice", [this.silent, make("span", "", [make("b", "", words.say("raise.silent")), make("small", "", words.say("raise.silent.what"))])]),
      this.hold.element, this.drill.element, this.sure,
    );
    this.tell();
  }

  open(): void {
    this.dialog.open();
  }

  private holdButton(what: "sos" | "drill"): HoldButton {
    const { words } = this.context;
    const texts = { label: words.say("raise.hold.label"), title: words.say(`raise.do.${what}`), hint: words.say("raise.hold"), holding: words.say("raise.holding") };
    return new HoldButton(`raise-${what}`, texts, () => void this.send(), () => this.ask());
  }

  private tell(): void {
    show(this.hold.element, this.real.checked);
    show(this.drill.element, !this.real.checked);
    show(this.sure, false);
  }

  /** A click that was no press, or a short one from the keyboard: it is asked for once more. */
  private ask(): void {
    const { words } = this.context;
    const go = make("button", "primary danger", words.say(this.real.checked ? "raise.do.sos" : "raise.do.drill"), { type: "button" });
    const no = make("button", "plain", words.say("cancel"), { type: "button" });
    go.addEventListener("click", () => void this.send());
    no.addEventListener("click", () => this.tell());
    this.sure.replaceChildren(make("p", "warning", words.say(this.real.checked ? "raise.sure.sos" : "raise.sure.drill")), make("div", "dialog-actions", [no, go]));
    show(this.sure, true);
    no.focus();
  }

  private async send(): Promise<void> {
    if (this.sending) return;
    const { api, words, names } = this.context;
    this.sending = true;
    this.dialog.blame("");
    const drill = !this.real.checked;
    say(drill ? this.drill.element.querySelector("b")! : this.hold.element.querySelector("b")!, words.say("raise.sending"));
    try {
      const answer = await api.post("/api/v1/alerts", {
        sos_id: this.sosIds[drill ? "drill" : "sos"], vendor: this.driver.vendor, driver: this.driver.id, drill, silent: this.silent.checked, message: this.message.value.trim(),
      });
      this.dialog.close();
      this.context.tell(words.say(drill ? "raise.done.drill" : "raise.done.sos", { driver: names.of(this.driver.id) }));
      this.raised(text(answer["alert_id"]) ?? "");
    } catch (error) {
      this.dialog.blame(explained(words, error));
    } finally {
      this.sending = false;
      say(this.hold.element.querySelector("b")!, words.say("raise.do.sos"));
      say(this.drill.element.querySelector("b")!, words.say("raise.do.drill"));
    }
  }
}

/** A random UUID; by hand where the page did not come by https, as browsers make none there. */
function uuid(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
