/** Dialogs of the console: the browser's own, which keep the focus, close on Escape and give the focus back. */
import { button } from "../common/chrome";
import { ICONS, make, say, show } from "../common/dom";
import type { ConsoleWords } from "./context";

let count = 0;

export class Dialog {
  readonly element: HTMLDialogElement;
  readonly body = make("div", "dialog-body");
  private readonly fault = make("p", "fault", [], { role: "alert", hidden: "" });

  constructor(words: ConsoleWords, title: string, wide = false) {
    const id = `dialog-${++count}`;
    this.element = make("dialog", wide ? "dialog wide" : "dialog", [], { "aria-labelledby": id });
    const head = make("header", "", [make("h2", "", title, { id }), button(words.say("close"), ICONS.close, () => this.close())]);
    this.element.append(head, this.body, this.fault);
    this.element.addEventListener("close", () => this.element.remove());
  }

  open(): void {
    document.body.append(this.element);
    this.element.showModal();
    this.body.querySelector<HTMLElement>("input, select, textarea")?.focus();
  }

  close(): void {
    this.element.close();
  }

  /** Says what went wrong; what was typed stays. */
  blame(text: string): void {
    say(this.fault, text);
    show(this.fault, text !== "");
  }
}

/** A dialog that does one thing: `act` gets the form, and may throw; then the dialog stays, with what `explain` makes of it. */
export function askFor(options: {
  words: ConsoleWords;
  title: string;
  content: (Node | string)[];
  action: string;
  danger?: boolean;
  /** Whether Enter alone sends it also from a field of several lines, where Shift + Enter begins another line. */
  byEnter?: boolean;
  act: (form: FormData) => Promise<void>;
  explain: (error: unknown) => string;
}): void {
  const { words } = options;
  const dialog = new Dialog(words, options.title);
  const go = make("button", options.danger ? "primary danger" : "primary", options.action, { type: "submit" });
  const no = make("button", "plain", words.say("cancel"), { type: "button" });
  const hint = make("p", "hint ask-keys");
  const form = make("form", "ask", [...options.content, hint, make("div", "dialog-actions", [no, go])]);
  const lines = form.querySelector("textarea") !== null;
  const keys = lines ? (options.byEnter ? "ask.keys.enter" : "ask.keys") : form.querySelector("input, select") ? "ask.keys.plain" : "ask.keys";
  say(hint, words.say(keys, { action: options.action }));
  no.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (go.disabled) return;
    go.disabled = true;
    dialog.blame("");
    options.act(new FormData(form)).then(
      () => dialog.close(),
      (error: unknown) => {
        dialog.blame(options.explain(error));
        go.disabled = false;
      },
    );
  });
  form.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.isComposing || event.repeat) return;
    const inText = event.target instanceof HTMLTextAreaElement;
    const byEnter = options.byEnter === true && inText && !event.shiftKey;
    if (!byEnter && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    form.requestSubmit(go);
  });
  dialog.body.append(form);
  dialog.open();
  // Not the button that closes: keys are heard by the form.
  if (!form.contains(document.activeElement)) no.focus();
}
