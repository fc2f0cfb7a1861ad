/** The page's side of its service worker: starts it, says when a new version waits, asks it to send an SOS later. */

export const SOS_TAG = "sos";

interface SyncRegistration extends ServiceWorkerRegistration {
  sync?: { register(tag: string): Promise<void> };
}

export class Installed {
  private registration: SyncRegistration | null = null;
  /** A new version is ready. */
  ready = false;

  constructor(private readonly changed: () => void) {}

  async start(): Promise<void> {
    if (!("serviceWorker" in navigator)) return;
    const registration = await navigator.serviceWorker.register("/drive/sw.js", { scope: "/drive" }).catch(() => null);
    if (!registration) return; // Without one it works with a network.
    this.registration = registration;
    this.look();
    registration.addEventListener("updatefound", () => {
      registration.installing?.addEventListener("statechange", () => this.look());
    });
  }

  /** Lets the new version take over, and starts with it. */
  reload(): void {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    this.registration?.waiting?.postMessage("now");
  }

  /** Where the browser can: sends it when the network is back, without us. */
  async sendLater(): Promise<void> {
    await this.registration?.sync?.register(SOS_TAG).catch(() => undefined);
  }

  private look(): void {
    // The first one takes over by itself: there is nothing older to wait for.
    this.ready = this.registration?.waiting != null && navigator.serviceWorker.controller !== null;
    this.changed();
  }
}
