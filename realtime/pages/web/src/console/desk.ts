/** The alert desk: what is open, worst first; who is on it; and all that can be done about it, by keyboard too. */
import { isOpen, type Alert } from "../common/alertwire";
import { button } from "../common/chrome";
import { make, say, show } from "../common/dom";
import type { Context, Part } from "./context";
import { ordered, type Alerts } from "./deskbook";
import { act, actsOf, type Act } from "./deskacts";
import { DeskCall } from "./deskcall";
import { AlertCard } from "./deskcard";
import { confirmAct, showKeys } from "./deskdialogs";
import type { DeskFeed } from "./deskfeed";
import { History } from "./deskhistory";
import { keyOf, meaningOf, stepped, type DeskKey, type Target } from "./deskkeys";
import { kindText } from "./deskwords";
import { explained } from "./context";

const ICON = {
  sound: "M4 10v4h4l5 4V6L8 10zM16.5 9a4 4 0 0 1 0 6M19 6.5a8 8 0 0 1 0 11",
  silence: "M4 10v4h4l5 4V6L8 10zM17 9.5l5 5M22 9.5l-5 5",
  bell: "M6 17V11a6 6 0 0 1 12 0v6l1.5 2h-15zM10 21h4",
  keys: "M3 7h18v10H3zM7 11h.01M11 11h.01M15 11h.01M8 14h8",
} as const;

export class Desk implements Part {
  readonly element: HTMLElement;
  selected: string | null = null;
  /** An alert that was raised here, until it is known. */
  private expected: string | null = null;
  /** The open alert that came to the desk last: a key selects it. */
  private newest: string | null = null;
  /** Cards are being put into their order: a focus that is restored then selects nothing. */
  private placing = false;
  readonly call: DeskCall;
  private readonly cards = new Map<string, AlertCard>();
  private readonly open = make("ol", "alerts");
  private readonly drills = make("ol", "alerts");
  private readonly closed = make("ol", "alerts");
  private readonly drillsTitle: HTMLElement;
  private readonly closedTitle: HTMLElement;
  private readonly none = make("p", "none");
  private readonly elsewhere = make("p", "elsewhere", [], { hidden: "" });
  private readonly badge = make("span", "badge");
  private readonly soundAsk = make("div", "sound-ask");
  private readonly soundButton: HTMLButtonElement;
  private readonly bellButton: HTMLButtonElement;
  private readonly now = make("div", "desk-now");
  private readonly history: History;
  private readonly tabs: readonly [HTMLButtonElement, HTMLButtonElement];

  constructor(
    private readonly context: Context,
    private readonly feed: DeskFeed,
    /** Says something to who cannot see it. */
    announce: (text: string, urgently: boolean) => void,
    /** Brings the desk, the map or the list to the front where only one of them fits. */
    private readonly front: (place: "desk" | "map" | "side") => void,
  ) {
    const { words } = context;
    this.call = new DeskCall(words, context.names, (alert) => this.pick(alert.id, true), announce);
    this.soundButton = button(words.say("desk.sound"), ICON.sound, () => void this.turnSound(!this.call.sound.isOn));
    this.bellButton = button(words.say("desk.notify"), ICON.bell, () => void this.turnBell(!this.call.notifies));
    const keys = button(words.say("desk.keys"), ICON.keys, () => showKeys(words));
    this.drillsTitle = make("h3", "group", words.say("desk.drills"), { hidden: "" });
    this.closedTitle = make("h3", "group", words.say("desk.closed"), { hidden: "" });
    this.history = new History(context);
    this.tabs = [this.tab(words.say("desk.tab.open"), true), this.tab(words.say("desk.tab.history"), false)];
    const title = make("h2", "", [words.say("desk.title"), " ", this.badge], { id: "desk-title", tabindex: "-1" });
    const head = make("header", "desk-head", [title, make("div", "desk-tools", [this.soundButton, this.bellButton, keys])]);
    this.askForSound();
    this.now.append(this.none, this.open, this.drillsTitle, this.drills, this.closedTitle, this.closed, this.elsewhere);
    this.element = make("div", "desk", [head, this.soundAsk, make("div", "desk-tabs", [...this.tabs]), this.now, this.history.element]);
    this.turnTab(true);
  }

  start(): void {
    const draw = (): void => this.draw();
    this.context.names.onChange(draw);
    this.context.chosen.listen((driver) => this.pickOf(driver));
    for (const topic of [this.context.alerts, this.context.vendors, this.context.allVendors] as { listen(act: () => void): unknown }[]) topic.listen(draw);
    window.addEventListener("keydown", (event) => this.key(event));
    window.setInterval(() => this.second(), 1_000);
    this.draw();
    this.retellSwitches();
  }

  private tab(text: string, now: boolean): HTMLButtonElement {
    const tab = make("button", "tab", text, { type: "button", "aria-pressed": String(now) });
    tab.addEventListener("click", () => this.turnTab(now));
    return tab;
  }

  private turnTab(now: boolean): void {
    this.tabs[0].setAttribute("aria-pressed", String(now));
    this.tabs[1].setAttribute("aria-pressed", String(!now));
    show(this.now, now);
    this.history.show(!now);
  }

  // --- what is shown

  private mine(): readonly string[] | null {
    return this.context.allVendors.get() || !this.context.vendors.get().length ? null : this.context.vendors.get();
  }

  private draw(): void {
    const all = this.context.alerts.get();
    const { open, drills, closed, elsewhere } = ordered(all, this.mine());
    const here = [...open, ...drills, ...closed];
    const nowMs = this.context.session.now();
    const shown = new Set(here.map((alert) => alert.id));
    for (const [id, card] of this.cards) if (!shown.has(id)) this.drop(id, card);
    const came = [...open, ...drills].filter((alert) => !this.cards.has(alert.id));
    if (came.length) this.newest = came.reduce((last, one) => (one.pressedMs > last.pressedMs ? one : last)).id;
    for (const alert of here) this.cardOf(alert).update(alert, nowMs);
    this.place(this.open, open);
    this.place(this.drills, drills);
    this.place(this.closed, closed);
    show(this.drillsTitle, drills.length > 0);
    show(this.closedTitle, closed.length > 0);
    this.element.dataset["open"] = String(open.length);
    say(this.badge, open.length ? this.context.formats.number(open.length) : "");
    show(this.badge, open.length > 0);
    this.sayNone(open.length);
    show(this.elsewhere, elsewhere > 0);
    if (elsewhere) say(this.elsewhere, this.context.words.say("desk.elsewhere", { n: elsewhere }));
    this.call.update(new Map(here.map((alert) => [alert.id, alert])));
    if (this.expected === null || !shown.has(this.expected)) return;
    const id = this.expected;
    this.expected = null;
    this.arrived(all.get(id)!);
  }

  /** An alert that was raised here is known. The selection stays on another alert, which the next key is meant for. */
  private arrived(alert: Alert): void {
    this.newest = alert.id;
    if (this.selected === null) return this.pick(alert.id, !isTyping());
    if (this.selected === alert.id) return;
    const key = keyOf("newest").toUpperCase();
    this.context.tell(this.context.words.say("desk.arrived", { kind: kindText(this.context, alert), driver: this.context.names.of(alert.driver), key }));
  }

  /** Nothing is only said to be open by who knows it. */
  private sayNone(open: number): void {
    show(this.none, open === 0);
    const known = this.feed.listedMs !== null || this.context.session.state.kind === "live";
    this.none.dataset["known"] = String(known);
    say(this.none, this.context.words.say(known ? "desk.none" : "desk.not_known"));
  }

  private cardOf(alert: Alert): AlertCard {
    let card = this.cards.get(alert.id);
    if (!card) {
      card = new AlertCard(this.context, alert, {
        toggle: (id) => this.toggle(id),
        act: (what, id) => this.act(what, id),
        map: (id) => this.onMap(id),
      });
      card.head.addEventListener("focus", () => {
        if (!this.placing) this.pick(alert.id, false);
      });
      this.cards.set(alert.id, card);
    }
    return card;
  }

  private drop(id: string, card: AlertCard): void {
    card.expand(false);
    card.element.remove();
    this.cards.delete(id);
    if (this.selected === id) this.selected = null;
    if (this.newest === id) this.newest = null;
  }

  /** Puts the cards into their order; what is in place is not touched, and the focus stays where it was. */
  private place(list: HTMLElement, alerts: readonly Alert[]): void {
    const focused = document.activeElement;
    this.placing = true;
    alerts.forEach(({ id }, index) => {
      const element = this.cards.get(id)!.element;
      if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
    });
    if (focused instanceof HTMLElement && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
    this.placing = false;
    show(list, alerts.length > 0);
  }

  private second(): void {
    const nowMs = this.context.session.now();
    this.feed.prune(nowMs);
    for (const card of this.cards.values()) card.tick(nowMs);
    this.sayNone(Number(this.element.dataset["open"] ?? 0));
    this.call.tick();
    this.retellSwitches();
  }

  // --- one of them

  private inOrder(): string[] {
    const ids = new Map<Element, string>([...this.cards].map(([id, card]) => [card.element, id]));
    return [this.open, this.drills, this.closed].flatMap((list) => [...list.children].map((element) => ids.get(element) ?? ""));
  }

  private pick(id: string | null, focus: boolean): void {
    this.selected = id;
    for (const [other, card] of this.cards) card.select(other === id);
    const card = id === null ? undefined : this.cards.get(id);
    if (!card || !focus) return;
    this.turnTab(true);
    this.front("desk");
    card.head.focus();
    card.element.scrollIntoView({ block: "nearest" });
  }

  /** An alert was raised here: requests it, and selects it once it is known. */
  follow(id: string): void {
    this.expected = id;
    this.feed.hurry();
    this.draw();
  }

  /** Selects the alert of the driver that is chosen in the list or on the map, so that keys act on it. */
  private pickOf(driver: string | null): void {
    if (driver === null) return;
    const alerts = this.context.alerts.get();
    const id = this.inOrder().find((one) => {
      const alert = alerts.get(one);
      return alert !== undefined && isOpen(alert) && alert.driver === driver;
    });
    const selected = this.selected === null ? undefined : alerts.get(this.selected);
    // A key that is meant for this driver must not act on another driver's alert.
    if (selected?.driver !== driver) this.pick(id ?? null, false);
  }

  private toggle(id: string): void {
    const card = this.cards.get(id);
    if (!card) return;
    const open = card.detail === null;
    // One at a time: each open one asks the server every two seconds.
    for (const other of this.cards.values()) if (other !== card) other.expand(false);
    card.expand(open);
    this.pick(id, false);
    if (open) card.element.scrollIntoView({ block: "nearest" });
  }

  private onMap(id: string): void {
    const alert = this.context.alerts.get().get(id);
    if (!alert) return;
    // First, so that the map is measured as it will be seen.
    this.front("map");
    this.context.chosen.set(alert.driver);
    this.context.place.set({ driver: alert.driver, lat: alert.place?.lat ?? null, lon: alert.place?.lon ?? null });
  }

  private act(what: Act, id: string): void {
    const alert = this.context.alerts.get().get(id);
    if (!alert) return;
    if (!actsOf(alert).includes(what)) {
      // A key has no button that could be missing: what cannot be done is said.
      const taken = what === "acknowledge" && isOpen(alert);
      return this.context.tell(this.context.words.say(taken ? "desk.refused.taken" : "desk.refused.closed"));
    }
    if (what === "acknowledge") void this.acknowledge(alert);
    else {
      confirmAct(this.context, what, alert, async (more) => {
        const changed = await act(this.context, what, alert.id, more);
        if (changed) this.feed.take([changed]);
      });
    }
  }

  private async acknowledge(alert: Alert): Promise<void> {
    const card = this.cards.get(alert.id);
    if (card?.element.getAttribute("aria-busy") === "true") return;
    const focused = card?.element.contains(document.activeElement) ?? false;
    card?.busy(true);
    try {
      const changed = await act(this.context, "acknowledge", alert.id);
      if (changed) this.feed.take([changed]);
    } catch (error) {
      const kind = kindText(this.context, alert);
      this.context.tell(`${kind} ${this.context.names.of(alert.driver)}: ${explained(this.context.words, error)}`);
    } finally {
      card?.busy(false);
      // The button that had the focus may be gone: the card has it then, unless another alert was selected meanwhile.
      if (focused && document.activeElement === document.body && this.selected === alert.id) card?.head.focus({ preventScroll: true });
    }
  }

  // --- keys

  private key(event: KeyboardEvent): void {
    if (event.defaultPrevented || document.querySelector("dialog[open]")) return;
    const meaning = meaningOf(event, targetOf(event.composedPath()[0] ?? event.target));
    if (meaning === null) return;
    event.preventDefault();
    this.mean(meaning);
  }

  private mean(meaning: DeskKey): void {
    if (meaning === "help") return showKeys(this.context.words);
    if (meaning === "search") {
      this.front("side");
      document.querySelector<HTMLInputElement>(".list-search")?.focus();
      return;
    }
    if (meaning === "next" || meaning === "previous") {
      return this.pick(stepped(this.inOrder(), this.selected, meaning === "next" ? 1 : -1), true);
    }
    if (meaning === "newest") return this.pick(this.newest ?? stepped(this.inOrder(), null, 1), true);
    // What nobody has looked at is not answered by a key: the first press only picks it.
    if (this.selected === null || !this.cards.has(this.selected)) return this.pick(stepped(this.inOrder(), null, 1), true);
    if (meaning === "open") this.toggle(this.selected);
    else if (meaning === "map") this.onMap(this.selected);
    else this.act(meaning, this.selected);
  }

  // --- switches

  private askForSound(): void {
    const { words } = this.context;
    const yes = make("button", "primary", words.say("desk.sound.yes"), { type: "button" });
    const no = make("button", "plain", words.say("desk.sound.no"), { type: "button" });
    yes.addEventListener("click", () => void this.turnSound(true));
    no.addEventListener("click", () => void this.turnSound(false));
    this.soundAsk.append(make("p", "", words.say("desk.sound.ask")), make("div", "row", [yes, no]));
    show(this.soundAsk, localStorage.getItem("wayguard.sound") === null);
  }

  private async turnSound(on: boolean): Promise<void> {
    show(this.soundAsk, false);
    await this.call.sound.turn(on);
    this.retellSwitches();
  }

  private async turnBell(on: boolean): Promise<void> {
    await this.call.turnNotifications(on);
    if (on && !this.call.notifies) this.context.tell(this.context.words.say("desk.notify.refused"));
    this.retellSwitches();
  }

  private retellSwitches(): void {
    const { sound } = this.call;
    const waits = sound.isOn && !sound.isReady;
    this.soundButton.setAttribute("aria-pressed", String(sound.isOn));
    this.soundButton.title = this.context.words.say(waits ? "desk.sound.waits" : sound.isOn ? "desk.sound.on" : "desk.sound.off");
    this.soundButton.toggleAttribute("data-waits", waits);
    this.soundButton.querySelector("path")?.setAttribute("d", sound.isOn ? ICON.sound : ICON.silence);
    this.bellButton.setAttribute("aria-pressed", String(this.call.notifies));
    show(this.bellButton, this.call.mayNotify);
  }

  /** What browser tests read. */
  probe(): unknown {
    const entry = (alert: Alert): unknown => ({
      state: alert.state, version: alert.version, driver: alert.driver, open: isOpen(alert),
      attempts: this.cards.get(alert.id)?.detail?.detail?.attempts.entries.length ?? null,
    });
    const alerts: Alerts = this.context.alerts.get();
    return {
      order: this.inOrder(), selected: this.selected, listed: this.feed.listedMs !== null,
      sound: { on: this.call.sound.isOn, ready: this.call.sound.isReady, played: this.call.sound.played },
      alerts: Object.fromEntries([...alerts.values()].map((alert) => [alert.id, entry(alert)])),
    };
  }
}

/** Whether the focus is in a dialog or a field: what is typed there goes on. */
function isTyping(): boolean {
  return document.querySelector("dialog[open]") !== null || targetOf(document.activeElement) === "field";
}

function targetOf(target: EventTarget | null): Target {
  if (!(target instanceof HTMLElement)) return "page";
  if (target.isContentEditable || target.matches("input, textarea, select, [role=textbox], [role=combobox], [role=searchbox]")) return "field";
  return target.matches("button, a, summary, [role=button], [role=option]") ? "control" : "page";
}
