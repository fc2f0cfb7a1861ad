/** The person's part of the sheet: name, how fresh, moving or not, battery, where to and by when, open in maps. */
import { fact } from "../common/chrome";
import { icon, make, say, show } from "../common/dom";
import type { Freshness } from "../common/freshness";
import type { Formats } from "../common/format";
import type { PlacedPoint } from "../common/wire";
import { metresBetween } from "../map/motion";
import type { ContactWords } from "./contactwords";
import { mapsUri, webMapUrl, type Movement, type Trip } from "./trip";

export const MAP_PIN = "M12 21s7-6.1 7-11.5A7 7 0 0 0 5 9.5C5 14.9 12 21 12 21zM12 12a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5z";
const LOW_BATTERY = 15;
const NEAR_M = 30;

export interface Shown {
  name: string;
  state: string;
  /** How the pill is coloured. */
  look: Freshness;
  sentence: string;
  point: PlacedPoint | null;
  fresh: boolean;
  movement: Movement | null;
  trip: Trip | null;
  ended: boolean;
  /** In an alert the button that opens a map program is over the map. */
  alarmed: boolean;
  nowMs: number;
}

export class Card {
  readonly element = make("section", "person");
  private readonly name = make("h1");
  private readonly pill = make("span", "pill");
  private readonly sentence = make("p", "sentence", [], { role: "status" });
  private readonly facts = make("dl", "facts", [], { hidden: "" });
  private readonly movement: HTMLElement;
  private readonly speed: HTMLElement;
  private readonly battery: HTMLElement;
  private readonly accuracy: HTMLElement;
  private readonly to: HTMLElement;
  private readonly by: HTMLElement;
  private readonly maps = make("button", "button wide", [], { type: "button", hidden: "" });
  private readonly web = make("button", "link", [], { type: "button" });
  private readonly hint = make("p", "hint", [], { hidden: "" });
  private place: { lat: number; lon: number } | null = null;

  constructor(
    private readonly words: ContactWords,
    private readonly formats: Formats,
  ) {
    this.movement = fact(this.facts, words.say("fact.movement"));
    this.speed = fact(this.facts, words.say("fact.speed"));
    this.battery = fact(this.facts, words.say("fact.battery"));
    this.accuracy = fact(this.facts, words.say("fact.accuracy"));
    this.to = fact(this.facts, words.say("fact.to"));
    this.by = fact(this.facts, words.say("fact.by"));
    this.maps.append(icon(MAP_PIN), make("span", "", words.say("maps")));
    this.maps.addEventListener("click", () => this.openApp());
    say(this.web, words.say("maps.web"));
    this.web.addEventListener("click", () => this.openWeb());
    this.hint.append(make("span", "", words.say("maps.hint")), this.web);
    const who = make("div", "who", [this.name, this.pill]);
    this.element.append(who, this.sentence, this.facts, this.maps, this.hint);
  }

  update(now: Shown): void {
    const { formats } = this;
    this.place = now.point;
    say(this.name, now.name);
    say(this.pill, now.state);
    this.pill.dataset["state"] = now.look;
    say(this.sentence, now.sentence);
    show(this.facts, now.point !== null || now.trip?.destination != null || now.trip?.arriveByMs != null);
    show(this.maps, now.point !== null && !now.alarmed);
    if (now.point === null) show(this.hint, false);
    this.fill(this.movement, now.fresh ? this.movementText(now) : null);
    this.fill(this.speed, now.fresh && now.point?.speedMps != null ? formats.speed(now.point.speedMps) : null);
    this.fill(this.battery, this.batteryText(now.point?.batteryPct ?? null));
    this.fill(this.accuracy, now.point?.accuracyM != null ? formats.accuracy(now.point.accuracyM) : null);
    this.fill(this.to, now.ended ? null : this.destinationText(now));
    this.fill(this.by, now.ended ? null : this.arrivalText(now));
    const battery = now.point?.batteryPct ?? 100;
    this.battery.dataset["low"] = String(battery <= LOW_BATTERY);
    this.by.dataset["low"] = String(now.trip?.arriveByMs != null && now.trip.arriveByMs < now.nowMs);
  }

  /** Nothing of the person stays. */
  clear(): void {
    this.place = null;
    this.element.replaceChildren();
  }

  private fill(value: HTMLElement, text: string | null): void {
    show(value.parentElement!, text !== null);
    say(value, text ?? "");
  }

  private movementText({ movement, nowMs }: Shown): string | null {
    if (movement === null) return null;
    const word = this.words.say(movement.moving ? "moving" : "standing");
    if (movement.sinceMs === null) return word;
    return `${word} ${this.words.say("since", { time: this.formats.clock(movement.sinceMs, nowMs) })}`;
  }

  private batteryText(pct: number | null): string | null {
    if (pct === null) return null;
    const percent = this.formats.percent(pct);
    return pct <= LOW_BATTERY ? this.words.say("battery.low", { percent }) : percent;
  }

  private destinationText({ trip, point }: Shown): string | null {
    const goal = trip?.destination;
    if (!goal) return null;
    const metres = goal.place && point ? metresBetween(goal.place, point) : null;
    if (metres === null || metres < NEAR_M) return goal.name || null;
    const distance = this.formats.distance(metres);
    return goal.name ? this.words.say("to.far", { place: goal.name, distance }) : this.words.say("to.place", { distance });
  }

  private arrivalText({ trip, nowMs }: Shown): string | null {
    const by = trip?.arriveByMs ?? null;
    if (by === null) return null;
    const time = this.formats.clock(by, nowMs);
    return by < nowMs - 60_000 ? this.words.say("by.late", { time, late: this.formats.duration(nowMs - by) }) : time;
  }

  /** The address is made at the tap, and is a map app's, not ours. */
  openApp(): void {
    if (!this.place) return;
    window.location.href = mapsUri(this.place, navigator.userAgent);
    show(this.hint, true);
  }

  private openWeb(): void {
    if (this.place) window.open(webMapUrl(this.place), "_blank", "noopener,noreferrer");
  }
}
