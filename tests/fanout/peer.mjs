// The official client against a FanoutServer. argv: url, transports, count. Emits `count` numbered events, some
// before the connection is up and the rest while it may be upgrading; each must be answered once and in order.
import { createRequire } from "node:module";
const require = createRequire(new URL("../node/package.json", import.meta.url));
const { io } = require("socket.io-client");

const [url, transports, count] = [process.argv[2], process.argv[3].split(","), Number(process.argv[4])];
const socket = io(`${url}/x`, { transports, reconnection: false, forceNew: true });
const answered = [];
const settled = () => transports.length === 1 || socket.io.engine.transport.name === "websocket";
let sent = 0;

const fail = (why) => { console.log(JSON.stringify({ why, answered: answered.length })); process.exit(1); };
const send = () => {
  const number = sent++;
  socket.emit("echo", number, (answer) => {
    answered.push(answer);
    if (answer !== answered.length - 1) fail(`answer ${answer} at place ${answered.length - 1}`);
    if (answered.length >= count && settled()) {
      console.log(JSON.stringify({ answered: answered.length, transport: socket.io.engine.transport.name }));
      socket.disconnect();
      setTimeout(() => process.exit(0), 50);
    }
  });
};
for (let n = 0; n < 30; n++) send();          // more than stock takes in one POST
socket.on("connect_error", (error) => fail(String(error)));
socket.on("disconnect", (reason) => { if (reason !== "io client disconnect") fail(reason); });
socket.on("connect", () => {
  const more = () => {
    for (let n = 0; n < 5; n++) send();
    if (sent < count || !settled()) setTimeout(more, 2);
  };
  more();
});
setTimeout(() => fail("too slow"), 30_000);
