/** The health strip: the line, how old what comes is, who answers, how many are shown. Says so when it knows nothing. */
import { LineSigns } from "../common/chrome";
import { make, say } from "../common/dom";
import type { Context, Part } from "./context";
import { AREA } from "./deskfeed";
import { Delay } from "./healthdelay";

export class Health implements Part {
  readonly element: HTMLElement;
  readonly signs: LineSigns;
  private readonly delay = new Delay();
  private readonly delayText = make("span", "health-value");
  private readonly instance = make("bdi", "health-value");
  private readonly drivers = make("span", "health-value");

  /** `hasData`: whether something is shown that may be old. */
  constructor(
    private readonly context: Context,
    private readonly hasData: () => boolean,
  ) {
    const { words, formats } = context;
    this.signs = new LineSigns(words, formats);
    const entry = (key: "health.delay" | "health.instance" | "health.drivers", value: HTMLElement): HTMLElement =>
      make("div", "health-entry", [make("dt", "", words.say(key)), make("dd", "", [value])]);
    this.element = make("section", "health", [
      this.signs.chip,
      make("dl", "", [entry("health.delay", this.delayText), entry("health.drivers", this.drivers), entry("health.instance", this.instance)]),
    ], { "aria-label": words.say("health.title") });
  }

  start(): void {
    const { session } = this.context;
    this.context.hear({
      positions: (feed, fixes) => {
        if (feed !== AREA) return; // a journey's log may be catching up with what is old
        let newest = -Infinity;
        for (const { point } of fixes) if (point.tMs !== null && point.tMs > newest) newest = point.tMs;
        if (newest > -Infinity) this.delay.add(session.now(), newest);
      },
      state: ({ kind }) => {
        if (kind !== "live") this.delay.clear();
        this.tell();
      },
    });
    window.setInterval(() => this.tell(), 1_000);
    this.tell();
  }

  tell(): void {
    const { session, words, formats, drivers } = this.context;
    this.signs.update(session, this.hasData());
    const live = session.state.kind === "live";
    const delay = live ? this.delay.median(session.now()) : null;
    say(this.delayText, delay === null ? "–" : words.say("health.delay.s", { s: formats.number(Math.round(delay / 100) / 10) }));
    const shown = drivers.get();
    say(this.drivers, shown === null ? "–" : formats.number(shown));
    say(this.instance, (live && session.instance) || "–");
  }

  probe(): unknown {
    const { session } = this.context;
    return { delay_ms: this.delay.median(session.now()), instance: session.instance, bar: !this.signs.bar.hidden };
  }
}
