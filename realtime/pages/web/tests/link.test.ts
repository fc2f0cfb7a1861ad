/** Links as mail gateways, messengers and people hand them on: `links.json`, and what is pasted into a field. */
import { describe, expect, it } from "vitest";

import { addressOf, shareAddress, shareOf, tokenIn, tokenOf, vendorOf } from "../src/common/link";
import { invitationOf, isInviting, typedInvitation } from "../src/drive/pairing";
import links from "./links.json";

interface Case {
  kind: "answer" | "share" | "pair" | "token";
  what: string;
  address: string;
  is: string | null;
}

const cases = links.cases as Case[];

/** As a browser hands it to a page. */
function placed(address: string): { pathname: string; search: string; hash: string } {
  const { pathname, search, hash } = new URL(`https://track.example${address}`);
  return { pathname, search, hash };
}

const CODE = "k3J_d8sL-2mN4bV6cX8zA0qW2eR4tY6u";
const JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkLTEifQ.sig_na-ture9";

describe("links that were changed on the way", () => {
  const of = (kind: Case["kind"]): Case[] => cases.filter((one) => one.kind === kind);
  it.each(of("share"))("a share with $what", ({ address, is }) => {
    expect(shareOf(placed(address))).toBe(is);
  });
  it.each(of("pair"))("a code with $what", ({ address, is }) => {
    expect(invitationOf(addressOf(placed(address)))).toEqual(is === null ? null : { code: is });
  });
  it.each(of("token"))("a console's link with $what", ({ address, is }) => {
    expect(tokenOf(addressOf(placed(address)))).toBe(is);
  });
  it("keeps the vendor of a link", () => {
    expect(vendorOf(`/console%23token=${JWT}&amp;vendor=north.`.slice(0, -1))).toBe("north");
    expect(vendorOf(`/console#token=${JWT}&vendor=north&utm_source=x`)).toBe("north");
  });
  it("knows what was meant to invite", () => {
    expect(["/drive#pair=", "/drive%23pair=ab", "/drive#token=a", "/drive", "/drive#repair=1"].map(isInviting)).toEqual([true, true, true, false, false]);
  });
  it("writes a share's address", () => {
    expect(shareAddress("abc.s3cret")).toBe("/s/abc#s3cret");
  });
});

describe("what is pasted into a field", () => {
  const link = `https://track.example/drive#pair=${CODE}`;
  it.each([
    ["the link", link],
    ["a link in a sentence", `Tap ${link}. It is valid for ten minutes.`],
    ["a link in brackets", `<${link}>`],
    ["Outlook SafeLinks", `https://nam02.safelinks.protection.outlook.com/?url=${encodeURIComponent(link)}&data=05%7C02&reserved=0`],
    ["SafeLinks that was encoded twice", `https://nam02.safelinks.protection.outlook.com/?url=${encodeURIComponent(encodeURIComponent(link))}&amp;data=05`],
    ["Proofpoint v2", `https://urldefense.proofpoint.com/v2/url?u=${encodeURIComponent(link).replace(/_/g, "%5F").replace(/-/g, "%2D").replace(/%2F/g, "_").replace(/%/g, "-")}&d=DwMFaQ&c=x`],
    ["Proofpoint v3", `https://urldefense.com/v3/__${link.replace("#", "*")}__;Iw!!abc!def$`],
    ["a Google redirect", `https://www.google.com/url?q=${encodeURIComponent(link)}&sa=D`],
    ["Facebook's redirect", `https://l.facebook.com/l.php?u=${encodeURIComponent(link)}&h=AT0`],
    ["Mimecast's decoded address", `url: ${link}\u00a0`],
    ["a line wrapped by a mail program", `https://track.example/drive#pair=${CODE.slice(0, 20)}=\r\n${CODE.slice(20)}`],
    ["the code", CODE],
    ["the code with a full stop", `${CODE}.`],
    ["the code in quotes", `"${CODE}"`],
    ["the code with a soft hyphen", `${CODE.slice(0, 9)}\u00ad${CODE.slice(9)}`],
  ])("finds the code in %s", (_, pasted) => {
    expect(typedInvitation(pasted)).toEqual({ code: CODE });
  });
  it("finds a token in what was pasted", () => {
    const token = `https://track.example/console#token=${JWT}`;
    for (const pasted of [JWT, ` ${JWT}.`, `"${JWT}"`, token, `${token})`, `see ${token}, please`, encodeURIComponent(token)]) expect(tokenIn(pasted)).toBe(JWT);
    for (const pasted of ["hello", "a.b", "https://track.example/console", ""]) expect(tokenIn(pasted)).toBeNull();
  });
  it("takes no sentence for a code", () => {
    for (const pasted of ["please help me", "", "https://track.example/drive", "abc"]) expect(typedInvitation(pasted)).toBeNull();
  });
});
