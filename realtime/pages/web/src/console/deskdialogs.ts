/** What is asked before something is done about an alert, and the list of keys. */
import type { Alert } from "../common/alertwire";
import { make } from "../common/dom";
import type { Json } from "../common/read";
import { explained, type Context, type ConsoleWords } from "./context";
import type { Act } from "./deskacts";
import { KEYS, OTHER_KEYS } from "./deskkeys";
import { kindText } from "./deskwords";
import { askFor, Dialog } from "./dialog";

const MINUTES = [5, 10, 15, 20, 30, 45, 60] as const;
const NOTE_CHARS = 1_000;

/** Asks for what an act needs, and does it when the reader says so. */
export function confirmAct(context: Context, what: Exclude<Act, "acknowledge">, alert: Alert, go: (more: Json) => Promise<void>): void {
  const { words } = context;
  const about = make("p", "about", words.say("desk.headline", { kind: kindText(context, alert), driver: context.names.of(alert.driver) }));
  const warning = alert.duress && what === "false_alarm" ? [make("p", "warning", words.say("desk.ask.duress"))] : [];
  const lead = words.find(`desk.ask.${what}`);
  askFor({
    words,
    title: words.say(`desk.act.${what}`).replace("…", ""),
    content: [about, ...warning, ...(lead ? [make("p", "", lead)] : []), ...fieldsOf(context, what)],
    action: words.say(`desk.do.${what}`),
    danger: what === "resolve" || what === "false_alarm",
    byEnter: what !== "note",
    explain: (error) => explained(words, error),
    act: (form) => go(moreOf(what, form)),
  });
}

function fieldsOf({ words, formats }: Context, what: Act): Node[] {
  if (what === "respond") {
    const select = make("select", "", [], { name: "minutes", id: "ask-eta" });
    select.append(make("option", "", words.say("desk.eta.unknown"), { value: "" }));
    for (const minutes of MINUTES) select.append(make("option", "", formats.duration(minutes * 60_000), { value: String(minutes) }));
    const name = make("input", "", [], { name: "name", id: "ask-name", maxlength: "100", autocomplete: "off" });
    return [
      make("label", "", words.say("desk.eta"), { for: "ask-eta" }), select,
      make("label", "", words.say("desk.responder"), { for: "ask-name" }), name,
    ];
  }
  const note = what === "note";
  const text = make("textarea", "", [], { name: "text", id: "ask-text", rows: "4", maxlength: String(NOTE_CHARS), ...(note ? { required: "" } : {}) });
  return [make("label", "", words.say(note ? "desk.note" : "desk.note.optional"), { for: "ask-text" }), text];
}

function moreOf(what: Act, form: FormData): Json {
  const said = (name: string): string => String(form.get(name) ?? "").trim();
  if (what === "respond") {
    const minutes = said("minutes");
    return { ...(said("name") ? { name: said("name") } : {}), ...(minutes ? { eta_s: Number(minutes) * 60 } : {}) };
  }
  if (what === "note") return { text: said("text") };
  return said("text") ? { note: said("text") } : {};
}

export function showKeys(words: ConsoleWords): void {
  const dialog = new Dialog(words, words.say("desk.keys"));
  const list = make("dl", "keys");
  for (const [key, meaning] of KEYS) list.append(make("div", "", [make("dt", "", [make("kbd", "", key)]), make("dd", "", words.say(`desk.key.${meaning}`))]));
  for (const [key, meaning] of OTHER_KEYS) list.append(make("div", "", [make("dt", "", [make("kbd", "", key)]), make("dd", "", words.say(`desk.key.${meaning}`))]));
  dialog.body.append(list, make("p", "hint", words.say("desk.keys.hint")));
  dialog.open();
}
