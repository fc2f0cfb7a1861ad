/** The contacts of a driver, and a dry run of the escalation of each kind of alert. */
import { make, say, show } from "../common/dom";
import { isObject, number, text, type Json } from "../common/read";
import { plain } from "../common/typed";
import { clean } from "../common/words";
import { explained, type Context } from "./context";
import { askFor, Dialog } from "./dialog";

const KINDS = ["sos", "crash", "fall", "check_in_missed", "arrive_by_missed", "signal_lost"] as const;
const PAGE = 100;

const objects = (raw: unknown): Json[] => (Array.isArray(raw) ? raw.filter(isObject) : []);
const texts = (raw: unknown): string[] => (Array.isArray(raw) ? raw.filter((one) => typeof one === "string") : []);

export class PeopleDialog {
  private readonly dialog: Dialog;
  private readonly contacts = make("ul", "contacts");
  private readonly more: HTMLButtonElement;
  private readonly kind: HTMLSelectElement;
  private readonly plan = make("div", "plan");
  private cursor: string | null = null;
  private asked = 0;

  constructor(
    private readonly context: Context,
    private readonly driver: string,
  ) {
    const { words, names } = context;
    this.dialog = new Dialog(words, words.say("people.title", { driver: names.of(driver) }), true);
    this.more = make("button", "plain", words.say("share.more"), { type: "button", hidden: "" });
    this.more.addEventListener("click", () => void this.list(this.cursor));
    this.kind = make("select", "", [], { id: "people-kind" });
    for (const kind of KINDS) this.kind.append(make("option", "", words.find(`alert.kind.${kind}`) ?? kind, { value: kind }));
    this.kind.addEventListener("change", () => void this.dryRun());
    this.dialog.body.append(
      make("h3", "", words.say("people.contacts")), make("p", "hint", words.say("people.masked")), this.contacts, this.more,
      make("h3", "", words.say("people.plan")), make("p", "hint", words.say("people.plan.what")),
      make("div", "plan-kind", [make("label", "", words.say("people.kind"), { for: "people-kind" }), this.kind]), this.plan,
    );
  }

  open(): void {
    this.dialog.open();
    void this.list(null);
    void this.dryRun();
  }

  private async list(cursor: string | null): Promise<void> {
    const { api, words } = this.context;
    const next = cursor === null ? "" : `&cursor=${encodeURIComponent(cursor)}`;
    try {
      const answer = await api.get(`/api/v1/contacts?driver=${encodeURIComponent(this.driver)}&limit=${PAGE}${next}`);
      const entries = objects(answer["contacts"])
        .sort((a, b) => (number(a["position"]) ?? 0) - (number(b["position"]) ?? 0))
        .map((contact) => this.entry(contact));
      if (cursor === null) this.contacts.replaceChildren(...entries);
      else this.contacts.append(...entries);
      if (!this.contacts.children.length) this.contacts.append(make("li", "detail", words.say("people.none")));
      this.cursor = text(answer["next_cursor"]);
      show(this.more, this.cursor !== null);
    } catch (error) {
      this.dialog.blame(explained(words, error));
    }
  }

  private entry(contact: Json): HTMLElement {
    const { words } = this.context;
    const ways = (["phone", "email"] as const).flatMap((field) => {
      const held = contact[field];
      if (!isObject(held)) return [];
      const state = held["counts"] === true ? "counts" : number(held["opted_out_at"]) !== null ? "opted_out" : "not_verified";
      const way = make("li", "way", [
        make("i", "dot", [], { "aria-hidden": "true" }),
        make("span", "by", words.say(`people.${field}`)),
        make("span", "went", [make("bdi", "", clean(text(held["address"]) ?? "", 80), { dir: "ltr" }), " · ", words.say(`people.state.${state}`)]),
      ]);
      way.dataset["status"] = state === "counts" ? "delivered" : "failed";
      return [way];
    });
    const edit = make("button", "plain", words.say("people.edit"), { type: "button" });
    edit.addEventListener("click", () => this.edit(contact));
    const name = clean(text(contact["name"]) ?? "", 80);
    return make("li", "contact-entry", [
      make("div", "", [make("bdi", "name", name), ways.length ? make("ul", "ways", ways) : make("p", "detail", words.say("people.no_address"))]),
      edit,
    ]);
  }

  private edit(contact: Json): void {
    const { api, words } = this.context;
    const id = text(contact["contact_id"]) ?? "";
    const name = make("input", "", [], { name: "name", id: "contact-name", required: "", maxlength: "80", autocomplete: "off", dir: "auto" });
    name.value = text(contact["name"]) ?? "";
    // The number is masked here: a new one is typed, or the field stays empty.
    const held = isObject(contact["phone"]) ? (text(contact["phone"]["address"]) ?? "") : "";
    const phone = make("input", "", [], { name: "phone", id: "contact-phone", type: "tel", maxlength: "40", autocomplete: "off", dir: "ltr", placeholder: held });
    askFor({
      words,
      title: words.say("people.edit.title", { name: name.value }),
      content: [
        make("label", "", words.say("edit.name"), { for: "contact-name" }), name,
        make("label", "", words.say("people.edit.phone"), { for: "contact-phone" }), phone,
        make("p", "hint", words.say("people.edit.phone.hint")),
      ],
      action: words.say("edit.do"),
      explain: (error) => {
        const said = isObject(error) && error["code"] === "invalid" ? (text(error["message"]) ?? "") : "";
        if (said.startsWith("phone")) return words.say("edit.wrong.phone", { why: said.replace(/^phone:?\s*/, "") });
        return said.startsWith("name") ? words.say("edit.wrong.name", { n: 80 }) : explained(words, error);
      },
      act: async (form) => {
        const number = plain(String(form.get("phone") ?? ""));
        await api.ask("PATCH", `/api/v1/contacts/${encodeURIComponent(id)}`, { name: String(form.get("name") ?? "").trim(), ...(number ? { phone: number } : {}) });
        await Promise.all([this.list(null), this.dryRun()]);
      },
    });
  }

  private async dryRun(): Promise<void> {
    const { api, words } = this.context;
    const asked = ++this.asked;
    try {
      const answer = await api.get(`/api/v1/drivers/${encodeURIComponent(this.driver)}/escalation?kind=${this.kind.value}`);
      if (asked === this.asked) this.draw(answer);
    } catch (error) {
      if (asked === this.asked) say(this.plan, explained(words, error));
    }
  }

  private draw(answer: Json): void {
    const { words, formats } = this.context;
    const steps = objects(answer["steps"]).map((step) => {
      const told = objects(step["told"]).map((one) => {
        const id = text(one["contact_id"]) ?? "";
        const name = words.find(`desk.contact.${id}`) ?? clean(text(one["name"]) ?? id, 80);
        const by = channelsText(this.context, texts(one["channels"]));
        const fallback = channelsText(this.context, texts(one["fallback"]));
        const how = fallback ? words.say("people.plan.fallback", { by, fallback }) : by;
        return make("li", "", [make("bdi", "name", name), make("span", "detail", how)]);
      });
      const after = number(step["after_s"]) ?? 0;
      const when = after === 0 ? words.say("people.plan.at_once") : words.say("people.plan.after", { time: formats.duration(after * 1_000) });
      return make("li", "plan-step", [make("b", "", when), make("ul", "", told.length ? told : [make("li", "detail", words.say("people.plan.nobody"))])]);
    });
    const untold = objects(answer["untold"]).map((one) => {
      const why = texts(one["reasons"]).map((reason) => words.find(`people.why.${reason}`) ?? clean(reason, 40)).join(", ");
      return make("li", "", [make("bdi", "name", clean(text(one["name"]) ?? "", 80)), make("span", "detail", why)]);
    });
    const countdown = number(answer["countdown_s"]) ?? 0;
    const facts = [
      ...(countdown > 0 ? [words.say("people.plan.countdown", { time: formats.duration(countdown * 1_000) })] : []),
      words.say("people.plan.loops", { n: number(answer["loops"]) ?? 1 }),
    ];
    this.plan.replaceChildren(
      ...(answer["reaches_somebody"] === false ? [make("p", "warning", words.say("people.plan.reaches_nobody"))] : []),
      make("ol", "plan-steps", steps),
      make("p", "hint", facts.join(" ")),
      ...(untold.length ? [make("h4", "", words.say("people.untold")), make("ul", "untold", untold)] : []),
    );
  }
}

function channelsText({ words }: Context, channels: readonly string[]): string {
  return channels.map((channel) => words.find(`channel.${channel}`) ?? clean(channel, 20)).join(", ");
}
