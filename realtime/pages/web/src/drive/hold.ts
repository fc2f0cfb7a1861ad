/**
 * A button that is pressed and held. By finger, mouse and keyboard alike; a click that was no press (a screen reader's) or a
 * short one from the keyboard asks instead.
 */
import { make, say } from "../common/dom";

export const HOLD_MS = 1_500;

export interface HoldWords {
  /** What a screen reader adds. */
  label: string;
  title: string;
  hint: string;
  holding: string;
}

export class HoldButton {
  readonly element: HTMLButtonElement;
  private readonly hint: HTMLElement;
  private sinceMs: number | null = null;
  private frame = 0;
  private byFinger = false;

  constructor(
    className: string,
    private readonly words: HoldWords,
    private readonly held: () => void,
    private readonly ask: () => void,
  ) {
    this.hint = make("span", "hint-line", words.hint);
    const more = make("span", "", words.label, { id: `hold-${className}`, hidden: "" });
    const parts = [make("i", "fill"), make("b", "", words.title), this.hint, more];
    this.element = make("button", `hold ${className}`, parts, { type: "button", "aria-describedby": more.id });
    const { element } = this;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.byFinger = true;
      element.setPointerCapture(event.pointerId);
      this.begin();
    });
    for (const kind of ["pointerup", "pointercancel"] as const) element.addEventListener(kind, () => this.end());
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("keydown", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault(); // no click of its own: held or asked is decided here
      if (!event.repeat) this.begin();
    });
    element.addEventListener("keyup", (event) => {
      if (event.key !== " " && event.key !== "Enter") return;
      event.preventDefault();
      if (this.end()) this.ask();
    });
    element.addEventListener("blur", () => this.end());
    element.addEventListener("click", () => {
      if (!this.byFinger) this.ask();
      this.byFinger = false;
    });
  }

  private begin(): void {
    if (this.sinceMs !== null) return;
    this.sinceMs = performance.now();
    this.element.classList.add("holding");
    say(this.hint, this.words.holding);
    navigator.vibrate?.(30);
    const step = (now: number): void => {
      if (this.sinceMs === null) return;
      const part = Math.min(1, (now - this.sinceMs) / HOLD_MS);
      this.element.style.setProperty("--held", String(part));
      if (part < 1) this.frame = requestAnimationFrame(step);
      else if (this.end()) this.held();
    };
    this.frame = requestAnimationFrame(step);
  }

  /** Whether it was being held. */
  private end(): boolean {
    if (this.sinceMs === null) return false;
    this.sinceMs = null;
    cancelAnimationFrame(this.frame);
    this.element.classList.remove("holding");
    this.element.style.setProperty("--held", "0");
    say(this.hint, this.words.hint);
    return true;
  }
}
