/** What is known of one open card: who was tried and how it went, and what happened, kept live while it is looked at. */
import type { Alert } from "../common/alertwire";
import { make, say, show } from "../common/dom";
import { clean } from "../common/words";
import { isRefusal } from "../common/wire";
import { explained, type Context } from "./context";
import { stillMoves } from "./deskfeed";
import { readDetail, tried, type Detail, type Tried } from "./deskwire";
import { contactText, lineText, statusText } from "./deskwords";

const EVERY_MS = 2_000;
const SOON_MS = 250;

export class DeskDetail {
  readonly element = make("div", "alert-detail");
  detail: Detail | null = null;
  private readonly message = make("blockquote", "alert-message", [], { dir: "auto" });
  private readonly fault = make("p", "fault", [], { hidden: "" });
  private readonly people = make("ul", "tried");
  private readonly history = make("ol", "history");
  private timer = 0;
  private asking = false;
  private again = false;
  private stopped = false;
  private shown = "";

  constructor(
    private readonly context: Context,
    private alert: Alert,
  ) {
    const { words } = context;
    this.element.append(
      this.message, this.fault,
      make("h4", "", words.say("desk.tried")), this.people,
      make("h4", "", words.say("desk.history")), this.history,
    );
    this.update(alert);
    void this.ask();
  }

  /** The alert has changed: what is known of it is asked for again. */
  update(alert: Alert): void {
    const newer = alert.version > this.alert.version;
    this.alert = alert;
    say(this.message, clean(alert.message, 500));
    show(this.message, alert.message !== "");
    if (newer) this.soon(SOON_MS);
  }

  stop(): void {
    this.stopped = true;
    window.clearTimeout(this.timer);
  }

  private soon(ms: number): void {
    if (this.asking) this.again = true;
    else {
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => void this.ask(), ms);
    }
  }

  private async ask(): Promise<void> {
    if (this.stopped) return;
    this.asking = true;
    this.again = false;
    try {
      if (!document.hidden || !this.detail) {
        this.detail = readDetail(await this.context.api.get(`/api/v1/alerts/${encodeURIComponent(this.alert.id)}`));
        this.draw(this.detail);
        show(this.fault, false);
      }
    } catch (error) {
      if (!isRefusal(error)) throw error;
      say(this.fault, explained(this.context.words, error));
      show(this.fault, true);
    }
    this.asking = false;
    const moves = stillMoves(this.alert, this.context.session.now());
    if (!this.stopped && (moves || this.again)) this.soon(this.again ? SOON_MS : EVERY_MS);
  }

  private draw({ attempts, history }: Detail): void {
    // Only what has changed is drawn anew, so that a reader is not thrown out of a line.
    const state = JSON.stringify([attempts, history]);
    if (state === this.shown) return;
    this.shown = state;
    const { words } = this.context;
    const people = tried(attempts).map((person) => this.person(person));
    this.people.replaceChildren(...(people.length ? people : [make("li", "detail", words.say("desk.tried.none"))]));
    const nowMs = this.context.session.now();
    this.history.replaceChildren(
      ...history.map((line) => {
        const time = make("time", "", this.context.formats.clock(line.atMs, nowMs, true), { datetime: new Date(line.atMs).toISOString() });
        const text = make("span", "", lineText(this.context, line));
        const note = line.note === null ? [] : [make("q", "", clean(line.note, 1_000), { dir: "auto" })];
        return make("li", "", [time, make("div", "", [text, ...note])]);
      }),
    );
  }

  private person({ contactId, contact, ways }: Tried): HTMLElement {
    const nowMs = this.context.session.now();
    const rows = ways.map(({ purpose, channel, newest, tries }) => {
      const by = this.context.words.find(`channel.${channel}`) ?? clean(channel, 20);
      const about = purpose === "alert" ? "" : (this.context.words.find(`desk.purpose.${purpose}`) ?? clean(purpose, 30));
      const row = make("li", "way", [
        make("i", "dot", [], { "aria-hidden": "true" }),
        make("span", "by", about ? `${by} · ${about}` : by),
        make("span", "went", statusText(this.context, newest, tries, nowMs)),
      ]);
      row.dataset["status"] = newest.status;
      return row;
    });
    return make("li", "", [make("bdi", "name", contactText(this.context, contactId, contact)), make("ul", "ways", rows)]);
  }
}
