/** Web Mercator: the world as a square of side 1, as maps draw it. */

const HIGHEST_LAT = 85.051129;

export function mercatorX(lon: number): number {
  return (lon + 180) / 360;
}

export function mercatorY(lat: number): number {
  const within = Math.max(-HIGHEST_LAT, Math.min(HIGHEST_LAT, lat));
  const sin = Math.sin((within * Math.PI) / 180);
  return 0.5 - Math.log((1 + sin) / (1 - sin)) / (4 * Math.PI);
}

/** How many CSS pixels the world is wide at a zoom. */
export function worldPx(zoom: number): number {
  return 512 * 2 ** zoom;
}
