/** The list of drivers: search, filters with their counts, order, and thousands of rows of which only those in view exist. */
import type { Context } from "./context";
import { FILTERS, select, SORTS, tally, type Filter, type Row, type Sort } from "./fleetlist";
import type { FleetModel } from "./fleetmodel";
import { ListRows } from "./listrows";
import { PairDialog } from "./pair";
import { button } from "../common/chrome";
import { ICONS, make, say, show } from "../common/dom";

const PLUS = "M12 5v14M5 12h14";
/** The order is looked after this often, and not while somebody points at the list: rows must not run away. */
const ORDER_EVERY_MS = 5_000;

export class FleetList {
  readonly element: HTMLElement;
  private readonly rows: ListRows;
  private readonly filters = new Set<Filter>();
  private readonly toggles = new Map<Filter, { button: HTMLButtonElement; count: HTMLElement }>();
  private readonly search: HTMLInputElement;
  private readonly sort: HTMLSelectElement;
  private readonly total = make("p", "list-total", "", { role: "status" });
  private readonly empty = make("p", "list-empty", "", { hidden: "" });
  private order: string[] = [];
  private orderedAtMs = -Infinity;

  constructor(
    private readonly context: Context,
    private readonly model: FleetModel,
    frameAll: () => void,
  ) {
    const { words } = context;
    this.search = make("input", "list-search", [], {
      type: "search", placeholder: words.say("list.search"), "aria-label": words.say("list.search"), autocomplete: "off", spellcheck: "false", maxlength: "80",
    });
    this.sort = make("select", "list-sort", [], { "aria-label": words.say("list.sort") });
    for (const key of SORTS) this.sort.append(make("option", "", words.say(`list.sort.${key}`), { value: key }));
    this.rows = new ListRows(context, (id) => context.chosen.set(id));
    const add = button(words.say("list.pair"), PLUS, () => new PairDialog(context, null).open());
    const head = make("header", "list-head", [make("h2", "", words.say("list.title")), this.total, button(words.say("map.all"), ICONS.all, frameAll), add]);
    const find = make("div", "list-find", [this.search, this.sort]);
    this.element = make("section", "fleet-list", [head, find, this.makeFilters(), this.empty, this.rows.element], { "aria-label": words.say("list.title") });
    this.search.addEventListener("input", () => this.reorder());
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown" || event.key === "Enter") this.rows.focus();
      if (event.key !== "ArrowDown") return;
      event.preventDefault();
    });
    this.sort.addEventListener("change", () => this.reorder());
    context.chosen.listen((id) => {
      this.rows.choose(id);
      this.update();
      if (id !== null) this.rows.reveal(id);
    });
    context.alerts.listen(() => this.reorder());
    context.names.onChange(() => {
      this.orderedAtMs = -Infinity;
      this.update();
    });
    context.vendors.listen(() => this.reorder());
  }

  /** Says anew what is true now. */
  update(): void {
    const rows: Row[] = [];
    for (const driver of this.model.fleet.drivers.values()) rows.push(this.model.rowOf(driver));
    this.say(rows);
    const due = performance.now() - this.orderedAtMs > ORDER_EVERY_MS;
    if (due && !this.element.matches(":hover")) this.arrange(rows);
    else this.keep(rows);
  }

  private reorder(): void {
    this.orderedAtMs = -Infinity;
    const rows = [...this.model.fleet.drivers.values()].map((driver) => this.model.rowOf(driver));
    this.say(rows);
    this.arrange(rows);
  }

  private arrange(rows: Row[]): void {
    this.orderedAtMs = performance.now();
    const found = select(rows, { search: this.search.value, filters: this.filters, sort: this.sort.value as Sort });
    this.order = found.map((row) => row.id);
    this.put(found, rows.length);
  }

  /** The same drivers in the same order, with what is known of them now. */
  private keep(rows: Row[]): void {
    const byId = new Map(rows.map((row) => [row.id, row]));
    const found = this.order.map((id) => byId.get(id)).filter((row): row is Row => row !== undefined);
    this.put(found, rows.length);
  }

  private put(found: Row[], all: number): void {
    const { words } = this.context;
    this.rows.put(found);
    const narrowed = found.length !== all;
    say(this.total, narrowed ? words.say("list.some", { n: found.length, all }) : words.say("list.all", { n: all }));
    show(this.empty, found.length === 0);
    say(this.empty, words.say(all ? "list.none_match" : "list.none"));
  }

  private say(rows: Row[]): void {
    const counts = tally(rows);
    for (const [filter, { count }] of this.toggles) say(count, this.context.formats.number(counts[filter]));
  }

  private makeFilters(): HTMLElement {
    const { words } = this.context;
    const group = make("div", "list-filters", [], { role: "group", "aria-label": words.say("list.filters") });
    for (const filter of FILTERS) {
      const count = make("b", "", "0");
      const toggle = make("button", "toggle", [make("i", `sign ${filter}`, [], { "aria-hidden": "true" }), make("span", "", words.say(`list.filter.${filter}`)), count], {
        type: "button", "aria-pressed": "false",
      });
      toggle.addEventListener("click", () => {
        if (!this.filters.delete(filter)) this.filters.add(filter);
        toggle.setAttribute("aria-pressed", String(this.filters.has(filter)));
        this.reorder();
      });
      this.toggles.set(filter, { button: toggle, count });
      group.append(toggle);
    }
    return group;
  }
}
