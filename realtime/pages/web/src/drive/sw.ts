/**
 * The service worker of /drive: the app starts without a network, from the build it was installed with. A new build waits
 * until the driver says so. An SOS that was not sent is sent when the network is back, without a page too.
 */
import { openDb } from "./db";
import { SOS_TAG } from "./install";
import { sendUnsent } from "./presses";
import { answering, outdated, storeOf, type Shell } from "./shell";

interface WaitingEvent extends Event {
  waitUntil(work: Promise<unknown>): void;
}
interface FetchingEvent extends WaitingEvent {
  request: Request;
  respondWith(response: Promise<Response>): void;
}
interface Scope {
  addEventListener(type: "install" | "activate", act: (event: WaitingEvent) => void): void;
  addEventListener(type: "fetch", act: (event: FetchingEvent) => void): void;
  addEventListener(type: "message", act: (event: MessageEvent) => void): void;
  addEventListener(type: "sync", act: (event: WaitingEvent & { tag: string }) => void): void;
  skipWaiting(): Promise<void>;
  clients: { claim(): Promise<void> };
  caches: CacheStorage;
  location: Location;
}

declare const __SHELL__: Shell;
const scope = self as unknown as Scope;
const shell = __SHELL__;

async function install(): Promise<void> {
  const store = await scope.caches.open(storeOf(shell));
  // Past the browser's own cache: a page of the build before must not end up in this one's store.
  await store.addAll(shell.files.map((file) => new Request(file, { cache: "no-cache", credentials: "omit" })));
}

async function activate(): Promise<void> {
  await Promise.all(outdated(shell, await scope.caches.keys()).map((name) => scope.caches.delete(name)));
  await scope.clients.claim();
}

async function answer(file: string, request: Request): Promise<Response> {
  const store = await scope.caches.open(storeOf(shell));
  return (await store.match(file, { ignoreVary: true })) ?? fetch(request);
}

async function send(): Promise<void> {
  const db = await openDb();
  try {
    await sendUnsent(db);
  } finally {
    db.close();
  }
}

scope.addEventListener("install", (event) => event.waitUntil(install()));
scope.addEventListener("activate", (event) => event.waitUntil(activate()));
scope.addEventListener("message", (event) => event.data === "now" && void scope.skipWaiting());
scope.addEventListener("sync", (event) => event.tag === SOS_TAG && event.waitUntil(send()));
scope.addEventListener("fetch", (event) => {
  const file = answering(shell, event.request.method, event.request.url, scope.location.origin);
  if (file !== null) event.respondWith(answer(file, event.request));
});
