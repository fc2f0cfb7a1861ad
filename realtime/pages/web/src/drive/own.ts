/**
 * What a driver sets at the server: whether a PIN is set, the contacts, and who is notified when. Read when there is a
 * connection, kept on this phone for when there is none. Pure but for the ways it is given.
 */
import { isObject, number, text, type Json } from "../common/read";
import { digitsOf, pinOf } from "../common/typed";
import type { Refusal } from "../common/wire";

export interface Address {
  address: string;
  verified: boolean;
  optedOut: boolean;
}

export interface Contact {
  id: string;
  name: string;
  language: string;
  position: number;
  createdMs: number;
  phone: Address | null;
  email: Address | null;
}

export interface Notified {
  id: string;
  name: string;
  channels: string[];
  fallback: string[];
}

export interface Plan {
  countdownS: number;
  loops: number;
  steps: { afterS: number; told: Notified[] }[];
  untold: { id: string; name: string; reasons: string[] }[];
  reaches: boolean;
}

export const KINDS = ["sos", "arrive_by_missed", "check_in_missed"] as const;
export type PlanKind = (typeof KINDS)[number];
export type Channel = "sms" | "call" | "email";

/** As it was at `readMs`, by this phone's clock. */
export interface Own {
  pinSet: boolean | null;
  contacts: Contact[] | null;
  plans: Partial<Record<PlanKind, Plan>>;
  readMs: number | null;
}

export interface Draft {
  name: string;
  phone: string | null;
  email: string | null;
  language: string;
}

export const UNKNOWN: Own = { pinSet: null, contacts: null, plans: {}, readMs: null };
export const MOST_CONTACTS = 20;
const LONGEST_LIST = 100;
/** What was read this long ago is read again when there is reason to look. */
const STALE_MS = 60_000;

export interface OwnWays {
  /** Throws a Refusal. */
  ask(method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown): Promise<Json>;
  save(own: Own): Promise<void>;
  now(): number;
  changed(): void;
}

export class OwnSettings {
  /** Whether the last attempt to read was answered. */
  reached = true;
  private busy: Promise<boolean> | null = null;

  constructor(
    public own: Own,
    private readonly driver: string,
    private readonly ways: OwnWays,
  ) {}

  /** Reads what is older than a minute. */
  freshen(): Promise<boolean> {
    const { readMs } = this.own;
    const age = readMs === null ? Infinity : this.ways.now() - readMs;
    return age >= 0 && age < STALE_MS && this.reached ? Promise.resolve(true) : this.read();
  }

  /** Reads all of it; false when it could not be read. */
  read(): Promise<boolean> {
    this.busy ??= this.readAll().finally(() => (this.busy = null));
    return this.busy;
  }

  /** PINs: both at once, as the server has them. */
  setPins(cancel: string | null, duress: string | null, current: string | null): Promise<Refusal | null> {
    return this.change("PUT", `${this.path}/pins`, {
      cancel: cancel === null ? null : pinOf(cancel),
      duress: duress === null ? null : pinOf(duress),
      ...(current === null ? {} : { current: pinOf(current) }),
    });
  }

  async add(draft: Draft): Promise<Refusal | Contact> {
    try {
      const answer = await this.ways.ask("POST", "/api/v1/contacts", draft);
      await this.read();
      return readContact(answer["contact"]) ?? unreadable();
    } catch (error) {
      return error as Refusal;
    }
  }

  edit(id: string, draft: Partial<Draft>): Promise<Refusal | null> {
    return this.change("PATCH", contactPath(id), draft);
  }

  remove(id: string): Promise<Refusal | null> {
    return this.change("DELETE", contactPath(id));
  }

  sendCode(id: string, channel: Channel): Promise<Refusal | null> {
    return this.change("POST", `${contactPath(id)}/codes`, { channel }, false);
  }

  verify(id: string, channel: Channel, code: string): Promise<Refusal | null> {
    return this.change("POST", `${contactPath(id)}/verify`, { channel, code: digitsOf(code) });
  }

  test(id: string, channel: Channel): Promise<Refusal | null> {
    return this.change("POST", `${contactPath(id)}/test`, { channel }, false);
  }

  /** The contact moves by `by` places. */
  async move(id: string, by: number): Promise<Refusal | null> {
    const ids = (this.own.contacts ?? []).map((contact) => contact.id);
    const from = ids.indexOf(id);
    const to = from + by;
    if (from < 0 || to < 0 || to >= ids.length) return null;
    ids.splice(to, 0, ...ids.splice(from, 1));
    return this.change("PUT", `${this.path}/contacts/order`, { contact_ids: ids });
  }

  /** An empty PIN was refused: there is one, whatever was read last. */
  async pinIsSet(): Promise<void> {
    await this.become({ ...this.own, pinSet: true });
  }

  private get path(): string {
    return `/api/v1/drivers/${encodeURIComponent(this.driver)}`;
  }

  private async change(method: "POST" | "PUT" | "PATCH" | "DELETE", path: string, body?: unknown, readAgain = true): Promise<Refusal | null> {
    try {
      await this.ways.ask(method, path, body);
    } catch (error) {
      const refusal = error as Refusal;
      this.reached = refusal.code !== "unavailable";
      // Another phone or the console may have changed it meanwhile.
      if (refusal.code === "not_found" || refusal.code === "conflict") await this.read();
      return refusal;
    }
    this.reached = true;
    if (readAgain) await this.read();
    return null;
  }

  private async readAll(): Promise<boolean> {
    const get = (path: string): Promise<Json> => this.ways.ask("GET", path);
    try {
      const [safety, contacts, ...plans] = await Promise.all([
        get(`${this.path}/safety`),
        get("/api/v1/contacts"),
        ...KINDS.map((kind) => get(`${this.path}/escalation?kind=${kind}`)),
      ]);
      const found: Own["plans"] = {};
      KINDS.forEach((kind, index) => {
        const plan = readPlan(plans[index]);
        if (plan) found[kind] = plan;
      });
      this.reached = true;
      await this.become({ pinSet: readBoolean(safety["cancel_pin_set"]), contacts: readContacts(contacts["contacts"]), plans: found, readMs: this.ways.now() });
      return true;
    } catch {
      this.reached = false;
      this.ways.changed();
      return false;
    }
  }

  private async become(own: Own): Promise<void> {
    this.own = own;
    await this.ways.save(own).catch(() => undefined);
    this.ways.changed();
  }
}

/** Everybody whom a plan notifies, each once, in the order in which they are; null: it is not known. */
export function everybody(plan: Plan | undefined): Notified[] | null {
  if (!plan) return null;
  const found = new Map<string, Notified>();
  for (const one of plan.steps.flatMap((step) => step.told)) if (!found.has(one.id)) found.set(one.id, one);
  return [...found.values()];
}

export const counts = (address: Address | null): boolean => address !== null && address.verified && !address.optedOut;

/** What a PIN must be; null when it is one. */
export function pinFault(...typed: [pin: string, again: string, other?: string]): "digits" | "easy" | "again" | "same" | "close" | null {
  const [pin, again, other] = [pinOf(typed[0]), pinOf(typed[1]), pinOf(typed[2] ?? "")];
  if (!/^[0-9]{4,8}$/.test(pin)) return "digits";
  if (isEasy(pin)) return "easy";
  if (pin !== again) return "again";
  if (pin === other) return "same";
  // A slip of the finger in one of them must not be the other.
  return other.length === pin.length && [...pin].filter((digit, index) => digit !== other[index]).length < 2 ? "close" : null;
}

/** One digit again and again, or digits that only count up or down. */
function isEasy(pin: string): boolean {
  const steps = [...pin].slice(1).map((digit, index) => Number(digit) - Number(pin[index]));
  return steps.every((step) => step === steps[0]) && Math.abs(steps[0] ?? 0) <= 1;
}

function contactPath(id: string): string {
  return `/api/v1/contacts/${encodeURIComponent(id)}`;
}

const readBoolean = (raw: unknown): boolean | null => (typeof raw === "boolean" ? raw : null);
const listOf = (raw: unknown): unknown[] => (Array.isArray(raw) ? raw.slice(0, LONGEST_LIST) : []);
const texts = (raw: unknown): string[] => listOf(raw).filter((one): one is string => typeof one === "string");

function readContacts(raw: unknown): Contact[] {
  const found = listOf(raw).map(readContact).filter((one): one is Contact => one !== null);
  return found.sort((a, b) => a.position - b.position || a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1));
}

function readContact(raw: unknown): Contact | null {
  if (!isObject(raw)) return null;
  const id = text(raw["contact_id"]);
  if (id === null) return null;
  const address = (value: unknown): Address | null => {
    const words = isObject(value) ? text(value["address"]) : null;
    return !isObject(value) || words === null
      ? null
      : { address: words, verified: number(value["verified_at"]) !== null, optedOut: number(value["opted_out_at"]) !== null };
  };
  return {
    id,
    name: text(raw["name"]) ?? "",
    language: text(raw["language"]) ?? "en",
    position: number(raw["position"]) ?? 100,
    createdMs: number(raw["created_at"]) ?? 0,
    phone: address(raw["phone"]),
    email: address(raw["email"]),
  };
}

function readPlan(raw: unknown): Plan | null {
  if (!isObject(raw)) return null;
  const objects = (value: unknown): Json[] => listOf(value).filter(isObject);
  return {
    countdownS: number(raw["countdown_s"]) ?? 0,
    loops: number(raw["loops"]) ?? 1,
    steps: objects(raw["steps"]).map((step) => ({
      afterS: number(step["after_s"]) ?? 0,
      told: objects(step["told"]).map((one) => ({
        id: text(one["contact_id"]) ?? "",
        name: text(one["name"]) ?? "",
        channels: texts(one["channels"]),
        fallback: texts(one["fallback"]),
      })),
    })),
    untold: objects(raw["untold"]).map((one) => ({ id: text(one["contact_id"]) ?? "", name: text(one["name"]) ?? "", reasons: texts(one["reasons"]) })),
    reaches: raw["reaches_somebody"] === true,
  };
}

const unreadable = (): Refusal => ({ code: "unknown", message: "", retryable: true, retryAfterS: null });
