/**
 * Makes the table that says on the device which emergency number a place has: countries of Natural Earth 1:50m (world-atlas),
 * those with the same number joined into one shape, their borders drawn with fewer points, in hundredths of a degree.
 *
 * `[[number, rings], …]`; a ring is `[x, y, dx, dy, …]` in hundredths of a degree, lakes and enclaves are rings as well (even-odd).
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { merge } from "topojson-client";

import { FALLBACK, NUMBERS } from "./numbers.mjs";

const require = createRequire(import.meta.url);
const ANTARCTICA = "010";
/** How far a border may be moved, in degrees: three kilometres, little more than what 1:50m is true to. */
const TOLERANCE = 0.03;
const STEPS_A_DEGREE = 100;

export function table() {
  const topology = JSON.parse(readFileSync(require.resolve("world-atlas/countries-50m.json"), "utf8"));
  const plain = { ...topology, transform: undefined, arcs: topology.arcs.map((arc) => thinned(placed(arc, topology.transform))) };
  const numberOf = new Map(Object.entries(NUMBERS).flatMap(([number, ids]) => ids.map((id) => [id, number])));
  const groups = new Map();
  for (const country of topology.objects.countries.geometries) {
    if (country.id === ANTARCTICA) continue;
    const number = numberOf.get(country.id) ?? FALLBACK;
    groups.set(number, [...(groups.get(number) ?? []), country]);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([number, countries]) => {
    const rings = merge(plain, countries).coordinates.flat();
    return [number, rings.map(packed).filter((ring) => ring.length >= 6)];
  });
}

/** The same as a module of the pages: `virtual:emergency`. */
export function emergencyTable() {
  const NAME = "virtual:emergency";
  return {
    name: "emergency-table",
    resolveId: (id) => (id === NAME ? `\0${NAME}` : null),
    // A text that is parsed costs a phone less than as many literals of a script.
    load: (id) => (id === `\0${NAME}` ? `export default JSON.parse(${JSON.stringify(JSON.stringify(table()))});` : null),
  };
}

/** An arc's points in degrees. */
function placed(arc, { scale, translate }) {
  let x = 0;
  let y = 0;
  return arc.map(([dx, dy]) => {
    x += dx;
    y += dy;
    return [x * scale[0] + translate[0], y * scale[1] + translate[1]];
  });
}

/** The arc with no more points than the tolerance asks for (Douglas and Peucker); its ends stay, a closed one stays a shape. */
function thinned(points) {
  const last = points.length - 1;
  const keep = new Set([0, last]);
  const closed = points[0][0] === points[last][0] && points[0][1] === points[last][1];
  if (closed) {
    const far = farthest(points, 0, last, (p) => Math.hypot(p[0] - points[0][0], p[1] - points[0][1])).index;
    split(points, 0, far, keep);
    split(points, far, last, keep);
    keep.add(far);
    for (let i = 1; keep.size < Math.min(4, points.length); i += 1) keep.add(i);
  } else split(points, 0, last, keep);
  return points.filter((_, index) => keep.has(index));
}

function split(points, from, to, keep) {
  const { index, most } = farthest(points, from, to, (p) => offLine(p, points[from], points[to]));
  if (most <= TOLERANCE) return;
  keep.add(index);
  split(points, from, index, keep);
  split(points, index, to, keep);
}

function farthest(points, from, to, measure) {
  let index = from;
  let most = 0;
  for (let i = from + 1; i < to; i += 1) {
    const far = measure(points[i]);
    if (far > most) [index, most] = [i, far];
  }
  return { index, most };
}

function offLine([x, y], [ax, ay], [bx, by]) {
  const length2 = (bx - ax) ** 2 + (by - ay) ** 2;
  const t = length2 === 0 ? 0 : Math.max(0, Math.min(1, ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2));
  return Math.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay));
}

/** A ring as whole steps, each from the one before, its end left out; across the antimeridian it runs on beyond 180. */
function packed(ring) {
  const out = [];
  let [x, y, lon] = [0, 0, ring[0][0]];
  for (const [nextLon, lat] of ring.slice(0, -1)) {
    lon += ((((nextLon - lon + 180) % 360) + 360) % 360) - 180;
    const [nx, ny] = [Math.round(lon * STEPS_A_DEGREE), Math.round(lat * STEPS_A_DEGREE)];
    if (out.length && nx === x && ny === y) continue;
    out.push(nx - x, ny - y);
    [x, y] = [nx, ny];
  }
  return out;
}
