/** A phone that belongs to nobody yet, and the exchange of an invitation for an access. */
import { make, say, show } from "../common/dom";
import { isObject } from "../common/read";
import { readRefusal } from "../common/wire";
import { bigButton, field, type Key, type Speech } from "./face";
import { claimsOf, pairingOf, typedInvitation, type Invitation, type Pairing } from "./pairing";

const TIMEOUT_MS = 15_000;

export type Redeemed = { pairing: Pairing } | { trouble: "wrong" | "network" };

/** Exchanges an invitation. A code works once: what it gave has to be kept at once. */
export async function redeem(invitation: Invitation): Promise<Redeemed> {
  if ("token" in invitation) return checked(invitation.token);
  try {
    const response = await fetch("/api/v1/pairings/redeem", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ code: invitation.code }),
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const answer: unknown = await response.json();
    const pairing = isObject(answer) && answer["ok"] === true ? pairingOf(answer) : null;
    if (pairing) return { pairing };
    const refusal = readRefusal(isObject(answer) ? answer["error"] : null);
    return { trouble: refusal.retryable ? "network" : "wrong" };
  } catch {
    return { trouble: "network" };
  }
}

/** A token of a link, once the server lets it in: what it says of itself may be made up. */
async function checked(token: string): Promise<Redeemed> {
  const pairing = claimsOf(token);
  if (!pairing) return { trouble: "wrong" };
  try {
    const response = await fetch("/api/v1/timers", {
      headers: { Authorization: `Bearer ${token}` },
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    if (response.status === 401 || response.status === 403) return { trouble: "wrong" };
    return response.status === 429 || response.status >= 500 ? { trouble: "network" } : { pairing };
  } catch {
    return { trouble: "network" };
  }
}

export class PairView {
  readonly element: HTMLFormElement;
  private readonly link = make("input", "", [], { type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
  private readonly complaint = make("p", "answer", "", { role: "alert" });
  private readonly title = make("h1");
  private readonly how = make("p", "why");
  private readonly entry: HTMLElement;
  private readonly go: HTMLButtonElement;
  private readonly back: HTMLButtonElement;
  private busy = false;
  /** What the address invited to. A preview of a messenger opens links too, so it is used by a tap only. */
  private offered: Invitation | null = null;
  /** An invitation did not work, and the reader has not left the view since. */
  private troubled = false;

  constructor(
    private readonly speech: Speech,
    private readonly paired: (pairing: Pairing, byCode: boolean) => Promise<void>,
    left: () => void,
  ) {
    const { words } = speech;
    this.back = bigButton(words.say("back"), () => {
      this.troubled = false;
      this.offered = null;
      this.describe();
      left();
    }, "big quiet");
    this.go = make("button", "big", words.say("pair.go"), { type: "submit" });
    this.entry = field(words.say("pair.field"), this.link);
    this.element = make("form", "start", [
      this.title,
      this.how,
      this.entry,
      this.complaint,
      this.go,
      this.back,
    ]);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      const invitation = this.offered ?? typedInvitation(this.link.value);
      if (invitation) void this.use(invitation);
      else this.complain("pair.wrong");
    });
    this.describe();
  }

  /** Whether the view is to be shown although the phone is paired. */
  get wanted(): boolean {
    return this.troubled || this.offered !== null;
  }

  /** Asks whether to pair by the link that was opened; `null`: the link is not whole. */
  offer(invitation: Invitation | null): void {
    this.offered = invitation;
    this.troubled = invitation === null;
    this.describe();
    if (invitation === null) this.complain("pair.broken");
  }

  private describe(): void {
    const { words } = this.speech;
    say(this.title, words.say(this.offered ? "pair.offer" : "pair.title"));
    say(this.how, words.say(this.offered ? "pair.offer.how" : "pair.how"));
    show(this.entry, this.offered === null);
  }

  /** `belongs`: the phone is somebody's already, and goes on as that. */
  update(belongs: boolean): void {
    show(this.back, belongs);
  }

  /** Tries an invitation; one that could not be asked for stays in the field, to be tried again. */
  async use(invitation: Invitation): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    say(this.go, this.speech.words.say("pair.busy"));
    const redeemed = await redeem(invitation);
    this.busy = false;
    say(this.go, this.speech.words.say("pair.go"));
    this.troubled = !("pairing" in redeemed);
    if ("pairing" in redeemed) {
      this.link.value = "";
      this.offered = null;
      this.describe();
      say(this.complaint, "");
      return this.paired(redeemed.pairing, "code" in invitation);
    }
    if (redeemed.trouble === "network" && "code" in invitation) this.link.value = invitation.code;
    if (redeemed.trouble === "wrong") this.offered = null;
    this.describe();
    this.complain(`pair.${redeemed.trouble}`);
  }

  private complain(key: Key): void {
    say(this.complaint, this.speech.words.say(key));
  }
}
