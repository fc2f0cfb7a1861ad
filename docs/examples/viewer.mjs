// A viewer of one journey or one vendor: a snapshot, then what changes, and never a silent gap.
// WAYGUARD_URL, WAYGUARD_TOKEN or WAYGUARD_SHARE ("{id}.{secret}"), WAYGUARD_JOURNEY or WAYGUARD_VENDOR,
// WAYGUARD_UNTIL: stop when the journey has this seq (or the vendor this many drivers); default: when the journey ends
import { io } from "socket.io-client";

const url = process.env.WAYGUARD_URL ?? "http://127.0.0.1:8000";
const { WAYGUARD_TOKEN: token, WAYGUARD_SHARE: share, WAYGUARD_VENDOR: vendor } = process.env;
const until = Number(process.env.WAYGUARD_UNTIL ?? Infinity);

let journey = process.env.WAYGUARD_JOURNEY;
let liveOnly = false;
let name = null; //                  the feed's name, as the server calls it
let through = 0; //                  journey: we have seen 1…through
let last = null; //                  journey: the newest position
const drivers = new Map(); //        vendor: driver -> [journey, point]
const presence = new Map(); //       driver -> {state, since_ms, reason}
const counts = { points: 0, duplicates: 0, gaps: 0, resets: 0, reconnects: -1 };

const socket = io(`${url}/watch`, {
  auth: (give) => give(share ? { share } : { token }),
  transports: ["websocket"],
  reconnectionDelay: 500,
  reconnectionDelayMax: 30_000,
  randomizationFactor: 0.5,
});

socket.on("connect", async () => {
  counts.reconnects++;
  if (share) {
    const me = await ask("whoami");
    if (!me?.ok) return;
    journey = me.journey_id;
    liveOnly = me.scope === "live";
  }
  watch();
});

async function watch() {
  // Only what is missing: after a reconnect the points behind `through` come, and none twice.
  const feed = vendor ? { vendor } : liveOnly ? { journey } : { journey, since_seq: through };
  const answer = await ask("watch", { feed });
  if (!answer) return; // the connection went; `connect` comes again
  if (!answer.ok) {
    if (!answer.error.retryable) fail(answer.error);
    setTimeout(watch, 1000 * (answer.error.retry_after_s ?? 1) * (1 + Math.random()));
    return;
  }
  name = answer.feed;
  if (vendor) drivers.clear(); // a snapshot is all there is
  if (liveOnly) through = (answer.snapshot.positions[0]?.[2][0] ?? answer.through + 1) - 1;
  for (const [driver, state] of Object.entries(answer.snapshot.presence)) presence.set(driver, state);
  take(answer.snapshot.positions);
  if (answer.journey && (answer.journey.ended_ms || answer.journey.expired) && !answer.more) finish();
}

function take(positions) {
  for (const [driver, journeyId, point] of positions) {
    counts.points++;
    if (vendor) {
      drivers.set(driver, [journeyId, point]); // conflated: the newest of each driver
    } else {
      const [seq, t_ms, lat, lon] = point;
      if (seq <= through) counts.duplicates++;
      else if (seq > through + 1) counts.gaps++;
      through = Math.max(through, seq);
      if (lat !== null) last = { t_ms, lat, lon }; // null in a void: a seq without a position
    }
  }
  if ((vendor ? drivers.size : through) >= until) finish();
}

socket.on("positions", (feed, positions) => feed === name && take(positions));
socket.on("presence", (feed, { driver, ...state }) => feed === name && presence.set(driver, state));
socket.on("journey", (feed, change) => {
  if (feed === name && !vendor && change.state !== "started") finish();
});
socket.on("reset", ({ feed }) => {
  if (feed !== name) return;
  counts.resets++;
  watch(); // the server lost its place in this feed: ask again from where we are
});
socket.on("drain", ({ after_ms, spread_ms }) => {
  setTimeout(() => socket.disconnect().connect(), after_ms + Math.random() * spread_ms);
});
socket.on("closing", (error) => error.retryable || fail(error));
socket.on("connect_error", (error) => {
  if (!error.data?.code) return; // the network: retried for us
  if (!error.data.retryable) fail(error.data);
  setTimeout(() => socket.connect(), 1000 * (error.data.retry_after_s ?? 1) * (1 + Math.random()));
});

async function ask(event, payload = null) {
  try {
    return await socket.timeout(15_000).emitWithAck(event, payload);
  } catch {
    if (socket.connected) socket.disconnect().connect();
    return null;
  }
}

function fail(error) {
  console.error(`failed: ${error.code}: ${error.message}`);
  process.exit(1);
}

function finish() {
  const place = vendor ? `drivers=${drivers.size}` : `through=${through} last=${last?.lat},${last?.lon}`;
  const { points, duplicates, gaps, resets, reconnects } = counts;
  console.log(
    `feed=${name} ${place} points=${points} duplicates=${duplicates} gaps=${gaps} resets=${resets} reconnects=${reconnects}`,
  );
  socket.disconnect();
}
