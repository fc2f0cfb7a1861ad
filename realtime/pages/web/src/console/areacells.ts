/** The counts of an area seen from far away: a circle a cell with its number, the bigger the more. */
import type { GeoJSONSource, LayerSpecification } from "maplibre-gl";

import { radiusPx, type Cell } from "./area";
import type { Formats } from "../common/format";
import { currentTheme, PALETTES } from "../common/theme";
import { FONT } from "../map/basemap";
import type { MapView } from "../map/mapview";

const CELLS = "cells";
const LAYERS = ["cells-circle", "cells-count"] as const;

export class Cells {
  private features: GeoJSON.Feature[] = [];

  constructor(
    private readonly view: MapView,
    private readonly formats: Formats,
  ) {
    view.map.on("style.load", () => this.add());
    if (view.map.isStyleLoaded()) this.add();
  }

  put(cells: Iterable<Cell>): void {
    this.features = [...cells].map(({ id, lat, lon, count }) => ({
      type: "Feature",
      properties: { id, count, text: this.formats.number(count), radius: radiusPx(count) },
      geometry: { type: "Point", coordinates: [lon, lat] },
    }));
    void this.source()?.setData({ type: "FeatureCollection", features: this.features });
  }

  /** The cell at a point of the screen. */
  at(point: { x: number; y: number }): { lon: number; lat: number } | null {
    if (!this.view.map.getLayer(LAYERS[0])) return null;
    const [found] = this.view.map.queryRenderedFeatures([point.x, point.y], { layers: [LAYERS[0]] });
    if (found?.geometry.type !== "Point") return null;
    const [lon, lat] = found.geometry.coordinates;
    return lon === undefined || lat === undefined ? null : { lon, lat };
  }

  paint(): void {
    const palette = PALETTES[currentTheme()];
    if (!this.view.map.getLayer(LAYERS[0])) return;
    this.view.map.setPaintProperty(LAYERS[0], "circle-color", palette.fresh);
    this.view.map.setPaintProperty(LAYERS[0], "circle-stroke-color", palette.fresh);
    this.view.map.setPaintProperty(LAYERS[1], "text-color", palette.ring);
  }

  private source(): GeoJSONSource | undefined {
    return this.view.map.getSource<GeoJSONSource>(CELLS);
  }

  private add(): void {
    if (this.source()) return;
    this.view.map.addSource(CELLS, { type: "geojson", data: { type: "FeatureCollection", features: this.features } });
    const palette = PALETTES[currentTheme()];
    const layers: LayerSpecification[] = [
      {
        id: LAYERS[0],
        type: "circle",
        source: CELLS,
        paint: {
          "circle-radius": ["get", "radius"],
          "circle-color": palette.fresh,
          "circle-opacity": 0.92,
          "circle-stroke-color": palette.fresh,
          "circle-stroke-width": 5,
          "circle-stroke-opacity": 0.25,
        },
      },
      {
        id: LAYERS[1],
        type: "symbol",
        source: CELLS,
        layout: {
          "text-field": ["get", "text"],
          "text-font": this.view.font() ?? FONT,
          "text-size": 13,
          "text-allow-overlap": true,
          "text-ignore-placement": true,
        },
        paint: { "text-color": palette.ring },
      },
    ];
    for (const layer of layers) this.view.map.addLayer(layer);
  }
}
