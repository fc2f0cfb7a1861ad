/** The journeys of a driver, newest first, a page at a time. */
import { explained, type Context } from "./context";
import { make, say, show } from "../common/dom";
import { isObject, number, text } from "../common/read";
import { clean } from "../common/words";

const PAGE = 20;

export interface JourneyEntry {
  id: string;
  startedMs: number;
  endedMs: number | null;
  state: string;
  points: number;
  vehicle: string;
}

export class JourneyList {
  readonly element: HTMLElement;
  private readonly list = make("ul", "journeys");
  private readonly fault = make("p", "detail", "", { role: "status", hidden: "" });
  private readonly more: HTMLButtonElement;
  private cursor: string | null = null;
  private driver: string | null = null;

  constructor(
    private readonly context: Context,
    private readonly choose: (journey: JourneyEntry) => void,
  ) {
    const { words } = context;
    this.more = make("button", "plain", words.say("replay.more"), { type: "button", hidden: "" });
    this.more.addEventListener("click", () => void this.read());
    this.element = make("section", "driver-history", [make("h3", "", words.say("replay.journeys")), this.list, this.fault, this.more], { hidden: "" });
  }

  /** Opens for a driver, or closes; returns whether it is open. */
  toggle(driver: string): boolean {
    if (!this.element.hidden) {
      this.hide();
      return false;
    }
    this.driver = driver;
    this.cursor = null;
    this.list.replaceChildren();
    show(this.element, true);
    void this.read();
    return true;
  }

  hide(): void {
    this.driver = null;
    show(this.element, false);
  }

  private async read(): Promise<void> {
    const { api, words } = this.context;
    const { driver, cursor } = this;
    if (driver === null) return;
    this.say(words.say("replay.loading"));
    try {
      const next = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const answer = await api.get(`/api/v1/journeys?driver=${encodeURIComponent(driver)}&limit=${PAGE}${next}`);
      if (this.driver !== driver) return;
      const journeys = readJourneys(answer["journeys"]);
      this.list.append(...journeys.map((journey) => this.entry(journey)));
      this.cursor = text(answer["next_cursor"]);
      this.say(this.list.childElementCount ? "" : words.say("replay.none"));
      show(this.more, this.cursor !== null);
    } catch (error) {
      if (this.driver === driver) this.say(explained(words, error));
    }
  }

  private say(what: string): void {
    say(this.fault, what);
    show(this.fault, what !== "");
  }

  private entry(journey: JourneyEntry): HTMLElement {
    const { words, formats, session } = this.context;
    const now = session.now();
    const lasted = journey.endedMs === null ? words.say("replay.state.open") : formats.duration(journey.endedMs - journey.startedMs);
    const what = words.say("replay.entry", { n: journey.points, lasted });
    const open = make("button", "plain journey", [
      make("b", "", formats.clock(journey.startedMs, now)),
      make("span", "detail", journey.vehicle ? [what, " · ", make("bdi", "", clean(journey.vehicle, 40))] : what),
    ], { type: "button" });
    open.disabled = journey.points === 0;
    open.addEventListener("click", () => this.choose(journey));
    return make("li", "", [open]);
  }
}

export function readJourneys(raw: unknown): JourneyEntry[] {
  if (!Array.isArray(raw)) return [];
  const journeys: JourneyEntry[] = [];
  for (const entry of raw) {
    const id = isObject(entry) ? text(entry["journey_id"]) : null;
    if (!isObject(entry) || id === null) continue;
    journeys.push({
      id,
      startedMs: number(entry["started_at"]) ?? number(entry["created_at"]) ?? 0,
      endedMs: number(entry["ended_at"]),
      state: text(entry["state"]) ?? "open",
      points: number(entry["last_seq"]) ?? 0,
      vehicle: text(entry["vehicle"]) ?? "",
    });
  }
  return journeys;
}
