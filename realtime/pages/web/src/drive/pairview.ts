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
  if ("token" in invitation) {
    const pairing = claimsOf(invitation.token);
    return pairing ? { pairing } : { trouble: "wrong" };
  }
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

export class PairView {
  readonly element: HTMLFormElement;
  private readonly link = make("input", "", [], { type: "text", autocomplete: "off", autocapitalize: "off", spellcheck: "false" });
  private readonly complaint = make("p", "answer", "", { role: "alert" });
  private readonly go: HTMLButtonElement;
  private readonly back: HTMLButtonElement;
  private busy = false;
  /** An invitation did not work, and nobody has looked away from that yet. */
  troubled = false;

  constructor(
    private readonly speech: Speech,
    private readonly paired: (pairing: Pairing, byCode: boolean) => Promise<void>,
    left: () => void,
  ) {
    const { words } = speech;
    this.back = bigButton(words.say("back"), () => {
      this.troubled = false;
      left();
    }, "big quiet");
    this.go = make("button", "big", words.say("pair.go"), { type: "submit" });
    this.element = make("form", "start", [
      make("h1", "", words.say("pair.title")),
      make("p", "why", words.say("pair.how")),
      field(words.say("pair.field"), this.link),
      this.complaint,
      this.go,
      this.back,
    ]);
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      const invitation = typedInvitation(this.link.value);
      if (invitation) void this.use(invitation);
      else this.complain("pair.wrong");
    });
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
      say(this.complaint, "");
      return this.paired(redeemed.pairing, "code" in invitation);
    }
    if (redeemed.trouble === "network" && "code" in invitation) this.link.value = invitation.code;
    this.complain(`pair.${redeemed.trouble}`);
  }

  private complain(key: Key): void {
    say(this.complaint, this.speech.words.say(key));
  }
}
