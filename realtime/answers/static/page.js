/* Shows one alert and posts what its reader presses. Written for old phones: no module, no fetch, no promise. */
(function () {
  "use strict";
  var POLL_MS = 5000, RETRY_MS = 2000, TIMEOUT_MS = 15000;
  var token = location.hash.slice(1);
  var shown = null, waiting = null, sending = false, timer = null;

  function at(id) { return document.getElementById(id); }
  function put(id, text) { at(id).textContent = text; }
  function show(id, on) { at(id).hidden = !on; }
  function texts(name, fallback) { return (shown && shown.texts[name]) || fallback; }

  function post(path, body, done) {
    var request = new XMLHttpRequest();
    request.open("POST", path);
    request.timeout = TIMEOUT_MS;
    request.setRequestHeader("Content-Type", "application/json");
    request.onload = function () {
      var answer = null;
      try { answer = JSON.parse(request.responseText); } catch (error) { answer = null; }
      done(answer);
    };
    request.onerror = request.ontimeout = function () { done(null); };
    request.send(JSON.stringify(body));
  }

  function list(id, box, lines) {
    var parent = at(id), index, item;
    while (parent.firstChild) { parent.removeChild(parent.firstChild); }
    for (index = 0; index < lines.length; index += 1) {
      item = document.createElement("li");
      item.textContent = lines[index];
      parent.appendChild(item);
    }
    show(box, lines.length > 0);
  }

  function render(answer) {
    shown = answer;
    document.documentElement.lang = answer.language;
    document.title = answer.title;
    put("title", answer.title); put("happened", answer.happened); put("when", answer.when);
    put("drill", answer.drill); show("drill", answer.drill);
    put("silent", answer.do_not_call); show("silent", answer.do_not_call);
    put("message", answer.message); show("message", answer.message);
    put("coordinates", answer.coordinates); put("accuracy", answer.accuracy);
    put("map", answer.texts.map); at("map").href = answer.map_url || "#";
    show("where", answer.coordinates);
    if (at("status").textContent !== answer.status) { put("status", answer.status); }
    put("ack", answer.button); show("ack", answer.button);
    put("cannot", answer.texts.cannot); put("false", answer.texts.false_alarm);
    put("label", answer.texts.note); put("send", answer.texts.send);
    show("more", !answer.closed); show("false", answer.may_end);
    put("comingtitle", answer.texts.coming); list("coming", "comingbox", answer.coming);
    put("toldtitle", answer.texts.told);
    list("told", "toldbox", answer.told.map(function (row) { return row[0] + ": " + row[1] + ", " + row[2]; }));
    show("page", true); show("trouble", false);
  }

  function trouble(text) { put("trouble", text); show("trouble", true); }

  function refused(answer) {
    if (answer && answer.error && !answer.error.retryable) {
      waiting = null;
      if (answer.error.code === "not_found") {
        show("page", false);
        trouble(texts("invalid", "This link is not valid any more."));
        return true;
      }
      return false;
    }
    trouble(texts("offline", "No connection. It is tried again until it arrives."));
    return false;
  }

  function again(ms) { clearTimeout(timer); timer = setTimeout(look, ms); }

  function look() {
    if (sending) { return; }
    if (waiting) { send(); return; }
    sending = true;
    post("/answers/view", { token: token }, function (answer) {
      sending = false;
      if (answer && answer.ok) { render(answer); again(waiting ? 0 : POLL_MS); return; }
      if (!refused(answer)) { again(RETRY_MS); }
    });
  }

  function send() {
    var mine = waiting;
    sending = true;
    put("said", texts("sending", "…"));
    at("ack").disabled = true;
    post("/answers/act", { token: token, act: mine.act, text: mine.text }, function (answer) {
      sending = false;
      at("ack").disabled = false;
      if (answer && answer.ok) {
        waiting = null;
        render(answer);
        put("said", answer.closed ? "" : texts(mine.said, ""));
        if (mine.act === "note") { at("text").value = ""; }
        again(POLL_MS);
      } else if (!refused(answer)) {
        if (!waiting) { put("said", ""); }
        again(RETRY_MS);
      }
    });
  }

  function press(act, text, said) {
    waiting = { act: act, text: text, said: said };
    if (!sending) { clearTimeout(timer); send(); }
  }

  at("ack").onclick = function () { press("ack", "", ""); };
  at("cannot").onclick = function () { press("cannot", "", "cannot_done"); };
  at("false").onclick = function () { if (confirm(texts("sure", "?"))) { press("false_alarm", "", ""); } };
  at("send").onclick = function () {
    var text = at("text").value.replace(/^\s+|\s+$/g, "");
    if (text) { press("note", text, "sent"); }
  };
  window.onhashchange = function () { token = location.hash.slice(1); again(0); };
  look();
}());
