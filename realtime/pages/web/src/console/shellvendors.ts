/** Which vendors are looked at, of those that may be: all of them, or those that were ticked, remembered on this device. */
import { make, say, show } from "../common/dom";
import { text } from "../common/read";
import { clean } from "../common/words";
import { isRefusal, readIds } from "../common/wire";
import type { Context, Part } from "./context";
import { fold } from "./names";

const KEY = "wayguard.vendors";
const PAGES = 20;
const AGAIN_MS = 60_000;

/** The picked ones of those that there are; null, or none of them left, means all. Pure. */
export function pickedOf(known: readonly string[], wish: readonly string[] | null): readonly string[] | null {
  const picked = wish === null ? [] : known.filter((vendor) => wish.includes(vendor));
  return picked.length && picked.length < known.length ? picked : null;
}

export class VendorPicker implements Part {
  readonly element = make("details", "vendors");
  private readonly summary = make("summary", "");
  private readonly list = make("ul", "vendor-list");
  private readonly filter: HTMLInputElement;
  private known: readonly string[] = [];
  private wish: readonly string[] | null;
  private timer = 0;

  constructor(private readonly context: Context, first: string | null) {
    this.wish = first === null ? remembered() : [first];
    if (first !== null) this.remember();
    const { words } = context;
    this.filter = make("input", "", [], { type: "search", "aria-label": words.say("shell.vendors.find"), placeholder: words.say("shell.vendors.find"), autocomplete: "off" });
    this.filter.addEventListener("input", () => this.narrow());
    this.element.append(this.summary, make("div", "popover", [this.filter, this.list]));
    this.element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !this.element.open) return;
      event.preventDefault();
      this.element.open = false;
      this.summary.focus();
    });
    document.addEventListener("pointerdown", ({ target }) => {
      if (target instanceof Node && !this.element.contains(target)) this.element.open = false;
    });
    this.tell();
  }

  start(): void {
    void this.load();
  }

  private async load(): Promise<void> {
    window.clearTimeout(this.timer);
    try {
      this.learn(await this.all());
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // The line says which vendors a token names; that does until the list can be had.
      this.learn(this.known.length ? this.known : (this.context.identity.get()?.vendors ?? []));
    }
    this.timer = window.setTimeout(() => void this.load(), this.known.length ? AGAIN_MS : 5_000);
  }

  private async all(): Promise<string[]> {
    const found: string[] = [];
    let cursor: string | null = null;
    for (let page = 0; page < PAGES; page += 1) {
      const next: string = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
      const answer = await this.context.api.get(`/api/v1/vendors?limit=500${next}`);
      found.push(...readIds(answer["vendors"]));
      cursor = text(answer["next_cursor"]);
      if (cursor === null) break;
    }
    return found;
  }

  private learn(known: readonly string[]): void {
    if (known.join("\n") !== this.known.join("\n")) {
      this.known = known;
      this.draw();
    }
    this.apply();
  }

  private apply(): void {
    const picked = pickedOf(this.known, this.wish);
    const wanted = picked ?? this.known;
    const had = this.context.vendors.get();
    if (wanted.join("\n") !== had.join("\n")) this.context.vendors.set(wanted);
    this.context.allVendors.set(picked === null);
    for (const box of this.list.querySelectorAll("input")) box.checked = box.value === "" ? picked === null : (picked ?? []).includes(box.value);
    this.tell();
  }

  private draw(): void {
    const row = (value: string, label: string): HTMLElement => {
      const box = make("input", "", [], { type: "checkbox", value });
      box.addEventListener("change", () => this.toggle(value, box.checked));
      const item = make("li", "", [make("label", "", [box, make("bdi", "", label)])]);
      item.dataset["vendor"] = value;
      return item;
    };
    this.list.replaceChildren(row("", this.context.words.say("shell.vendors.all")), ...this.known.map((vendor) => row(vendor, clean(vendor, 64))));
    show(this.filter, this.known.length > 12);
    show(this.element, this.known.length > 1);
    this.narrow();
  }

  private toggle(vendor: string, on: boolean): void {
    const picked = pickedOf(this.known, this.wish) ?? [];
    if (vendor === "") this.wish = null;
    else this.wish = on ? [...picked, vendor] : picked.filter((other) => other !== vendor);
    this.remember();
    this.apply();
  }

  private narrow(): void {
    const sought = fold(this.filter.value).trim();
    for (const item of this.list.children) {
      if (item instanceof HTMLElement) show(item, fold(item.dataset["vendor"] ?? "").includes(sought));
    }
  }

  private tell(): void {
    const { words } = this.context;
    const picked = pickedOf(this.known, this.wish);
    if (picked === null) say(this.summary, words.say("shell.vendors.all"));
    else say(this.summary, picked.length === 1 ? clean(picked[0] ?? "", 40) : words.say("shell.vendors.some", { n: picked.length }));
    this.summary.setAttribute("aria-label", `${words.say("shell.vendors")}: ${this.summary.textContent}`);
  }

  private remember(): void {
    try {
      if (this.wish === null) localStorage.removeItem(KEY);
      else localStorage.setItem(KEY, JSON.stringify(this.wish));
    } catch {
      // It is picked anew next time.
    }
  }
}

function remembered(): readonly string[] | null {
  try {
    const raw: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    return Array.isArray(raw) ? readIds(raw) : null;
  } catch {
    return null;
  }
}
