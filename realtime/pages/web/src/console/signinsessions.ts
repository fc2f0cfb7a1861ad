/** The sessions of whoever is signed in: where they are, since when, and an end to those that are nobody's any more. */
import { make, show } from "../common/dom";
import { text } from "../common/read";
import { clean } from "../common/words";
import { isRefusal } from "../common/wire";
import { explained, type Context } from "./context";
import { Dialog } from "./dialog";
import { deviceOf, readSessions, type Entry } from "./signinwire";

export function showSessions(context: Context): void {
  const { words } = context;
  const dialog = new Dialog(words, words.say("signin.sessions"), true);
  const list = make("ul", "sessions");
  const more = make("button", "plain", words.say("signin.sessions.more"), { type: "button", hidden: "" });
  const view: View = { dialog, list, more, cursor: null };
  more.addEventListener("click", () => void fill(context, view, view.cursor));
  dialog.body.append(make("p", "hint", words.say("signin.sessions.lead")), list, more);
  dialog.open();
  void fill(context, view, null);
}

/** `cursor`: of the page that the button asks for; null when there is none. */
interface View {
  dialog: Dialog;
  list: HTMLElement;
  more: HTMLButtonElement;
  cursor: string | null;
}

/** The page at `cursor`, below the others; null: the first, alone. */
async function fill(context: Context, view: View, cursor: string | null): Promise<void> {
  view.dialog.blame("");
  try {
    const answer = await context.api.get(cursor === null ? "/api/v1/sessions" : `/api/v1/sessions?cursor=${encodeURIComponent(cursor)}`);
    const rows = readSessions(answer["sessions"]).map((entry) => row(context, view, entry));
    if (cursor === null) view.list.replaceChildren(...rows);
    else view.list.append(...rows);
    view.cursor = text(answer["next_cursor"]);
    show(view.more, view.cursor !== null);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    view.dialog.blame(explained(context.words, error));
  }
}

function row(context: Context, view: View, entry: Entry): HTMLElement {
  const { words, formats, session } = context;
  const now = session.now();
  const title = make("b", "", deviceOf(entry.agent) || words.say("signin.sessions.unknown"));
  const facts = [
    words.say("signin.sessions.since", { when: formats.clock(entry.createdMs, now) }),
    words.say("signin.sessions.seen", { ago: formats.ago(now - entry.seenMs) }),
  ];
  const who = make("span", "detail", [make("bdi", "", clean(entry.name, 60)), " · ", make("bdi", "", clean(entry.address, 60))]);
  const facet = make("div", "session-text", [title, who, make("span", "detail", facts.join(" · "))]);
  if (entry.current) return make("li", "", [facet, make("span", "tag", words.say("signin.sessions.this"))]);
  const end = make("button", "plain", words.say("signin.sessions.end"), {
    type: "button", "aria-label": words.say("signin.sessions.end_of", { device: deviceOf(entry.agent) }),
  });
  end.addEventListener("click", () => {
    end.disabled = true;
    context.api.delete(`/api/v1/sessions/${encodeURIComponent(entry.id)}`).then(
      () => fill(context, view, null),
      (error: unknown) => {
        end.disabled = false;
        view.dialog.blame(explained(words, error));
      },
    );
  });
  return make("li", "", [facet, end]);
}
