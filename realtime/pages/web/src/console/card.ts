/** The card of the driver that was clicked. */
import { button, fact } from "../common/chrome";
import { ICONS, make, say, show } from "../common/dom";
import type { Driver } from "./fleet";
import { accuracyText, agoText, percentText, speedText, type Freshness } from "../common/freshness";

const WORDS: Record<Freshness, string> = { fresh: "Live", stale: "No news", offline: "Offline" };

export class Card {
  readonly element = make("aside", "panel card", [], { hidden: "", "aria-label": "Driver" });
  private readonly name = make("h2");
  private readonly pill = make("span", "pill");
  private readonly age = make("span", "age");
  private readonly speed: HTMLElement;
  private readonly battery: HTMLElement;
  private readonly accuracy: HTMLElement;
  private readonly journey: HTMLElement;

  constructor(close: () => void) {
    const facts = make("dl", "facts");
    this.speed = fact(facts, "Speed");
    this.battery = fact(facts, "Battery");
    this.accuracy = fact(facts, "Accuracy");
    this.journey = fact(facts, "Journey");
    const head = make("header", "", [this.name, button("Close", ICONS.close, close)]);
    this.element.append(head, make("p", "status", [this.pill, this.age]), facts);
  }

  update(driver: Driver, state: Freshness, ageMs: number): void {
    const { point } = driver;
    say(this.name, driver.id);
    this.pill.dataset["state"] = state;
    say(this.pill, WORDS[state]);
    say(this.age, `Position taken ${agoText(ageMs)}`);
    say(this.speed, state === "fresh" ? speedText(point.speedMps) : point.speedMps === null ? "–" : `was ${speedText(point.speedMps)}`);
    say(this.battery, percentText(point.batteryPct));
    say(this.accuracy, accuracyText(point.accuracyM));
    say(this.journey, driver.journeyEnded ? "ended" : driver.journey ? `…${driver.journey.slice(-12)}` : "–");
    this.journey.title = driver.journey;
    show(this.element, true);
  }

  hide(): void {
    show(this.element, false);
  }
}
