/**
 * Rows of a list of any length: only those in view are in the page. A listbox, so that one tab stop and the arrow keys reach
 * every row; each says which of how many it is, since the others are not there to be counted.
 */
import type { Context } from "./context";
import { isMoving, LOW_BATTERY_PCT, type Row } from "./fleetlist";
import { make, say } from "../common/dom";
import { clean } from "../common/words";

const ROW_PX = 52;
/** Rows above and below what is in view, so that a quick hand does not outrun them. */
const SPARE_ROWS = 6;

interface Line {
  element: HTMLElement;
  name: HTMLElement;
  id: HTMLElement;
  what: HTMLElement;
  age: HTMLElement;
  battery: HTMLElement;
  sign: HTMLElement;
}

export class ListRows {
  readonly element: HTMLElement;
  private readonly field = make("div", "rows-field", [], { role: "presentation" });
  private readonly lines = new Map<string, Line>();
  private readonly spare: Line[] = [];
  private rows: readonly Row[] = [];
  private active: string | null = null;
  private chosen: string | null = null;
  private count = 0;

  constructor(
    private readonly context: Context,
    private readonly choose_: (id: string) => void,
  ) {
    this.element = make("div", "rows", [this.field], { role: "listbox", tabindex: "0", "aria-label": context.words.say("list.title") });
    this.element.addEventListener("scroll", () => this.draw(), { passive: true });
    this.element.addEventListener("keydown", (event) => this.key(event));
    this.element.addEventListener("focus", () => {
      this.active ??= this.chosen ?? this.rows[0]?.id ?? null;
      this.draw();
    });
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  put(rows: readonly Row[]): void {
    this.rows = rows;
    if (this.active !== null && !rows.some((row) => row.id === this.active)) this.active = null;
    this.field.style.height = `${rows.length * ROW_PX}px`;
    this.draw();
  }

  choose(id: string | null): void {
    this.chosen = id;
    if (id !== null) this.active = id;
  }

  focus(): void {
    this.active = this.rows[0]?.id ?? null;
    this.element.focus();
    this.draw();
  }

  /** Scrolls so far that a row is in view. */
  reveal(id: string): void {
    const index = this.rows.findIndex((row) => row.id === id);
    if (index < 0) return;
    const { scrollTop, clientHeight } = this.element;
    if (index * ROW_PX < scrollTop) this.element.scrollTop = index * ROW_PX;
    else if ((index + 1) * ROW_PX > scrollTop + clientHeight) this.element.scrollTop = (index + 1) * ROW_PX - clientHeight;
    this.draw();
  }

  private draw(): void {
    const first = Math.max(0, Math.floor(this.element.scrollTop / ROW_PX) - SPARE_ROWS);
    const last = Math.min(this.rows.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW_PX) + SPARE_ROWS);
    const wanted = new Set(this.rows.slice(first, last).map((row) => row.id));
    for (const [id, line] of this.lines) {
      if (wanted.has(id)) continue;
      this.lines.delete(id);
      line.element.remove();
      this.spare.push(line);
    }
    for (let index = first; index < last; index += 1) this.place(this.rows[index]!, index);
    const active = this.active === null ? undefined : this.lines.get(this.active);
    if (active) this.element.setAttribute("aria-activedescendant", active.element.id);
    else this.element.removeAttribute("aria-activedescendant");
  }

  private place(row: Row, index: number): void {
    let line = this.lines.get(row.id);
    if (!line) {
      line = this.spare.pop() ?? this.make();
      this.lines.set(row.id, line);
      line.element.dataset["id"] = row.id;
      this.field.append(line.element);
    }
    const { element } = line;
    element.style.transform = `translateY(${index * ROW_PX}px)`;
    set(element, "aria-posinset", String(index + 1));
    set(element, "aria-setsize", String(this.rows.length));
    set(element, "aria-selected", String(row.id === this.chosen));
    element.classList.toggle("active", row.id === this.active);
    this.fill(line, row);
  }

  private fill(line: Line, row: Row): void {
    const { words, formats } = this.context;
    const kind = row.freshness === "fresh" ? (isMoving(row) ? "moving" : "stopped") : row.freshness;
    line.sign.className = `sign ${kind}`;
    say(line.name, row.name);
    // Two drivers may have one name: the id tells them apart.
    const id = clean(row.id, 80);
    say(line.id, row.name === id ? "" : id);
    const alert = row.alert !== null;
    line.element.classList.toggle("in-alert", alert);
    const doing = kind === "moving" ? formats.speed(row.speedMps) : words.say(`list.filter.${kind}`);
    say(line.what, alert ? `${words.say("list.filter.in_alert")} · ${doing}` : doing);
    say(line.age, row.ageMs === null ? words.say("list.no_position") : formats.ago(row.ageMs));
    say(line.battery, row.batteryPct === null ? "" : formats.percent(row.batteryPct));
    line.battery.classList.toggle("low", row.batteryPct !== null && row.batteryPct <= LOW_BATTERY_PCT);
  }

  private make(): Line {
    const sign = make("i", "sign", [], { "aria-hidden": "true" });
    const name = make("bdi", "row-name");
    const id = make("bdi", "row-id");
    const what = make("span", "row-what");
    const age = make("span", "row-age");
    const battery = make("span", "row-battery");
    const element = make("div", "driver-row", [sign, make("div", "row-text", [make("div", "row-title", [name, id]), what]), make("div", "row-end", [age, battery])], {
      role: "option", id: `driver-row-${++this.count}`,
    });
    element.addEventListener("click", () => element.dataset["id"] !== undefined && this.choose_(element.dataset["id"]));
    return { element, name, id, what, age, battery, sign };
  }

  private key(event: KeyboardEvent): void {
    const step = this.stepOf(event.key);
    if (step !== null && this.rows.length) {
      event.preventDefault();
      const at = this.rows.findIndex((row) => row.id === this.active);
      const to = Math.max(0, Math.min(this.rows.length - 1, at + step));
      this.active = this.rows[to]!.id;
      this.reveal(this.active);
    } else if ((event.key === "Enter" || event.key === " ") && this.active !== null) {
      event.preventDefault();
      this.choose_(this.active);
    }
  }

  private stepOf(key: string): number | null {
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW_PX) - 1);
    const steps: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.rows.length, End: this.rows.length };
    return steps[key] ?? null;
  }
}

function set(element: HTMLElement, name: string, value: string): void {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}
