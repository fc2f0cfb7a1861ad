/** The driver's own number with a link that calls it, in the driver's panel and in a card. No link while a call may do harm. */
import { make, say, show } from "../common/dom";
import { text } from "../common/read";
import { clean } from "../common/words";
import type { Context } from "./context";

const DIALLED = /^\+[0-9]{4,20}$/;

export class CallLine {
  readonly element = make("p", "call-line", [], { hidden: "" });
  private readonly link = make("a", "call", [], {});
  private readonly note = make("span", "detail");
  private driver: string | null = null;
  private phone: string | null = null;
  private known = false;
  private harmful = false;
  private turn = 0;

  constructor(private readonly context: Context) {
    this.element.append(this.link, this.note);
  }

  /** Sets the driver and requests the number; `refresh` requests it again for the same driver. */
  of(driver: string | null, refresh = false): void {
    if (driver === this.driver && !refresh) return;
    this.driver = driver;
    this.known = false;
    this.draw();
    if (driver !== null) void this.ask(driver, ++this.turn);
  }

  /** Whether a ringing phone may put the driver in danger: an alert is silent or under duress. */
  mayHarm(harmful: boolean): void {
    this.harmful = harmful;
    this.draw();
  }

  private async ask(driver: string, turn: number): Promise<void> {
    try {
      const answer = await this.context.api.get(`/api/v1/drivers/${encodeURIComponent(driver)}/profile`);
      if (turn !== this.turn) return;
      const phone = text(answer["phone"]);
      this.phone = phone !== null && DIALLED.test(phone) ? phone : null;
      this.known = true;
      const name = text(answer["name"]);
      if (name !== null) this.context.names.learn(driver, name);
    } catch {
      // Nothing is said of a number that cannot be had; everything else goes on.
    }
    this.draw();
  }

  private draw(): void {
    const { words, names } = this.context;
    show(this.element, this.driver !== null && this.known);
    if (this.driver === null || !this.known) return;
    const calls = this.phone !== null && !this.harmful;
    show(this.link, calls);
    if (calls) {
      this.link.href = `tel:${this.phone}`;
      const label = words.say("call.driver", { name: names.of(this.driver) });
      this.link.replaceChildren(make("span", "", label), " ", make("bdi", "number", clean(this.phone ?? "", 24), { dir: "ltr" }));
    }
    const note = this.harmful ? words.say("call.harm") : this.phone === null ? words.say("call.none") : "";
    say(this.note, note);
    show(this.note, note !== "");
    this.element.classList.toggle("harmful", this.harmful);
  }
}
