/** What of the alerts should be heard and seen by somebody who looks elsewhere. Pure: the noise is made by desksound.ts. */
import type { Alert } from "../common/alertwire";
import { isUnanswered, type Alerts } from "./deskbook";

/** `alarm` goes on until somebody is on it; a `chime` is heard now and then. */
export type Sound = "alarm" | "chime" | null;

/** May be heard in the room where the desk stands: nothing of a silent alert may, nor of one under duress. */
export function isAudible(alert: Pick<Alert, "silent" | "duress">): boolean {
  return !alert.silent && !alert.duress;
}

/** What should sound now: the worst of what nobody has answered. */
export function soundOf(alerts: Iterable<Alert>): Sound {
  let sound: Sound = null;
  for (const alert of alerts) {
    if (!isUnanswered(alert) || !isAudible(alert)) continue;
    if (alert.state === "active" && alert.severity !== "notice" && !alert.drill) return "alarm";
    sound = "chime";
  }
  return sound;
}

/** Those that need somebody now and did not before: raised, or active again after whoever was on it fell silent. */
export function newlyUnanswered(before: Alerts, now: Iterable<Alert>): Alert[] {
  return [...now].filter((alert) => {
    if (!isUnanswered(alert)) return false;
    const had = before.get(alert.id);
    return !had || !isUnanswered(had) || (had.state === "pending" && alert.state === "active");
  });
}
