/** Calls somebody who looks elsewhere: the title, sound, and the browser's notifications, each where it was asked for. */
import { stillWished } from "../common/dom";
import { clean } from "../common/words";
import type { Alert } from "../common/alertwire";
import { isAudible, newlyUnanswered, soundOf } from "./deskalarm";
import { compareOpen, isUnanswered, type Alerts } from "./deskbook";
import type { ConsoleWords } from "./context";
import { DeskSound } from "./desksound";

const NOTIFY_KEY = "wayguard.notify";

export class DeskCall {
  readonly sound = new DeskSound();
  private before: Alerts = new Map();
  private flashOn = false;
  private worst: Alert | null = null;
  private unanswered = 0;

  constructor(
    private readonly words: ConsoleWords,
    private readonly choose: (alert: Alert) => void,
    private readonly announce: (text: string, urgent: boolean) => void,
  ) {
    const wake = (): void => void this.sound.wake();
    window.addEventListener("pointerdown", wake, { capture: true });
    window.addEventListener("keydown", wake, { capture: true });
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
      if (this.notifies) this.notify(alert);
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
    return this.words.say(alert.drill ? "desk.headline.drill" : "desk.headline", { kind, driver: clean(alert.driver, 40) });
  }

  private notify(alert: Alert): void {
    try {
      const shown = new Notification(this.headline(alert), { body: clean(alert.message, 120), tag: alert.id, silent: !isAudible(alert) });
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
