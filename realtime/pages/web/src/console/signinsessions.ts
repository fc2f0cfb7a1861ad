/** The sessions of whoever is signed in: where they are, since when, and an end to those that are nobody's any more. */
import { make } from "../common/dom";
import { clean } from "../common/words";
import { isRefusal } from "../common/wire";
import { explained, type Context } from "./context";
import { Dialog } from "./dialog";
import { deviceOf, readSessions, type Entry } from "./signinwire";

export function showSessions(context: Context): void {
  const { words } = context;
  const dialog = new Dialog(words, words.say("signin.sessions"), true);
  const list = make("ul", "sessions");
  dialog.body.append(make("p", "hint", words.say("signin.sessions.lead")), list);
  dialog.open();
  void fill(context, dialog, list);
}

async function fill(context: Context, dialog: Dialog, list: HTMLElement): Promise<void> {
  dialog.blame("");
  try {
    const answer = await context.api.get("/api/v1/sessions");
    list.replaceChildren(...readSessions(answer["sessions"]).map((entry) => row(context, dialog, list, entry)));
  } catch (error) {
    if (!isRefusal(error)) throw error;
    dialog.blame(explained(context.words, error));
  }
}

function row(context: Context, dialog: Dialog, list: HTMLElement, entry: Entry): HTMLElement {
  const { words, formats, session } = context;
  const now = session.now();
  const title = make("b", "", deviceOf(entry.agent) || words.say("signin.sessions.unknown"));
  const facts = [
    words.say("signin.sessions.since", { when: formats.clock(entry.createdMs, now) }),
    words.say("signin.sessions.seen", { ago: formats.ago(now - entry.seenMs) }),
  ];
  const who = make("span", "detail", [make("bdi", "", clean(entry.name, 60)), " · ", make("bdi", "", clean(entry.address, 60))]);
  const text = make("div", "session-text", [title, who, make("span", "detail", facts.join(" · "))]);
  if (entry.current) return make("li", "", [text, make("span", "tag", words.say("signin.sessions.this"))]);
  const end = make("button", "plain", words.say("signin.sessions.end"), {
    type: "button", "aria-label": words.say("signin.sessions.end_of", { device: deviceOf(entry.agent) }),
  });
  end.addEventListener("click", () => {
    end.disabled = true;
    context.api.delete(`/api/v1/sessions/${encodeURIComponent(entry.id)}`).then(
      () => fill(context, dialog, list),
      (error: unknown) => {
        end.disabled = false;
        dialog.blame(explained(words, error));
      },
    );
  });
  return make("li", "", [text, end]);
}
