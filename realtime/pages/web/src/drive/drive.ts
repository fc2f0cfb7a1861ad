/** The driver's app: which face it shows. */
import { brand } from "../common/chrome";
import { icon, make, say, show } from "../common/dom";
import { Formats } from "../common/format";
import { usesMiles } from "../common/language";
import { addressOf } from "../common/link";
import { expose } from "../common/probe";
import { onTheme } from "../common/theme";
import { loadWords } from "../common/words";
import en from "../../messages/drive.en.json";
import { App } from "./app";
import { openDb, wipe, type Db } from "./db";
import { DriveView } from "./driveview";
import { asked, bigButton, type Speech } from "./face";
import { readHelp, type Help } from "./fallback";
import { HoldButton } from "./hold";
import { HomeView } from "./homeview";
import { Installed } from "./install";
import { TabLock } from "./lock";
import { Menu } from "./menu";
import { invitationOf, isInviting, type Pairing } from "./pairing";
import { PairView } from "./pairview";
import { isOver, shownOf, type Press } from "./press";
import { PAGE } from "./shell";
import { Signs } from "./signs";
import { SettingsView, type Place } from "./settingsview";
import { SosView } from "./sosview";
import type { Fix } from "./outbox";

const MENU_ICON = "M4 7h16M4 12h16M4 17h16";
/** Who has the journey is known by then: another tab, if not we. */
const LOCK_PATIENCE_MS = 400;
/** Under which name the settings say that PIN and contacts are still to be offered. */
const SETUP = "setup";

type Screen = "pair" | "other" | "home" | "going" | "sos" | "settings";

class Face {
  private readonly main = document.getElementById("page")!;
  private readonly foot = make("footer", "sos-bar");
  private readonly update = make("div", "update", [], { role: "status", hidden: "" });
  private readonly quiet: HTMLButtonElement;
  private readonly who = make("span", "who");
  private readonly signs: Signs;
  private readonly installed = new Installed(() => this.changed());
  private readonly lock: TabLock;
  private readonly pairView: PairView;
  private app: App | null = null;
  private drive: DriveView | null = null;
  private sos: SosView | null = null;
  private home: HomeView | null = null;
  private settings: SettingsView | null = null;
  /** The settings are what is looked at; right after pairing they are a step of it. */
  private setting = false;
  private readonly other: HTMLElement;
  private screen: Screen | null = null;
  private place: Fix | null = null;
  /** The silent press that its driver wants to see. */
  private looking = false;
  private due = false;
  private opening = false;

  constructor(
    private readonly speech: Speech,
    private readonly db: Db,
    private pairing: Pairing | null,
    private help: Help,
  ) {
    const { words } = speech;
    this.signs = new Signs(speech);
    this.pairView = new PairView(speech, (given, byCode) => this.pair(given, byCode), () => this.render());
    this.lock = new TabLock({ gained: () => void this.openApp(), lost: () => this.closeApp() });
    this.quiet = bigButton("", () => this.look(), "quiet-sign");
    this.other = make("section", "start", [
      make("h1", "", words.say("other.title")),
      make("p", "why", words.say("other.why")),
      bigButton(words.say("other.take"), () => this.lock.take()),
    ]);
    this.build();
  }

  /** `address`: what the page was opened with. */
  async start(address: string): Promise<void> {
    window.setInterval(() => this.render(), 1_000);
    window.addEventListener("popstate", () => this.wentBack());
    expose(() => this.probe(), () => null);
    this.render();
    void this.installed.start();
    const invitation = invitationOf(address);
    if (invitation || isInviting(address)) this.pairView.offer(invitation);
    this.render();
    if (this.pairing && !this.app) this.lock.wait();
  }

  private build(): void {
    const { words } = this.speech;
    const menu = new Menu(this.speech, this.help, (help) => void this.saveHelp(help), () => this.unsafe(), () => void this.unpair(), (place) => this.set(place));
    const open = make("button", "round", [icon(MENU_ICON)], { type: "button", "aria-label": words.say("menu") });
    open.addEventListener("click", () => menu.open(this.app !== null));
    const head = make("header", "top", [brand(), this.who, this.signs.chip, open]);
    this.update.append(make("span", "", words.say("update.ready")), bigButton(words.say("update.go"), () => this.installed.reload(), "small"));
    const words1 = { label: words.say("sos.label"), title: words.say("sos.hold"), hint: words.say("sos.hold.hint"), holding: words.say("sos.holding") };
    const words2 = { ...words1, label: words.say("sos.silent.label"), title: words.say("sos.silent") };
    this.foot.append(
      new HoldButton("loud", words1, () => void this.press(false), () => void this.askFirst(false)).element,
      new HoldButton("silent", words2, () => void this.press(true), () => void this.askFirst(true)).element,
    );
    document.body.replaceChildren(head, this.update, this.main, this.foot, menu.element);
  }

  // --- who this phone is

  private async pair(given: Pairing, byCode: boolean): Promise<void> {
    const { words } = this.speech;
    const before = this.pairing;
    if (before && (before.driver !== given.driver || before.vendor !== given.vendor)) {
      const why = words.say("pair.other.why", { n: await this.db.count("points") });
      if (!(await asked(words.say("pair.other", { driver: before.driver }), why, words.say("pair.other.forget"), words.say("pair.other.keep"), true))) return;
      await wipe(this.db);
      await this.db.put("settings", this.help, "help");
    }
    await this.db.put("pairing", given, "me");
    if (byCode && before?.driver !== given.driver) await this.db.put("settings", true, SETUP);
    this.pairing = given;
    // All tabs begin anew with it.
    this.app?.stop();
    this.app = null;
    if (this.lock.mine) await this.openApp();
    else this.lock.take();
  }

  private async unpair(): Promise<void> {
    this.app?.stop();
    await wipe(this.db);
    location.replace(location.pathname);
  }

  private unsafe(): { points: number; sos: boolean } {
    return { points: this.app?.outbox.unsafe ?? 0, sos: this.app?.raiser.open ?? false };
  }

  private async saveHelp(help: Help): Promise<void> {
    this.help = help;
    await this.db.put("settings", help, "help");
    this.render();
  }

  // --- one tab drives

  private async openApp(): Promise<void> {
    if (this.app || this.opening) return;
    this.opening = true;
    // Another tab may have paired or unpaired this phone since we looked.
    this.pairing = (await this.db.get("pairing", "me")) ?? null;
    const app = this.pairing && (await App.open(this.db, this.pairing, () => this.changed(), () => this.installed.sendLater()));
    this.opening = false;
    if (!app || !this.lock.mine) return this.render();
    this.app = app;
    this.drive = new DriveView(this.speech, app);
    this.sos = new SosView(this.speech, app, () => void this.leaveSos());
    this.home = new HomeView(this.speech, app, ({ destination, by, everyS }) => void app.start(destination, by, everyS), () => this.set("contacts"));
    this.settings = new SettingsView(this.speech, app, () => void this.leaveSettings());
    if ((await this.db.get("settings", SETUP)) === true) this.set("index", true);
    else if (this.setting) this.set("index");
    this.place = await app.lastPlace();
    await app.run();
    this.render();
  }

  private closeApp(): void {
    this.app?.stop();
    this.app = null;
    this.render();
    this.lock.wait();
  }

  // --- settings

  private set(place: Place, first = false): void {
    // The phone's own way back leads out of a page of the settings, not out of the app.
    if (!this.setting) history.pushState({ settings: true }, "");
    this.setting = true;
    this.settings?.open(place, first);
    this.render();
  }

  private wentBack(): void {
    if (!this.setting) return;
    this.settings?.goBack();
    if (this.setting) history.pushState({ settings: true }, "");
  }

  private async leaveSettings(): Promise<void> {
    this.setting = false;
    if ((history.state as { settings?: boolean } | null)?.settings) history.back();
    await this.db.delete("settings", SETUP);
    this.render();
  }

  // --- SOS

  private async press(silent: boolean): Promise<void> {
    if (!this.app) await this.takeOver();
    this.looking = false;
    await this.app?.press(silent);
    this.place = (await this.app?.lastPlace()) ?? null;
    this.render();
  }

  private async askFirst(silent: boolean): Promise<void> {
    const { words } = this.speech;
    if (await asked(words.say(silent ? "sos.ask.silent" : "sos.ask"), "", words.say("sos.ask.yes"), words.say("sos.ask.no"))) await this.press(silent);
  }

  /** An SOS goes from the tab in which it is pressed. */
  private async takeOver(): Promise<void> {
    this.lock.take();
    while (!this.app) await new Promise((resolve) => window.setTimeout(resolve, 20));
  }

  private look(): void {
    this.looking = true;
    this.render();
  }

  private async leaveSos(): Promise<void> {
    this.looking = false;
    await this.app?.raiser.close();
    this.render();
  }

  // --- what is shown

  private changed(): void {
    if (this.due) return;
    this.due = true;
    window.setTimeout(() => {
      this.due = false;
      this.render();
    }, 50);
  }

  private screenNow(press: Press | null): Screen {
    if (!this.pairing || this.pairView.wanted) return "pair";
    if (!this.app) return "other";
    if (press && (!press.silent || this.looking)) return "sos";
    if (this.setting) return "settings";
    return this.app.outbox.current ? "going" : "home";
  }

  private render(): void {
    const { app } = this;
    const press = app?.raiser.foremost ?? null;
    const screen = this.screenNow(press);
    show(this.update, this.installed.ready);
    show(this.foot, this.pairing !== null);
    show(this.signs.chip, app !== null);
    if (this.pairing) say(this.who, this.pairing.driver);
    if (app) this.signs.update(app, Date.now());
    this.pairView.update(this.pairing !== null);
    if (screen !== this.screen) this.become(screen);
    document.documentElement.dataset["screen"] = screen;
    if (app && screen === "home") this.home!.update();
    if (app && screen === "settings") this.settings!.update(Date.now());
    if (app && screen === "going") this.drive!.update(Date.now());
    if (app && screen === "sos") this.sos!.update(press!, this.help, app.locator.newest ?? this.place, Date.now() + app.skewMs);
    const quiet = press !== null && press.silent === true && screen !== "sos" && !isOver(press);
    show(this.quiet, quiet);
    // Of a silent one that is over, nothing stays to be found.
    if (press?.silent && isOver(press) && !this.looking) void app!.raiser.close();
    if (quiet) say(this.quiet, this.speech.words.say(press.kept === null ? "sos.quiet.unsent" : "sos.quiet.sent"));
  }

  private become(screen: Screen): void {
    const before = this.screen;
    this.screen = screen;
    // Who just came here, or is just reloading, is not told of another tab before it is known that there is one.
    if (screen === "other" && before === null) {
      this.screen = null;
      window.setTimeout(() => this.app || this.put(this.other), LOCK_PATIENCE_MS);
      return;
    }
    if (screen === "pair") this.put(this.pairView.element);
    else if (screen === "other") this.put(this.other);
    else {
      const view = { home: this.home!, going: this.drive!, sos: this.sos!, settings: this.settings! }[screen].element;
      view.hidden = false;
      this.put(this.signs.notes, this.quiet, view, ...(screen === "settings" ? [] : [this.signs.safe]));
      if (screen === "sos") this.sos!.focus();
    }
  }

  private put(...parts: HTMLElement[]): void {
    this.main.replaceChildren(...parts);
  }

  private probe(): unknown {
    const { app } = this;
    const press = app?.raiser.foremost ?? null;
    return {
      page: "drive",
      screen: this.screen,
      driver: this.pairing?.driver ?? null,
      line: app?.line.state ?? null,
      connections: app?.line.connections ?? 0,
      unsafe: app?.outbox.unsafe ?? null,
      points: app?.outbox.length ?? 0,
      journeys: app?.outbox.journeys.length ?? 0,
      access: app?.access ?? null,
      sos: press && { shown: shownOf(press), silent: press.silent === true },
      settings: this.screen === "settings" ? (this.settings?.place ?? null) : null,
      own: app && { pin: app.own.own.pinSet, contacts: app.own.own.contacts?.length ?? null, reached: app.own.reached },
      permission: app?.locator.permission ?? null,
      timers_pending: app?.timers.pending ?? null,
      update_ready: this.installed.ready,
    };
  }
}

async function main(): Promise<void> {
  // What came in the address is taken out of it before anything else.
  const address = addressOf(location);
  if (address !== PAGE) history.replaceState(null, "", PAGE);
  onTheme(() => undefined);
  window.addEventListener("hashchange", () => location.reload());
  const words = await loadWords({ en, ar: () => import("../../messages/drive.ar.json") });
  document.title = words.say("title");
  const speech = { words, formats: new Formats({ locale: words.locale, miles: usesMiles(navigator.languages) }) };
  const db = await openDb();
  const pairing = (await db.get("pairing", "me")) ?? null;
  await new Face(speech, db, pairing, readHelp(await db.get("settings", "help"))).start(address);
}

void main();
