/** The fleet's parts of the console: the map, the list of drivers, and what is known of the one that is chosen. */
import type { Context, Places } from "./context";

export function mountFleet(_context: Context, _places: Places): void {
  // Without a map the desk still serves.
}
