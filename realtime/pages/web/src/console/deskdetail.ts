/** What is known of one open card: who was tried and how it went, and what happened, kept live while it is looked at. */
import { isOpen, type Alert } from "../common/alertwire";
import { make, say, show } from "../common/dom";
import { clean } from "../common/words";
import { isRefusal } from "../common/wire";
import { CallLine } from "./callline";
import { explained, type Context } from "./context";
import { stillMoves } from "./deskfeed";
import {
  keyOfAttempt, keyOfLine, preceded, readAttemptsPage, readDetail, readHistoryPage, renewed, tried,
  type Detail, type Tried,
} from "./deskwire";
import { contactText, lineText, statusText } from "./deskwords";

const EVERY_MS = 2_000;
const SOON_MS = 250;
/** Entries of a page; once earlier ones are shown as many are kept live, up to what the server gives at once. */
const PAGE = 100;
const MAX_PAGE = 500;

export class DeskDetail {
  readonly element = make("div", "alert-detail");
  detail: Detail | null = null;
  private readonly call: CallLine;
  private readonly message = make("blockquote", "alert-message", [], { dir: "auto" });
  private readonly fault = make("p", "fault", [], { hidden: "" });
  private readonly people = make("ul", "tried");
  private readonly history = make("ol", "history");
  private readonly earlierPeople = make("button", "plain", [], { type: "button", hidden: "" });
  private readonly earlierHistory = make("button", "plain", [], { type: "button", hidden: "" });
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
    this.call = new CallLine(context);
    this.call.of(alert.driver);
    say(this.earlierPeople, words.say("desk.tried.earlier"));
    say(this.earlierHistory, words.say("desk.history.earlier"));
    this.earlierPeople.addEventListener("click", () => void this.earlier(this.earlierPeople, "attempts"));
    this.earlierHistory.addEventListener("click", () => void this.earlier(this.earlierHistory, "history"));
    this.element.append(
      this.call.element, this.message, this.fault,
      make("h4", "", words.say("desk.tried")), this.earlierPeople, this.people,
      make("h4", "", words.say("desk.history")), this.earlierHistory, this.history,
    );
    this.update(alert);
    void this.ask();
  }

  /** The alert has changed: what is known of it is asked for again. */
  update(alert: Alert): void {
    const newer = alert.version > this.alert.version;
    this.alert = alert;
    this.call.mayHarm(isOpen(alert) && (alert.silent || alert.duress));
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
        const shown = Math.max(this.detail?.attempts.entries.length ?? 0, this.detail?.history.entries.length ?? 0, PAGE);
        const newest = readDetail(await this.context.api.get(`${this.path()}?limit=${Math.min(shown, MAX_PAGE)}`));
        this.detail = this.detail === null ? newest : {
          attempts: renewed(this.detail.attempts, newest.attempts, keyOfAttempt),
          history: renewed(this.detail.history, newest.history, keyOfLine),
        };
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

  private path(): string {
    return `/api/v1/alerts/${encodeURIComponent(this.alert.id)}`;
  }

  /** The page before what is shown of one list. */
  private async earlier(button: HTMLButtonElement, what: "attempts" | "history"): Promise<void> {
    const cursor = this.detail?.[what].earlier ?? null;
    if (cursor === null) return;
    button.disabled = true;
    try {
      const answer = await this.context.api.get(`${this.path()}/${what}?limit=${PAGE}&cursor=${encodeURIComponent(cursor)}`);
      // Where the list was begun anew meanwhile, the page is not the one before it: it is asked for again.
      if (this.detail && this.detail[what].earlier === cursor) {
        if (what === "attempts") this.detail.attempts = preceded(this.detail.attempts, readAttemptsPage(answer));
        else this.detail.history = preceded(this.detail.history, readHistoryPage(answer));
        this.draw(this.detail);
      }
      show(this.fault, false);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      say(this.fault, explained(this.context.words, error));
      show(this.fault, true);
    } finally {
      button.disabled = false;
    }
  }

  private draw({ attempts, history }: Detail): void {
    // Only what has changed is drawn anew, so that a reader is not thrown out of a line.
    const state = JSON.stringify([attempts, history]);
    if (state === this.shown) return;
    this.shown = state;
    show(this.earlierPeople, attempts.earlier !== null);
    show(this.earlierHistory, history.earlier !== null);
    const { words } = this.context;
    const people = tried(attempts.entries).map((person) => this.person(person));
    this.people.replaceChildren(...(people.length ? people : [make("li", "detail", words.say("desk.tried.none"))]));
    const nowMs = this.context.session.now();
    this.history.replaceChildren(
      ...history.entries.map((line) => {
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
