/** Pairing a driver's phone: a code to scan, good for a few minutes and one use. */
import { explained, type Context } from "./context";
import { Dialog } from "./dialog";
import { onceShown } from "./share";
import { make } from "../common/dom";
import { number, text } from "../common/read";
import { idOf } from "../common/typed";

const NAME_PATTERN = "[A-Za-z0-9][A-Za-z0-9._~@:+\\-]{0,63}";

/** `driver` null: somebody new, whose vendor and id are asked for. */
export class PairDialog {
  private readonly dialog: Dialog;
  private readonly made = make("div", "share-made", [], { hidden: "", "aria-live": "polite" });

  constructor(
    private readonly context: Context,
    private readonly driver: { id: string; vendor: string } | null,
  ) {
    const { words } = context;
    this.dialog = new Dialog(words, driver ? words.say("pair.title", { driver: context.names.of(driver.id) }) : words.say("pair.title.new"));
    this.dialog.body.append(make("p", "", words.say("pair.what")), this.makeForm(), this.made);
  }

  open(): void {
    this.dialog.open();
  }

  private makeForm(): HTMLFormElement {
    const { words } = this.context;
    const go = make("button", "primary", words.say("pair.make"), { type: "submit" });
    const form = make("form", "pair-form", [...(this.driver ? [] : this.fields()), make("div", "dialog-actions", [go])]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      const wish = new FormData(form);
      const id = this.driver?.id ?? String(wish.get("driver")).trim();
      const vendor = this.driver?.vendor ?? String(wish.get("vendor")).trim();
      const name = String(wish.get("name") ?? "").trim();
      void this.create({ vendor, driver: id, ...(name ? { name } : {}) }).finally(() => (go.disabled = false));
    });
    return form;
  }

  private fields(): HTMLElement[] {
    const { words, vendors } = this.context;
    const plain = { required: "", maxlength: "64", pattern: NAME_PATTERN, autocomplete: "off", spellcheck: "false", dir: "ltr" };
    // Typed, not picked: a tenant's first driver comes with its first vendor.
    const vendor = make("input", "", [], { ...plain, name: "vendor", list: "pair-vendors" });
    const known = make("datalist", "", vendors.get().map((name) => make("option", "", [], { value: name })), { id: "pair-vendors" });
    vendor.value = vendors.get()[0] ?? "";
    const id = make("input", "", [], { ...plain, name: "driver" });
    // Before the browser compares it with the pattern.
    for (const input of [vendor, id]) input.addEventListener("change", () => (input.value = idOf(input.value)));
    const name = make("input", "", [], { name: "name", maxlength: "80", autocomplete: "off" });
    const field = (label: string, input: HTMLElement, hint = ""): HTMLElement =>
      make("label", "field", [make("span", "", label), input, ...(hint ? [make("small", "", hint)] : [])]);
    return [
      field(words.say("pair.vendor"), vendor),
      known,
      field(words.say("pair.driver"), id, words.say("pair.driver.hint")),
      field(words.say("pair.name"), name, words.say("pair.name.hint")),
    ];
  }

  private async create(wish: Record<string, string>): Promise<void> {
    const { api, words } = this.context;
    this.dialog.blame("");
    try {
      const answer = await api.post("/api/v1/pairings", wish);
      // A driver who has a name already keeps it: it is looked up.
      this.context.names.forget([wish["driver"] ?? ""]);
      this.context.names.want([wish["driver"] ?? ""]);
      const url = text(answer["url"]) ?? "";
      this.made.replaceChildren(...onceShown(this.context, url, number(answer["expires_at"]) ?? 0, words.say("pair.qr")));
      this.made.hidden = false;
    } catch (error) {
      this.dialog.blame(explained(words, error));
    }
  }
}
