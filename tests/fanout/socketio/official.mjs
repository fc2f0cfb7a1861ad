// The official client against a FanoutServer. argv: url, transports. Says what it saw as one line of JSON.
import { createRequire } from "node:module";
const require = createRequire(new URL("../../node/package.json", import.meta.url));
const { io } = require("socket.io-client");

const [url, transports] = [process.argv[2], process.argv[3].split(",")];
const said = {};
const tell = () => console.log(JSON.stringify(said));
setTimeout(() => { said.why = "too slow"; tell(); process.exit(1); }, 30_000).unref();

const main = io(url, { transports, reconnection: false, auth: { token: "t" } });
const refused = main.io.socket("/refused", {});
const unknown = main.io.socket("/unknown", {});
const once = (socket, event) => new Promise((take) => socket.once(event, (...args) => take(args)));
const plain = (value) => Buffer.isBuffer(value) ? [...value] : value;

main.on("question", (buffer, answer) => answer("got", buffer));
const early = once(main, "auth");
const [connected, [refusal], [missing]] = await Promise.all(
  [once(main, "connect"), once(refused, "connect_error"), once(unknown, "connect_error")]);
said.auth = (await early)[0];
said.refusal = [refusal.message, refusal.data];
said.missing = missing.message;
const last = transports[transports.length - 1];
while (main.io.engine.transport.name !== last) await new Promise((go) => setTimeout(go, 2));
said.numbers = [];
main.on("n", (number) => said.numbers.push(number));
said.ack = await main.emitWithAck("echo", 1, { a: [Buffer.from([1, 2])] });
said.ack = [said.ack[0], plain(said.ack[1].a[0])];
said.count = await main.emitWithAck("flood", 300);
said.asked = await main.emitWithAck("ask me");
said.transport = main.io.engine.transport.name;
const [reason] = await (main.emit("kick me"), once(main, "disconnect"));
said.reason = reason;
said.ordered = said.numbers.length === 300 && said.numbers.every((n, at) => n === at);
delete said.numbers;
// Without an exit, which would cut off the POST by which a client that polls says that it goes.
tell();
