/** Alerts that are over: newest first, by page, of one driver where that is asked for. */
import { readAlerts, type Alert } from "../common/alertwire";
import { make, say, show } from "../common/dom";
import { text } from "../common/read";
import { idOf } from "../common/typed";
import { explained, type Context } from "./context";
import { DeskDetail } from "./deskdetail";
import { fold } from "./names";
import { kindText, stateText, whenText, whoTexts } from "./deskwords";

const PAGE = 25;
const STATES = ["resolved", "cancelled"] as const;

export class History {
  readonly element: HTMLElement;
  private readonly list = make("ol", "alerts past");
  private readonly fault = make("p", "fault", [], { role: "alert", hidden: "" });
  private readonly none = make("p", "none", [], { hidden: "" });
  private readonly more: HTMLButtonElement;
  private readonly driver = make("input", "", [], { type: "search", id: "history-driver", autocomplete: "off", spellcheck: "false", maxlength: "64" });
  private readonly state = make("select", "", [], { id: "history-state" });
  private cursor: string | null = null;
  private asked = 0;
  private detail: DeskDetail | null = null;

  constructor(private readonly context: Context) {
    const { words } = context;
    for (const state of STATES) this.state.append(make("option", "", words.say(`alert.state.${state}`), { value: state }));
    this.more = make("button", "plain", words.say("desk.history.more"), { type: "button" });
    this.more.addEventListener("click", () => void this.load(false));
    const form = make("form", "history-filter", [
      make("div", "", [make("label", "", words.say("desk.history.driver"), { for: "history-driver" }), this.driver]),
      make("div", "", [make("label", "", words.say("desk.history.state"), { for: "history-state" }), this.state]),
      make("button", "plain", words.say("desk.history.find"), { type: "submit" }),
    ]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.load(true);
    });
    this.state.addEventListener("change", () => void this.load(true));
    context.names.onChange(() => this.name());
    this.element = make("div", "desk-history", [form, this.fault, this.none, this.list, this.more]);
  }

  /** Names that were learnt meanwhile. */
  private name(): void {
    for (const row of this.list.children) {
      const driver = row.querySelector<HTMLElement>(".driver");
      if (driver && row instanceof HTMLElement) say(driver, this.context.names.of(row.dataset["driver"] ?? ""));
    }
  }

  show(visible: boolean): void {
    show(this.element, visible);
    if (visible) void this.load(true);
    else this.detail?.stop();
  }

  private async load(anew: boolean): Promise<void> {
    const { words, api } = this.context;
    const asked = ++this.asked;
    const driver = this.driverOf(idOf(this.driver.value));
    if (driver === null) {
      this.list.replaceChildren();
      show(this.more, false);
      show(this.fault, false);
      say(this.none, words.say("desk.history.which"));
      return show(this.none, true);
    }
    const query = new URLSearchParams({ state: this.state.value, limit: String(PAGE) });
    if (driver) query.set("driver", driver);
    if (!anew && this.cursor !== null) query.set("cursor", this.cursor);
    try {
      const answer = await api.get(`/api/v1/alerts?${query}`);
      if (asked !== this.asked) return;
      const alerts = readAlerts(answer["alerts"]);
      this.context.names.want(alerts.map((alert) => alert.driver));
      const rows = alerts.map((alert) => this.row(alert));
      if (anew) this.list.replaceChildren(...rows);
      else this.list.append(...rows);
      this.cursor = text(answer["next_cursor"]);
      show(this.fault, false);
      say(this.none, words.say("desk.history.none"));
      show(this.none, this.list.children.length === 0);
      show(this.more, this.cursor !== null);
    } catch (error) {
      if (asked !== this.asked) return;
      say(this.fault, explained(words, error));
      show(this.fault, true);
    }
  }

  /** The id of the driver that is meant, by name or id; empty: all. null: several drivers are called so. */
  private driverOf(meant: string): string | null {
    if (meant === "") return "";
    const { names } = this.context;
    const found = names.find(meant);
    if (found.includes(meant)) return meant;
    const called = found.filter((id) => fold(names.of(id)) === fold(meant));
    const [first, ...others] = called.length ? called : found;
    if (first === undefined) return meant;
    return others.length ? null : first;
  }

  private row(alert: Alert): HTMLElement {
    const now = this.context.session.now();
    const head = make("button", "alert-head", [
      make("span", "what", [make("span", "kind", kindText(this.context, alert)), make("bdi", "driver", this.context.names.of(alert.driver))]),
      make("span", "state-pill", stateText(this.context, alert)),
    ], { type: "button", "aria-expanded": "false" });
    const below = make("div", "below");
    head.addEventListener("click", () => {
      const open = head.getAttribute("aria-expanded") !== "true";
      for (const other of this.list.querySelectorAll(".alert-head")) other.setAttribute("aria-expanded", "false");
      for (const other of this.list.querySelectorAll(".below")) other.replaceChildren();
      this.detail?.stop();
      head.setAttribute("aria-expanded", String(open));
      this.detail = open ? new DeskDetail(this.context, alert) : null;
      if (this.detail) below.append(this.detail.element);
    });
    const marks = alert.drill ? [make("div", "marks", [make("span", "mark-tag drill", this.context.words.say("desk.mark.drill"))])] : [];
    const row = make("li", "alert", [
      make("article", "", [make("h3", "", [head]), ...marks, make("p", "when", whenText(this.context, alert, now)), make("p", "who", whoTexts(this.context, alert, now).join("\n")), below]),
    ]);
    row.dataset["driver"] = alert.driver;
    row.dataset["state"] = alert.state;
    row.dataset["severity"] = alert.severity;
    return row;
  }
}
