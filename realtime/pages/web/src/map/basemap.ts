/** The built-in map style: Natural Earth's land, coast and borders, GeoNames' places, and a graticule. No request leaves home. */
import type { ExpressionSpecification, LayerSpecification, StyleSpecification } from "maplibre-gl";

import type { Palette } from "../common/theme";

declare const __BASEMAP__: { path: string; maxzoom: number };

export const FONT = ["Noto Sans", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"];
export const GRATICULE = "graticule";
const ATTRIBUTION = "Map: Natural Earth · Places: GeoNames, CC BY 4.0";

export function basemapStyle(palette: Palette): StyleSpecification {
  return {
    version: 8,
    sources: {
      earth: {
        type: "vector",
        tiles: [`${location.origin}${__BASEMAP__.path}/{z}/{x}/{y}.pbf`],
        maxzoom: __BASEMAP__.maxzoom,
        attribution: ATTRIBUTION,
      },
      [GRATICULE]: { type: "geojson", data: { type: "FeatureCollection", features: [] } },
    },
    layers: basemapLayers(palette),
  };
}

const zoomed = (...stops: [number, number][]): ExpressionSpecification =>
  ["interpolate", ["linear"], ["zoom"], ...stops.flat()] as unknown as ExpressionSpecification;

/** The layers for a palette; on a change of theme their paint is set anew, layer by layer. */
export function basemapLayers(p: Palette): LayerSpecification[] {
  return [
    { id: "sea", type: "background", paint: { "background-color": p.sea } },
    { id: "land", type: "fill", source: "earth", "source-layer": "land", paint: { "fill-color": p.land, "fill-antialias": false } },
    {
      id: "grid",
      type: "line",
      source: GRATICULE,
      paint: { "line-color": p.grid, "line-opacity": zoomed([1, 0.1], [10, 0.16]), "line-width": 1 },
    },
    {
      id: "border",
      type: "line",
      source: "earth",
      "source-layer": "border",
      layout: { "line-join": "round" },
      paint: { "line-color": p.border, "line-width": zoomed([2, 0.6], [8, 1.6]) },
    },
    {
      id: "coast",
      type: "line",
      source: "earth",
      "source-layer": "coast",
      layout: { "line-join": "round", "line-cap": "round" },
      paint: { "line-color": p.coast, "line-width": zoomed([1, 0.5], [6, 1], [12, 2]) },
    },
    {
      id: "country-name",
      type: "symbol",
      source: "earth",
      "source-layer": "name",
      maxzoom: 8,
      filter: ["all", ["==", ["get", "kind"], "country"], ["<=", ["get", "zoom"], ["+", ["zoom"], 0.5]]],
      layout: {
        "text-field": ["get", "name"],
        "text-font": FONT,
        "text-size": zoomed([2, 11], [6, 15]),
        "text-letter-spacing": 0.12,
        "text-max-width": 7,
        "text-padding": 12,
        "text-transform": "uppercase",
      },
      paint: { "text-color": p.name, "text-halo-color": p.nameHalo, "text-halo-width": 1.2, "text-opacity": 0.85 },
    },
    {
      id: "place-name",
      type: "symbol",
      source: "earth",
      "source-layer": "name",
      filter: ["all", ["==", ["get", "kind"], "place"], ["<=", ["get", "zoom"], ["zoom"]]],
      layout: {
        "text-field": ["get", "name"],
        "text-font": FONT,
        "text-size": [
          "interpolate", ["linear"], ["zoom"],
          4, ["case", [">=", ["get", "people"], 1_500_000], 12, 10.5],
          12, ["case", [">=", ["get", "people"], 200_000], 19, [">=", ["get", "people"], 25_000], 13.5, 12],
        ],
        "text-max-width": 8,
        "text-padding": 10,
        "symbol-sort-key": ["-", 0, ["get", "people"]],
      },
      paint: { "text-color": p.name, "text-halo-color": p.nameHalo, "text-halo-width": 1.4 },
    },
  ];
}
