import { describe, expect, it } from "vitest";

import { digitsOf, idOf, pinOf, plain } from "../src/common/typed";
import cases from "./typed.json";

describe("typed text", () => {
  it.each(cases.plain as [string, string][])("%j is %j in plain characters", (typed, expected) => {
    expect(plain(typed)).toBe(expected);
  });

  it.each(cases.digits as [string, string][])("%j has the digits %j", (typed, expected) => {
    expect(digitsOf(typed)).toBe(expected);
  });

  it.each([["d\u0661\u0662", "d12"], [" \uff44\uff17~a\u200f ", "d7~a"], ["a.b-c_d~e", "a.b-c_d~e"]])("%j is the id %j", (typed, id) => {
    expect(idOf(typed)).toBe(id);
  });

  it("stays as it is when it is no PIN, so that it is never empty by mistake", () => {
    expect([pinOf("\u0662\u0665\u0668\u0660"), pinOf("25a0"), pinOf("-"), pinOf("")]).toEqual(["2580", "25a0", "-", ""]);
  });
});
