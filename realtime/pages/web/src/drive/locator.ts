/** What the device says: where it is, how full its battery is, and that its screen must stay on. */
import type { Fix } from "./outbox";
import { consider, everyMs, gaitOf, heldIsDue, type Battery, type Gait, type Pace } from "./rate";

export type Trouble = "denied" | "unavailable";
/** What the browser lets this page know before it is asked; `none`: it has no location at all. */
export type Permission = "granted" | "prompt" | "denied" | "none" | "unknown";

export interface LocatorEvents {
  /** A point to keep. */
  take(fix: Fix): void;
  /** Whatever is shown may have changed. */
  changed(): void;
  sos(): boolean;
}

interface BatteryManager extends EventTarget {
  level: number;
  charging: boolean;
}

/** A watch that is silent for this many of its intervals is asked outright. */
const PATIENCE = 1.5;
const FIX_TIMEOUT_MS = 20_000;
/** A browser's time further than this from the phone's clock counts from another year: Safari's from 2001, a receiver's of 1,024 weeks ago. */
const CREDIBLE_MS = 86_400_000;

export class Locator {
  /** The newest fix, taken or not. */
  newest: Fix | null = null;
  trouble: Trouble | null = null;
  permission: Permission = "geolocation" in navigator && window.isSecureContext ? "unknown" : "none";
  battery: Battery = { pct: null, charging: false };
  private pace: Pace = { last: null, movedMs: null };
  private watchId: number | null = null;
  private timer = 0;
  /** When the browser was last heard or asked, by a clock that nobody sets. */
  private quietSinceMs = 0;
  /** The time that the browser gave last. */
  private stamp: number | null = null;

  constructor(private readonly events: LocatorEvents) {
    void this.followBattery();
    void this.followPermission();
  }

  get gait(): Gait {
    return gaitOf(this.pace, Date.now());
  }

  start(): void {
    if (this.watchId !== null || !("geolocation" in navigator)) return;
    this.pace = { last: null, movedMs: null };
    this.newest = null;
    this.stamp = null;
    this.quietSinceMs = -Infinity;
    const options: PositionOptions = { enableHighAccuracy: true, maximumAge: 0, timeout: FIX_TIMEOUT_MS };
    this.watchId = navigator.geolocation.watchPosition((position) => this.heard(position), (error) => this.failed(error), options);
    this.timer = window.setInterval(() => this.tick(options), 1_000);
  }

  stop(): void {
    if (this.watchId !== null) navigator.geolocation.clearWatch(this.watchId);
    window.clearInterval(this.timer);
    this.watchId = null;
  }

  private heard(position: GeolocationPosition): void {
    this.quietSinceMs = performance.now();
    const fix = fixOf(position, this.battery.pct, timeOf(position.timestamp, this.stamp, Date.now()));
    this.stamp = position.timestamp;
    this.newest = fix;
    this.trouble = null;
    const { take, pace } = consider(this.pace, fix, this.battery, this.events.sos());
    this.pace = pace;
    if (take) this.events.take(fix);
    this.events.changed();
  }

  private failed(error: GeolocationPositionError): void {
    const trouble = error.code === error.PERMISSION_DENIED ? "denied" : "unavailable";
    // No fix in time is said only when there is none that is recent: in a garage it comes and goes.
    if (trouble === "unavailable" && this.newest !== null && Date.now() - this.newest[0] < 2 * FIX_TIMEOUT_MS) return;
    this.trouble = trouble;
    this.events.changed();
  }

  private tick(options: PositionOptions): void {
    const { newest, pace } = this;
    if (newest && heldIsDue(pace, newest, this.battery, this.events.sos(), Date.now())) {
      this.pace = { ...pace, last: newest };
      this.events.take(newest);
    }
    this.askWhenSilent(options);
  }

  /** Browsers report changes: who stands still hears nothing, but is still there. */
  private askWhenSilent(options: PositionOptions): void {
    const now = performance.now();
    const every = everyMs(this.gait, this.battery, this.events.sos());
    if (now - this.quietSinceMs < every * PATIENCE) return;
    this.quietSinceMs = now;
    navigator.geolocation.getCurrentPosition((position) => this.heard(position), () => undefined, options);
  }

  /** Says beforehand that a journey would have no place. Where the browser does not tell, the first fix does. */
  private async followPermission(): Promise<void> {
    if (this.permission === "none") return;
    const status = await navigator.permissions?.query({ name: "geolocation" }).catch(() => null);
    if (!status) return;
    const read = (): void => {
      this.permission = status.state;
      this.events.changed();
    };
    status.addEventListener("change", read);
    read();
  }

  private async followBattery(): Promise<void> {
    const { getBattery } = navigator as Navigator & { getBattery?: () => Promise<BatteryManager> };
    const battery = await getBattery?.call(navigator).catch(() => null);
    if (!battery) return;
    const read = (): void => {
      this.battery = { pct: Math.round(battery.level * 100), charging: battery.charging };
    };
    for (const event of ["levelchange", "chargingchange"]) battery.addEventListener(event, read);
    read();
  }
}

/**
 * When a position was taken, in ms since 1970: the browser's time, or the phone's clock where that is none. There are three such cases:
 * 1. it is no number; 2. it is more than a day from the phone's clock; 3. it is the same as that of the position before, `lastStamp`.
 */
export function timeOf(timestamp: number, lastStamp: number | null, nowMs: number): number {
  const credible = Number.isFinite(timestamp) && Math.abs(nowMs - timestamp) <= CREDIBLE_MS && timestamp !== lastStamp;
  return Math.round(credible ? timestamp : nowMs);
}

/** The browser's position as a point taken at `tMs`; what it does not know is null. */
export function fixOf({ coords }: Pick<GeolocationPosition, "coords">, batteryPct: number | null, tMs: number): Fix {
  const known = (value: number | null): number | null => (value !== null && Number.isFinite(value) ? value : null);
  return [
    tMs,
    coords.latitude,
    coords.longitude,
    known(coords.speed),
    known(coords.heading),
    known(coords.accuracy),
    known(coords.altitude),
    batteryPct,
  ];
}

/** Keeps the screen on while wanted; the browser lets go whenever the page is hidden. */
export class Awake {
  private wanted = false;
  private lock: WakeLockSentinel | null = null;

  constructor() {
    document.addEventListener("visibilitychange", () => void this.hold());
  }

  want(wanted: boolean): void {
    if (this.wanted === wanted) return;
    this.wanted = wanted;
    if (wanted) void this.hold();
    else void this.lock?.release();
  }

  private async hold(): Promise<void> {
    if (!this.wanted || document.visibilityState !== "visible" || !("wakeLock" in navigator)) return;
    // A battery saver may refuse: then the screen goes off as it always did.
    this.lock = await navigator.wakeLock.request("screen").catch(() => null);
  }
}
