/** What a dispatcher does about an alert: by the line, or by HTTP where the line is down. Shown when the server says so. */
import { readAlert, type Alert } from "../common/alertwire";
import type { Json } from "../common/read";
import { isRefusal } from "../common/wire";
import type { Context } from "./context";

export type Act = "acknowledge" | "respond" | "note" | "resolve" | "false_alarm";

const WAYS: Record<Act, { event: string; path: string }> = {
  acknowledge: { event: "alert:ack", path: "acknowledge" },
  respond: { event: "alert:respond", path: "responders" },
  note: { event: "alert:note", path: "notes" },
  resolve: { event: "alert:resolve", path: "resolve" },
  false_alarm: { event: "alert:false_alarm", path: "false-alarm" },
};

/** Does it and gives the alert as the server now has it. Throws the Refusal. */
export async function act({ session, api }: Pick<Context, "session" | "api">, what: Act, id: string, more: Json = {}): Promise<Alert | null> {
  const { event, path } = WAYS[what];
  let answer: Json;
  try {
    answer = await session.request(event, { alert_id: id, ...more });
  } catch (error) {
    if (!isRefusal(error) || error.code !== "unavailable") throw error;
    answer = await api.post(`/api/v1/alerts/${encodeURIComponent(id)}/${path}`, more);
  }
  return readAlert(answer["alert"]);
}

/** What may be done about an alert as it stands; the server has the last word. */
export function actsOf(alert: Pick<Alert, "state">): Act[] {
  if (alert.state === "resolved" || alert.state === "cancelled") return ["note"];
  const rest: Act[] = ["respond", "note", "resolve", "false_alarm"];
  return alert.state === "acknowledged" ? rest : ["acknowledge", ...rest];
}
