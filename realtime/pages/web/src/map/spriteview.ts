/** What the map shows, as the markers' program wants it. */
import { mercatorX, mercatorY, worldPx } from "./mercator";

/** Finer than this no eye sees, and every pixel costs. */
export const HIGH_DPR = 2;

export interface SpriteView {
  eye: [number, number, number, number];
  scale: [number, number];
  pixel: [number, number];
  nowS: number;
  iconScale: number;
}

export interface Looked {
  lon: number;
  lat: number;
  zoom: number;
  width: number;
  height: number;
}

export function spriteView(looked: Looked, nowMs: number, epochMs: number): SpriteView {
  const [x, y] = [mercatorX(looked.lon), mercatorY(looked.lat)];
  const [highX, highY] = [Math.fround(x), Math.fround(y)];
  const world = worldPx(looked.zoom);
  const pixel: [number, number] = [2 / looked.width, -2 / looked.height];
  return {
    eye: [highX, highY, x - highX, y - highY],
    scale: [world * pixel[0], world * pixel[1]],
    pixel,
    nowS: (nowMs - epochMs) / 1_000,
    iconScale: iconScale(looked.zoom),
  };
}

/** Smaller from far away, where they would hide each other. */
export function iconScale(zoom: number): number {
  if (zoom <= 4) return 0.5;
  if (zoom <= 10) return 0.5 + ((zoom - 4) / 6) * 0.25;
  return Math.min(1, 0.75 + ((zoom - 10) / 3) * 0.25);
}

/** Where a place is on the screen, in CSS pixels from the map's corner. */
export function project(looked: Looked, lon: number, lat: number): { x: number; y: number } {
  const world = worldPx(looked.zoom);
  let dx = mercatorX(lon) - mercatorX(looked.lon);
  dx -= Math.floor(dx + 0.5);
  return { x: looked.width / 2 + dx * world, y: looked.height / 2 + (mercatorY(lat) - mercatorY(looked.lat)) * world };
}
