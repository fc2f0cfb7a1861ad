/** An SOS of this phone: what is kept of it, and what the server tells of it, read defensively. Pure. */
import { isObject, number, text, within } from "../common/read";
import type { Fix } from "./outbox";

export type SosState = "pending" | "active" | "acknowledged" | "resolved" | "cancelled";

/** What the server shows of an alert to the phone that raised it (`sos:update`). */
export interface SosView {
  alertId: string;
  sosId: string;
  state: SosState;
  version: number;
  pendingUntilMs: number | null;
  reachedMs: number | null;
  acknowledgedBy: string | null;
  responders: { name: string; etaS: number | null }[];
  exhausted: boolean;
  told: { name: string; channel: string; status: string }[];
  kind: string;
  drill: boolean;
  pressedMs: number | null;
  /** The dispatcher who raised it for the driver, by name; "operator" without one. */
  raisedBy: string | null;
}

/** One press, as it lies on the disk. The first part is what is sent, word for word. */
export interface Press {
  sos_id: string;
  kind: "sos";
  pressed_at: number;
  journey_id?: string;
  point?: (number | null)[];
  silent?: true;
  /** The server's word that it is durable; null: not sent yet, goes on being sent. */
  kept: Kept | null;
  view: SosView | null;
}

export interface Kept {
  alertId: string;
  state: SosState;
  durability: string;
}

const STATES: readonly string[] = ["pending", "active", "acknowledged", "resolved", "cancelled"];
const LONGEST_LIST = 50;

export function makePress(sosId: string, nowMs: number, silent: boolean, journeyId: string | null, fix: Fix | null): Press {
  const press: Press = { sos_id: sosId, kind: "sos", pressed_at: nowMs, kept: null, view: null };
  if (journeyId !== null) press.journey_id = journeyId;
  if (fix !== null) press.point = [null, ...fix];
  if (silent) press.silent = true;
  return press;
}

/** What goes to the server. */
export function wireOf({ kept: _kept, view: _view, ...wire }: Press): Omit<Press, "kept" | "view"> {
  return wire;
}

/** The answer to a press; null when it is not one that says `ok`. */
export function readKept(raw: unknown): Kept | null {
  if (!isObject(raw) || raw["ok"] !== true) return null;
  const state = text(raw["state"]);
  return {
    alertId: text(raw["alert_id"]) ?? "",
    state: state !== null && STATES.includes(state) ? (state as SosState) : "active",
    durability: text(raw["durability"]) ?? "",
  };
}

export function readView(raw: unknown): SosView | null {
  if (!isObject(raw)) return null;
  const [alertId, state, version] = [text(raw["alert_id"]), text(raw["state"]), number(raw["version"])];
  if (alertId === null || version === null || state === null || !STATES.includes(state)) return null;
  const list = (value: unknown): unknown[][] => (Array.isArray(value) ? value.filter(Array.isArray).slice(0, LONGEST_LIST) : []);
  return {
    alertId,
    sosId: text(raw["sos_id"]) ?? "",
    state: state as SosState,
    version,
    pendingUntilMs: number(raw["pending_until"]),
    reachedMs: number(raw["reached_at"]),
    acknowledgedBy: text(raw["acknowledged_by"]),
    responders: list(raw["responders"]).map(([name, eta]) => ({ name: text(name) ?? "", etaS: within(eta, 0, 864_000) })),
    exhausted: raw["exhausted"] === true,
    told: list(raw["told"]).map(([name, channel, status]) => ({ name: text(name) ?? "", channel: text(channel) ?? "", status: text(status) ?? "" })),
    kind: text(raw["kind"]) ?? "sos",
    drill: raw["drill"] === true,
    pressedMs: number(raw["pressed_at"]),
    raisedBy: text(raw["raised_by"]),
  };
}

/** The press with what the server tells of it; the same press when that is old, or of another one. */
export function withView(press: Press, view: SosView): Press {
  const mine = view.sosId === press.sos_id || (press.kept !== null && view.alertId === press.kept.alertId);
  if (!mine || (press.view !== null && view.version < press.view.version)) return press;
  const kept = press.kept ?? { alertId: view.alertId, state: view.state, durability: "" };
  return { ...press, kept: { ...kept, state: view.state }, view };
}

/** What stands for an open SOS that a dispatcher raised: the server has it, so it is never sent. null: it is no such alert. */
export function adoptedFrom(view: SosView): Press | null {
  const { alertId, sosId, state, pressedMs } = view;
  const over = state === "resolved" || state === "cancelled";
  if (view.raisedBy === null || view.kind !== "sos" || over || sosId === "" || pressedMs === null) return null;
  return { sos_id: sosId, kind: "sos", pressed_at: pressedMs, kept: { alertId, state, durability: "" }, view };
}

/** The press after a PIN was taken: as the server said, and nothing of what was before. */
export function withState(press: Press, state: SosState): Press {
  if (press.kept === null) return press;
  return { ...press, kept: { ...press.kept, state }, view: press.view && { ...press.view, state } };
}

export const isOver = (press: Press): boolean => press.kept?.state === "resolved" || press.kept?.state === "cancelled";

/** What is to be shown of a press. Of one that is over: that alone, whatever else is known. */
export type Shown = "unsent" | SosState;

export function shownOf(press: Press): Shown {
  return press.kept === null ? "unsent" : press.kept.state;
}
