/** The map behind the sheet: the marker that glides, its accuracy, the way it came. Loaded once the sheet is up. */
import { stillWished } from "../common/dom";
import type { Freshness } from "../common/freshness";
import type { PlacedPoint } from "../common/wire";
import { MapView, type Padding } from "../map/mapview";
import { accuracyFeature, markerFeature } from "../map/markerfeature";
import { ACCURACY, MARKERS } from "../map/markers";
import type { Place } from "../map/motion";
import { Pace } from "../map/pace";
import { Stage } from "../map/stage";
import { Way } from "../map/way";

const FOLLOW_EVERY_MS = 1_200;
const PERSON = "person";
const NEAR_ZOOM = 14;

export interface Subject {
  point: PlacedPoint;
  /** The way they came, when it may be shown. */
  way: readonly PlacedPoint[] | null;
  freshness: Freshness;
}

export class MapSide {
  ready = false;
  readonly pace = new Pace();
  private readonly view: MapView;
  private readonly stage = new Stage();
  private readonly way: Way;
  private subject: Subject | null = null;
  private dirty = true;
  private framed = false;
  private followedMs = 0;
  private closed = false;

  /** `inPage`: the page around the map scrolls, by a finger on the map too. */
  constructor(
    container: HTMLElement,
    styleUrl: string,
    private readonly padding: () => Padding,
    private readonly touched: () => void,
    inPage = false,
  ) {
    this.view = new MapView(container, styleUrl);
    if (inPage) for (const gesture of ["dragPan", "scrollZoom", "keyboard"] as const) this.view.map[gesture].disable();
    this.way = new Way(this.view);
    for (const event of ["dragend", "zoomend"] as const) this.view.map.on(event, touched);
    void this.view.ready.then(() => {
      this.ready = true;
      this.frameOnce();
    });
    const frame = (): void => {
      this.frame();
      if (!this.closed) window.requestAnimationFrame(frame);
    };
    window.requestAnimationFrame(frame);
  }

  /** Whether the reader has moved the map away from the person. */
  get strayed(): boolean {
    return this.view.moved;
  }

  /** What is true now; a new point is glided to. */
  put(subject: Subject | null): void {
    const before = this.subject?.point ?? null;
    if (subject === null && before === null) return;
    this.subject = subject;
    this.dirty = true;
    if (subject === null) return this.wipe();
    const { seq, tMs } = subject.point;
    if (seq !== before?.seq || tMs !== before.tMs) {
      this.stage.aim(PERSON, placeOf(subject.point), performance.now(), stillWished() || document.hidden);
    }
    this.frameOnce();
  }

  /** The way begins anew. */
  forgetWay(): void {
    this.way.clear();
  }

  centre(): void {
    if (!this.subject) return;
    this.view.moved = false;
    this.view.map.easeTo({ zoom: Math.max(this.view.map.getZoom(), NEAR_ZOOM), duration: stillWished() ? 0 : 500 });
    this.followedMs = performance.now() + 500;
    this.touched();
  }

  /** The sheet has grown or shrunk: the person is brought back into what it leaves free. */
  shifted(): void {
    this.followedMs = 0;
    this.dirty = true;
  }

  /** For good: nothing of the journey stays, nor where the map looked. */
  close(): void {
    this.put(null);
    this.view.map.jumpTo({ center: [0, 25], zoom: 1.4 });
    this.closed = true;
  }

  shown(): Place | null {
    return this.stage.at(PERSON, performance.now());
  }

  at(): { x: number; y: number } | null {
    const place = this.shown();
    return place && this.view.map.project([place.lon, place.lat]);
  }

  private wipe(): void {
    this.stage.clear();
    this.way.clear();
    this.view.put(MARKERS, []);
    this.view.put(ACCURACY, []);
    this.framed = false;
  }

  private frameOnce(): void {
    if (this.framed || !this.subject || !this.ready) return;
    this.framed = true;
    const { way, point } = this.subject;
    this.view.frame((way ?? [point]).slice(-200), this.padding(), true);
  }

  private frame(): void {
    const now = performance.now();
    const { subject } = this;
    if (this.closed || !this.ready || !subject) return;
    if (!(this.dirty || this.stage.anyMoves(now)) || !this.pace.isDue(now)) return;
    this.dirty = false;
    const place = this.stage.at(PERSON, now);
    if (!place) return;
    const { point, freshness, way } = subject;
    const pointed = (point.speedMps ?? 1) > 0.4;
    this.view.put(MARKERS, [markerFeature({ id: PERSON, name: "", place, freshness, pointed, chosen: true })]);
    this.view.put(ACCURACY, accuracyFeature(place, point.accuracyM, freshness));
    if (way) this.way.draw(way, place, now);
    this.followIfDue(place, now);
    this.pace.ran(now, performance.now());
  }

  private followIfDue(place: Place, now: number): void {
    if (this.view.moved || now - this.followedMs < FOLLOW_EVERY_MS || this.view.map.isZooming()) return;
    this.followedMs = now;
    this.view.follow(place, this.padding());
  }
}

function placeOf(point: PlacedPoint): Place {
  return { lon: point.lon, lat: point.lat, headingDeg: point.headingDeg };
}
