/** What the panel says of a driver, in words. Pure. */
import type { ConsoleWords } from "./context";
import type { Row } from "./fleetlist";
import type { Formats } from "../common/format";
import type { Presence } from "../common/wire";
import { clean } from "../common/words";

/** "Connected since 14:03 · heard again": what the server says of the line to the driver, since when, and why. */
export function presenceText(words: ConsoleWords, formats: Formats, presence: Presence | null, nowMs: number): string {
  if (!presence) return words.say("driver.presence.unknown");
  // That somebody is connected because they connected needs no saying.
  const plain = presence.reason === null || (presence.state === "online" && presence.reason === "connected");
  const said = plain ? null : (words.find(`presence.${presence.reason}`) ?? clean(presence.reason ?? "", 40));
  const state = words.say(`driver.presence.${presence.state}`);
  const since = presence.sinceMs === null ? null : formats.clock(presence.sinceMs, nowMs);
  if (since === null) return said === null ? state : words.say("driver.presence.why", { state, reason: said });
  return said === null ? words.say("driver.presence.since", { state, since }) : words.say("driver.presence.full", { state, since, reason: said });
}

/** A speed that is not known to be true now is said to be past. */
export function doingText(words: ConsoleWords, formats: Formats, row: Row): string {
  if (row.speedMps === null) return "–";
  const speed = formats.speed(row.speedMps);
  return row.freshness === "fresh" ? speed : words.say("driver.speed.was", { speed });
}
