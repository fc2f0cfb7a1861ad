/** A journey that is looked back at, on the map: the way with its gaps, and a marker of its own that no live one looks like. */
import { Marker } from "maplibre-gl";

import type { Moment, Replay } from "./replay";
import { make } from "../common/dom";
import { WAY } from "../map/markers";
import type { MapView, Padding } from "../map/mapview";
import { line } from "../map/way";

const KEEP_OFF_PX = 60;

export class ReplayMap {
  private readonly element = make("div", "replay-marker", [make("i")], { "aria-hidden": "true" });
  private readonly marker = new Marker({ element: this.element });
  private shown = false;

  constructor(private readonly view: MapView) {}

  get isOn(): boolean {
    return this.shown;
  }

  show(stretches: Replay["stretches"], padding: Padding): void {
    this.shown = true;
    this.view.map.getContainer().classList.add("looks-back");
    this.view.put(WAY, stretches.flatMap((stretch) => line(stretch)));
    this.view.frame(stretches.flat(), padding);
  }

  at(moment: Moment, padding: Padding): void {
    if (!this.shown) return;
    this.marker.setLngLat([moment.lon, moment.lat]).addTo(this.view.map);
    this.element.classList.toggle("gap", moment.gap);
    const { x, y } = this.view.map.project([moment.lon, moment.lat]);
    const { clientWidth, clientHeight } = this.view.map.getContainer();
    const out = x < padding.left - KEEP_OFF_PX || y < 0 || x > clientWidth - padding.right + KEEP_OFF_PX || y > clientHeight;
    if (out && !this.view.map.isMoving()) this.view.reveal(moment, padding);
  }

  hide(): void {
    if (!this.shown) return;
    this.shown = false;
    this.marker.remove();
    this.view.map.getContainer().classList.remove("looks-back");
    this.view.put(WAY, []);
  }
}
