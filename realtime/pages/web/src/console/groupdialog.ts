/** A list of drivers within a few metres of each other, to choose one: no zoom separates them. */
import { make } from "../common/dom";
import { clean } from "../common/words";
import type { Context } from "./context";
import { Dialog } from "./dialog";

/** Drivers that are listed at most; the search of the list finds the others. */
const MOST = 200;

export function listDrivers({ words, names, chosen }: Context, ids: readonly string[]): void {
  const dialog = new Dialog(words, words.say("map.group", { n: ids.length }));
  const order = new Intl.Collator(words.locale, { numeric: true });
  const list = make("ul", "group-list");
  for (const id of [...ids].sort((a, b) => order.compare(names.of(a), names.of(b))).slice(0, MOST)) {
    const shown = clean(id, 80);
    const name = names.of(id);
    const pick = make("button", "plain", [make("bdi", "name", name), ...(name === shown ? [] : [make("bdi", "detail", shown)])], { type: "button" });
    pick.addEventListener("click", () => {
      dialog.close();
      chosen.set(id);
    });
    list.append(make("li", "", [pick]));
  }
  dialog.body.append(list);
  if (ids.length > MOST) dialog.body.append(make("p", "hint", words.say("map.group.more", { n: ids.length - MOST })));
  dialog.open();
  list.querySelector("button")?.focus();
}
