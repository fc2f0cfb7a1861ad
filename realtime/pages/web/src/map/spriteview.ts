/** What the map shows, and where a place is on it. The map neither turns nor tilts. */
import { mercatorX, mercatorY, worldPx } from "./mercator";

export interface Looked {
  lon: number;
  lat: number;
  zoom: number;
  width: number;
  height: number;
}

/** The middle of the view in the Mercator square. */
export function lookedAt({ lon, lat }: Looked): { x: number; y: number } {
  return { x: mercatorX(lon), y: mercatorY(lat) };
}

/** How big icons are: smaller from far away, where they would hide each other. */
export function iconScale(zoom: number): number {
  if (zoom <= 4) return 0.5;
  if (zoom <= 10) return 0.5 + ((zoom - 4) / 6) * 0.25;
  return Math.min(1, 0.75 + ((zoom - 10) / 3) * 0.25);
}

/** Where a place is on the screen, in CSS pixels from the map's corner; of all its copies the nearest to the middle. */
export function project(looked: Looked, lon: number, lat: number): { x: number; y: number } {
  const world = worldPx(looked.zoom);
  let dx = mercatorX(lon) - mercatorX(looked.lon);
  dx -= Math.floor(dx + 0.5);
  return { x: looked.width / 2 + dx * world, y: looked.height / 2 + (mercatorY(lat) - mercatorY(looked.lat)) * world };
}
