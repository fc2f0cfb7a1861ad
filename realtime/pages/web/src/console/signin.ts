/**
 * Signing in: a token is exchanged for a session whose cookie no script can read. The token is kept nowhere: it comes
 * from the address or from the form, is shown to the server once, and is forgotten.
 */
import { brand, languageSelect, themeButton } from "../common/chrome";
import { make, say, show } from "../common/dom";
import { tokenIn } from "../common/link";
import { number, text } from "../common/read";
import { Api } from "../common/api";
import { isRefusal, type Refusal } from "../common/wire";
import type { ConsoleWords } from "./context";

const ENDED_KEY = "wayguard.ended";

/** Who is signed in, as `GET /api/v1/session` says. */
export interface Me {
  name: string;
  role: string;
  tenant: string;
  expiresAtMs: number | null;
}

export function readMe(raw: Record<string, unknown>): Me {
  return {
    name: text(raw["name"]) ?? "",
    role: text(raw["role"]) ?? "",
    tenant: text(raw["tenant"]) ?? "",
    expiresAtMs: number(raw["expires_at"]),
  };
}

/** Exchanges a token for this browser's session. Throws the Refusal. */
export async function exchange(token: string): Promise<Me> {
  return readMe(await new Api(token, true).post("/api/v1/session"));
}

/** The words for why somebody is not, or no longer, signed in. */
export function whyText(words: ConsoleWords, refusal: Pick<Refusal, "code">): string {
  return words.find(`signin.why.${refusal.code}`) ?? words.say("signin.why.other", { code: refusal.code });
}

/** Leaves the page and everything it knows; the next one says why. */
export function leave(code: string): void {
  try {
    sessionStorage.setItem(ENDED_KEY, code);
  } catch {
    // Without storage the page is left all the same.
  }
  location.reload();
}

/** Why the page before this one was left, once. */
export function takeEnded(): string | null {
  try {
    const code = sessionStorage.getItem(ENDED_KEY);
    sessionStorage.removeItem(ENDED_KEY);
    return code;
  } catch {
    return null;
  }
}

export class SignIn {
  readonly element: HTMLElement;
  private readonly reason = make("p", "signin-why", [], { role: "alert", hidden: "" });
  private readonly field = make("input", "", [], {
    id: "signin-token", type: "password", autocomplete: "off", autocapitalize: "off", spellcheck: "false", required: "", "aria-describedby": "signin-hint",
  });
  private readonly send: HTMLButtonElement;
  private busy = false;

  /** `enter`: what to do with whoever got in. */
  constructor(
    private readonly words: ConsoleWords,
    private readonly enter: (me: Me) => void,
  ) {
    this.send = make("button", "primary", words.say("signin.send"), { type: "submit" });
    const form = make("form", "signin-form", [
      make("label", "", words.say("signin.token"), { for: "signin-token" }),
      this.field,
      make("p", "hint", words.say("signin.hint"), { id: "signin-hint" }),
      this.send,
    ]);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.pasted();
    });
    const tools = make("div", "signin-tools", [languageSelect(words), themeButton(words)]);
    this.element = make("div", "signin", [
      make("section", "signin-card", [brand(), make("h1", "", words.say("signin.title")), make("p", "lead", words.say("signin.lead")), this.reason, form, tools]),
    ]);
  }

  /** Says why there is somebody to sign in; "" says nothing. */
  why(reason: string): void {
    say(this.reason, reason);
    show(this.reason, reason !== "");
  }

  focus(): void {
    this.field.focus();
  }

  private async pasted(): Promise<void> {
    const token = tokenIn(this.field.value);
    if (token === null) return this.why(this.words.say("signin.no_token"));
    if (await this.tryToken(token)) this.field.value = "";
  }

  /** Shows the server a token; true when it let us in. */
  async tryToken(token: string): Promise<boolean> {
    if (this.busy) return false;
    this.occupy(true);
    this.why("");
    try {
      this.enter(await exchange(token));
      return true;
    } catch (error) {
      if (!isRefusal(error)) throw error;
      // Nothing is lost: who came by a link can paste it, or open it again.
      this.why(whyText(this.words, error));
      return false;
    } finally {
      this.occupy(false);
    }
  }

  private occupy(busy: boolean): void {
    this.busy = busy;
    this.send.disabled = busy;
    say(this.send, this.words.say(busy ? "signin.sending" : "signin.send"));
  }
}
