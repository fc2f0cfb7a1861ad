/**
 * What the page behind the link in a message adds to itself once it stands: the map, where the driver is now, and the emergency
 * number of that place. The page (`realtime/answers/static`) asks for this script late and waits for none of it.
 */
import { AnswerFeed } from "./answerfeed";
import type { PlacedPoint } from "../common/wire";

/** What the page says of itself: the token, and the newest view that it has shown; null when the link is no good. */
export interface Told {
  token: string;
  view: {
    lat: number | null;
    lon: number | null;
    accuracy_m: number | null;
    place_ms: number | null;
    closed: boolean;
  };
}

declare global {
  interface Window {
    wayguardShown?: Told | null;
  }
}

const ASK_AGAIN_MS = 4_000;

async function main(): Promise<void> {
  const container = document.getElementById("map");
  if (!container) return;
  const feed = new AnswerFeed(() => draw());
  let map: import("./answermap").AnswerMap | null = null;
  let numberOf: ((place: PlacedPoint) => { number: string; known: boolean }) | null = null;
  let said = "";

  function draw(): void {
    const told = window.wayguardShown ?? null;
    const spot = told && feed.spot(told);
    feed.follow(told);
    map?.put(spot, told?.view.closed ?? true, feed.nowMs());
    if (!spot || !numberOf) return;
    const emergency = numberOf(spot);
    if (emergency.number === said) return;
    said = emergency.number;
    document.dispatchEvent(new CustomEvent("wayguard:number", { detail: emergency }));
  }

  document.addEventListener("wayguard:shown", draw);
  const load = async (): Promise<void> => {
    const { openMap } = await import("./answermap");
    map ??= await openMap(container);
    draw();
    ({ emergencyOf: numberOf } = await import("./emergency"));
    draw();
  };
  for (let tries = 0; tries < 5; tries += 1) {
    try {
      draw();
      await load();
      return;
    } catch {
      // A line that breaks: the page goes on without a map, and it is asked for again.
      await new Promise((resolve) => window.setTimeout(resolve, ASK_AGAIN_MS * 2 ** tries));
    }
  }
}

void main();
