/** Figures for people, in their locale's digits, units and clocks. Pure but for `Intl`. */

export interface Locale {
  locale: string;
  miles: boolean;
}

const METRES_A_MILE = 1_609.344;
const METRES_A_FOOT = 0.3048;

export class Formats {
  private readonly made = new Map<string, Intl.NumberFormat>();
  private readonly relative: Intl.RelativeTimeFormat;

  constructor(private readonly how: Locale) {
    this.relative = new Intl.RelativeTimeFormat(how.locale, { numeric: "auto", style: "short" });
  }

  /** "36 km/h" or "22 mph"; a dash when unknown. */
  speed(speedMps: number | null): string {
    if (speedMps === null) return "–";
    return this.how.miles
      ? this.unit(Math.round((speedMps * 3_600) / METRES_A_MILE), "mile-per-hour")
      : this.unit(Math.round(speedMps * 3.6), "kilometer-per-hour");
  }

  /** "8 m", "1.2 km", "26 ft", "0.8 mi". */
  distance(metres: number | null): string {
    if (metres === null) return "–";
    if (this.how.miles) {
      const feet = metres / METRES_A_FOOT;
      return feet < 1_000 ? this.unit(Math.round(feet), "foot") : this.unit(metres / METRES_A_MILE, "mile", 1);
    }
    return metres < 1_000 ? this.unit(Math.round(metres), "meter") : this.unit(metres / 1_000, "kilometer", 1);
  }

  /** How exact a fix is: "± 8 m". */
  accuracy(metres: number | null): string {
    return metres === null ? "–" : `± ${this.distance(metres)}`;
  }

  percent(pct: number | null): string {
    if (pct === null) return "–";
    return this.format("percent", { style: "percent", maximumFractionDigits: 0 }).format(pct / 100);
  }

  /** "12 s", "3 min", "2 h", "4 days": coarse enough to be calm, fine enough to be honest. */
  duration(ms: number): string {
    const seconds = Math.max(0, Math.floor(ms / 1_000));
    if (seconds < 60) return this.unit(seconds, "second");
    if (seconds < 3_600) return this.unit(Math.floor(seconds / 60), "minute");
    if (seconds < 172_800) return this.unit(Math.floor(seconds / 3_600), "hour");
    return this.unit(Math.floor(seconds / 86_400), "day");
  }

  /** "now", "12 sec. ago": how long ago, in the reader's language. */
  ago(ms: number): string {
    const seconds = Math.max(0, Math.floor(ms / 1_000));
    if (seconds < 2) return this.relative.format(0, "second");
    if (seconds < 60) return this.relative.format(-seconds, "second");
    if (seconds < 3_600) return this.relative.format(-Math.floor(seconds / 60), "minute");
    if (seconds < 172_800) return this.relative.format(-Math.floor(seconds / 3_600), "hour");
    return this.relative.format(-Math.floor(seconds / 86_400), "day");
  }

  /** A time of day in the viewer's zone; with the day when it is not `nowMs`'s. */
  clock(ms: number, nowMs: number, seconds = false): string {
    const date = new Date(ms);
    const time: Intl.DateTimeFormatOptions = { hour: "2-digit", minute: "2-digit", ...(seconds ? { second: "2-digit" } : {}) };
    const today = date.toDateString() === new Date(nowMs).toDateString();
    const day: Intl.DateTimeFormatOptions = { weekday: "short", day: "numeric", month: "short" };
    return date.toLocaleString(this.how.locale, today ? time : { ...day, ...time });
  }

  number(value: number): string {
    return this.format("plain", {}).format(value);
  }

  private unit(value: number, unit: string, digits = 0): string {
    const options: Intl.NumberFormatOptions = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits };
    return this.format(`${unit}:${digits}`, options).format(value);
  }

  private format(key: string, options: Intl.NumberFormatOptions): Intl.NumberFormat {
    let format = this.made.get(key);
    if (!format) this.made.set(key, (format = new Intl.NumberFormat(this.how.locale, options)));
    return format;
  }
}
