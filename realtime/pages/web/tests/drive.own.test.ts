import { describe, expect, it } from "vitest";

import { everybody, OwnSettings, pinFault, UNKNOWN, type Own, type OwnWays } from "../src/drive/own";

describe("a pin", () => {
  it.each([
    ["2580", "2580", "", null],
    ["25801", "25801", "2580", null],
    ["2580", "2580", "7391", null],
    ["258", "258", "", "digits"],
    ["258012345", "258012345", "", "digits"],
    [" 2580", "2580\n", "", null],
    ["\u0662\u0665\u0668\u0660", "2580", "", null],
    ["\u06f2\u06f5\u06f8\u06f0", "\u0662\u0665\u0668\u0660", "", null],
    ["\u0968\u096b\u096e\u0966", "\uff12\uff15\uff18\uff10", "\u0667\u0663\u0669\u0661", null],
    ["\u0660\u0660\u0660\u0660", "\u0660\u0660\u0660\u0660", "", "easy"],
    ["2580", "2580", "\u0662\u0665\u0668\u0660", "same"],
    ["2580", "2580", "\u0662\u0665\u0668\u0661", "close"],
    ["25\u00bd0", "25\u00bd0", "", "digits"],
    ["0000", "0000", "", "easy"],
    ["3456", "3456", "", "easy"],
    ["65432", "65432", "", "easy"],
    ["2468", "2468", "", null],
    ["2580", "2508", "", "again"],
    ["2580", "2580", "2580", "same"],
    ["2580", "2580", "2581", "close"],
    ["2580", "2580", "2508", null],
  ] as const)("%j typed again as %j beside %j: %s", (pin, again, other, fault) => {
    expect(pinFault(pin, again, other)).toBe(fault);
  });
});

describe("what a driver has set", () => {
  const answers = (plan: unknown, contacts: unknown): OwnWays["ask"] => async (_method, path) =>
    path.endsWith("/safety") ? { ok: true, cancel_pin_set: true } : path.endsWith("/contacts") ? { contacts } : (plan as Record<string, unknown>);
  const ways = (ask: OwnWays["ask"], saved: Own[] = []): OwnWays => ({ ask, save: async (own) => void saved.push(own), now: () => 5_000, changed: () => undefined });

  it("is read defensively, whatever comes", async () => {
    const odd = [null, 7, "x", [], {}, { contact_id: 7 }, { contact_id: "a", phone: "x", email: { address: 5 } }, { contact_id: "b", name: "B", position: "1" }];
    for (const plan of [{}, { steps: 7 }, { steps: [null, { told: 7 }, { told: [null, { contact_id: 1, channels: [1, "sms"] }] }], untold: {} }]) {
      const own = new OwnSettings(UNKNOWN, "d1", ways(answers(plan, odd)));
      expect(await own.read()).toBe(true);
      expect(own.own.contacts!.map((one) => one.id)).toEqual(["a", "b"]);
      expect(own.own.contacts![0]).toMatchObject({ phone: null, email: null });
      expect(own.own.plans.sos!.reaches).toBe(false);
    }
  });

  it("stays as it was when it cannot be read", async () => {
    const before: Own = { ...UNKNOWN, pinSet: true, readMs: 1 };
    const own = new OwnSettings(before, "d1", ways(() => Promise.reject({ code: "unavailable" })));
    expect(await own.read()).toBe(false);
    expect([own.own, own.reached]).toEqual([before, false]);
  });

  it("sends PINs and codes in ASCII digits, whatever script they were typed in", async () => {
    const sent: unknown[] = [];
    const own = new OwnSettings(UNKNOWN, "d1", ways(async (method, _path, body) => {
      if (method !== "GET") sent.push(body);
      return {};
    }));
    await own.setPins("\u0662\u0665\u0668\u0660", "\u06f7\u06f3\u06f9\u06f1", "\uff11\uff12\uff13\uff14");
    await own.setPins(null, null, null);
    await own.verify("c1", "sms", "\u0967\u0966\u0969 456");
    expect(sent).toEqual([{ cancel: "2580", duress: "7391", current: "1234" }, { cancel: null, duress: null }, { channel: "sms", code: "103456" }]);
  });

  it("asks for a driver whose id is no path", async () => {
    const asked: string[] = [];
    const own = new OwnSettings(UNKNOWN, "a/b?c#d", ways(async (_method, path) => {
      asked.push(path);
      return {};
    }));
    await own.read();
    expect(asked[0]).toBe("/api/v1/drivers/a%2Fb%3Fc%23d/safety");
  });

  it("names everybody of a plan once", async () => {
    const told = (id: string): unknown => ({ contact_id: id, name: id, channels: ["sms"], fallback: [] });
    const own = new OwnSettings(UNKNOWN, "d1", ways(answers({ steps: [{ told: [told("a"), told("b")] }, { told: [told("b"), told("c")] }] }, [])));
    await own.read();
    expect(everybody(own.own.plans.sos)!.map((one) => one.id)).toEqual(["a", "b", "c"]);
    expect(everybody(undefined)).toBeNull();
  });
});
