/** What must be known at any time: how much is not safe yet, and whatever stands in the way. */
import { make, say, show } from "../common/dom";
import type { App } from "./app";
import type { Key, Speech } from "./face";

const NETWORK_WORDS = { live: "live", connecting: "connecting", offline: "offline", refused: "refused" } as const;

export class Signs {
  readonly chip: HTMLElement;
  readonly safe: HTMLElement;
  readonly notes = make("div", "notes", [], { role: "status" });
  private readonly word = make("span");
  private readonly count = make("b");
  private readonly why = make("p");

  constructor(private readonly speech: Speech) {
    this.chip = make("span", "chip", [make("i", "dot"), this.word], { role: "status" });
    this.safe = make("section", "safe", [make("i", "lamp"), make("div", "", [this.count, this.why])]);
  }

  update(app: App, nowMs: number): void {
    const { words } = this.speech;
    const { state } = app.line;
    this.chip.dataset["state"] = state;
    say(this.word, words.say(`line.${NETWORK_WORDS[state]}`));
    const { unsafe, current, length } = app.outbox;
    this.safe.dataset["state"] = unsafe > 0 ? "kept" : "all";
    show(this.safe, current !== null || unsafe > 0);
    say(this.count, unsafe > 0 ? words.say("safe.not", { n: unsafe }) : length > 0 ? words.say("safe.all", { n: length }) : words.say("safe.none"));
    say(this.why, unsafe > 0 ? words.say("safe.not.why") : length > 0 ? words.say("safe.why") : "");
    this.note(this.reasons(app, nowMs));
  }

  private reasons(app: App, nowMs: number): string[] {
    const { words, formats } = this.speech;
    const found: string[] = [];
    const add = (key: Key, values: Record<string, string | number> = {}): void => void found.push(words.say(key, values));
    const { access, outbox, locator, timers, stuck } = app;
    if (access === "ending") add("access.ending", { when: formats.clock(app.pairing.expiresAtMs ?? 0, nowMs) });
    else if (access !== "good") add(`access.${access}`);
    const { permission } = locator;
    if (outbox.current && locator.trouble) add(`place.${locator.trouble}`);
    else if (permission === "denied" || permission === "none") add(`place.${permission}`);
    if (outbox.unwritten > 0) add("safe.unwritten");
    if (outbox.lost > 0) add("safe.lost", { n: outbox.lost });
    if (stuck !== null) add("safe.stuck", { code: stuck });
    if (timers.refusal !== null) add("timers.refused", { code: timers.refusal });
    else if (timers.watch.timers.some((timer) => !timer.armed)) add("timers.pending");
    else if (timers.watch.checkIn) add("check.pending");
    return found;
  }

  private note(texts: string[]): void {
    const shown = [...this.notes.children].map((child) => child.textContent);
    if (shown.length === texts.length && texts.every((text, index) => text === shown[index])) return;
    this.notes.replaceChildren(...texts.map((text) => make("p", "note", text)));
  }
}
