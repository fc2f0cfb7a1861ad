import { describe, expect, it } from "vitest";

import { Formats } from "../src/common/format";
import { languageOf, localeOf, usesMiles } from "../src/common/language";
import { clean, Words, type Message, type Messages } from "../src/common/words";

const FILES = import.meta.glob<{ default: Messages }>("../messages/*.json", { eager: true });
const read = (file: string): Messages => FILES[`../messages/${file}`]!.default;
const forms = (message: Message): string[] => (typeof message === "string" ? [message] : Object.values(message));
const names = (text: string): string[] => [...text.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!).sort();

describe("message files", () => {
  const pages = [...new Set(Object.keys(FILES).map((path) => path.split("/").pop()!.split(".")[0]!))];
  const others = ["ar"];

  it.each(pages)("%s says the same in every language", (page) => {
    const english = read(`${page}.en.json`);
    for (const language of others) {
      const other = read(`${page}.${language}.json`);
      expect(Object.keys(other).sort()).toEqual(Object.keys(english).sort());
      for (const [key, message] of Object.entries(english)) {
        // A plural form may name its number in a word ("one", "two"), so only nothing foreign may be in it.
        const wanted = [...new Set(forms(message).flatMap(names))];
        for (const form of forms(other[key]!)) expect(names(form).filter((name) => !wanted.includes(name)), key).toEqual([]);
        if (typeof message === "string") expect(names(other[key] as string), key).toEqual(names(message));
      }
    }
  });

  it.each(pages)("%s has every plural form its language needs", (page) => {
    for (const language of ["en", ...others]) {
      const needed = new Intl.PluralRules(language).resolvedOptions().pluralCategories;
      for (const [key, message] of Object.entries(read(`${page}.${language}.json`))) {
        if (typeof message === "string") continue;
        expect(Object.keys(message).sort(), `${language} ${key}`).toEqual([...needed].sort());
      }
    }
  });
});

describe("words", () => {
  const words = new Words({ hello: "Hello {name}", drivers: { one: "{n} driver", other: "{n} drivers" } }, "en", "en-GB");

  it("chooses the plural form and writes numbers as the locale does", () => {
    expect(words.say("drivers", { n: 1 })).toBe("1 driver");
    expect(words.say("drivers", { n: 2_000 })).toBe("2,000 drivers");
  });

  it("isolates what is put in, and takes out what would turn the line around", () => {
    expect(words.say("hello", { name: "a\u202eb\u2069c\u0000" })).toBe("Hello \u2068abc\u2069");
  });

  it("shows a key that nobody wrote, and a place that nobody filled", () => {
    expect(words.say("nothing")).toBe("nothing");
    expect(words.say("hello")).toBe("Hello {name}");
    expect(words.find("nothing")).toBeNull();
  });

  it("cuts what is too long by characters, not by halves of them", () => {
    expect(clean("😀".repeat(10), 4)).toBe("😀😀😀…");
    expect(clean("  a \n\t b  ")).toBe("a b");
  });
});

describe("language", () => {
  it.each([
    [["ar-EG", "en"], null, "ar"],
    [["fr-FR", "ar"], null, "ar"],
    [["fr-FR", "de"], null, "en"],
    [["ar"], "en", "en"],
    [["en"], "klingon", "en"],
  ] as const)("of %j with %j chosen is %s", (wishes, chosen, language) => {
    expect(languageOf(wishes, chosen)).toBe(language);
  });

  it("writes numbers as the browser's own region does", () => {
    expect(localeOf("en", ["ar-EG", "en-AU"])).toBe("en-AU");
    expect(localeOf("ar", ["en-AU"])).toBe("ar");
  });

  it.each([[["en-US"], true], [["en-GB"], true], [["de", "en-US"], true], [["de-AT"], false], [["en"], false]] as const)("of %j drives in miles: %s", (wishes, miles) => {
    expect(usesMiles(wishes)).toBe(miles);
  });
});

describe("formats", () => {
  const metric = new Formats({ locale: "en-IE", miles: false });
  const imperial = new Formats({ locale: "en-US", miles: true });

  it("speaks kilometres or miles", () => {
    expect([metric.speed(10), imperial.speed(10)]).toEqual(["36 km/h", "22 mph"]);
    expect([metric.distance(850), metric.distance(1_240), imperial.distance(8), imperial.distance(1_240)]).toEqual(["850 m", "1.2 km", "26 ft", "0.8 mi"]);
    expect([metric.accuracy(8), metric.accuracy(null), metric.speed(null)]).toEqual(["± 8 m", "–", "–"]);
  });

  it("is coarse about time, and never ahead of it", () => {
    const said = [0, 12_400, 180_000, 7_200_000, 345_600_000].map((ms) => metric.duration(ms)).join(", ");
    expect(said).toMatch(/^0 secs?, 12 secs?, 3 mins?, 2 hrs?, 4 days$/);
    expect([metric.ago(-5_000), metric.ago(1_999)]).toEqual(["now", "now"]);
    expect(metric.ago(12_000)).toMatch(/^12 secs?\.? ago$/);
  });

  it("names the day when it is not today", () => {
    const noon = new Date(2026, 10, 28, 12, 5).getTime();
    expect(metric.clock(noon, noon)).toBe("12:05");
    expect(metric.clock(noon, noon + 86_400_000)).toMatch(/Sat.* 28 Nov.*12:05/);
  });

  it("writes Arabic in its own words", () => {
    expect(new Formats({ locale: "ar-EG", miles: false }).ago(300_000)).toContain("دقائق");
  });
});
