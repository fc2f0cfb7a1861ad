/** On a journey: what one glance must tell, and the one thing to do. */
import { make, say, show } from "../common/dom";
import { fact } from "../common/chrome";
import type { App } from "./app";
import { asked, bigButton, type Speech } from "./face";
import { whoIsNotified } from "./ownwords";

/** The check-in is the first thing to do from this long before it is due. */
const CHECK_SOON_MS = 300_000;

export class DriveView {
  readonly element: HTMLElement;
  private readonly going = make("h1");
  private readonly to = make("p", "to");
  private readonly facts = make("dl", "facts");
  private readonly since: HTMLElement;
  private readonly by: HTMLElement;
  private readonly speed: HTMLElement;
  private readonly accuracy: HTMLElement;
  private readonly check = make("section", "check");
  private readonly due = make("p", "due");
  private readonly dueWho = make("p", "who-is");
  private readonly byWho = make("p", "who-is");
  private readonly checkButton: HTMLButtonElement;
  private readonly endButton: HTMLButtonElement;

  constructor(
    private readonly speech: Speech,
    private readonly app: App,
  ) {
    const { words } = speech;
    this.since = fact(this.facts, words.say("drive.since"));
    this.by = fact(this.facts, words.say("drive.by"));
    this.speed = fact(this.facts, words.say("drive.speed"));
    this.accuracy = fact(this.facts, words.say("drive.accuracy"));
    this.checkButton = bigButton(words.say("check.go"), () => void app.timers.checkIn());
    this.check.append(this.due, this.checkButton, this.dueWho);
    this.endButton = bigButton(words.say("drive.end"), () => void this.end());
    this.element = make("section", "going", [make("div", "headline", [this.going, this.to]), this.facts, this.byWho, this.check, this.endButton]);
  }

  update(nowMs: number): void {
    const { app, speech: { words, formats } } = this;
    const journey = app.outbox.current;
    if (!journey) return;
    const { newest } = app.locator;
    say(this.going, words.say(newest === null ? "drive.waiting" : app.locator.gait === "moving" ? "drive.going" : "drive.still"));
    say(this.to, journey.destination === null ? words.say("drive.nowhere") : words.say("drive.to", { place: journey.destination }));
    say(this.since, formats.clock(journey.startedAtMs, nowMs));
    const { by, everyS, watch } = app.timers;
    const { plans } = app.own.own;
    show(this.by.parentElement!, by !== null);
    show(this.byWho, by !== null);
    if (by !== null) say(this.byWho, whoIsNotified(this.speech, plans.arrive_by_missed, "home.by.who"));
    if (everyS !== null) say(this.dueWho, whoIsNotified(this.speech, plans.check_in_missed, "home.check.who"));
    if (by !== null) say(this.by, formats.clock(by, nowMs));
    say(this.speed, formats.speed(newest?.[3] ?? null));
    say(this.accuracy, formats.accuracy(newest?.[5] ?? null));
    show(this.check, everyS !== null);
    const leftMs = (watch.dueMs ?? 0) - nowMs;
    const fresh = everyS !== null && everyS * 1_000 - leftMs < 10_000 && watch.checkIn === false && this.checked;
    const key = leftMs <= 0 ? "check.late" : fresh ? "check.done" : "check.due";
    say(this.due, words.say(key, { time: formats.duration(Math.max(60_000, leftMs)) }));
    this.check.dataset["late"] = String(leftMs <= 0);
    // One primary action: to check in when that is near, else to end the journey.
    const soon = everyS !== null && leftMs < CHECK_SOON_MS;
    this.checkButton.classList.toggle("quiet", !soon);
    this.endButton.classList.toggle("quiet", soon);
  }

  /** Whether the driver has checked in on this journey at all: arming it is none. */
  private get checked(): boolean {
    const { watch, everyS } = this.app.timers;
    const journey = this.app.outbox.current;
    return journey !== null && everyS !== null && (watch.dueMs ?? 0) - everyS * 1_000 - journey.startedAtMs > 1_000;
  }

  private async end(): Promise<void> {
    const { words } = this.speech;
    const sure = await asked(words.say("drive.end.sure"), words.say("drive.end.why"), words.say("drive.end.yes"), words.say("drive.end.no"));
    if (sure) await this.app.end();
  }
}
