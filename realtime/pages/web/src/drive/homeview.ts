/** Before a journey: where to, by when, how often to check in. */
import { make } from "../common/dom";
import { field, type Speech } from "./face";

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

  constructor({ words, formats }: Speech, start: (plan: Plan) => void) {
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
      make("button", "big", words.say("home.start"), { type: "submit" }),
    ]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      start(this.plan());
    });
    this.element = form;
  }

  private plan(): Plan {
    const destination = this.where.value.trim().slice(0, LONGEST_DESTINATION) || null;
    const everyS = this.check.value ? Number(this.check.value) : null;
    return { destination, by: nextClock(this.by.value, new Date()), everyS };
  }
}

