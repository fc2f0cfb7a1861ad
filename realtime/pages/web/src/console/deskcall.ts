/** Calls somebody who looks elsewhere: the title, sound, and the browser's notifications, each where it was asked for. */
import { stillWished } from "../common/dom";
import { clean } from "../common/words";
import type { Alert } from "../common/alertwire";
import { isAudible, newlyUnanswered, soundOf } from "./deskalarm";
import { compareOpen, isUnanswered, type Alerts } from "./deskbook";
import type { ConsoleWords } from "./context";
import type { NameBook } from "./names";
import { DeskSound } from "./desksound";

const NOTIFY_KEY = "wayguard.notify";

export class DeskCall {
  readonly sound = new DeskSound();
  private before: Alerts = new Map();
  private flashOn = false;
  private worst: Alert | null = null;
  private unanswered = 0;
  /** Notified of by the driver's id, as the name was not known yet. */
  private unnamed: Alert[] = [];

  constructor(
    private readonly words: ConsoleWords,
    private readonly names: NameBook,
    private readonly choose: (alert: Alert) => void,
    private readonly announce: (text: string, urgent: boolean) => void,
  ) {
    const wake = (): void => void this.sound.wake();
    window.addEventListener("pointerdown", wake, { capture: true });
    window.addEventListener("keydown", wake, { capture: true });
    names.onChange(() => this.named());
  }

  get notifies(): boolean {
    return "Notification" in window && Notification.permission === "granted" && localStorage.getItem(NOTIFY_KEY) === "on";
  }

  get mayNotify(): boolean {
    return "Notification" in window && Notification.permission !== "denied";
  }

  /** By a click alone; asks for permission where it was not given. */
  async turnNotifications(on: boolean): Promise<void> {
    if (on && Notification.permission === "default") await Notification.requestPermission();
    localStorage.setItem(NOTIFY_KEY, on && Notification.permission === "granted" ? "on" : "off");
  }

  /** The alerts that this desk answers for, as they are now. */
  update(alerts: Alerts): void {
    const waiting = [...alerts.values()].filter(isUnanswered).sort(compareOpen);
    this.sound.want(soundOf(waiting));
    for (const alert of newlyUnanswered(this.before, waiting)) {
      this.announce(this.headline(alert), isAudible(alert));
      if (!this.notifies) continue;
      this.notify(alert, !isAudible(alert));
      if (this.names.nameOf(alert.driver) === null) this.unnamed.push(alert);
    }
    this.before = alerts;
    this.worst = waiting.find((alert) => !alert.drill) ?? waiting[0] ?? null;
    this.unanswered = waiting.length;
    this.title();
  }

  /** Once a second: the title says it in turns, or for good where the reader wants no movement. */
  tick(): void {
    this.flashOn = stillWished() || !this.flashOn;
    this.title();
  }

  private title(): void {
    const base = `${this.words.say("title")} · ${this.words.say("brand")}`;
    const plain = this.unanswered ? `(${this.unanswered}) ${base}` : base;
    const title = this.worst && this.flashOn ? `${this.headline(this.worst)} · ${this.words.say("brand")}` : plain;
    if (document.title !== title) document.title = title;
  }

  private headline(alert: Alert): string {
    const kind = this.words.find(`alert.kind.${alert.kind}`) ?? alert.kind;
    return this.words.say(alert.drill ? "desk.headline.drill" : "desk.headline", { kind, driver: clean(this.names.of(alert.driver), 40) });
  }

  /** Names that came too late take the place of ids, without a sound: the tag is the same. */
  private named(): void {
    const [waiting, now] = [this.unnamed, this.before];
    this.unnamed = waiting.filter((alert) => this.names.nameOf(alert.driver) === null && now.has(alert.id));
    for (const alert of waiting) {
      const still = now.get(alert.id);
      if (this.notifies && still && isUnanswered(still) && this.names.nameOf(alert.driver) !== null) this.notify(still, true);
    }
    this.title();
  }

  private notify(alert: Alert, silent: boolean): void {
    try {
      const shown = new Notification(this.headline(alert), { body: clean(alert.message, 120), tag: alert.id, silent });
      shown.onclick = () => {
        window.focus();
        this.choose(alert);
        shown.close();
      };
    } catch {
      // Some browsers let only a service worker show any; the desk shows it all the same.
    }
  }
}
