// Shows what the stand-ins took, once a second, and answers in the name of those it went to.
// Whatever is shown is put in as text, never as markup: names and messages are strangers' words.
"use strict";

const KINDS = { sms: "SMS", call: "Call", push: "Push", mail: "Mail" };
const PROVIDERS = { twilio: "Twilio (SMS, calls)", fcm: "Firebase messaging (push)", rtdb: "Firebase database (mirror)", smtp: "Mail server" };
const MODES = { healthy: "healthy", fail: "fails", hang: "hangs", throttle: "throttles", lose_reply: "loses replies", lie: "lies" };
const BAD = new Set(["failed", "undelivered", "busy", "no-answer", "canceled"]);
const EVERY_MS = 1000;

const $ = (id) => document.getElementById(id);
const shown = new Map(); // id -> { element, json }
let newest = null;

async function ask(method, path, body) {
  const options = { method, signal: AbortSignal.timeout(30000) };
  if (body !== undefined) Object.assign(options, { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const answer = await fetch(path, options);
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error || `status ${answer.status}`);
  return content;
}

let failed = ""; // what became of the last thing that was asked for
let away = ""; // whether the list is old

function showTrouble() {
  const text = [failed, away].filter(Boolean).join(" ");
  $("trouble").hidden = !text;
  if ($("trouble").textContent !== text) $("trouble").textContent = text;
}

function button(label, name, work, main) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = label;
  made.setAttribute("aria-label", name);
  if (main) made.className = "main";
  made.addEventListener("click", () => busily(made, work));
  return made;
}

async function busily(element, work) {
  if (element.type !== "radio") element.disabled = true; // a radio button would lose the focus
  failed = "";
  try {
    await work();
    await look();
  } catch (error) {
    failed = `That did not work: ${error.message}.`;
    showTrouble();
  } finally {
    element.disabled = false;
  }
}

function replyForm(item) {
  const form = document.createElement("form");
  const input = document.createElement("input");
  Object.assign(input, { type: "text", maxLength: 300, placeholder: item.link ? "another reply" : "a reply", autocomplete: "off" });
  input.setAttribute("aria-label", `A reply from ${item.to}`);
  const send = document.createElement("button");
  send.textContent = "Send";
  send.setAttribute("aria-label", `Send the reply from ${item.to}`);
  form.append(input, send);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const text = input.value.trim();
    if (text) busily(send, async () => { await ask("POST", "/_reply", { id: item.id, text }); input.value = ""; });
  });
  return form;
}

function actions(item) {
  const made = [];
  if (item.can.includes("reply")) {
    const one = () => ask("POST", "/_reply", { id: item.id, text: "1" });
    if (item.link) made.push(button("Reply 1", `Reply 1 from ${item.to}`, one, true)); // a code asks for nothing
    made.push(replyForm(item));
  }
  if (item.can.includes("press")) {
    for (const digits of ["1", "2"]) {
      const press = () => ask("POST", "/_press", { id: item.id, digits });
      made.push(button(`Press ${digits}`, `Press ${digits} as ${item.to}`, press, digits === "1"));
    }
  }
  if (item.can.includes("hang_up")) {
    made.push(button("Do not answer", `Do not answer as ${item.to}`, () => ask("POST", "/_hang_up", { id: item.id })));
  }
  return made;
}

function text(element, value) {
  element.textContent = value;
  element.hidden = !value;
}

function make(item) {
  const element = $("item").content.firstElementChild.cloneNode(true);
  element.className = `item ${item.kind}`;
  element.dataset.kind = item.kind;
  const at = (name) => element.querySelector(name);
  at(".kind").textContent = KINDS[item.kind];
  at(".to").textContent = item.to;
  const time = new Date(item.at_ms);
  at("time").textContent = time.toLocaleTimeString();
  at("time").dateTime = time.toISOString();
  text(at(".title"), item.title);
  text(at(".text"), item.text);
  if (item.link && /^https?:\/\//.test(item.link)) {
    at(".open").hidden = false;
    at(".open a").href = item.link;
  }
  return element;
}

function change(element, item, before) {
  const state = element.querySelector(".state");
  state.textContent = item.state;
  state.classList.toggle("bad", BAD.has(item.state));
  const said = element.querySelector(".said");
  said.hidden = item.said.length === 0;
  said.replaceChildren(...item.said.map((one) => {
    const line = document.createElement("li");
    line.className = one.by;
    line.textContent = one.text;
    return line;
  }));
  // What is being typed stays: the buttons are made anew only when others are wanted.
  if (!before || before.can.join() !== item.can.join()) element.querySelector(".do").replaceChildren(...actions(item));
}

function showList(items) {
  const list = $("list");
  const ids = new Set(items.map((item) => item.id));
  for (const [id, held] of shown) {
    if (!ids.has(id)) { held.element.remove(); shown.delete(id); }
  }
  let place = list.firstElementChild;
  for (const item of items) {
    const json = JSON.stringify(item);
    let held = shown.get(item.id);
    if (!held) shown.set(item.id, held = { element: make(item), item: null, json: "" });
    if (held.json !== json) { change(held.element, item, held.item); Object.assign(held, { item, json }); }
    if (held.element !== place) list.insertBefore(held.element, place);
    else place = place.nextElementSibling;
  }
  $("none").hidden = items.length > 0;
  $("count").textContent = items.length ? `${items.length}, newest first` : "";
  if (items.length && items[0].id !== newest) {
    if (newest !== null) $("news").textContent = `${KINDS[items[0].kind]} to ${items[0].to}`;
    newest = items[0].id;
  }
}

function showProviders(providers) {
  for (const [provider, mode] of Object.entries(providers)) {
    const input = document.querySelector(`input[name="${provider}"][value="${mode}"]`);
    if (input && !input.checked) input.checked = true;
  }
  const ill = Object.entries(providers).filter(([, mode]) => mode !== "healthy");
  const words = ill.map(([provider, mode]) => `${PROVIDERS[provider].replace(/ \(.*/, "")} ${MODES[mode]}`);
  $("health").textContent = words.join(", ") || "all healthy";
  $("health").classList.toggle("warning", ill.length > 0);
}

function makeProviders() {
  for (const [provider, label] of Object.entries(PROVIDERS)) {
    const group = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = label;
    const modes = document.createElement("div");
    modes.className = "modes";
    for (const [mode, word] of Object.entries(MODES)) {
      const choice = document.createElement("label");
      const input = Object.assign(document.createElement("input"), { type: "radio", name: provider, value: mode });
      const span = document.createElement("span");
      span.textContent = word;
      input.addEventListener("change", () => busily(input, () => ask("PUT", "/_control", { provider, mode })));
      choice.append(input, span);
      modes.append(choice);
    }
    group.append(legend, modes);
    $("providers").append(group);
  }
}

let looking = null;
function look() {
  looking ??= ask("GET", "/_sent").then(
    (found) => { showList(found.sent); showProviders(found.providers); away = ""; },
    () => { away = "The stand-ins do not answer; trying again."; },
  ).finally(() => { looking = null; showTrouble(); });
  return looking;
}

async function follow() {
  if (!document.hidden) await look();
  setTimeout(follow, EVERY_MS);
}

makeProviders();
$("box").open = matchMedia("(min-width: 821px)").matches;
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
follow();
