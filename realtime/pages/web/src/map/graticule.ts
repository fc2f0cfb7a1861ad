/** Lines of latitude and longitude for what is in view, so that movement shows where the basemap has nothing to say. */

const STEPS = [30, 15, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005];
const MOST_LINES = 120;

export interface View {
  west: number;
  east: number;
  south: number;
  north: number;
}

/** The coarsest step in degrees that still puts lines no farther apart than a quarter of the view. */
export function stepFor(view: View): number {
  const span = Math.max(1e-4, view.north - view.south);
  return STEPS.find((step) => step <= span / 4) ?? STEPS[STEPS.length - 1]!;
}

/** Lines of the view and half as much around it, so that a pan does not run out of them. */
export function lines(view: View): [number, number][][] {
  const step = stepFor(view);
  const padLon = (view.east - view.west) / 2;
  const padLat = (view.north - view.south) / 2;
  const west = Math.max(-540, view.west - padLon);
  const east = Math.min(540, view.east + padLon);
  const south = Math.max(-85, view.south - padLat);
  const north = Math.min(85, view.north + padLat);
  const found: [number, number][][] = [];
  for (const lon of multiples(west, east, step)) found.push([[lon, south], [lon, north]]);
  for (const lat of multiples(south, north, step)) found.push([[west, lat], [east, lat]]);
  return found;
}

function multiples(low: number, high: number, step: number): number[] {
  const first = Math.ceil(low / step);
  const count = Math.min(MOST_LINES, Math.floor(high / step) - first + 1);
  return Array.from({ length: Math.max(0, count) }, (_, i) => (first + i) * step);
}
