/** What the views of the app share: the words, the figures, small pieces of page. */
import { make } from "../common/dom";
import type { Formats } from "../common/format";
import type { Words } from "../common/words";
import en from "../../messages/drive.en.json";

export type Key = Extract<keyof typeof en, string>;

export interface Speech {
  words: Words<Key>;
  formats: Formats;
}

export function bigButton(label: string, act: () => void, className = "big"): HTMLButtonElement {
  const button = make("button", className, label, { type: "button" });
  button.addEventListener("click", act);
  return button;
}

let fields = 0;

/** A control with its label above and, where there is one, a hint below. */
export function field(label: string, control: HTMLElement, hint = ""): HTMLElement {
  control.id = `field-${++fields}`;
  const parts: HTMLElement[] = [make("label", "", label, { for: control.id }), control];
  if (hint) {
    const small = make("small", "", hint, { id: `${control.id}-hint` });
    control.setAttribute("aria-describedby", small.id);
    parts.push(small);
  }
  return make("div", "field", parts);
}

/** A question in front of everything else. Resolves to whether it was answered with yes; Escape is no. */
export function asked(title: string, why: string, yes: string, no: string, grave = false): Promise<boolean> {
  return new Promise((resolve) => {
    const heading = make("h2", "", title, { id: "asked" });
    const dialog = make("dialog", "asked", [heading, make("p", "", why)], { "aria-labelledby": "asked" });
    const end = (answer: boolean): void => {
      dialog.remove();
      resolve(answer);
    };
    const agree = bigButton(yes, () => end(true), grave ? "big grave" : "big");
    const refuse = bigButton(no, () => end(false), "big quiet");
    dialog.append(make("div", "answers", [agree, refuse]));
    dialog.addEventListener("close", () => end(false));
    document.body.append(dialog);
    dialog.showModal();
    (grave ? refuse : agree).focus();
  });
}
