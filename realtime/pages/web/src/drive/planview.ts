/** Who is notified, by what and when, if the driver calls for help, does not arrive, or does not check in. */
import { make, say } from "../common/dom";
import { bigButton, field, type Key, type Speech } from "./face";
import { KINDS, type Notified, type OwnSettings, type Plan, type PlanKind } from "./own";
import { channelsOf, nameOf } from "./ownwords";

export class PlanPage {
  readonly element: HTMLElement;
  private readonly kind = make("select");
  private readonly body = make("div", "stack", [], { "aria-live": "polite" });
  private made = "";

  constructor(
    private readonly speech: Speech,
    private readonly own: OwnSettings,
    private readonly toContacts: () => void,
  ) {
    const { words } = speech;
    for (const kind of KINDS) this.kind.append(make("option", "", words.say(`plan.kind.${kind}`), { value: kind }));
    this.kind.addEventListener("change", () => this.update());
    this.element = make("div", "stack", [field(words.say("plan.kind"), this.kind), this.body]);
  }

  update(): void {
    const plan = this.own.own.plans[this.kind.value as PlanKind];
    const key = JSON.stringify([this.kind.value, plan ?? null]);
    if (key === this.made) return;
    this.made = key;
    if (!plan) return this.body.replaceChildren(make("p", "why", this.speech.words.say("plan.unknown")));
    this.body.replaceChildren(...this.parts(plan));
  }

  private parts(plan: Plan): HTMLElement[] {
    const { words, formats } = this.speech;
    const parts: HTMLElement[] = [];
    if (!plan.reaches) {
      parts.push(make("p", "note", words.say("plan.nobody.why")), bigButton(words.say("contacts.add"), this.toContacts));
    }
    if (plan.countdownS > 0) parts.push(make("p", "why", words.say("plan.countdown", { time: formats.duration(plan.countdownS * 1_000) })));
    const steps = plan.steps.filter((step) => step.told.length > 0).map(({ afterS, told }) => {
      const when = afterS === 0 ? words.say("plan.atonce") : words.say("plan.after", { time: formats.duration(afterS * 1_000) });
      return make("li", "", [make("h2", "", when), make("ul", "", told.map((one) => this.row(one)))]);
    });
    if (steps.length > 0) parts.push(make("ol", "steps", steps));
    if (steps.length > 0 && plan.loops > 1) parts.push(make("p", "why", words.say("plan.loops", { n: plan.loops })));
    if (plan.untold.length > 0) {
      parts.push(make("h2", "", words.say("plan.untold")));
      parts.push(make("ul", "untold", plan.untold.map((one) => {
        const why = one.reasons.map((reason) => words.find(`plan.why.${reason}`) ?? reason).join(" ");
        return make("li", "", [make("bdi", "", nameOf(this.speech, one)), make("span", "", why)]);
      })));
    }
    return parts;
  }

  private row(one: Notified): HTMLElement {
    const { words } = this.speech;
    const first = one.channels.length > 0 ? words.say("plan.by", { channels: channelsOf(this.speech, one.channels) }) : "";
    const others = one.fallback.filter((channel) => !one.channels.includes(channel));
    const key: Key = one.channels.length > 0 ? "plan.else" : "plan.only";
    const then = others.length > 0 ? words.say(key, { channels: channelsOf(this.speech, others) }) : "";
    const how = make("span");
    say(how, [first, then].filter(Boolean).join(" "));
    return make("li", "", [make("bdi", "", nameOf(this.speech, one)), how]);
  }
}
