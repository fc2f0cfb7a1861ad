"""The console's sign-in, shell and alert desk in a real Chromium, against a server that a test steers."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser, Page

from tests.pages.conftest import WEB, Tab, open_tab
from tests.pages.fake import now_ms, refusal, until
from tests.pages.fakedesk import DRIVER_TOKEN, DeskServer, line

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
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    tab = await open_tab(context, server.url)
    tab.expected = REFUSED
    yield tab
    await context.close()
    assert tab.outside == []
    assert tab.unexpected() == []


async def opened(tab: Tab, server: DeskServer) -> Page:
    """Signed in, live, and asked about sound once."""
    await tab.page.goto(f"{server.url}/console#token={server.token}")
    await tab.until("s.page === 'console' && s.connection === 'live' && s.desk.listed")
    if await tab.page.get_by_role("button", name="No sound").is_visible():
        await tab.page.get_by_role("button", name="No sound").click()
    return tab.page


def card(page: Page, driver: str) -> Any:
    return page.locator(".desk-now .alert").filter(has=page.locator(".driver", has_text=driver))


# --- signing in


async def test_a_token_becomes_a_session_that_no_script_can_read(tab: Tab, server: DeskServer) -> None:
    page = await opened(tab, server)
    assert page.url == f"{server.url}/console"
    held = await page.evaluate(
        "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}, history.state])"
    )
    assert server.token not in held and server.sessions[0] not in held
    await page.reload()
    await tab.until("s.connection === 'live'")
    assert len(server.sessions) == 1, "a reload goes on with the session"
    assert server.token not in str(await tab.state())


async def test_a_pasted_link_signs_in_and_a_wrong_one_says_so(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    await page.goto(f"{server.url}/console")
    await page.get_by_role("heading", name="Sign in").wait_for()
    assert server.connects == 0
    field = page.get_by_label("Link or token")
    await field.fill("what is this")
    await page.keyboard.press("Enter")
    await page.get_by_text("This is no link or token of ours").wait_for()
    await field.fill("x.y.z")
    await page.keyboard.press("Enter")
    await page.get_by_text("or the link is not valid").wait_for()
    await field.fill(f" {server.url}/console#token={server.token} ")
    await page.keyboard.press("Enter")
    await tab.until("s.connection === 'live'")


async def test_a_drivers_token_is_turned_away_kindly(tab: Tab, server: DeskServer) -> None:
    await tab.page.goto(f"{server.url}/console#token={DRIVER_TOKEN}")
    await tab.page.get_by_text("This link is a driver’s").wait_for()
    assert tab.page.url == f"{server.url}/console"
    assert server.connects == 0


@pytest.mark.parametrize(
    ("code", "said"), [("token_expired", "Your access has expired"), ("revoked", "Your access was withdrawn")]
)
async def test_an_ended_session_forgets_everything_and_says_why(
    tab: Tab, server: DeskServer, code: str, said: str
) -> None:
    await server.sos("a1", driver="anna")
    page = await opened(tab, server)
    await card(page, "anna").wait_for()
    await server.close_with(code)
    await page.get_by_text(said).wait_for()
    assert await tab.state() == {"page": "signin"}
    assert await page.get_by_text("anna").count() == 0


async def test_sessions_are_listed_ended_and_signed_out_of(tab: Tab, server: DeskServer) -> None:
    page = await opened(tab, server)
    server.sessions.insert(0, "session-elsewhere")
    await page.get_by_label("Account and settings").click()
    await page.get_by_role("button", name="Sessions").click()
    dialog = page.get_by_role("dialog", name="Sessions")
    await dialog.get_by_text("This device").wait_for()
    assert await dialog.get_by_role("listitem").count() == 2
    await dialog.get_by_role("button", name="End the session of").click()
    await until(lambda: server.sessions == ["session-1"])
    await page.keyboard.press("Escape")
    await page.get_by_label("Account and settings").click()
    await page.get_by_role("button", name="Sign out").click()
    await page.get_by_text("You have signed out").wait_for()
    assert server.sessions == []


async def test_vendors_are_picked_and_alerts_of_others_are_not_hidden_in_silence(
    tab: Tab, server: DeskServer
) -> None:
    server.vendors = ["north", "south"]
    await server.sos("a1", driver="anna")
    await server.sos("a2", driver="basil", vendor="south")
    page = await opened(tab, server)
    await card(page, "basil").wait_for()
    await page.get_by_label("Vendors: All vendors").click()
    await page.get_by_role("checkbox", name="north").check()
    await page.get_by_text("1 more open alert in vendors that are not picked").wait_for()
    await tab.until("s.vendors.length === 1 && s.desk.order.length === 1")
    assert await card(page, "anna").is_visible()


# --- the desk


async def test_an_alert_is_on_the_desk_at_once_and_worst_first(tab: Tab, server: DeskServer) -> None:
    page = await opened(tab, server)
    await page.get_by_text("No open alerts").wait_for()
    await server.sos("late", kind="signal_lost", severity="notice", driver="nora")
    await server.sos("first", driver="anna", message="somebody follows me", pressed_at=now_ms() - 65_000)
    await server.sos("drill", driver="dora", drill=True)
    await tab.until("JSON.stringify(s.desk.order) === JSON.stringify(['first', 'late', 'drill'])")
    first = card(page, "anna")
    for said in ("SOS", "Waiting for help", "1 min", "Nobody is on it", "53.40840, -2.99160"):
        await first.get_by_text(said).first.wait_for()
    assert await page.locator(".group", has_text="Drills").is_visible()


async def test_it_is_acknowledged_by_keyboard_and_only_shown_when_the_server_says_so(
    tab: Tab, server: DeskServer
) -> None:
    page = await opened(tab, server)
    await server.sos("a1", driver="anna", pressed_at=now_ms() - 5_000)
    await server.sos("a2", driver="basil")
    await tab.until("s.desk.order.length === 2")
    await page.keyboard.press("a")
    await tab.until("s.desk.selected === 'a1'")
    assert server.acted == [], "what nobody has looked at is not answered"
    await page.keyboard.press("j")
    await tab.until("s.desk.selected === 'a2'")
    await page.keyboard.press("k")
    server.refuse = refusal("conflict", "the alert is resolved") | {"reason": "closed", "state": "resolved"}
    await page.keyboard.press("a")
    await page.get_by_text("The alert is over already").wait_for()
    await tab.until("s.desk.alerts.a1.state === 'active'")
    server.refuse = None
    await page.keyboard.press("a")
    await tab.until("s.desk.alerts.a1.state === 'acknowledged' && s.desk.order[0] === 'a2'")
    assert server.acted == [("socket", "acknowledge", {})]
    await card(page, "anna").get_by_text("is on it since").wait_for()
    focused = "document.activeElement?.closest('.alert')?.querySelector('.driver')?.textContent"
    assert await page.evaluate(focused) == "anna", "the focus stays on the card however it moves"


async def test_who_was_tried_and_what_happened_is_live(tab: Tab, server: DeskServer) -> None:
    page = await opened(tab, server)
    await server.sos("a1", driver="anna")
    server.attempt("a1", 1)
    await card(page, "anna").wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("Enter")
    mine = card(page, "anna")
    await mine.get_by_text("Ana Pérez").wait_for()
    await mine.get_by_text("being sent").wait_for()
    server.attempt("a1", 1, status="failed", reason="no_address")  # no new version of the alert comes of it
    await mine.get_by_text("no verified address").wait_for()
    server.attempt("a1", 2, number=2, status="delivered", sent_at=now_ms(), delivered_at=now_ms())
    await mine.get_by_text("2 tries").wait_for()
    server.history["a1"].append(line("notified", None, contacts=2))
    await mine.get_by_text("2 people are being told").wait_for()


async def test_notes_responders_and_the_end_are_asked_for(tab: Tab, server: DeskServer) -> None:
    page = await opened(tab, server)
    await server.sos("a1", driver="anna")
    await card(page, "anna").wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("n")
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Note").fill("an r and an a typed here do nothing else")
    await page.keyboard.press("Control+Enter")
    await dialog.wait_for(state="hidden")
    await page.keyboard.press("c")
    await dialog.get_by_label("There in").select_option("15")
    await dialog.get_by_role("button", name="Say so").click()
    await card(page, "anna").get_by_text("is coming, there at about").wait_for()
    await page.keyboard.press("r")
    await dialog.get_by_text("Is it over?").wait_for()
    await page.keyboard.press("Escape")
    await dialog.wait_for(state="hidden")
    assert [what for _, what, _ in server.acted] == ["notes", "responders"]
    await page.keyboard.press("r")
    await dialog.get_by_role("button", name="Resolve it").click()
    await tab.until("s.desk.alerts.a1.state === 'resolved'")
    await page.get_by_text("Resolved by").wait_for()
    assert server.acted[1] == ("socket", "responders", {"eta_s": 900})
    await page.keyboard.press("?")
    await page.get_by_role("dialog", name="Keys").wait_for()


async def test_sound_is_asked_for_and_stops_when_somebody_is_on_it(tab: Tab, server: DeskServer) -> None:
    page = tab.page
    await server.sos("quiet", driver="silas", silent=True)
    await page.goto(f"{server.url}/console#token={server.token}")
    await tab.until("s.desk?.alerts.quiet")
    assert (await tab.state())["desk"]["sound"] == {"on": False, "ready": False, "played": 0}
    await page.get_by_role("button", name="Turn sound on").click()
    await tab.until("s.desk.sound.ready && s.desk.sound.played === 1")  # the click is confirmed by a chime
    await server.sos("a1", driver="anna")
    await tab.until("s.desk.sound.played >= 3")
    await page.wait_for_function("() => document.title.includes('silas')")
    await server.sos(
        "a1", state="acknowledged", acknowledged_by={"kind": "dispatcher", "id": "x", "name": "X"}
    )
    await tab.until("s.desk.alerts.a1.state === 'acknowledged'")
    played = (await tab.state())["desk"]["sound"]["played"]
    await asyncio.sleep(2.6)  # longer than an alarm's pause
    assert (await tab.state())["desk"]["sound"]["played"] == played, "the silent one is not heard"
    mine = card(page, "silas")
    await mine.get_by_text("Silent: do not call the driver").wait_for()


async def test_an_alert_that_no_event_told_is_found_by_the_list_and_a_closed_one_goes(
    tab: Tab, server: DeskServer
) -> None:
    page = await opened(tab, server)
    server.quiet = True
    await server.sos("a1", driver="anna")
    await server.cut()
    await card(page, "anna").wait_for()
    await server.sos(
        "a1", state="resolved", closed_at=now_ms(), closed_by={"kind": "contact", "id": "c", "name": "Cleo"}
    )
    await server.cut()
    await page.get_by_text("Resolved by").wait_for()
    await page.get_by_text("No open alerts").wait_for()


async def test_with_the_line_down_it_says_so_and_acts_by_http(tab: Tab, server: DeskServer) -> None:
    tab.expected = (*REFUSED, "WebSocket")
    page = await opened(tab, server)
    await server.sos("a1", driver="anna")
    await card(page, "anna").wait_for()
    server.keep_out = True
    await server.cut()
    await page.locator(".bar", has_text="Not live").wait_for()
    await page.locator(".chip[data-state=offline]").wait_for()
    await page.keyboard.press("j")
    await page.keyboard.press("a")
    await tab.until("s.desk.alerts.a1.state === 'acknowledged'")
    assert server.acted == [("http", "acknowledge", {})]
    server.keep_out = False
    await tab.until("s.connection === 'live'")
    await page.locator(".bar").wait_for(state="hidden")


async def test_what_is_over_is_in_the_history_by_driver_and_by_page(tab: Tab, server: DeskServer) -> None:
    by = {"kind": "operator", "id": "o", "name": "Olga"}
    for number in range(30):
        driver = "odd" if number == 7 else f"d{number}"
        await server.sos(
            f"a{number}", driver=driver, state="resolved", closed_at=now_ms() - 3_600_000, closed_by=by
        )
    page = await opened(tab, server)
    await page.get_by_role("button", name="History").click()
    rows = page.locator(".past > .alert")
    await page.get_by_role("button", name="Show more").click()
    await page.wait_for_function("() => document.querySelectorAll('.past > .alert').length === 30")
    await page.get_by_role("searchbox", name="Driver", exact=True).fill("odd")
    await page.get_by_role("button", name="Find", exact=True).click()
    await page.wait_for_function("() => document.querySelectorAll('.past > .alert').length === 1")
    await rows.get_by_role("button").click()
    await rows.get_by_text("Raised", exact=True).wait_for()


async def test_names_and_messages_made_to_hurt_are_only_text(tab: Tab, server: DeskServer) -> None:
    page = await opened(tab, server)
    await server.sos("a1", driver=HOSTILE, message=HOSTILE + BIDI, duress=True, kind="__proto__")
    await server.sos("a2", driver="x" * 1_000, message="y" * 1_000, vendor="north")
    server.attempt("a1", 1, contact=HOSTILE, channel="constructor", status=BIDI, reason=HOSTILE)
    server.history["a1"].append(line(HOSTILE, "constructor", by=HOSTILE, note=HOSTILE))
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


@pytest.mark.parametrize("look", ["light", "dark", "arabic", "phone", "signin"])
async def test_axe_finds_no_serious_fault(browser: Browser, server: DeskServer, look: str) -> None:
    phone = look == "phone"
    context = await browser.new_context(
        viewport={"width": 390, "height": 844} if phone else {"width": 1280, "height": 800},
        color_scheme="dark" if look == "dark" else "light",
        locale="ar-EG" if look == "arabic" else "en-GB",
    )
    tab = await open_tab(context, server.url)
    page = tab.page
    await server.sos("a1", driver="anna", message="somebody follows me", duress=True, silent=True)
    await server.sos("a2", driver="basil", kind="crash", state="pending", pending_until=now_ms() + 600_000)
    await server.sos("a3", driver="dora", drill=True, state="acknowledged", acknowledged_at=now_ms())
    server.attempt("a1", 1, status="failed", reason="all")
    server.attempt("a1", 2, channel="call", status="delivered", delivered_at=now_ms())
    await page.goto(f"{server.url}/console" + ("" if look == "signin" else f"#token={server.token}"))
    if look != "signin":
        await tab.until("s.desk?.order.length === 3 && s.connection === 'live'")
        await page.keyboard.press("j")
        await page.keyboard.press("Enter")
        await tab.until("s.desk.alerts[s.desk.selected].attempts !== null")
    else:
        await page.get_by_role("heading", name="Sign in").wait_for()
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
    direction = await page.evaluate("document.documentElement.dir")
    assert direction == ("rtl" if look == "arabic" else "ltr")
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    await context.close()


async def test_on_a_narrow_screen_one_thing_at_a_time(browser: Browser, server: DeskServer) -> None:
    context = await browser.new_context(viewport={"width": 390, "height": 844}, locale="en-GB")
    tab = await open_tab(context, server.url)
    await server.sos("a1", driver="anna")
    page = await opened(tab, server)
    tabs = page.get_by_role("navigation", name="What is shown")
    await card(page, "anna").wait_for()
    await tabs.get_by_role("button", name="Drivers").click()
    await page.locator(".side-place").wait_for()
    assert not await card(page, "anna").is_visible()
    assert await tabs.get_by_role("button", name="Alerts").text_content() == "Alerts1"
    await tabs.get_by_role("button", name="Alerts").click()
    await page.get_by_role("button", name="anna").click()
    await page.get_by_role("button", name="Show on the map").first.click()
    await tab.until("s.chosen === 'anna'")
    assert not await card(page, "anna").is_visible()
    await context.close()


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


async def test_whoever_asked_is_notified_of_each_alert_once_and_led_to_it(
    tab: Tab, server: DeskServer
) -> None:
    await tab.page.context.grant_permissions(["notifications"], origin=server.url)
    await tab.page.add_init_script(WATCH_NOTIFICATIONS)
    page = await opened(tab, server)
    await server.sos("a1", driver="anna")
    await card(page, "anna").wait_for()
    assert await page.evaluate(SHOWN) == [], "nobody asked for any"
    await page.get_by_role("button", name="Notifications").click()
    await server.sos("a2", driver=f"bob{BIDI}", message=f"help {HOSTILE}")
    await card(page, "bob").wait_for()
    (shown,) = await page.evaluate(SHOWN)
    assert shown["tag"] == "a2" and not shown["silent"]
    assert "bob" in shown["title"] and not set(BIDI) & {"\u202e", "\u202c"} & set(shown["title"])
    await server.sos("a2", reached_at=now_ms())
    await server.sos("a3", driver="cleo", silent=True)
    await card(page, "cleo").wait_for()
    later = (await page.evaluate(SHOWN))[1:]
    assert [(one["tag"], one["silent"]) for one in later] == [("a3", True)], "seen, and not heard"
    await page.evaluate("window.__shown[0].click()")
    await tab.until("s.desk.selected === 'a2'")
    await page.get_by_role("button", name="Notifications").click()
    await server.sos("a4", driver="dora")
    await card(page, "dora").wait_for()
    assert len(await page.evaluate(SHOWN)) == 2, "nobody asks for them any more"
