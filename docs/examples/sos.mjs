// The button: one sos_id, sent by socket and by HTTP at once, again and again, until one of them says that it is kept.
// WAYGUARD_URL, WAYGUARD_TOKEN (a driver's)
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { io } from "socket.io-client";

const url = process.env.WAYGUARD_URL ?? "http://127.0.0.1:8000";
const token = process.env.WAYGUARD_TOKEN;
const press = { sos_id: randomUUID(), kind: "sos", pressed_at: Date.now() }; // on a phone: write it down first

const socket = io(`${url}/driver`, { auth: { token, sos: true }, transports: ["websocket"] });
socket.on("connect_error", () => setTimeout(() => socket.connect(), 1_000));
socket.on("sos:update", (sos) => console.log(`state=${sos.state} by=${sos.acknowledged_by ?? "nobody"}`));

const bySocket = () => socket.timeout(5_000).emitWithAck("sos", press);

async function byHttp() {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const body = JSON.stringify(press);
  const answer = await fetch(`${url}/api/v1/sos`, { method: "POST", headers, body, signal: AbortSignal.timeout(5_000) });
  return answer.json();
}

const kept = (answer) => (answer.ok ? answer : Promise.reject(new Error(answer.error.code)));

for (let answer = null; answer === null; ) {
  try {
    answer = await Promise.any([bySocket().then(kept), byHttp().then(kept)]);
    console.log(`alert=${answer.alert_id} durability=${answer.durability}`);
  } catch {
    await sleep(1_000);
  }
}
if (process.env.WAYGUARD_STAY_MS) await sleep(Number(process.env.WAYGUARD_STAY_MS)); // a phone listens on
socket.disconnect();
