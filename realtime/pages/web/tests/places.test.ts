import { describe, expect, it } from "vitest";

import table from "virtual:emergency";

import { FALLBACK, NUMBERS } from "../emergency/numbers.mjs";
import { ANYWHERE, emergencyAt, type Table } from "../src/contact/places";

describe("the emergency number of a place", () => {
  it.each([
    ["Liverpool", 53.4084, -2.9916, "999"],
    ["Paris", 48.8566, 2.3522, "112"],
    ["Geneva", 46.2044, 6.1432, "112"],
    ["New York", 40.7128, -74.006, "911"],
    ["Tijuana, at the border", 32.5149, -117.0382, "911"],
    ["Derry, at the border", 54.9966, -7.3086, "999"],
    ["Letterkenny, across it", 54.9503, -7.7339, "112"],
    ["Nairobi", -1.2921, 36.8219, "999"],
    ["Johannesburg", -26.2041, 28.0473, "10111"],
    ["Maseru, in a country inside another", -29.31, 27.6, "123"],
    ["Delhi", 28.6139, 77.209, "112"],
    ["Lahore, 25 km from India", 31.5204, 74.3587, "15"],
    ["Tokyo", 35.6762, 139.6503, "110"],
    ["Hong Kong, beside China", 22.3193, 114.1694, "999"],
    ["Shenzhen, beside Hong Kong", 22.62, 114.05, "110"],
    ["Singapore, an island", 1.3521, 103.8198, "999"],
    ["Valletta, an island", 35.8989, 14.5146, "112"],
    ["Honolulu, an island", 21.3069, -157.8583, "911"],
    ["Sydney", -33.8688, 151.2093, "000"],
    ["Auckland", -36.8485, 174.7633, "111"],
    ["Suva", -18.1248, 178.4501, "911"],
    ["Taveuni, across the antimeridian", -16.85, -179.95, "911"],
    ["Anadyr, where Russia goes on beyond 180", 66.5, -172.0, "112"],
    ["Nome, across the strait", 64.5011, -165.4064, "911"],
    ["São Paulo", -23.5505, -46.6333, "190"],
    ["Cairo", 30.0444, 31.2357, "122"],
  ])("in %s", (_, lat, lon, number) => {
    expect(emergencyAt(table, lat, lon)).toEqual({ number, known: true });
  });

  it("is a coast's just off it, and on the high sea the one that works nearly anywhere", () => {
    expect(emergencyAt(table, 53.45, -3.25)).toEqual({ number: "999", known: true });
    expect(emergencyAt(table, 45, -40)).toEqual({ number: ANYWHERE, known: false });
    expect(emergencyAt(table, 0, 180)).toEqual({ number: ANYWHERE, known: false });
    expect(emergencyAt(table, -89.9, 0)).toEqual({ number: ANYWHERE, known: false });
    expect(emergencyAt([], 53.4, -3)).toEqual({ number: ANYWHERE, known: false });
  });

  it("goes by even and odd rings, whichever way a ring runs", () => {
    const ring = (from: number, to: number): number[] => [from * 100, from * 100, (to - from) * 100, 0, 0, (to - from) * 100, (from - to) * 100, 0];
    const made: Table = [["1", [ring(0, 10), ring(4, 6)]], ["2", [ring(4, 6)]]];
    expect([emergencyAt(made, 2, 2).number, emergencyAt(made, 5, 5).number]).toEqual(["1", "2"]);
  });
});

describe("the table of numbers", () => {
  it("names each country once, by the three digits of its code, and numbers that can be called", () => {
    const ids = Object.values(NUMBERS as Record<string, string[]>).flat();
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.filter((id) => !/^\d{3}$/.test(id))).toEqual([]);
    expect(Object.keys(NUMBERS).filter((number) => !/^\d{2,5}$/.test(number))).toEqual([]);
    expect(FALLBACK).toBe(ANYWHERE);
  });

  it("is small enough for an old phone", () => {
    expect(JSON.stringify(table).length).toBeLessThan(250_000);
  });
});
