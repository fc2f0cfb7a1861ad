/** The dispatcher's console: signs in, and puts the parts together. The map comes last: the desk does without it. */
import "../common/style.css";
import "./console.css";

import { Api } from "../common/api";
import { isOpen } from "../common/alertwire";
import { loadConfig } from "../common/config";
import { Formats } from "../common/format";
import { usesMiles } from "../common/language";
import { addressOf, tokenOf, vendorOf } from "../common/link";
import { expose } from "../common/probe";
import { Session, type Handlers } from "../common/session";
import { onTheme } from "../common/theme";
import { isRefusal, type Refusal } from "../common/wire";
import { loadWords } from "../common/words";
import en from "../../messages/console.en.json";
import { Topic, type ConsoleWords, type Context } from "./context";
import { NameBook } from "./names";
import { Desk } from "./desk";
import { DeskFeed } from "./deskfeed";
import { Health } from "./health";
import { Shell } from "./shell";
import { VendorPicker } from "./shellvendors";
import { exchange, leave, readMe, SignIn, takeEnded, whyText, type Me } from "./signin";
import { showSessions } from "./signinsessions";
import { explained } from "./context";

const page = document.getElementById("page")!;
const api = new Api();

/** Everything that one sign-in has; it ends with the page itself, so that nothing of it is left behind. */
class Console {
  private readonly hearers: Partial<Handlers>[] = [];
  private readonly context: Context;
  private readonly shell: Shell;
  private readonly feed: DeskFeed;
  private readonly desk: Desk;
  private readonly health: Health;
  private readonly picker: VendorPicker;
  private left = false;

  constructor(words: ConsoleWords, config: Context["config"], me: Me, vendor: string | null) {
    const session = new Session({ session: true }, this.handlers());
    this.context = {
      session, api, words, config,
      names: new NameBook((drivers) => api.post("/api/v1/drivers/names", { drivers })),
      formats: new Formats({ locale: words.locale, miles: usesMiles(navigator.languages) }),
      identity: new Topic<Context["identity"] extends Topic<infer T> ? T : never>(null),
      vendors: new Topic<readonly string[]>([]),
      allVendors: new Topic(true),
      chosen: new Topic<string | null>(null),
      place: new Topic<Context["place"] extends Topic<infer T> ? T : never>(null),
      drivers: new Topic<number | null>(null),
      alerts: new Topic<ReturnType<Context["alerts"]["get"]>>(new Map()),
      hear: (handlers) => void this.hearers.push(handlers),
      tell: (text) => this.shell.tell(text),
    };
    this.shell = new Shell(words, me, { sessions: () => showSessions(this.context), signOut: () => void this.signOut() });
    this.feed = new DeskFeed(this.context, (refusal) => this.end(refusal.code));
    this.desk = new Desk(this.context, this.feed, (text, urgently) => this.shell.announce(text, urgently), (place) => this.shell.front(place));
    this.health = new Health(this.context, () => this.context.alerts.get().size > 0 || (this.context.drivers.get() ?? 0) > 0);
    this.picker = new VendorPicker(this.context, vendor);
    this.shell.desk.append(this.desk.element);
    this.shell.furnish([this.health.element], [this.picker.element]);
  }

  start(): void {
    page.replaceChildren(this.shell.element, this.health.signs.bar);
    this.feed.start();
    this.desk.start();
    this.health.start();
    this.picker.start();
    this.context.alerts.listen((alerts) => this.context.names.want([...alerts.values()].map((alert) => alert.driver)));
    this.context.alerts.listen((alerts) => this.shell.count([...alerts.values()].filter((alert) => isOpen(alert) && !alert.drill).length));
    this.context.chosen.listen((driver) => {
      // Who picks somebody in the list wants to see them, and the list covers the map where both do not fit.
      if (driver !== null && this.shell.shows === "side") this.shell.front("map");
    });
    expose(() => this.probe(), () => null);
    this.context.session.start();
    void this.mountFleet();
  }

  /** The map and what belongs to it; without it the desk goes on. */
  private async mountFleet(): Promise<void> {
    try {
      const { mountFleet } = await import("./parts");
      this.feed.lendArea();
      mountFleet(this.context, this.shell.places, (alert) => this.desk.follow(alert));
    } catch {
      this.feed.keepArea();
      this.context.tell(this.context.words.say("shell.no_map"));
    }
  }

  private handlers(): Handlers {
    const all = <K extends keyof Handlers>(name: K): ((...args: Parameters<NonNullable<Handlers[K]>>) => void) => {
      return (...args) => {
        for (const handlers of this.hearers) (handlers[name] as ((...args: unknown[]) => void) | undefined)?.(...args);
      };
    };
    const told = { identified: all("identified"), state: all("state") };
    return {
      positions: all("positions"), presence: all("presence"), journey: all("journey"), alert: all("alert"), counts: all("counts"), answered: all("answered"),
      identified: (identity) => {
        this.context.identity.set(identity);
        told.identified(identity);
      },
      state: (state) => {
        if (state.kind === "refused") this.end(state.refusal.code);
        else told.state(state);
      },
    };
  }

  /** The session is over: everything on this page is forgotten by leaving it. */
  private end(code: string): void {
    if (this.left) return;
    this.left = true;
    this.context.session.stop();
    page.replaceChildren();
    leave(code);
  }

  private async signOut(): Promise<void> {
    try {
      await api.delete("/api/v1/session");
      this.end("signed_out");
    } catch (error) {
      const refusal: Refusal | null = isRefusal(error) ? error : null;
      if (refusal && !refusal.retryable) this.end("signed_out");
      else this.context.tell(explained(this.context.words, error));
    }
  }

  private probe(): Record<string, unknown> {
    const { session, vendors, chosen } = this.context;
    return {
      page: "console",
      connection: session.state.kind,
      connections: session.connections,
      last_loss: session.lastLoss,
      vendors: vendors.get(),
      chosen: chosen.get(),
      desk: this.desk.probe(),
      health: this.health.probe(),
    };
  }
}

async function main(): Promise<void> {
  const address = addressOf(location);
  const token = tokenOf(address);
  const clean = (): void => history.replaceState(null, "", "/console");
  if (address !== "/console") clean(); // before anything else: no bookmark, screenshot or shared address may hold it
  onTheme(() => undefined);
  const [words, config] = await Promise.all([loadWords({ en, ar: () => import("../../messages/console.ar.json") }), loadConfig()]);
  document.title = `${words.say("title")} · ${words.say("brand")}`;
  const vendor = vendorOf(address);
  const begin = (me: Me): void => new Console(words, config, me, vendor).start();
  const signIn = new SignIn(words, begin);
  const ask = (why: string): void => {
    expose(() => ({ page: "signin" }), () => null);
    page.replaceChildren(signIn.element);
    signIn.why(why);
    signIn.focus();
  };
  // A link opened in a tab that already shows the page only changes the fragment.
  window.addEventListener("hashchange", () => {
    const other = tokenOf(location.hash);
    if (location.hash) clean();
    if (other !== null) void exchange(other).then(() => location.reload(), (error: unknown) => ask(isRefusal(error) ? whyText(words, error) : ""));
  });
  const ended = takeEnded();
  if (token !== null) {
    ask("");
    await signIn.tryToken(token);
  } else if (ended !== null) ask(whyText(words, { code: ended }));
  else await resume(words, begin, ask);
}

/** Goes on with the session that this browser has, if it has one. */
async function resume(words: ConsoleWords, begin: (me: Me) => void, ask: (why: string) => void): Promise<void> {
  try {
    begin(readMe(await api.get("/api/v1/session")));
  } catch (error) {
    if (!isRefusal(error)) throw error;
    ask(error.code === "unauthenticated" ? "" : whyText(words, error));
  }
}

void main();
