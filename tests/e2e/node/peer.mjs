// The official client, steered over its standard input: a JSON command a line in, what happened a line out.
//   {"do": "connect", "url", "namespace", "auth", "transports", "want"}   → {"connected": sid, "transport"}
//   {"do": "emit", "id", "event", "payload"}                               → {"ack": id, "answer"}
// Events come as {"event", "args"}, an upgrade as {"upgraded"}, an end as {"disconnected"}. `want` is the instance
// to be on: the balancer chooses, so the connection is made anew until it has chosen that one.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { io } = createRequire(process.env.NODE_PACKAGES)("socket.io-client");
const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
let socket;

function connect(command) {
  const { url, namespace, auth, transports, want } = command;
  const attempt = io(url + namespace, { auth, transports, forceNew: true });
  let upgraded = false;
  attempt.io.engine.once("upgrade", (transport) => {
    upgraded = true;
    if (attempt === socket) say({ upgraded: transport.name });
  });
  attempt.once("connect", () => {
    const sid = attempt.io.engine.id;
    if (want && !sid.startsWith(want + ".")) {
      attempt.disconnect();
      setTimeout(connect, 50, command);
      return;
    }
    socket = attempt;
    socket.onAny((event, ...args) => say({ event, args }));
    socket.on("disconnect", (reason) => say({ disconnected: reason }));
    say({ connected: sid, transport: socket.io.engine.transport.name });
    if (upgraded) say({ upgraded: socket.io.engine.transport.name }); // before the namespace was joined
  });
  attempt.on("connect_error", (error) => say({ refused: error.message, data: error.data ?? null }));
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const command = JSON.parse(line);
  if (command.do === "connect") connect(command);
  else socket.emit(command.event, command.payload, (answer) => say({ ack: command.id, answer }));
});
process.stdin.on("end", () => process.exit(0));
