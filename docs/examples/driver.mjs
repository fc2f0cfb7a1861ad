// A driver's app without the phone: records points, keeps each until the server has committed it, ends its journey.
// WAYGUARD_URL, WAYGUARD_TOKEN (a driver's), WAYGUARD_POINTS, WAYGUARD_INTERVAL_MS
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

const url = process.env.WAYGUARD_URL ?? "http://127.0.0.1:8000";
const wanted = Number(process.env.WAYGUARD_POINTS ?? 20);
const intervalMs = Number(process.env.WAYGUARD_INTERVAL_MS ?? 50);

// --- The outbox. On a phone this is a table on disk: write the point there first, send it second.

const journey = { clientId: randomUUID(), startedAt: Date.now(), id: null, endedAt: null };
let lastSeq = 0; //         the seq of the newest point
let through = 0; //         the server has committed 1…through
let points = []; //         what it has not: through + 1 … lastSeq
const counts = { resent: 0, voided: 0, reconnects: 0 };
let highestSent = 0;

function record(lat, lon, speedMps, headingDeg) {
  points.push([++lastSeq, Date.now(), lat, lon, speedMps, headingDeg]);
}

function serverHas(seq) {
  through = seq;
  points = points.filter((point) => point[0] > seq);
}

function nextBatch() {
  const batch = { journey_id: journey.id, points: points.slice(0, 500) };
  const first = batch.points[0][0];
  // Points that are nowhere any more (a lost disk, a restored backup): say so, or the log can never go on.
  if (first > through + 1) batch.skip = [through + 1, Math.min(first - 1, through + 10_000), "lost_by_app"];
  if (batch.skip && batch.skip[1] < first - 1) batch.points = [];
  // A backlog goes up in order; `latest` moves the dot on the map meanwhile.
  if (points.length > batch.points.length) batch.latest = points.at(-1);
  for (const [seq] of batch.points) if (seq <= highestSent) counts.resent++;
  highestSent = Math.max(highestSent, batch.points.at(-1)?.[0] ?? 0);
  return batch;
}

// --- The connection.

const socket = io(`${url}/driver`, {
  auth: (give) => give({ token: process.env.WAYGUARD_TOKEN }), // asked on every connect: give a fresh one
  transports: ["websocket"],
  reconnectionDelay: 500,
  reconnectionDelayMax: 30_000,
  randomizationFactor: 0.5,
});

let started = false; //     whether this connection has heard of our journey
let notBefore = 0; //       when the server wants to hear from us again
let failures = 0;
let done = false;

socket.on("connect", () => (started = false));
socket.on("disconnect", () => done || counts.reconnects++);
socket.on("drain", ({ after_ms, spread_ms }) => {
  setTimeout(() => socket.disconnect().connect(), after_ms + Math.random() * spread_ms);
});
socket.on("closing", (error) => comeBackOrGiveUp(error));
socket.on("connect_error", (error) => {
  if (error.data?.code) comeBackOrGiveUp(error.data); // the server's refusal; anything else is retried for us
});

function comeBackOrGiveUp(error) {
  // A real app fetches a new token on token_expired and connects again.
  if (!error.retryable) fail(`${error.code}: ${error.message}`);
  setTimeout(() => socket.active || socket.connect(), waitMs(error));
}

function waitMs(error) {
  const base = error?.retry_after_s ? error.retry_after_s * 1000 : Math.min(30_000, 500 * 2 ** failures);
  failures++;
  return base * (1 + Math.random() / 2);
}

function fail(why) {
  console.error(`failed: ${why}`);
  process.exit(1);
}

/** The answer to an event; null when none came: then the connection is taken for dead. */
async function ask(event, payload) {
  try {
    return await socket.timeout(15_000).emitWithAck(event, payload);
  } catch {
    if (socket.connected) socket.disconnect().connect();
    return null;
  }
}

/** One step towards everything being acknowledged. */
async function step() {
  if (!socket.connected || Date.now() < notBefore) return sleep(20);
  if (!started) return start();
  if (points.length > 0) return sendPoints();
  if (journey.endedAt !== null) return end();
  return sleep(20);
}

async function start() {
  const answer = await ask("journey:start", { client_journey_id: journey.clientId, started_at: journey.startedAt });
  if (!answer?.ok) return again(answer?.error);
  journey.id = answer.journey_id;
  serverHas(answer.next_seq - 1); // what an ack that got lost had stored
  started = true;
}

async function sendPoints() {
  const answer = await ask("positions", nextBatch());
  if (answer?.ok) {
    counts.voided += answer.voided.length;
    failures = 0;
    return serverHas(answer.through);
  }
  if (answer?.error.code === "expected_seq" && answer.error.expected !== through + 1) {
    return serverHas(answer.error.expected - 1); // go on from there, at once
  }
  return again(answer?.error);
}

async function end() {
  const answer = await ask("journey:end", { journey_id: journey.id, ended_at: journey.endedAt, last_seq: lastSeq });
  if (!answer?.ok) return again(answer?.error);
  console.log(
    `journey=${journey.id} points=${lastSeq} through=${through} voided=${counts.voided} ` +
      `resent=${counts.resent} reconnects=${counts.reconnects}`,
  );
  socket.disconnect();
  done = true;
}

function again(error) {
  // journey_expired and journey_ended: start the next journey with what is left, counting from 1 again.
  // conflict: the server holds other points under these seqs, so two apps write one journey; it keeps its own.
  if (error && !error.retryable) fail(`${error.code}: ${error.message}`);
  notBefore = Date.now() + waitMs(error);
}

// --- The receiver.

async function drive() {
  for (let n = 0; n < wanted; n++) {
    record(53.4065 + n * 0.0001, -2.969 + n * 0.0001, 8.3, 31);
    await sleep(intervalMs);
  }
  journey.endedAt = Date.now();
}

drive();
while (!done) await step();
