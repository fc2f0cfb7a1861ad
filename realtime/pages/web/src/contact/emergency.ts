/** The table of emergency numbers, a file of its own: fetched when an alert is open, or when there is nothing else to do. */
import table from "virtual:emergency";

import { emergencyAt, type Emergency } from "./places";

export function emergencyOf(place: { lat: number; lon: number }): Emergency {
  return emergencyAt(table, place.lat, place.lon);
}
