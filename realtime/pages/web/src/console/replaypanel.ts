/** Looking back at a journey: a scrubber, play and pause, speeds; and a banner that this is not live. */
import type { AreaWatch } from "./areawatch";
import type { Context } from "./context";
import { Player, Replay, SPEEDS } from "./replay";
import { button } from "../common/chrome";
import { ICONS, make, say, show } from "../common/dom";
import { readPoint, type Point } from "../common/wire";

const PAGE_POINTS = 5_000;
/** A journey ends after two days; no more than this many points are shown of one. */
const MOST_POINTS = 200_000;
/** The scrubber's steps: seconds. */
const STEP_MS = 1_000;

export class ReplayPanel {
  readonly element: HTMLElement;
  private readonly banner = make("p", "replay-banner", "", { role: "status" });
  private readonly scrub = make("input", "replay-scrub", [], { type: "range", min: "0", step: "1" });
  private readonly gaps = make("div", "replay-gaps", [], { "aria-hidden": "true" });
  private readonly clock = make("output", "replay-clock");
  private readonly facts = make("p", "detail replay-facts");
  private readonly play: HTMLButtonElement;
  private readonly speeds = new Map<number, HTMLButtonElement>();
  private replay: Replay | null = null;
  private player: Player | null = null;
  private turn = 0;

  constructor(
    private readonly context: Context,
    private readonly area: () => AreaWatch | null,
    private readonly closed: () => void,
  ) {
    const { words } = context;
    this.play = make("button", "primary replay-play", words.say("replay.play"), { type: "button" });
    this.play.addEventListener("click", () => this.toggle());
    const speeds = make("div", "replay-speeds", [], { role: "group", "aria-label": words.say("replay.speed") });
    for (const speed of SPEEDS) {
      const choice = make("button", "toggle", words.say("replay.times", { times: speed }), { type: "button", "aria-pressed": "false" });
      choice.addEventListener("click", () => this.setSpeed(speed));
      this.speeds.set(speed, choice);
      speeds.append(choice);
    }
    this.scrub.setAttribute("aria-label", words.say("replay.scrub"));
    this.scrub.addEventListener("input", () => this.seek(Number(this.scrub.value) * STEP_MS));
    const head = make("header", "", [this.banner, button(words.say("replay.close"), ICONS.close, () => this.close())]);
    const track = make("div", "replay-track", [this.gaps, this.scrub]);
    this.element = make("section", "replay", [head, this.clock, this.facts, track, make("div", "replay-tools", [this.play, speeds])], {
      hidden: "", "aria-label": words.say("replay.title"),
    });
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  /** Reads a journey and shows it. Throws the Refusal when it cannot be read. */
  async open(journey: string, driver: string): Promise<void> {
    const { words } = this.context;
    const turn = ++this.turn;
    const points = await this.read(journey, turn);
    if (turn !== this.turn) return;
    const replay = new Replay(points);
    if (replay.isEmpty) return this.context.tell(words.say("replay.empty"));
    this.replay = replay;
    this.player = new Player(replay);
    say(this.banner, words.say("replay.banner", { driver: this.context.names.of(driver) }));
    this.scrub.max = String(Math.ceil((replay.endMs - replay.startMs) / STEP_MS));
    this.drawGaps(replay);
    this.setSpeed(this.player.speed);
    show(this.element, true);
    this.area()?.lookBack(replay.stretches);
    this.show();
    this.scrub.focus();
  }

  close(): void {
    this.turn += 1;
    if (!this.isOpen) return;
    this.replay = this.player = null;
    show(this.element, false);
    this.area()?.lookBack(null);
    this.closed();
  }

  probe(): unknown {
    if (!this.player || !this.replay) return null;
    const { tMs, playing, speed } = this.player;
    return { t_ms: tMs, playing, speed, at: this.replay.at(tMs), stretches: this.replay.stretches.length, start_ms: this.replay.startMs, end_ms: this.replay.endMs };
  }

  private async read(journey: string, turn: number): Promise<Point[]> {
    const points: Point[] = [];
    for (let since = 0; points.length < MOST_POINTS; ) {
      const answer = await this.context.api.get(`/api/v1/journeys/${encodeURIComponent(journey)}/points?since_seq=${since}&limit=${PAGE_POINTS}`);
      if (turn !== this.turn) return [];
      const page = Array.isArray(answer["points"]) ? answer["points"] : [];
      for (const raw of page) {
        const point = readPoint(raw);
        if (point) points.push(point);
      }
      const through = answer["through"];
      if (answer["more"] !== true || typeof through !== "number" || through <= since) break;
      since = through;
    }
    return points;
  }

  private toggle(): void {
    const { player } = this;
    if (!player) return;
    if (player.playing) player.pause();
    else {
      player.play(performance.now());
      const frame = (): void => {
        if (this.player !== player || !player.tick(performance.now())) return;
        this.show();
        window.requestAnimationFrame(frame);
      };
      window.requestAnimationFrame(frame);
    }
    this.show();
  }

  private setSpeed(speed: number): void {
    if (this.player) this.player.speed = speed;
    for (const [each, choice] of this.speeds) choice.setAttribute("aria-pressed", String(each === speed));
  }

  private seek(sinceMs: number): void {
    if (!this.player || !this.replay) return;
    this.player.seek(this.replay.startMs + sinceMs);
    this.show();
  }

  private show(): void {
    const { player, replay } = this;
    const moment = player && replay?.at(player.tMs);
    if (!player || !replay || !moment) return;
    const { words, formats, session } = this.context;
    const clock = formats.clock(player.tMs, session.now(), true);
    say(this.clock, clock);
    const gap = words.say("replay.gap");
    say(this.facts, moment.gap ? gap : [formats.speed(moment.speedMps), formats.percent(moment.batteryPct)].join(" · "));
    this.facts.classList.toggle("gap", moment.gap);
    this.scrub.value = String(Math.round((player.tMs - replay.startMs) / STEP_MS));
    this.scrub.setAttribute("aria-valuetext", moment.gap ? `${clock}, ${gap}` : clock);
    say(this.play, words.say(player.playing ? "replay.pause" : "replay.play"));
    this.area()?.showMoment(moment);
  }

  private drawGaps(replay: Replay): void {
    this.gaps.replaceChildren(
      ...replay.gaps().map(({ from, to }) => {
        const mark = make("i");
        mark.style.insetInlineStart = `${from * 100}%`;
        mark.style.width = `${(to - from) * 100}%`;
        return mark;
      }),
    );
  }
}
