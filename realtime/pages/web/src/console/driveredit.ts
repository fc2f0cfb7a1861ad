/** Editing what a driver is called and the driver's own number; who changed them before. */
import { make, say, show } from "../common/dom";
import { isObject, number, text } from "../common/read";
import { plain } from "../common/typed";
import { clean } from "../common/words";
import { explained, type Context } from "./context";
import { askFor } from "./dialog";

const NAME_CHARS = 80;

/** Asks for name and number; `done` hears of it once the server has them. */
export async function editDriver(context: Context, driver: string, done: () => void): Promise<void> {
  const { api, words, names } = context;
  const path = `/api/v1/drivers/${encodeURIComponent(driver)}`;
  let known: Record<string, unknown>;
  try {
    known = await api.get(`${path}/profile`);
  } catch (error) {
    return context.tell(explained(words, error));
  }
  const name = make("input", "", [], { name: "name", id: "edit-name", required: "", maxlength: String(NAME_CHARS), autocomplete: "off", dir: "auto" });
  const phone = make("input", "", [], { name: "phone", id: "edit-phone", type: "tel", maxlength: "40", autocomplete: "off", dir: "ltr", placeholder: "+44 20 7946 0958" });
  name.value = text(known["name"]) ?? "";
  phone.value = text(known["phone"]) ?? "";
  const history = make("ol", "changes");
  const past = make("details", "edit-past", [make("summary", "", words.say("edit.changes")), history], { hidden: "" });
  askFor({
    words,
    title: words.say("edit.title", { driver: names.of(driver) }),
    content: [
      make("label", "", words.say("edit.name"), { for: "edit-name" }), name,
      make("label", "", words.say("edit.phone"), { for: "edit-phone" }), phone,
      make("p", "hint", words.say("edit.phone.hint")), past,
    ],
    action: words.say("edit.do"),
    explain: (error) => wrong(context, error),
    act: async (form) => {
      const number = plain(String(form.get("phone") ?? ""));
      const answer = await api.ask("PUT", `${path}/profile`, { name: String(form.get("name") ?? "").trim(), phone: number || null });
      names.learn(driver, text(answer["name"]) ?? "");
      context.tell(words.say("edit.done"));
      done();
    },
  });
  void showChanges(context, path, past, history);
}

/** What the server says of a field is clearer than that something was wrong. */
function wrong({ words }: Context, error: unknown): string {
  const said = isObject(error) && error["code"] === "invalid" ? (text(error["message"]) ?? "") : "";
  if (said.startsWith("name")) return words.say("edit.wrong.name", { n: NAME_CHARS });
  if (said.startsWith("phone")) return words.say("edit.wrong.phone", { why: said.replace(/^phone:?\s*/, "") });
  return explained(words, error);
}

async function showChanges(context: Context, path: string, past: HTMLElement, history: HTMLElement): Promise<void> {
  const { api, words, formats, session } = context;
  try {
    const answer = await api.get(`${path}/changes`);
    const rows = (Array.isArray(answer["changes"]) ? answer["changes"] : []).filter(isObject).map((change) => {
      const value = (key: string): string => clean(text(change[key]) ?? "", 80) || "–";
      const field = change["field"] === "phone" ? "edit.phone" : "edit.name";
      const what = words.say("edit.change", { field: words.say(field), before: value("before"), after: value("after") });
      const by = words.say("edit.change.by", { who: clean(text(change["by_id"]) ?? "", 60), at: formats.clock(number(change["at"]) ?? 0, session.now()) });
      return make("li", "", [make("span", "", what), make("span", "detail", by)]);
    });
    history.replaceChildren(...rows);
    show(past, rows.length > 0);
  } catch {
    say(history, ""); // the fields are what matters
  }
}
