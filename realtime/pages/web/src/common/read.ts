/** What came from outside, one value at a time: of another shape it is null, never trusted. */

export type Json = Record<string, unknown>;

export function isObject(raw: unknown): raw is Json {
  return typeof raw === "object" && raw !== null && !Array.isArray(raw);
}

export function number(raw: unknown): number | null {
  return typeof raw === "number" && Number.isFinite(raw) ? raw : null;
}

export function text(raw: unknown): string | null {
  return typeof raw === "string" ? raw : null;
}

export function within(raw: unknown, low: number, high: number): number | null {
  const value = number(raw);
  return value !== null && value >= low && value <= high ? value : null;
}
