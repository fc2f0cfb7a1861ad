/** Before a journey: where to, by when, how often to check in. */
import { make, say, show } from "../common/dom";
import type { App } from "./app";
import { asked, bigButton, field, type Speech } from "./face";
import { whoIsNotified } from "./ownwords";

export interface Plan {
  destination: string | null;
  by: number | null;
  everyS: number | null;
}

const INTERVALS_S = [900, 1_800, 3_600, 7_200];
const LONGEST_DESTINATION = 200;

/** The next moment at which the clock shows `HH:MM`; null when nothing was chosen. */
export function nextClock(value: string, now: Date): number | null {
  const match = /^(\d{2}):(\d{2})/.exec(value);
  if (!match) return null;
  const at = new Date(now);
  at.setHours(Number(match[1]), Number(match[2]), 0, 0);
  if (at <= now) at.setDate(at.getDate() + 1);
  return at.getTime();
}

export class HomeView {
  readonly element: HTMLElement;
  private readonly where: HTMLInputElement;
  private readonly by: HTMLInputElement;
  private readonly check: HTMLSelectElement;
  private readonly byWho = make("p", "who-is");
  private readonly checkWho = make("p", "who-is");
  private readonly prompt = make("p", "why");
  private readonly lacking = make("section", "card lacking");
  private readonly lacks = make("p");

  constructor(
    private readonly speech: Speech,
    private readonly app: App,
    start: (plan: Plan) => void,
    toContacts: () => void,
  ) {
    const { words, formats } = speech;
    this.where = make("input", "", [], { type: "text", maxlength: String(LONGEST_DESTINATION), autocomplete: "off", placeholder: words.say("home.where.hint"), enterkeyhint: "done" });
    this.by = make("input", "", [], { type: "time" });
    this.check = make("select");
    this.check.append(make("option", "", words.say("home.check.never"), { value: "" }));
    for (const seconds of INTERVALS_S) {
      this.check.append(make("option", "", words.say("home.check.every", { time: formats.duration(seconds * 1_000) }), { value: String(seconds) }));
    }
    const form = make("form", "start", [
      make("h1", "", words.say("home.title")),
      field(words.say("home.where"), this.where),
      make("div", "pair", [
        field(words.say("home.by"), this.by, words.say("home.by.hint")),
        field(words.say("home.check"), this.check, words.say("home.check.hint")),
      ]),
      this.byWho,
      this.checkWho,
      this.lacking,
      this.prompt,
      make("button", "big", words.say("home.start"), { type: "submit" }),
    ]);
    this.lacking.append(this.lacks, bigButton(words.say("contacts.add"), toContacts, "big quiet"));
    for (const chosen of [this.by, this.check]) chosen.addEventListener("change", () => this.update());
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.go(start);
    });
    this.element = form;
  }

  update(): void {
    const { words } = this.speech;
    const { own } = this.app.own;
    const { permission } = this.app.locator;
    for (const [chosen, who] of [[this.by, this.byWho], [this.check, this.checkWho]] as const) {
      show(who, chosen.value !== "");
      // One of them says it: in general, or by name.
      show(chosen.parentElement!.querySelector("small")!, chosen.value === "");
    }
    say(this.byWho, whoIsNotified(this.speech, own.plans.arrive_by_missed, "home.by.who"));
    say(this.checkWho, whoIsNotified(this.speech, own.plans.check_in_missed, "home.check.who"));
    const plan = own.plans.sos;
    show(this.lacking, plan !== undefined && !plan.reaches);
    say(this.lacks, words.say("plan.nobody.why"));
    show(this.prompt, permission === "prompt");
    say(this.prompt, words.say("place.prompt"));
  }

  /** A journey without a place is one that nobody can follow: that is asked first. */
  private async go(start: (plan: Plan) => void): Promise<void> {
    const { words } = this.speech;
    const { permission } = this.app.locator;
    if (permission === "denied" || permission === "none") {
      if (!(await asked(words.say("place.start"), words.say(`place.${permission}`), words.say("place.start.yes"), words.say("place.start.no"), true))) return;
    }
    start(this.plan());
  }

  private plan(): Plan {
    const destination = this.where.value.trim().slice(0, LONGEST_DESTINATION) || null;
    const everyS = this.check.value ? Number(this.check.value) : null;
    return { destination, by: nextClock(this.by.value, new Date()), everyS };
  }
}

