/** The page of a shared link: one person, where they are, how fresh that is, and what can be done when they need help. */
import "../common/style.css";
import "./contact.css";

import { loadConfig } from "../common/config";
import { notice } from "../common/chrome";
import { shareOf } from "../common/link";
import { onTheme } from "../common/theme";
import { loadWords } from "../common/words";
import en from "../../messages/contact.en.json";
import { closedWords, type ContactWords } from "./contactwords";
import { ContactPage } from "./page";

async function main(): Promise<void> {
  const page = document.getElementById("page")!;
  onTheme(() => undefined);
  window.addEventListener("hashchange", () => location.reload());
  const words: ContactWords = await loadWords({ en, ar: () => import("../../messages/contact.ar.json") });
  const share = shareOf(location);
  if (share === null) {
    const { title, lines } = closedWords(words, null);
    page.replaceChildren(notice(title, ...lines));
    return;
  }
  new ContactPage(share, page, document.getElementById("map")!, loadConfig(), words).start();
}

void main();
