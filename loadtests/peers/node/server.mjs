// Node's socket.io, written as its documentation shows and as a careful user would tune it: websocket only, no
// compression, tokens checked, coordinates checked, every batch acknowledged. Its own gathering of positions
// for a tick is written here, so that a comparison with a server that gathers is fair.
//
// PORT, AUTH_SECRET; TICK_MS: 0 = each position at once, else the newest of each driver that often in one event;
// REDIS_URL: with it, @socket.io/redis-adapter joins several of these servers.
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { Server } from "socket.io";

const { PORT, AUTH_SECRET, REDIS_URL } = process.env;
const tickMs = Number(process.env.TICK_MS ?? 0);

const http = createServer((request, response) => response.writeHead(200).end("ok"));
const io = new Server(http, {
  transports: ["websocket"],
  perMessageDeflate: false,
  httpCompression: false,
  serveClient: false,
  pingInterval: 20_000,
  pingTimeout: 15_000,
  maxHttpBufferSize: 256 * 1024,
});
// The documentation's advice for memory: forget the first request of each connection.
io.engine.on("connection", (raw) => (raw.request = null));
if (REDIS_URL) {
  const { createClient } = await import("redis");
  const { createAdapter } = await import("@socket.io/redis-adapter");
  const publisher = createClient({ url: REDIS_URL });
  const subscriber = publisher.duplicate();
  await Promise.all([publisher.connect(), subscriber.connect()]);
  io.adapter(createAdapter(publisher, subscriber));
}

function claimsOf(token) {
  const [head, body, signature] = String(token).split(".");
  const made = createHmac("sha256", AUTH_SECRET).update(`${head}.${body}`).digest();
  const given = Buffer.from(signature ?? "", "base64url");
  if (given.length !== made.length || !timingSafeEqual(made, given)) throw new Error("unauthenticated");
  const claims = JSON.parse(Buffer.from(body, "base64url").toString());
  if (claims.exp * 1000 < Date.now()) throw new Error("token_expired");
  return claims;
}

function authenticate(socket, next) {
  try {
    socket.data.claims = claimsOf(socket.handshake.auth.token);
    next();
  } catch (error) {
    next(error);
  }
}

const watch = io.of("/watch");
const gathered = new Map(); // room -> (driver -> [driver, journey, point])

function show(room, driver, journey, point) {
  if (tickMs === 0) return watch.to(room).emit("positions", room, [[driver, journey, point]]);
  let newest = gathered.get(room);
  if (!newest) gathered.set(room, (newest = new Map()));
  newest.set(driver, [driver, journey, point]);
}

if (tickMs > 0) {
  setInterval(() => {
    for (const [room, newest] of gathered) watch.to(room).emit("positions", room, [...newest.values()]);
    gathered.clear();
  }, tickMs);
}

watch.use(authenticate).on("connection", (socket) => {
  socket.on("watch", ({ feed }, answer) => {
    const room = `vendor:${feed.vendor}`;
    socket.join(room);
    answer({ ok: true, feed: room });
  });
});

const isNumber = (value, low, high) => typeof value === "number" && value >= low && value <= high;

io.of("/driver").use(authenticate).on("connection", (socket) => {
  const { driver, vendors } = socket.data.claims;
  const room = `vendor:${vendors[0]}`;
  socket.on("journey:start", (start, answer) => answer({ ok: true, journey_id: randomUUID(), next_seq: 1 }));
  socket.on("positions", ({ journey_id, points }, answer) => {
    for (const [seq, t_ms, lat, lon] of points) {
      const good = Number.isInteger(seq) && isNumber(t_ms, 0, 1e14) && isNumber(lat, -90, 90) && isNumber(lon, -180, 180);
      if (!good) return answer({ ok: false, error: { code: "invalid" } });
    }
    const last = points[points.length - 1];
    show(room, driver, journey_id, last);
    answer({ ok: true, through: last[0], voided: [] });
  });
});

process.on("SIGTERM", () => process.exit(0));
http.listen({ port: Number(PORT), host: "127.0.0.1", backlog: 4096 });
