"""The console's sign-in, shell and alert desk in a real Chromium, against a server that a test steers.

Loading the console takes three seconds of CPU time, so each test has several steps on one page. A step leaves
the desk without open alerts and has drivers of its own.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.pages.conftest import WEB, Tab, console_context, open_tab
from tests.pages.fake import now_ms, refusal, until
from tests.pages.fakedesk import DRIVER_TOKEN, ME, DeskServer, line

HOSTILE = "<img src=x onerror=window.__owned=1>"
BIDI = "\u202egnihton\u202c"
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"
REFUSED = ("401 (Unauthorized)", "403 (Forbidden)", "409 (Conflict)", "503 (Service")


@pytest.fixture
async def server(pages_built: None) -> AsyncIterator[DeskServer]:
    server = DeskServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def tab(browser: Browser, server: DeskServer) -> AsyncIterator[Tab]:
    """A fresh tab of a desk; nothing may be complained of but refusals, as browsers do by themselves."""
    context = await console_context(browser, locale="en-GB")
    tab = await open_tab(context, server.url)
    tab.expected = REFUSED
    yield tab
    await context.close()
    assert tab.outside == []
    assert tab.unexpected() == []


async def opened(tab: Tab, server: DeskServer) -> Page:
    """Signed in, live, and asked about sound once."""
    await tab.page.goto("about:blank")  # another fragment alone does not load a page
    await tab.page.goto(f"{server.url}/console#token={server.token}")
    await tab.until("s.page === 'console' && s.connection === 'live' && s.desk.listed")
    if await tab.page.get_by_role("button", name="No sound").is_visible():
        await tab.page.get_by_role("button", name="No sound").click()
    return tab.page


def card(page: Page, driver: str) -> Any:
    return page.locator(".desk-now .alert").filter(has=page.locator(".driver", has_text=driver))


async def closed(tab: Tab, server: DeskServer, *alert_ids: str) -> None:
    """Close alerts (default: all) an hour ago, so that the page drops them."""
    long_ago = now_ms() - 3_600_000
    for alert_id in alert_ids or list(server.alerts):
        if (server.alerts[alert_id]["closed_at"] or now_ms()) > long_ago:
            await server.sos(alert_id, state="resolved", closed_at=long_ago, closed_by=ME)
    if not alert_ids:
        await tab.page.get_by_text("No open alerts").wait_for()
        await tab.until("s.desk.order.length === 0")
    server.acted.clear()


async def axe_finds_nothing(page: Page, direction: str = "ltr") -> None:
    """No serious fault, the right direction of reading, nothing wider than the screen."""
    await page.evaluate(await asyncio.to_thread(AXE.read_text))
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    found = (await page.evaluate("(rules) => axe.run(document, rules)", rules))["violations"]
    serious = [
        (
            fault["id"],
            [node["target"] for node in fault["nodes"]][:4],
            [node["failureSummary"] for node in fault["nodes"]][:2],
        )
        for fault in found
        if fault["impact"] in ("serious", "critical")
    ]
    assert serious == []
    read = await page.evaluate("document.documentElement.dir")
    assert read == direction
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0


# --- signing in


async def test_a_card_says_how_old_and_how_exact_the_place_is(tab: Tab, server: DeskServer) -> None:
    page = await opened(tab, server)
    place = {"lat": 52.52, "lon": 13.4, "accuracy_m": 300, "battery_pct": None, "source": "journey"}
    await server.sos("p1", "place-1", place=place | {"t_ms": now_ms() - 600_000})
    where = card(page, "place-1").locator(".place")
    await where.get_by_text("10 min ago").wait_for()
    await where.get_by_text("± 984 ft").wait_for()
    await server.sos("p1", "place-1", place=place | {"t_ms": None})
    await where.get_by_text("of unknown age").wait_for()
    await server.sos("p1", "place-1", place=place | {"t_ms": now_ms(), "lat": 52.6, "accuracy_m": 5})
    await where.get_by_text("52.60000").wait_for()
    assert "unknown" not in await where.inner_text()
    await closed(tab, server)


async def test_signing_in_and_out_and_what_ends_a_session(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    # a driver's token is refused
    await page.goto(f"{server.url}/console#token={DRIVER_TOKEN}")
    await page.get_by_text("This link is a driver’s").wait_for()
    assert page.url == f"{server.url}/console"
    assert server.connects == 0
    # a wrong link is refused, a pasted one signs in
    await page.goto(f"{server.url}/console")
    await page.get_by_role("heading", name="Sign in").wait_for()
    assert server.connects == 0
    await axe_finds_nothing(page)
    field = page.get_by_label("Link or token")
    await field.fill("what is this")
    await page.keyboard.press("Enter")
    await page.get_by_text("This is no link or token of ours").wait_for()
    await field.fill("x.y.z")
    await page.keyboard.press("Enter")
    await page.get_by_text("or the link is not valid").wait_for()
    await pasted(tab, server)
    # sessions are listed, ended and signed out of
    server.sessions.insert(0, "session-elsewhere")
    await page.get_by_label("Account and settings").click()
    await page.get_by_role("button", name="Sessions").click()
    dialog = page.get_by_role("dialog", name="Sessions")
    await dialog.get_by_text("This device").wait_for()
    assert await dialog.get_by_role("listitem").count() == 2
    await page.keyboard.press("Escape")
    server.sessions[:0] = ["one", "two", "three"]
    await page.get_by_label("Account and settings").click()
    await page.get_by_role("button", name="Sessions").click()
    await dialog.get_by_text("This device").wait_for()
    assert await dialog.get_by_role("listitem").count() == 3, "a page"
    await dialog.get_by_role("button", name="Show more").click()
    await dialog.get_by_role("listitem").nth(4).wait_for()
    await dialog.get_by_role("button", name="Show more").wait_for(state="hidden")
    await page.keyboard.press("Escape")
    del server.sessions[:3]
    await page.get_by_label("Account and settings").click()
    await page.get_by_role("button", name="Sessions").click()
    await dialog.get_by_text("This device").wait_for()
    await dialog.get_by_role("button", name="End the session of").click()
    await until(lambda: server.sessions == ["session-1"])
    await page.keyboard.press("Escape")
    await page.get_by_label("Account and settings").click()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_text("You have signed out").wait_for()
    assert server.sessions == []
    # a link with a token becomes a session that no script can read
    await opened(tab, server)
    assert page.url == f"{server.url}/console"
    held = await page.evaluate(
        "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}, history.state])"
    )
    assert server.token not in held and server.sessions[0] not in held
    await page.reload()
    await tab.until("s.connection === 'live'")
    assert len(server.sessions) == 1, "a reload goes on with the session"
    assert server.token not in str(await tab.state())
    # a session that the server ends forgets everything and says why
    for code, said in (
        ("token_expired", "Your access has expired"),
        ("revoked", "Your access was withdrawn"),
    ):
        await server.sos("a1", driver="anna")
        await card(page, "anna").wait_for()
        await server.close_with(code)
        await page.get_by_text(said).wait_for()
        assert await tab.state() == {"page": "signin"}
        assert await page.get_by_text("anna").count() == 0
        if code == "token_expired":
            await pasted(tab, server)


async def pasted(tab: Tab, server: DeskServer) -> None:
    await tab.page.get_by_label("Link or token").fill(f" {server.url}/console#token={server.token} ")
    await tab.page.keyboard.press("Enter")
    await tab.until("s.connection === 'live'")


# --- the desk


async def test_alerts_are_ordered_answered_followed_and_notified(tab: Tab, server: DeskServer) -> None:
    await tab.page.context.grant_permissions(["notifications"], origin=server.url)
    await tab.page.add_init_script(WATCH_NOTIFICATIONS)
    server.vendors = ["north", "south"]
    page = await opened(tab, server)
    await the_worst_alert_is_first(tab, server)
    await closed(tab, server)
    await it_is_acknowledged_by_keyboard_and_shown_when_the_server_says_so(tab, server)
    await closed(tab, server)
    await who_was_tried_and_what_happened_is_live(tab, server)
    await closed(tab, server)
    await a_long_history_is_shown_page_by_page(tab, server)
    await closed(tab, server)
    await notes_responders_and_the_end_are_asked_for(tab, server)
    await closed(tab, server)
    await who_asked_is_notified_of_each_alert_once_and_led_to_it(tab, server)
    await closed(tab, server)
    await alerts_of_other_vendors_are_not_hidden_in_silence(tab, server)
    assert await page.get_by_role("dialog").count() == 0


async def the_worst_alert_is_first(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    await page.get_by_text("No open alerts").wait_for()
    await server.sos("late", kind="signal_lost", severity="notice", driver="nora")
    await server.sos("first", driver="anna", message="somebody follows me", pressed_at=now_ms() - 65_000)
    await server.sos("drill", driver="dora", drill=True)
    await tab.until("JSON.stringify(s.desk.order) === JSON.stringify(['first', 'late', 'drill'])")
    first = card(page, "anna")
    for said in ("SOS", "Waiting for help", "1 min", "Nobody is on it", "53.40840, -2.99160"):
        await first.get_by_text(said).first.wait_for()
    assert await page.locator(".group", has_text="Drills").is_visible()


async def it_is_acknowledged_by_keyboard_and_shown_when_the_server_says_so(
    tab: Tab, server: DeskServer
) -> None:
    page = tab.page
    await server.sos("k1", driver="vera", pressed_at=now_ms() - 5_000)
    await server.sos("k2", driver="bert")
    await tab.until("s.desk.order.length === 2")
    await page.keyboard.press("a")
    await tab.until("s.desk.selected === 'k1'")
    assert server.acted == [], "what nobody has looked at is not answered"
    await page.keyboard.press("j")
    await tab.until("s.desk.selected === 'k2'")
    await page.keyboard.press("k")
    server.refuse = refusal("conflict", "the alert is resolved") | {"reason": "closed", "state": "resolved"}
    await page.keyboard.press("a")
    await page.get_by_text("The alert is over already").wait_for()
    await tab.until("s.desk.alerts.k1.state === 'active'")
    server.refuse = None
    await page.keyboard.press("a")
    await tab.until("s.desk.alerts.k1.state === 'acknowledged' && s.desk.order[0] === 'k2'")
    assert server.acted == [("socket", "acknowledge", {})]
    await card(page, "vera").get_by_text("is on it since").wait_for()
    focused = "document.activeElement?.closest('.alert')?.querySelector('.driver')?.textContent"
    assert await page.evaluate(focused) == "vera", "the focus stays on the card however it moves"


async def who_was_tried_and_what_happened_is_live(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    await server.sos("t1", driver="carl")
    server.attempt("t1", 1)
    await card(page, "carl").wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    mine = card(page, "carl")
    await mine.get_by_text("Ana Pérez").wait_for()
    await mine.get_by_text("being sent").wait_for()
    server.attempt("t1", 1, status="failed", reason="no_address")  # no new version of the alert comes of it
    await mine.get_by_text("no verified address").wait_for()
    server.attempt("t1", 2, number=2, status="delivered", sent_at=now_ms(), delivered_at=now_ms())
    await mine.get_by_text("2 tries").wait_for()
    server.history["t1"].append(line("notified", None, contacts=2))
    await mine.get_by_text("2 people are being told").wait_for()


async def a_long_history_is_shown_page_by_page(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    await server.sos("h1", driver="hugo")
    server.history["h1"] = [line("noted", "V", by="Ana", note=f"note {n}.") for n in range(250)]
    for n in range(120):
        server.attempt("h1", n, contact_id=f"c{n}", contact=f"Person {n}.")
    await card(page, "hugo").wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    mine = card(page, "hugo")
    await mine.get_by_text("note 249.").wait_for()
    assert await mine.locator(".history > li").count() == 100, "a page"
    assert await mine.get_by_text("note 149.").count() == 0
    assert await mine.get_by_text("Person 0.").count() == 0
    await mine.get_by_role("button", name="Show earlier messages").click()
    await mine.get_by_text("Person 0.").wait_for()
    assert await mine.locator(".tried > li").count() == 120
    await mine.get_by_role("button", name="Show earlier messages").wait_for(state="hidden")
    more = mine.get_by_role("button", name="Show what happened before")
    await more.click()
    await mine.get_by_text("note 50.").wait_for()
    server.history["h1"].append(line("noted", "V", by="Ana", note="note 250."))
    await mine.get_by_text("note 250.").wait_for()
    assert await mine.locator(".history > li").count() == 201, "what was asked for stays, what is new comes"
    await more.click()
    await mine.get_by_text("note 0.").wait_for()
    assert await mine.locator(".history > li").count() == 251
    await more.wait_for(state="hidden")


async def notes_responders_and_the_end_are_asked_for(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    await server.sos("n1", driver="emma")
    await card(page, "emma").wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("n")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Note").fill("an r and an a typed here do nothing else")
    await page.keyboard.press("Control+Enter")
    await dialog.wait_for(state="hidden")
    await page.keyboard.press("c")
    await dialog.get_by_label("There in").select_option("15")
    await dialog.get_by_role("button", name="Say so").click()
    await card(page, "emma").get_by_text("is coming, there at about").wait_for()
    await page.keyboard.press("r")
    await dialog.get_by_text("Is it over?").wait_for()
    await page.keyboard.press("Escape")
    await dialog.wait_for(state="hidden")
    assert [what for _, what, _ in server.acted] == ["notes", "responders"]
    await page.keyboard.press("r")
    await dialog.get_by_role("button", name="Resolve it").click()
    await tab.until("s.desk.alerts.n1.state === 'resolved'")
    await card(page, "emma").get_by_text("Resolved by").wait_for()
    assert server.acted[1] == ("socket", "responders", {"eta_s": 900})
    await page.keyboard.press("?")
    await page.get_by_role("dialog", name="Keys").wait_for()
    await page.keyboard.press("Escape")
    await dialog.wait_for(state="hidden")


WATCH_NOTIFICATIONS = """
  window.__shown = [];
  window.Notification = class extends Notification {
    constructor(title, options) {
      super(title, options);
      window.__shown.push({ title, ...options, click: () => this.onclick() });
    }
  };
"""
SHOWN = "window.__shown.map(({ click, ...one }) => one)"


async def who_asked_is_notified_of_each_alert_once_and_led_to_it(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    await server.sos("w1", driver="olaf")
    await card(page, "olaf").wait_for()
    assert await page.evaluate(SHOWN) == [], "notifications are off at first"
    await page.get_by_role("button", name="Notifications").click()
    await server.sos("w2", driver=f"bob{BIDI}", message=f"help {HOSTILE}")
    await card(page, "bob").wait_for()
    (shown,) = await page.evaluate(SHOWN)
    assert shown["tag"] == "w2" and not shown["silent"]
    assert "bob" in shown["title"] and not set(BIDI) & {"\u202e", "\u202c"} & set(shown["title"])
    await server.sos("w2", reached_at=now_ms())
    await server.sos("w3", driver="cleo", silent=True)
    await card(page, "cleo").wait_for()
    later = (await page.evaluate(SHOWN))[1:]
    assert [(one["tag"], one["silent"]) for one in later] == [("w3", True)], "seen, and not heard"
    await page.evaluate("window.__shown[0].click()")
    await tab.until("s.desk.selected === 'w2'")
    await page.get_by_role("button", name="Notifications").click()
    await server.sos("w4", driver="doris")
    await card(page, "doris").wait_for()
    assert len(await page.evaluate(SHOWN)) == 2, "notifications were turned off"


async def alerts_of_other_vendors_are_not_hidden_in_silence(tab: Tab, server: DeskServer) -> None:
    await server.sos("v1", driver="paula")
    await server.sos("v2", driver="rita", vendor="south")
    page = tab.page
    await card(page, "rita").wait_for()
    await page.get_by_label("Vendors: All vendors").click()
    await page.get_by_role("checkbox", name="north").check()
    await page.get_by_text("1 more open alert in vendors that are not picked").wait_for()
    await tab.until("s.vendors.length === 1 && s.desk.order.length === 1")
    assert await card(page, "paula").is_visible()


async def test_history_sound_and_a_line_that_breaks(tab: Tab, server: DeskServer) -> None:
    by = {"kind": "operator", "id": "o", "name": "Olga"}
    for number in range(30):
        driver = "odd" if number == 7 else f"d{number}"
        await server.sos(
            f"a{number}", driver=driver, state="resolved", closed_at=now_ms() - 3_600_000, closed_by=by
        )
    await server.sos("quiet", driver="silas", silent=True)
    await tab.page.goto(f"{server.url}/console#token={server.token}")
    await tab.until("s.desk?.alerts.quiet")
    await sound_is_asked_for_and_stops_when_somebody_is_on_it(tab, server)
    await what_is_over_is_in_the_history_by_driver_and_by_page(tab, server)
    await closed(tab, server)
    await an_alert_that_no_event_reported_is_found_and_a_closed_one_goes(tab, server)
    await with_the_line_down_it_says_so_and_acts_by_http(tab, server)
    await closed(tab, server)
    await names_and_messages_made_to_hurt_are_only_text(tab, server)


async def sound_is_asked_for_and_stops_when_somebody_is_on_it(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    assert (await tab.state())["desk"]["sound"] == {"on": False, "ready": False, "played": 0}
    await page.get_by_role("button", name="Turn sound on").click()
    await tab.until("s.desk.sound.ready && s.desk.sound.played === 1")  # the click is confirmed by a chime
    await server.sos("s1", driver="sonja")
    await tab.until("s.desk.sound.played >= 3")
    await page.wait_for_function("() => document.title.includes('silas')")
    await server.sos(
        "s1", state="acknowledged", acknowledged_by={"kind": "dispatcher", "id": "x", "name": "X"}
    )
    await tab.until("s.desk.alerts.s1.state === 'acknowledged'")
    played = (await tab.state())["desk"]["sound"]["played"]
    await asyncio.sleep(2.6)  # longer than an alarm's pause
    assert (await tab.state())["desk"]["sound"]["played"] == played, "the silent one is not heard"
    mine = card(page, "silas")
    await mine.get_by_text("Silent: do not call the driver").wait_for()


async def what_is_over_is_in_the_history_by_driver_and_by_page(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    await page.get_by_role("button", name="History").click()
    rows = page.locator(".past > .alert")
    await page.get_by_role("button", name="Show more").click()
    await page.wait_for_function("() => document.querySelectorAll('.past > .alert').length === 30")
    await page.get_by_role("searchbox", name="Driver", exact=True).fill("odd")
    await page.get_by_role("button", name="Find", exact=True).click()
    await page.wait_for_function("() => document.querySelectorAll('.past > .alert').length === 1")
    await rows.get_by_role("button").click()
    await rows.get_by_text("Raised", exact=True).wait_for()
    await page.locator(".desk-tabs button").first.click()
    await page.locator(".desk-now").wait_for()


async def an_alert_that_no_event_reported_is_found_and_a_closed_one_goes(
    tab: Tab, server: DeskServer
) -> None:
    page = tab.page
    server.quiet = True
    await server.sos("l1", driver="lena")
    await server.cut()
    await card(page, "lena").wait_for()
    await server.sos(
        "l1", state="resolved", closed_at=now_ms(), closed_by={"kind": "contact", "id": "c", "name": "Cleo"}
    )
    await server.cut()
    await card(page, "lena").get_by_text("Resolved by").wait_for()
    await page.get_by_text("No open alerts").wait_for()
    server.quiet = False


async def with_the_line_down_it_says_so_and_acts_by_http(tab: Tab, server: DeskServer) -> None:
    assert tab.unexpected() == []
    tab.expected = (*REFUSED, "WebSocket")
    page = tab.page
    await server.sos("h1", driver="hugo")
    await card(page, "hugo").wait_for()
    server.keep_out = True
    await server.cut()
    await page.locator(".bar", has_text="Not live").wait_for()
    await page.locator(".chip[data-state=offline]").wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("a")
    await tab.until("s.desk.alerts.h1.state === 'acknowledged'")
    assert server.acted == [("http", "acknowledge", {})]
    server.keep_out = False
    await tab.until("s.connection === 'live'")
    await page.locator(".bar").wait_for(state="hidden")


async def names_and_messages_made_to_hurt_are_only_text(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    await server.sos("x1", driver=HOSTILE, message=HOSTILE + BIDI, duress=True, kind="__proto__")
    await server.sos("x2", driver="x" * 1_000, message="y" * 1_000, vendor="north")
    server.attempt("x1", 1, contact=HOSTILE, channel="constructor", status=BIDI, reason=HOSTILE)
    server.history["x1"].append(line(HOSTILE, "constructor", by=HOSTILE, note=HOSTILE))
    await tab.until("s.desk.order.length === 2")
    await page.get_by_role("button", name=HOSTILE).click()
    await page.locator(".tried .name", has_text=HOSTILE).wait_for()
    await page.get_by_text("Duress: the driver was forced to cancel").wait_for()
    assert await page.evaluate("window.__owned === undefined")
    assert await page.locator("img, .desk script").count() == 0
    assert "\u202e" not in await page.locator(".desk").inner_text()
    width = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert width <= 0, "a long name does not push the page apart"


# --- for everybody


async def alerts_of_every_kind(server: DeskServer) -> None:
    await server.sos("a1", driver="anna", message="somebody follows me", duress=True, silent=True)
    await server.sos("a2", driver="basil", kind="crash", state="pending", pending_until=now_ms() + 600_000)
    await server.sos("a3", driver="dora", drill=True, state="acknowledged", acknowledged_at=now_ms())
    server.attempt("a1", 1, status="failed", reason="all")
    server.attempt("a1", 2, channel="call", status="delivered", delivered_at=now_ms())


async def an_open_card(tab: Tab, server: DeskServer) -> None:
    await tab.page.goto(f"{server.url}/console#token={server.token}")
    await tab.until("s.desk?.order.length === 3 && s.connection === 'live'")
    await tab.page.keyboard.press("j")
    await tab.page.keyboard.press("Enter")
    await tab.until("s.desk.alerts[s.desk.selected].attempts !== null")


THEME = "(a) => document.documentElement.dataset.theme === a"


async def test_axe_finds_no_serious_fault_in_light_dark_and_on_a_phone(tab: Tab, server: DeskServer) -> None:
    await alerts_of_every_kind(server)
    page = tab.page
    await an_open_card(tab, server)
    await axe_finds_nothing(page)
    await page.emulate_media(color_scheme="dark")
    await page.wait_for_function(THEME, arg="dark")
    await axe_finds_nothing(page)
    await page.emulate_media(color_scheme="light")
    await page.wait_for_function(THEME, arg="light")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.get_by_role("navigation", name="What is shown").wait_for()
    await axe_finds_nothing(page)
    await on_a_narrow_screen_one_thing_at_a_time(tab, server)


async def on_a_narrow_screen_one_thing_at_a_time(tab: Tab, server: DeskServer) -> None:
    await closed(tab, server, "a2", "a3")
    await tab.until("s.desk.order.length === 1")
    await tab.page.reload()
    await tab.until("s.connection === 'live' && s.desk.order.length === 1")
    page = tab.page
    tabs = page.get_by_role("navigation", name="What is shown")
    await card(page, "anna").wait_for()
    await tabs.get_by_role("button", name="Drivers").click()
    await page.locator(".side-place").wait_for()
    assert not await card(page, "anna").is_visible()
    assert await tabs.get_by_role("button", name="Alerts").text_content() == "Alerts1"
    await tabs.get_by_role("button", name="Alerts").click()
    await page.get_by_role("button", name="anna").click()
    await tab.until("s.desk.alerts.a1.attempts !== null")
    await page.get_by_role("button", name="Show on the map").first.click()
    await tab.until("s.chosen === 'anna'")
    assert not await card(page, "anna").is_visible()


async def test_axe_finds_no_serious_fault_in_arabic(browser: Browser, server: DeskServer) -> None:
    context = await console_context(browser, locale="ar-EG")
    tab = await open_tab(context, server.url)
    await alerts_of_every_kind(server)
    await an_open_card(tab, server)
    await axe_finds_nothing(tab.page, "rtl")
    await context.close()
