/** What is drawn on top of any map: markers, their names, ways, accuracy. Layer specs and icons, per palette. */
import type { ExpressionSpecification, LayerSpecification } from "maplibre-gl";

import type { Palette } from "../common/theme";

export const MARKERS = "markers";
export const TRAILS = "trails";
export const WAY = "way";
export const WAY_HEAD = "way-head";
export const ACCURACY = "accuracy";
export const OVERLAY_SOURCES = [ACCURACY, WAY, WAY_HEAD, TRAILS, MARKERS] as const;

const STATES = ["fresh", "stale", "offline"] as const;
const SIZE = 38;
export const ICON_SCALE = 2;

/** Name → pixels of each marker icon: three states, with and without a heading. */
export function icons(palette: Palette): Map<string, ImageData> {
  const made = new Map<string, ImageData>();
  for (const state of STATES) {
    for (const heading of [false, true]) {
      made.set(`${state}-${heading ? "heading" : "plain"}`, draw(palette[state], palette.ring, heading, state === "offline"));
    }
  }
  return made;
}

function draw(colour: string, ring: string, heading: boolean, hollow: boolean): ImageData {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIZE * ICON_SCALE;
  const pen = canvas.getContext("2d")!;
  pen.scale(ICON_SCALE, ICON_SCALE);
  pen.translate(SIZE / 2, SIZE / 2);
  pen.lineJoin = "round";
  const body = new Path2D();
  if (heading) {
    body.moveTo(0, -15);
    body.lineTo(6.1, -6.1);
    body.arc(0, 0, 8.6, -Math.PI / 4, (5 * Math.PI) / 4);
    body.closePath();
  } else {
    body.arc(0, 0, 8, 0, 2 * Math.PI);
  }
  pen.shadowColor = "rgba(0, 0, 0, .35)";
  pen.shadowBlur = 3 * ICON_SCALE;
  pen.shadowOffsetY = ICON_SCALE;
  pen.strokeStyle = ring;
  pen.lineWidth = 4.5;
  pen.stroke(body);
  pen.shadowColor = "transparent";
  pen.fillStyle = colour;
  pen.fill(body);
  pen.fillStyle = ring;
  pen.beginPath();
  pen.arc(0, 0, hollow ? 5.4 : 2.9, 0, 2 * Math.PI);
  pen.fill();
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

/** The overlay's layers, lowest first. `font` is one the style's glyphs have; `names` whether to name markers. */
export function overlayLayers(p: Palette, font: string[], names: boolean): LayerSpecification[] {
  const round = { "line-join": "round", "line-cap": "round" } as const;
  const byFreshness: ExpressionSpecification = ["case", ["==", ["get", "fresh"], 1], p.fresh, p.stale];
  const layers: LayerSpecification[] = [
    { id: "accuracy-fill", type: "fill", source: ACCURACY, paint: { "fill-color": byFreshness, "fill-opacity": 0.1 } },
    { id: "accuracy-line", type: "line", source: ACCURACY, paint: { "line-color": byFreshness, "line-opacity": 0.45, "line-width": 1 } },
    {
      id: "trails",
      type: "line",
      source: TRAILS,
      layout: round,
      paint: { "line-color": p.trail, "line-width": 2.5, "line-opacity": ["get", "o"] },
    },
    ...[WAY, WAY_HEAD].map((source): LayerSpecification => (
      { id: `${source}-case`, type: "line", source, layout: round, paint: { "line-color": p.ring, "line-width": 7 } }
    )),
    ...[WAY, WAY_HEAD].map((source): LayerSpecification => (
      { id: source, type: "line", source, layout: round, paint: { "line-color": p.trail, "line-width": 4 } }
    )),
    {
      id: "chosen",
      type: "circle",
      source: MARKERS,
      filter: ["==", ["get", "chosen"], 1],
      paint: {
        "circle-radius": 19,
        "circle-color": byFreshness,
        "circle-opacity": 0.18,
        "circle-stroke-color": byFreshness,
        "circle-stroke-width": 1.5,
        "circle-stroke-opacity": 0.6,
      },
    },
    {
      id: MARKERS,
      type: "symbol",
      source: MARKERS,
      layout: {
        "icon-image": ["get", "icon"],
        "icon-rotate": ["get", "heading"],
        "icon-rotation-alignment": "map",
        "icon-allow-overlap": true,
        "icon-ignore-placement": true,
        "icon-size": ["interpolate", ["linear"], ["zoom"], 4, 0.5, 10, 0.75, 13, 1],
        "symbol-sort-key": ["get", "rank"],
      },
    },
  ];
  if (!names) return layers;
  return [
    ...layers,
    {
      id: "marker-names",
      type: "symbol",
      source: MARKERS,
      minzoom: 11,
      layout: {
        "text-field": ["get", "name"],
        "text-font": font,
        "text-size": 12,
        "text-offset": [0, 1.35],
        "text-anchor": "top",
        "text-max-width": 12,
        "text-padding": 1,
        "symbol-sort-key": ["-", 0, ["get", "rank"]],
      },
      paint: {
        "text-color": p.label,
        "text-halo-color": p.labelHalo,
        "text-halo-width": 1.6,
        "text-opacity": ["case", ["==", ["get", "icon"], "fresh-heading"], 1, ["==", ["get", "icon"], "fresh-plain"], 1, 0.6],
      },
    },
  ];
}
