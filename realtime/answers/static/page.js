/* Shows one alert and posts what its reader presses. Written for old phones: no module, no fetch, no promise.
 * The map is another script, asked for once there is something to show; nothing here waits for it. */
(function () {
  "use strict";
  var POLL_MS = 5000, RETRY_MS = 2000, TIMEOUT_MS = 15000, MINUTES = [5, 10, 20, 30, 60];
  /* In a frame of the page at SAFETY_URL, where there are no maps, only the map of this page is seen. */
  var onlyMap = window.parent !== window && /^\?map$/.test(location.search);
  var token = tokenOf(location), shown = null, waiting = null, sending = false, timer = null, mapped = false;

  function at(id) { return document.getElementById(id); }
  function put(id, text) { if (at(id).textContent !== text) { at(id).textContent = text; } }
  function show(id, on) { at(id).hidden = !on; }
  function texts(name, fallback) { return (shown && shown.texts[name]) || fallback; }
  function said(name) { return document.body.getAttribute("data-" + name) || ""; }

  /* The rule of `common/link.ts`, which says what programs make of a link. */
  function tokenOf(place) {
    var text = place.pathname + (place.search || "") + place.hash, before, i, found;
    for (i = 0; i < 5; i += 1) {
      before = text;
      text = text.replace(/(?:%[0-9a-f]{2})+/gi, decoded).replace(/&(#x?[0-9a-f]+|[a-z]+);/gi, entity);
      if (text === before) { break; }
    }
    text = text.replace(/=\r?\n/g, "")
      .replace(/[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]/g, "")
      .replace(/[\u2010\u2011\ufe63\uff0d]/g, "-").replace(/\uff03/g, "#").replace(/^\/*a/i, "");
    found = /^[^A-Za-z0-9_#*?&-]*(?:[?&][^#]*?)?[#*]["'\s\/!#*]*([A-Za-z0-9_-]+)/.exec(text) ||
      /^[^A-Za-z0-9_-]*([A-Za-z0-9_-]{40,})/.exec(text);
    return found ? found[1] : "";
  }

  function decoded(run) {
    try { return decodeURIComponent(run); } catch (error) {
      return run.replace(/%([0-7][0-9a-f])/gi, function (all, hex) { return String.fromCharCode(parseInt(hex, 16)); });
    }
  }

  function entity(whole, name) {
    var known = { amp: "&", num: "#", lowbar: "_", hyphen: "-", dash: "-", shy: "", quot: '"', lt: "<", gt: ">" };
    var hex = /^#x([0-9a-f]+)$/i.exec(name), decimal = /^#(\d+)$/.exec(name);
    if (hex || decimal) { return String.fromCharCode(hex ? parseInt(hex[1], 16) : parseInt(decimal[1], 10)); }
    return known.hasOwnProperty(name.toLowerCase()) ? known[name.toLowerCase()] : whole;
  }

  /* A reload of an address as we write it gives the server nothing of the token. */
  function tidy() {
    if (token && !onlyMap && location.pathname + (location.search || "") + location.hash !== "/a#" + token && history.replaceState) {
      history.replaceState(null, "", "/a#" + token);
    }
  }

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

  function two(id, text, hint) {
    at(id).getElementsByTagName("b")[0].textContent = text;
    if (at(id).getElementsByTagName("small")[0]) { at(id).getElementsByTagName("small")[0].textContent = hint; }
  }

  /* A map program of this device is asked by its own address; no web site is told where. */
  function mapsOf(answer) {
    var place = answer.lat.toFixed(6) + "," + answer.lon.toFixed(6);
    if (/iPhone|iPad|iPod|Macintosh/.test(navigator.userAgent)) { return "maps:?ll=" + place + "&q=" + place; }
    if (/Android/.test(navigator.userAgent)) { return "geo:" + place + "?q=" + place; }
    return answer.map_url;
  }

  function renderPlace(answer) {
    var known = typeof answer.lat === "number" && typeof answer.lon === "number";
    put("coordinates", answer.coordinates); put("accuracy", answer.accuracy);
    put("maps", answer.texts.maps); put("web", answer.texts.web);
    show("where", known || answer.accuracy); show("box", known); show("web", known);
    if (!known) { return; }
    at("maps").href = mapsOf(answer);
    if (at("maps").href === answer.map_url) { at("maps").target = "_blank"; }
    at("web").href = answer.map_url;
    at("map").setAttribute("aria-label", answer.texts.map);
  }

  function renderCalls(answer) {
    show("calls", !answer.closed);
    if (!at("emergency").getAttribute("data-known")) {
      two("emergency", answer.texts.emergency.replace("{number}", "112"), answer.texts.emergency_any);
    }
    show("call", answer.phone);
    if (answer.phone) { at("call").href = "tel:" + answer.phone; two("call", answer.call, ""); }
  }

  function renderEtas(answer) {
    var row = at("etas"), index;
    show("etabox", answer.may_close); put("etatitle", answer.texts.eta);
    if (row.firstChild && row.getAttribute("lang") === answer.language) { return; }
    while (row.firstChild) { row.removeChild(row.firstChild); }
    row.setAttribute("lang", answer.language);
    for (index = 0; index < MINUTES.length; index += 1) { row.appendChild(etaButton(answer, MINUTES[index])); }
  }

  function etaButton(answer, minutes) {
    var button = document.createElement("button");
    button.type = "button";
    button.textContent = answer.texts.minutes.replace("{n}", minutes);
    button.onclick = function () { press({ act: "coming", eta_s: minutes * 60 }, ""); };
    return button;
  }

  function render(answer) {
    shown = answer;
    document.documentElement.lang = answer.language;
    document.title = answer.title;
    put("title", answer.title); put("happened", answer.happened); put("when", answer.when);
    put("drill", answer.drill); show("drill", answer.drill);
    put("silent", answer.do_not_call); show("silent", answer.do_not_call);
    put("message", answer.message); show("message", answer.message);
    renderPlace(answer);
    put("status", answer.status);
    put("ended", answer.ended || ""); show("ended", answer.ended);
    put("ack", answer.button); show("ack", answer.button);
    renderEtas(answer); renderCalls(answer);
    put("cannot", answer.texts.cannot); put("false", answer.texts.false_alarm); put("over", answer.texts.over_button);
    put("label", answer.texts.note); put("send", answer.texts.send);
    show("more", !answer.closed); show("false", answer.may_end); show("over", answer.may_close);
    put("comingtitle", answer.texts.coming); list("coming", "comingbox", answer.coming);
    put("toldtitle", answer.texts.told);
    list("told", "toldbox", answer.told_lines || []);
    document.body.className = answer.closed ? "over" : "";
    show("page", true); show("loading", false); show("wrong", false); show("trouble", false);
    map(answer);
  }

  /* The map comes after everything else, and hears of each view by an event. */
  function map(answer) {
    var script;
    window.wayguardShown = { token: token, view: answer };
    if (!mapped && typeof answer.lat === "number") {
      mapped = true;
      if (said("public") && said("public") !== location.protocol + "//" + location.host) { frame(answer); return; }
      script = document.createElement("script");
      script.type = "module";
      script.src = "/pages/answer.js";
      document.body.appendChild(script);
    }
    if (typeof CustomEvent === "function") { document.dispatchEvent(new CustomEvent("wayguard:shown")); }
  }

  function frame(answer) {
    var inner = document.createElement("iframe");
    inner.title = answer.texts.map;
    inner.src = said("public") + "/a?map#" + token;
    at("map").appendChild(inner);
  }

  window.addEventListener("message", function (event) {
    if (said("public") && event.origin === said("public") && event.data && /^\d{2,6}$/.test(event.data.number)) { number(event.data); }
  });

  /* The map knows the number of the place. */
  document.addEventListener("wayguard:number", function (event) {
    if (onlyMap) { window.parent.postMessage({ number: event.detail.number, known: event.detail.known }, "*"); }
    number(event.detail);
  });

  function number(emergency) {
    var number = emergency.number;
    at("emergency").setAttribute("data-known", "1");
    at("emergency").href = "tel:" + number;
    two("emergency", texts("emergency", "{number}").replace("{number}", number),
      texts(emergency.known ? "emergency_here" : "emergency_any", ""));
  }

  function trouble(text) { put("trouble", text); show("trouble", true); }

  function wrong(title, isCut) {
    show("page", false); show("loading", false);
    trouble(title); show("cutwhy", isCut); show("wrong", true);
    window.wayguardShown = null;
    if (typeof CustomEvent === "function") { document.dispatchEvent(new CustomEvent("wayguard:shown")); }
  }

  function refused(answer) {
    if (answer && answer.error && !answer.error.retryable) {
      waiting = null;
      if (answer.error.code === "not_found") {
        if (answer.error.reason === "expired") { wrong(said("invalid"), false); } else { wrong(said("cut"), true); }
        return true;
      }
      return false;
    }
    trouble(texts("offline", said("offline")));
    return false;
  }

  function again(ms) { clearTimeout(timer); timer = setTimeout(look, ms); }

  function look() {
    if (sending) { return; }
    if (!token) { wrong(said("cut"), true); return; }
    if (waiting) { send(); return; }
    sending = true;
    post("/answers/view", { token: token }, function (answer) {
      sending = false;
      if (answer && answer.ok) { render(answer); again(waiting ? 0 : POLL_MS); return; }
      if (!refused(answer)) { again(RETRY_MS); }
    });
  }

  function send() {
    var mine = waiting, name;
    var body = { token: token };
    for (name in mine.body) { if (mine.body.hasOwnProperty(name)) { body[name] = mine.body[name]; } }
    sending = true;
    put("said", texts("sending", "…"));
    at("ack").disabled = true;
    post("/answers/act", body, function (answer) {
      sending = false;
      at("ack").disabled = false;
      if (answer && answer.ok) {
        waiting = null;
        render(answer);
        put("said", answer.closed ? "" : texts(mine.said, ""));
        if (mine.body.act === "note") { at("text").value = ""; }
        again(POLL_MS);
      } else if (!refused(answer)) {
        if (!waiting) { put("said", ""); }
        again(RETRY_MS);
      }
    });
  }

  function press(body, said) {
    waiting = { body: body, said: said };
    if (!sending) { clearTimeout(timer); send(); }
  }

  at("ack").onclick = function () { press({ act: "ack" }, ""); };
  at("cannot").onclick = function () { press({ act: "cannot" }, "cannot_done"); };
  at("over").onclick = function () { if (confirm(texts("over_sure", "?"))) { press({ act: "over" }, ""); } };
  at("false").onclick = function () { if (confirm(texts("sure", "?"))) { press({ act: "false_alarm" }, ""); } };
  at("send").onclick = function () {
    var text = at("text").value.replace(/^\s+|\s+$/g, "");
    if (text) { press({ act: "note", text: text }, "sent"); }
  };
  window.onhashchange = function () { token = tokenOf(location); tidy(); again(0); };
  if (onlyMap) { document.documentElement.className = "onlymap"; }
  tidy();
  look();
}());
