/** What is fetched once the sheet stands: the map, and the table of emergency numbers when it is wanted. */
import type { Config } from "../common/config";
import type { PlacedPoint } from "../common/wire";
import type { Padding } from "../map/mapview";
import type { MapSide, Subject } from "./mapside";
import type { Emergency } from "./places";

const IDLE_MS = 4_000;
const WIDE_PX = 720;

export class Ground {
  map: MapSide | null = null;
  private numberAt: ((place: { lat: number; lon: number }) => Emergency) | null = null;
  private asked = false;
  private closed = false;
  private last: { spot: PlacedPoint; emergency: Emergency } | null = null;

  /** `sheet` covers a part of the map; `changed`: something came, or the reader has moved the map. */
  constructor(
    private readonly container: HTMLElement,
    private readonly sheet: HTMLElement,
    private readonly changed: () => void,
  ) {}

  get hasNumbers(): boolean {
    return this.numberAt !== null;
  }

  async load(config: Config): Promise<void> {
    const { MapSide: Made } = await import("./mapside");
    if (this.closed) return;
    this.map = new Made(this.container, config.mapStyleUrl, () => this.padding(), this.changed);
    this.changed();
    window.setTimeout(() => this.wantNumbers(), IDLE_MS);
  }

  /** The numbers of every country: not before there is time for them, unless an alert is open. */
  wantNumbers(): void {
    if (this.asked || this.closed) return;
    this.asked = true;
    import("./emergency").then(
      ({ emergencyOf }) => {
        this.numberAt = emergencyOf;
        if (!this.closed) this.changed();
      },
      () => (this.asked = false), // asked for again with the next word of an alert
    );
  }

  /** The number of the place, when the table has come. */
  emergency(spot: PlacedPoint | null): Emergency | null {
    if (!spot || !this.numberAt) return null;
    const { last } = this;
    if (last && last.spot.lat === spot.lat && last.spot.lon === spot.lon) return last.emergency;
    const emergency = this.numberAt(spot);
    this.last = { spot, emergency };
    return emergency;
  }

  show(subject: Subject | null): void {
    if (!this.closed) this.map?.put(subject);
  }

  /** For good: nothing stays. */
  close(): void {
    this.closed = true;
    this.last = null;
    this.map?.close();
  }

  private padding(): Padding {
    const { width, height } = this.sheet.getBoundingClientRect();
    const room = Math.round(window.innerHeight * 0.75); // a sheet that covers nearly all still leaves a strip
    if (window.innerWidth < WIDE_PX) return { top: 24, right: 40, bottom: Math.min(height + 40, room), left: 40 };
    const side = width + 56;
    const rtl = document.documentElement.dir === "rtl";
    return { top: 60, bottom: 60, right: rtl ? side : 60, left: rtl ? 60 : side };
  }
}
