/** The page of a shared link: one person, where they are, how fresh that is, and what can be done when they need help. */
import "../common/style.css";
import "./contact.css";

import { loadConfig } from "../common/config";
import { addressOf, shareAddress, shareOf } from "../common/link";
import { onTheme } from "../common/theme";
import { loadWords } from "../common/words";
import en from "../../messages/contact.en.json";
import { showClosed } from "./closed";
import type { ContactWords } from "./contactwords";
import { ContactPage } from "./page";

async function main(): Promise<void> {
  const page = document.getElementById("page")!;
  onTheme(() => undefined);
  window.addEventListener("hashchange", () => location.reload());
  const words: ContactWords = await loadWords({ en, ar: () => import("../../messages/contact.ar.json") });
  const share = shareOf(location);
  if (share === null) return showClosed(page, words, null);
  const address = shareAddress(share);
  if (addressOf(location) !== address) history.replaceState(null, "", address);
  new ContactPage(share, page, document.getElementById("map")!, loadConfig(), words).start();
}

void main();
