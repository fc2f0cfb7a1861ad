/** Links to a driver's journey: made, shown once, listed with who looked, taken back. */
import { explained, type Context } from "./context";
import { askFor, Dialog } from "./dialog";
import { qrDrawing } from "./shareqr";
import { programText, readShares, stateOf, type ShareLink } from "./sharewire";
import { make, say, show } from "../common/dom";
import { number, text } from "../common/read";
import { clean } from "../common/words";

const HOUR_S = 3_600;
const DURATIONS_S = [HOUR_S, 4 * HOUR_S, 12 * HOUR_S, 24 * HOUR_S, 7 * 24 * HOUR_S] as const;
const USUAL_S = 4 * HOUR_S;
const LOOKS_SHOWN = 5;
/** Links of one page. */
const PAGE = 100;

/** The body of the request that makes a link. */
interface Wish {
  scope: string;
  expires_in_s: number;
  name: string;
  may_answer: boolean;
  follows?: true;
}

export class ShareDialog {
  private readonly dialog: Dialog;
  private readonly made = make("div", "share-made", [], { hidden: "", "aria-live": "polite" });
  private readonly list = make("ul", "share-list");
  private readonly more: HTMLButtonElement;
  private cursor: string | null = null;

  constructor(
    private readonly context: Context,
    private readonly journey: string,
    driver: string,
  ) {
    const { words } = context;
    this.dialog = new Dialog(words, words.say("share.title", { driver: context.names.of(driver) }), true);
    this.more = make("button", "plain", words.say("share.more"), { type: "button", hidden: "" });
    this.more.addEventListener("click", () => void this.refresh(this.cursor));
    this.dialog.body.append(this.makeForm(), this.made, make("h3", "", words.say("share.links")), this.list, this.more);
  }

  open(): void {
    this.dialog.open();
    void this.refresh();
  }

  private makeForm(): HTMLFormElement {
    const { words, formats } = this.context;
    const scopes = (["live", "journey"] as const).map((scope) =>
      make("label", "choice", [
        make("input", "", [], { type: "radio", name: "scope", value: scope, ...(scope === "live" ? { checked: "" } : {}) }),
        make("span", "", [make("b", "", words.say(`share.scope.${scope}`)), make("small", "", words.say(`share.scope.${scope}.what`))]),
      ]),
    );
    const long = make("select", "", [], { name: "expires_in_s", "aria-label": words.say("share.duration") });
    for (const seconds of DURATIONS_S) long.append(make("option", "", formats.duration(seconds * 1_000), { value: String(seconds) }));
    long.value = String(USUAL_S);
    const go = make("button", "primary", words.say("share.make"), { type: "submit" });
    const choices = make("fieldset", "choices", [make("legend", "", words.say("share.scope")), ...scopes]);
    const holder = make("input", "", [], { name: "holder", maxlength: "200", autocomplete: "off", "aria-label": words.say("share.holder") });
    const answers = make("input", "", [], { type: "checkbox", name: "may_answer", "aria-label": words.say("share.answers") });
    answers.addEventListener("change", () => (holder.required = answers.checked));
    const follows = make("input", "", [], { type: "checkbox", name: "follows", "aria-label": words.say("share.follows") });
    const whom = make("div", "share-whom", [
      make("label", "field", [make("span", "", words.say("share.holder")), holder]),
      make("label", "choice", [answers, make("span", "", [make("b", "", words.say("share.answers")), make("small", "", words.say("share.answers.what"))])]),
      make("label", "choice", [follows, make("span", "", [make("b", "", words.say("share.follows")), make("small", "", words.say("share.follows.what"))])]),
    ]);
    const form = make("form", "share-form", [choices, whom, make("div", "share-go", [make("label", "", [make("span", "", words.say("share.duration")), long]), go])]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (go.disabled) return;
      go.disabled = true;
      const given = new FormData(form);
      const wish = {
        scope: String(given.get("scope")),
        expires_in_s: Number(given.get("expires_in_s")),
        name: clean(holder.value),
        may_answer: answers.checked,
        ...(follows.checked ? { follows: true as const } : {}),
      };
      void this.create(wish).finally(() => (go.disabled = false));
    });
    return form;
  }

  private async create(wish: Wish): Promise<void> {
    const { api, words } = this.context;
    this.dialog.blame("");
    try {
      const answer = await api.post(`/api/v1/journeys/${encodeURIComponent(this.journey)}/shares`, wish);
      this.made.replaceChildren(...onceShown(this.context, text(answer["url"]) ?? "", number(answer["expires_at"]) ?? 0, words.say("share.qr")));
      this.made.hidden = false;
      await this.refresh();
    } catch (error) {
      this.dialog.blame(explained(words, error));
    }
  }

  /** The page at `cursor`, below the others; null: the first, alone. */
  private async refresh(cursor: string | null = null): Promise<void> {
    const { api, words } = this.context;
    const next = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    try {
      const answer = await api.get(`/api/v1/journeys/${encodeURIComponent(this.journey)}/shares?limit=${PAGE}${next}`);
      const entries = readShares(answer["shares"]).map((link) => this.entry(link));
      if (cursor === null) this.list.replaceChildren(...entries);
      else this.list.append(...entries);
      if (!this.list.children.length) this.list.append(make("li", "detail", words.say("share.none")));
      this.cursor = text(answer["next_cursor"]);
      show(this.more, this.cursor !== null);
    } catch (error) {
      this.dialog.blame(explained(words, error));
    }
  }

  private entry(link: ShareLink): HTMLElement {
    const { words, formats, session } = this.context;
    const now = session.now();
    const state = stateOf(link, now);
    const when = { open: link.expiresMs, expired: link.expiresMs, revoked: link.revokedMs ?? 0 }[state];
    const about = make("p", "share-about", [
      make("b", "", words.say(`share.scope.${link.scope}`)),
      make("span", "detail", words.say(`share.state.${state}`, { at: formats.clock(when, now) })),
    ]);
    if (link.holder) about.append(make("bdi", "", clean(link.holder, 60)));
    if (link.follows) about.append(make("span", "tag", words.say("share.follows")));
    if (link.mayAnswer) about.append(make("span", "tag", words.say("share.answers")));
    const by = make("p", "detail", words.say("share.made_by", { who: clean(link.createdBy, 60), at: formats.clock(link.createdMs, now) }));
    const looks = link.looks.slice(0, LOOKS_SHOWN).map((look) =>
      make("li", "", words.say("share.look", { n: look.times, program: programText(look.program), address: look.address, ago: formats.ago(now - look.lastMs) })),
    );
    const unlisted = link.looks.length - looks.length;
    if (unlisted > 0) looks.push(make("li", "detail", words.say("share.looks.more", { n: unlisted })));
    const seen = looks.length ? make("ul", "share-looks", looks) : make("p", "detail", words.say("share.unseen"));
    const entry = make("li", `share-entry ${state}`, [make("div", "", [about, by, seen])]);
    if (state === "open") {
      const revoke = make("button", "plain danger", words.say("share.revoke"), { type: "button" });
      revoke.addEventListener("click", () => this.revoke(link));
      entry.append(revoke);
    }
    return entry;
  }

  private revoke(link: ShareLink): void {
    const { api, words } = this.context;
    askFor({
      words,
      title: words.say("share.revoke.title"),
      content: [make("p", "", words.say("share.revoke.what"))],
      action: words.say("share.revoke"),
      danger: true,
      act: async () => {
        await api.delete(`/api/v1/shares/${encodeURIComponent(link.id)}`);
        await this.refresh();
      },
      explain: (error) => explained(words, error),
    });
  }
}

/** A secret address as it may be shown this once: to copy, and to be read by a phone. */
export function onceShown(context: Context, url: string, expiresMs: number, label: string): Node[] {
  const { words, formats, session } = context;
  const field = make("input", "share-url", [], { readonly: "", "aria-label": words.say("share.link"), dir: "ltr", spellcheck: "false" });
  field.value = url;
  field.addEventListener("focus", () => field.select());
  const copy = make("button", "primary", words.say("copy"), { type: "button" });
  copy.addEventListener("click", () => void copied(field).then((done) => say(copy, words.say(done ? "copied" : "copy"))));
  const until = make("p", "detail", words.say("share.once", { at: formats.clock(expiresMs, session.now()) }));
  return [qrDrawing(url, label), make("div", "share-copy", [make("div", "", [field, copy]), until])];
}

/** Copies what a field holds; where the browser does not let us, it is selected for whoever copies by hand. */
async function copied(field: HTMLInputElement): Promise<boolean> {
  field.select();
  try {
    await navigator.clipboard.writeText(field.value);
    return true;
  } catch {
    return false;
  }
}
