/** What comes with a journey beside its points: who drives, where to, by when, a number to call. Read defensively; pure. */
import { isObject, number, text, within, type Json } from "../common/read";
import { clean } from "../common/words";
import { metresBetween } from "../map/motion";
import type { PlacedPoint } from "../common/wire";

export interface Destination {
  /** Empty when only a place was given. */
  name: string;
  place: { lat: number; lon: number } | null;
}

export interface Trip {
  /** What the driver is called; empty when nobody has said. */
  name: string;
  phone: string | null;
  destination: Destination | null;
  arriveByMs: number | null;
}

const LONGEST = 80;
const NAMES = ["name", "label", "title", "address", "text"] as const;
const E164 = /^\+[1-9]\d{5,14}$/;

export function readTrip(raw: Json): Trip {
  return {
    name: clean(text(raw["name"]) ?? "", LONGEST),
    phone: readPhone(raw["phone"]),
    destination: readDestination(raw["destination"]),
    arriveByMs: number(raw["arrive_by"]),
  };
}

/** A number that a phone can be handed as it is. */
export function readPhone(raw: unknown): string | null {
  const phone = text(raw);
  return phone !== null && E164.test(phone) ? phone : null;
}

/** As the driver's app gave it: a text, `{name, lat, lon}` or something like it; nothing when it says nothing. */
export function readDestination(raw: unknown): Destination | null {
  if (typeof raw === "string") {
    const name = clean(raw, LONGEST);
    return name ? { name, place: null } : null;
  }
  if (!isObject(raw)) return null;
  const said = NAMES.map((key) => clean(text(raw[key]) ?? "", LONGEST)).find((name) => name !== "") ?? "";
  const lat = within(raw["lat"] ?? raw["latitude"], -90, 90);
  const lon = within(raw["lon"] ?? raw["lng"] ?? raw["longitude"], -180, 180);
  const place = lat === null || lon === null ? null : { lat, lon };
  return said || place ? { name: said, place } : null;
}

export interface Movement {
  moving: boolean;
  /** Since when; null when it began before anything that we hold. */
  sinceMs: number | null;
}

/** Slower than this is standing: the drift of a phone that lies still is about half of it. */
const STANDING_MPS = 0.7;

/** Whether they move by the newest points, and since when; null when that cannot be told. `from`: seq 1 is held. */
export function movement(points: readonly PlacedPoint[], fromTheStart: boolean): Movement | null {
  const last = points.length - 1;
  const moving = moves(points, last);
  if (moving === null) return null;
  let first = last;
  while (first > 0 && (moves(points, first - 1) ?? moving) === moving) first -= 1;
  if (first === 0 && !fromTheStart) return { moving, sinceMs: null };
  return { moving, sinceMs: points[first]!.tMs };
}

function moves(points: readonly PlacedPoint[], index: number): boolean | null {
  const point = points[index];
  if (!point) return null;
  if (point.speedMps !== null) return point.speedMps >= STANDING_MPS;
  const before = points[index - 1];
  const ms = before ? point.tMs - before.tMs : 0;
  return before && ms > 0 ? metresBetween(before, point) / (ms / 1_000) >= STANDING_MPS : null;
}

/** What a map app of this device is asked for by its own address; no web site is told. */
export function mapsUri({ lat, lon }: { lat: number; lon: number }, userAgent: string): string {
  const at = `${lat.toFixed(6)},${lon.toFixed(6)}`;
  return /iPhone|iPad|iPod|Macintosh/.test(userAgent) ? `maps:?ll=${at}&q=${at}` : `geo:${at}?q=${at}`;
}

export function webMapUrl({ lat, lon }: { lat: number; lon: number }): string {
  const [y, x] = [lat.toFixed(6), lon.toFixed(6)];
  return `https://www.openstreetmap.org/?mlat=${y}&mlon=${x}#map=16/${y}/${x}`;
}
