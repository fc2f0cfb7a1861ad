/**
 * Which emergency number a place has, from the table that `emergency/build.mjs` makes. Pure; the place stays on the device.
 *
 * A place on no country's shape (the sea, a quay, an island too small for the table) has the number of a coast within
 * `NEAR_KM`, else the one that mobile phones know nearly everywhere.
 */
export type Table = readonly (readonly [string, readonly (readonly number[])[]])[];

export interface Emergency {
  number: string;
  /** Whether it is the number of a country there, not only the one that works nearly anywhere. */
  known: boolean;
}

export const ANYWHERE = "112";
const NEAR_KM = 30;
const KM_A_DEGREE = 111.2;
const STEPS_A_DEGREE = 100;

export function emergencyAt(table: Table, lat: number, lon: number): Emergency {
  const spot = { lat, lon, shrink: Math.cos((lat * Math.PI) / 180) };
  let nearest = ANYWHERE;
  let nearestKm = Infinity;
  for (const [number, rings] of table) {
    let inside = false;
    for (const ring of rings) {
      const { odd, km } = against(ring, spot);
      if (odd) inside = !inside;
      if (km < nearestKm) [nearest, nearestKm] = [number, km];
    }
    if (inside) return { number, known: true };
  }
  return nearestKm <= NEAR_KM ? { number: nearest, known: true } : { number: ANYWHERE, known: false };
}

interface Spot {
  lat: number;
  lon: number;
  /** How much shorter a degree of longitude is here. */
  shrink: number;
}

/** Whether a ray from the spot crosses the ring an odd number of times, and how far the ring is from it. */
function against(ring: readonly number[], { lat, lon, shrink }: Spot): { odd: boolean; km: number } {
  const x0 = ring[0]! / STEPS_A_DEGREE;
  // A ring runs on beyond 180; the spot is looked for at the longitude nearest to where it begins, and a turn either way.
  let odd = false;
  let least = Infinity;
  for (const turn of [-360, 0, 360]) {
    if (Math.abs(lon + turn - x0) > 200) continue;
    const px = lon + turn;
    let x = 0;
    let y = 0;
    let ax = 0;
    let ay = 0;
    const step = (bx: number, by: number): void => {
      if (ay > lat !== by > lat && px < ((bx - ax) * (lat - ay)) / (by - ay) + ax) odd = !odd;
      least = Math.min(least, apart2((ax - px) * shrink, ay - lat, (bx - px) * shrink, by - lat));
      [ax, ay] = [bx, by];
    };
    for (let i = 0; i < ring.length; i += 2) {
      x += ring[i]!;
      y += ring[i + 1]!;
      if (i === 0) [ax, ay] = [x / STEPS_A_DEGREE, y / STEPS_A_DEGREE];
      else step(x / STEPS_A_DEGREE, y / STEPS_A_DEGREE);
    }
    step(ring[0]! / STEPS_A_DEGREE, ring[1]! / STEPS_A_DEGREE);
  }
  return { odd, km: Math.sqrt(least) * KM_A_DEGREE };
}

/** The square of how far the line from a to b is from the origin. */
function apart2(ax: number, ay: number, bx: number, by: number): number {
  const [dx, dy] = [bx - ax, by - ay];
  const length2 = dx * dx + dy * dy;
  const t = length2 === 0 ? 0 : Math.max(0, Math.min(1, -(ax * dx + ay * dy) / length2));
  return (ax + t * dx) ** 2 + (ay + t * dy) ** 2;
}
