/** The map on the page: style and theme, graticule, overlay, camera. It shows what it is handed and knows no feed. */
import "maplibre-gl/dist/maplibre-gl.css";

import {
  AttributionControl,
  LngLatBounds,
  Map as GlMap,
  NavigationControl,
  ScaleControl,
  setWorkerUrl,
  type GeoJSONSource,
  type LayerSpecification,
} from "maplibre-gl";
import workerUrl from "maplibre-gl/dist/maplibre-gl-worker.mjs?url";

import { basemapLayers, basemapStyle, FONT, GRATICULE } from "./basemap";
import { lines } from "./graticule";
import { icons, ICON_SCALE, MARKERS, OVERLAY_SOURCES, overlayLayers } from "./markers";
import { stillWished } from "../common/dom";
import { currentTheme, onTheme, PALETTES } from "../common/theme";

setWorkerUrl(workerUrl);

/** From here single streets can be told apart. */
const NEAR_ZOOM = 15;

type Source = (typeof OVERLAY_SOURCES)[number];

export class MapView {
  readonly map: GlMap;
  /** Resolves once markers can be put on the map. */
  readonly ready: Promise<void>;
  /** Whether the reader has moved the map by hand since we last moved it. */
  moved = false;
  private readonly busy = new Set<Source>();
  private readonly waiting = new Map<Source, GeoJSON.Feature[]>();

  constructor(container: HTMLElement, private styleUrl: string) {
    const palette = PALETTES[currentTheme()];
    this.map = new GlMap({
      container,
      style: styleUrl || basemapStyle(palette),
      center: [0, 25],
      zoom: 1.4,
      maxZoom: 19,
      fadeDuration: 0,
      attributionControl: false,
      dragRotate: false,
      pitchWithRotate: false,
      maxPitch: 0,
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.addControl(new AttributionControl({ compact: false }), "bottom-right");
    this.map.addControl(new ScaleControl({ maxWidth: 110 }), "bottom-left");
    this.map.addControl(new NavigationControl({ showCompass: false }), "bottom-right");
    for (const event of ["dragstart", "wheel", "dblclick", "touchmove"] as const) {
      this.map.on(event, () => (this.moved = true));
    }
    this.map.on("moveend", () => this.drawGraticule());
    this.ready = new Promise((resolve) => {
      this.map.on("style.load", () => {
        this.dress();
        resolve();
      });
    });
    this.map.on("error", () => this.fallBack());
    onTheme(() => this.repaint());
  }

  /** Hands a source its data. While it still digests the last, only the newest waits. */
  put(source: Source, features: GeoJSON.Feature[]): void {
    const target = this.map.getSource<GeoJSONSource>(source);
    if (!target || this.busy.has(source)) {
      this.waiting.set(source, features);
      return;
    }
    this.busy.add(source);
    const done = (): void => {
      this.busy.delete(source);
      const next = this.waiting.get(source);
      this.waiting.delete(source);
      if (next) this.put(source, next);
    };
    target.setData({ type: "FeatureCollection", features }).then(done, done);
  }

  /** Shows all of the places, as near as they allow; `padding` is what panels cover, in pixels. */
  frame(places: readonly { lon: number; lat: number }[], padding: Padding, instantly = false, maxZoom = NEAR_ZOOM): void {
    if (!places.length) return;
    const bounds = new LngLatBounds();
    for (const { lon, lat } of places) bounds.extend([lon, lat]);
    this.moved = false;
    this.map.fitBounds(bounds, { padding, maxZoom, ...pan(instantly, 900) });
  }

  /** Whether a place is within what the map shows now. */
  sees(place: { lon: number; lat: number }): boolean {
    return this.map.getBounds().contains([place.lon, place.lat]);
  }

  /** Shows a place from near, in the middle of what panels leave free; a map that is nearer already stays as near. */
  near(place: { lon: number; lat: number }, padding: Padding, instantly = false): void {
    this.moved = false;
    const zoom = Math.max(NEAR_ZOOM, this.map.getZoom());
    this.map.easeTo({ center: [place.lon, place.lat], zoom, offset: middleOf(padding), ...pan(instantly, 900) });
  }

  /** Keeps a place in the middle of what panels leave free, at the zoom that the reader has chosen. */
  follow(place: { lon: number; lat: number }, padding: Padding): void {
    // A wheel or two fingers at work are not interrupted: the next fix, or the end of the zoom, brings the place back.
    if (this.map.isZooming()) return;
    this.map.easeTo({ center: [place.lon, place.lat], offset: middleOf(padding), ...pan(false, 700), easing: (t) => t });
  }

  /** Zoom by wheel or fingers around the middle of the map (`centre`), or around the pointer. */
  zoomAroundCentre(centre: boolean): void {
    for (const handler of [this.map.scrollZoom, this.map.touchZoomRotate]) {
      handler.disable();
      handler.enable(centre ? { around: "center" } : undefined);
    }
    this.map.touchZoomRotate.disableRotation();
  }

  /** Moves the map just so far that a place is not under a panel. */
  reveal(place: { lon: number; lat: number }, padding: Padding): void {
    const { x, y } = this.map.project([place.lon, place.lat]);
    const { clientWidth, clientHeight } = this.map.getContainer();
    const by: [number, number] = [
      outside(x, padding.left, clientWidth - padding.right),
      outside(y, padding.top, clientHeight - padding.bottom),
    ];
    if (by[0] || by[1]) this.map.panBy(by, pan(false, 400));
  }

  /** The id of the marker at a point of the screen, with a finger's tolerance. */
  markerAt(point: { x: number; y: number }): string | null {
    if (!this.map.getLayer(MARKERS)) return null;
    const reach = 10;
    const found = this.map.queryRenderedFeatures(
      [[point.x - reach, point.y - reach], [point.x + reach, point.y + reach]],
      { layers: [MARKERS] },
    );
    const id: unknown = found[0]?.properties["id"];
    return typeof id === "string" ? id : null;
  }

  private dress(): void {
    const palette = PALETTES[currentTheme()];
    for (const source of OVERLAY_SOURCES) {
      if (this.map.getSource(source)) continue;
      this.map.addSource(source, {
        type: "geojson",
        data: { type: "FeatureCollection", features: [] },
        tolerance: 0.2,
        buffer: 64,
        ...(source === MARKERS ? { maxzoom: 14 } : {}),
      });
    }
    for (const [name, image] of icons(palette)) {
      if (!this.map.hasImage(name)) this.map.addImage(name, image, { pixelRatio: ICON_SCALE });
    }
    const font = this.font();
    for (const layer of overlayLayers(palette, font ?? FONT, font !== null)) {
      if (!this.map.getLayer(layer.id)) this.map.addLayer(layer);
    }
    this.drawGraticule();
    this.busy.clear();
    for (const [source, features] of [...this.waiting]) {
      this.waiting.delete(source);
      this.put(source, features);
    }
  }

  /** A font the style can draw: ours when it has no glyphs of its own, else one it uses itself. */
  font(): string[] | null {
    if (!this.map.getStyle().glyphs) return FONT;
    for (const layer of this.map.getStyle().layers) {
      const font: unknown = layer.type === "symbol" ? layer.layout?.["text-font"] : null;
      if (Array.isArray(font) && font.every((name): name is string => typeof name === "string")) return font;
    }
    return null;
  }

  /** A style that cannot be fetched must not cost the markers: the built-in map takes its place. */
  private fallBack(): void {
    if (!this.styleUrl || this.map.isStyleLoaded() || this.map.getSource(MARKERS)) return;
    this.styleUrl = "";
    this.map.setStyle(basemapStyle(PALETTES[currentTheme()]));
  }

  private repaint(): void {
    if (!this.map?.getSource(MARKERS)) return;
    const palette = PALETTES[currentTheme()];
    for (const [name, image] of icons(palette)) this.map.updateImage(name, image);
    const base = this.styleUrl ? [] : basemapLayers(palette);
    for (const layer of [...base, ...overlayLayers(palette, FONT, true)]) this.paint(layer);
  }

  private paint(layer: LayerSpecification): void {
    if (!this.map.getLayer(layer.id)) return;
    for (const [property, value] of Object.entries(layer.paint ?? {})) {
      this.map.setPaintProperty(layer.id, property as Parameters<GlMap["setPaintProperty"]>[1], value as never);
    }
  }

  private drawGraticule(): void {
    const source = this.map.getSource<GeoJSONSource>(GRATICULE);
    if (!source) return;
    const bounds = this.map.getBounds();
    const view = { west: bounds.getWest(), east: bounds.getEast(), south: bounds.getSouth(), north: bounds.getNorth() };
    void source.setData({
      type: "Feature",
      properties: {},
      geometry: { type: "MultiLineString", coordinates: lines(view) },
    });
  }
}

export interface Padding {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

function middleOf(padding: Padding): [number, number] {
  return [(padding.left - padding.right) / 2, (padding.top - padding.bottom) / 2];
}

/** How far a value lies outside of low…high, with its sign. */
function outside(value: number, low: number, high: number): number {
  return Math.min(0, value - low) + Math.max(0, value - high);
}

function pan(instantly: boolean, durationMs: number): { duration: number } {
  return { duration: instantly || stillWished() ? 0 : durationMs };
}
