/**
 * Draws the way of a journey up to the gliding marker. The settled part is handed to the map rarely, since a long
 * journey is dear to cut into tiles; the head, a few dozen points, every frame.
 */
import { WAY, WAY_HEAD } from "./markers";
import type { MapView } from "./mapview";
import type { Place } from "./motion";
import { metresBetween, shortestTurn } from "./motion";
import type { PlacedPoint } from "../common/wire";

const HEAD_POINTS = 80;
const SETTLE_EVERY_MS = 2_000;
const AHEAD_POINTS = 10;

export class Way {
  private settled = -1;
  private settledAtMs = 0;

  constructor(private readonly view: MapView) {}

  /** Draws `points` as far as the marker, `shown`, has come, and on to it. */
  draw(points: readonly PlacedPoint[], shown: Place, nowMs: number): void {
    const end = passed(points, shown);
    const due = this.settled < 0 || (end - this.settled > HEAD_POINTS && nowMs - this.settledAtMs > SETTLE_EVERY_MS);
    if (due) {
      this.settled = Math.max(0, end - AHEAD_POINTS);
      this.view.put(WAY, line(points.slice(0, this.settled)));
      this.settledAtMs = nowMs;
    }
    const from = Math.max(0, this.settled - 1);
    this.view.put(WAY_HEAD, line([...points.slice(from, end), shown]));
  }

  clear(): void {
    this.settled = -1;
    this.view.put(WAY, []);
    this.view.put(WAY_HEAD, []);
  }
}

/**
 * How many of the points the marker has passed. It glides to the last one; points before that which are nearer
 * to it than the marker still lie ahead.
 */
export function passed(points: readonly PlacedPoint[], shown: Place): number {
  const goal = points[points.length - 1];
  if (!goal) return 0;
  const left = metresBetween(shown, goal);
  let end = points.length - 1;
  const least = Math.max(0, end - AHEAD_POINTS);
  while (end > least && metresBetween(points[end - 1]!, goal) < left) end -= 1;
  return end;
}

/** A line through the places, the short way across the antimeridian; nothing when there are not two. */
export function line(places: readonly { lon: number; lat: number }[], properties: Record<string, number> = {}): GeoJSON.Feature[] {
  if (places.length < 2) return [];
  let lon = places[0]!.lon;
  const coordinates = places.map((place) => {
    lon += shortestTurn(lon, place.lon);
    return [lon, place.lat];
  });
  return [{ type: "Feature", properties, geometry: { type: "LineString", coordinates } }];
}
