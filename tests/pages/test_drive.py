"""The driver's app in a real Chromium that is moved, cut off, reloaded and closed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from playwright.async_api import Browser, BrowserContext

from tests.pages.conftest import WEB, Tab, open_tab
from tests.pages.fake import now_ms, refusal, until
from tests.pages.fake_driver import FakeDriverServer, token

LAT, LON = 53.4084, -2.9916
CUT_OFF = (
    "ERR_INTERNET_DISCONNECTED",
    "ERR_CONNECTION_REFUSED",
    "Failed to load resource",
    "WebSocket connection",
)
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"

CACHED_PATHS = """async () => {
  const stores = await Promise.all((await caches.keys()).map((name) => caches.open(name)));
  const requests = await Promise.all(stores.map((store) => store.keys()));
  return requests.flat().map((request) => new URL(request.url).pathname);
}"""
ENTRIES_LEFT = """async () => {
  const answer = (request) => new Promise((done) => (request.onsuccess = () => done(request.result)));
  const db = await answer(indexedDB.open("wayguard-drive"));
  const names = [...db.objectStoreNames];
  const all = db.transaction(names);
  const counts = await Promise.all(names.map((name) => answer(all.objectStore(name).count())));
  return counts.reduce((sum, count) => sum + count, 0);
}"""

WATCH_LOCKS = """
  window.__locks = [];
  const request = async (kind) => {
    const lock = { kind, released: false, release: async () => { lock.released = true; } };
    window.__locks.push(lock);
    return lock;
  };
  Object.defineProperty(navigator, "wakeLock", { value: { request } });
"""
HAS_SAFETY_URL = """() => new Promise((resolve) => {
  const opening = indexedDB.open("wayguard-drive");
  opening.onsuccess = () => {
    const found = opening.result.transaction("settings").objectStore("settings").get("safety_url");
    found.onsuccess = () => {
      opening.result.close();
      resolve(Boolean(found.result));
    };
  };
})"""
LOCKS = "window.__locks.map(({ kind, released }) => ({ kind, released }))"


@pytest.fixture
async def driver_server(pages_built: None) -> AsyncIterator[FakeDriverServer]:
    server = FakeDriverServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def phone(browser: Browser, driver_server: FakeDriverServer) -> AsyncIterator[Tab]:
    """A phone that knows where it is; it may complain of having been cut off, and of nothing else."""
    context = await phone_context(browser, driver_server)
    tab = await open_tab(context, driver_server.url)
    tab.expected = CUT_OFF
    yield tab
    await context.close()
    assert tab.outside == []
    assert tab.unexpected() == []


async def phone_context(browser: Browser, server: FakeDriverServer, **more: Any) -> BrowserContext:
    place = {"latitude": LAT, "longitude": LON, "accuracy": 8}
    more = {"viewport": {"width": 390, "height": 844}, "geolocation": place, **more}
    context = await browser.new_context(**more)
    await context.grant_permissions(["geolocation"], origin=server.url)
    return context


async def paired(tab: Tab, server: FakeDriverServer) -> None:
    await tab.page.goto(f"{server.url}/drive#token={token()}")
    await tab.page.locator("form.start button[type=submit]").click()  # in any language
    await tab.until("s.screen === 'home' && s.line === 'live'")


async def driving(tab: Tab, server: FakeDriverServer, where: str = "Depot") -> None:
    await paired(tab, server)
    await tab.page.get_by_label("Where to?").fill(where)
    await tab.page.get_by_role("button", name="Start journey").click()
    await tab.until("s.screen === 'going' && s.points >= 1")


async def moved(tab: Tab, steps: int, first: int = 1) -> None:
    """Each step is far enough to be taken at once or, while moving, when the next one is due."""
    for step in range(first, first + steps):
        before = (await tab.state())["points"]
        await tab.page.context.set_geolocation(
            {"latitude": LAT + step * 0.001, "longitude": LON, "accuracy": 8}
        )
        await tab.until("s.points > a", before)


async def held(tab: Tab, name: str, ms: int | None = None) -> None:
    """Holds a button until the page accepts it, or for ``ms`` only."""
    button = tab.page.get_by_role("button", name=name, exact=True)
    await button.hover()
    await tab.page.mouse.down()
    if ms is None:
        released = "(button) => !button.classList.contains('holding')"
        await tab.page.wait_for_function(released, arg=await button.element_handle(), timeout=4_000)
    else:
        await tab.page.wait_for_timeout(ms)
    await tab.page.mouse.up()


async def from_desk(server: FakeDriverServer, **change: Any) -> None:
    """Tell the phone of an alert that a dispatcher raised for its driver."""
    server.alert = {
        "alert_id": "0b5b7d1e-1c1b-5c5e-8f0a-0000000000d1", "sos_id": "5a0f5b9e-0000-4000-8000-0000000000d1",
        "kind": "sos", "state": "active", "version": 1, "drill": False, "pressed_at": now_ms(),
        "pending_until": None, "reached_at": None, "acknowledged_by": None, "responders": [],
        "exhausted": False, "told": [], "raised_by": "Olga",
    } | change  # fmt: skip
    await server.sio.emit("sos:update", server.alert, namespace="/driver")


async def test_an_sos_that_a_dispatcher_raised_is_shown_with_who_raised_it(
    phone: Tab,
    driver_server: FakeDriverServer,
) -> None:
    await paired(phone, driver_server)
    await from_desk(driver_server)
    await phone.until("s.screen === 'sos'")
    page = phone.page.locator("#page")
    await page.get_by_text("\u2068Olga\u2069 raised this SOS for you at").wait_for()
    assert await page.get_by_text("Pressed at").count() == 0
    await phone.page.reload()
    await page.get_by_text("\u2068Olga\u2069 raised this SOS for you at").wait_for()
    assert driver_server.presses == [], "it is not sent as a press of this phone"
    await page.get_by_label("PIN").fill("1234")
    await page.get_by_role("button", name="Cancel SOS").first.click()
    await page.get_by_text("Cancelled").first.wait_for()
    other = {
        "alert_id": "0b5b7d1e-1c1b-5c5e-8f0a-0000000000d2",
        "sos_id": "5a0f5b9e-0000-4000-8000-0000000000d2",
    }
    await from_desk(driver_server, **other, raised_by="operator", drill=True)
    await page.get_by_text("Your dispatcher raised this drill for you at").wait_for()
    await page.get_by_role("heading", name="Drill").wait_for()


@asynccontextmanager
async def no_network(tab: Tab, server: FakeDriverServer) -> AsyncIterator[None]:
    """The page knows that there is no network; neither it nor its service worker reaches the server."""
    await server.lose_network()
    await tab.page.context.set_offline(True)
    yield
    await server.restore_network()
    await tab.page.context.set_offline(False)


async def all_stored(tab: Tab, server: FakeDriverServer, timeout_s: float = 20.0) -> int:
    """Waits until the server has all the points of the one journey, without a gap; gives how many.

    A point may be recorded between two reads, so the page and the server are compared again and again.
    """
    state, seqs = None, None
    for _ in range(round(timeout_s / 0.05)):
        state = await tab.state()
        seqs = server.seqs()
        if state["unsafe"] == 0 and seqs == [list(range(1, state["points"] + 1))]:
            return int(state["points"])
        await asyncio.sleep(0.05)
    raise AssertionError(f"the page has {state}, the server {seqs}")


SOS = "SOS Press and hold"
SILENT = "Silent SOS Press and hold"


async def test_a_lost_network_aborts_open_connections_and_lets_nothing_in(
    driver_server: FakeDriverServer,
) -> None:
    async with aiohttp.ClientSession() as session:

        async def redeem() -> int:
            async with session.post(
                f"{driver_server.url}/api/v1/pairings/redeem", json={"code": "x"}
            ) as answer:
                return answer.status

        assert await redeem() == 409
        await driver_server.lose_network()
        for _ in range(2):  # by the connection that was kept open, and by a new one
            with pytest.raises(aiohttp.ClientError):
                await redeem()
        await driver_server.restore_network()
        assert await redeem() == 409


async def test_a_journey_goes_up_by_socket_and_http_and_the_next_one_too(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    await phone.page.add_init_script(WATCH_LOCKS)
    await driving(phone, driver_server)
    assert await phone.page.evaluate(LOCKS) == [{"kind": "screen", "released": False}]
    await moved(phone, 3)
    await phone.until("s.unsafe === 0 && s.points >= 4")
    await phone.page.get_by_text("points are safe").wait_for()
    # The socket is dead, HTTP is not.
    before = driver_server.by_http
    driver_server.no_socket = True
    await driver_server.cut()
    await moved(phone, 1, first=4)
    await phone.until("s.unsafe === 0 && s.line !== 'live'")
    assert driver_server.by_http > before
    assert await all_stored(phone, driver_server) >= 5
    driver_server.no_socket = False
    await phone.until("s.line === 'live'")
    await phone.page.get_by_role("button", name="End journey").click()
    await phone.page.get_by_role("button", name="End it").click()
    await phone.until("s.screen === 'home' && s.journeys === 0")
    (journey,) = driver_server.journeys.values()
    assert journey.destination == {"name": "Depot"}
    assert [point[0] for point in journey.points] == list(range(1, len(journey.points) + 1))
    assert journey.points[0][2:4] == [LAT, LON]
    assert journey.ended is not None
    assert journey.ended["last_seq"] == len(journey.points)
    assert await phone.page.evaluate(LOCKS) == [{"kind": "screen", "released": True}], "the screen may go off"
    # The next journey starts on the same connection.
    await phone.page.get_by_role("button", name="Start journey").click()
    await phone.until("s.screen === 'going'")
    await moved(phone, 1, first=5)
    await phone.until("s.unsafe === 0")
    assert len(driver_server.journeys) == 2
    assert [bool(journey.points) for journey in driver_server.journeys.values()] == [True, True]


async def test_what_was_driven_without_a_network_survives_a_reload_and_goes_up_in_order(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    await driving(phone, driver_server)
    await phone.until("s.unsafe === 0")
    await phone.page.evaluate("navigator.serviceWorker.ready")
    async with no_network(phone, driver_server):
        stored = driver_server.seqs()
        await moved(phone, 3)
        await phone.page.get_by_text("not safe yet").wait_for()
        kept = (await phone.state())["unsafe"]
        assert kept >= 3
        await phone.page.reload()
        await phone.until("s.screen === 'going' && s.unsafe >= a", kept)
        await moved(phone, 2, first=4)
        assert driver_server.seqs() == stored, "nothing got through"
        driver_server.lose_acks = 1
    await phone.until("s.unsafe === 0 && s.line === 'live'")
    assert driver_server.lose_acks == 0
    assert await all_stored(phone, driver_server) >= kept + 2


async def test_it_starts_without_a_network_and_a_new_journey_is_sent_later(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    await paired(phone, driver_server)
    await phone.page.evaluate("navigator.serviceWorker.ready")
    await driver_server.lose_network()  # no `offline` event, and later no `online` event
    await phone.page.reload()
    await phone.until("s.screen === 'home'")
    cached = await phone.page.evaluate(CACHED_PATHS)
    assert "/drive" in cached
    assert not [
        path for path in cached if path.startswith(("/api", "/socket.io", "/s/")) or "maplibre" in path
    ]
    await phone.page.get_by_label("Where to?").fill("<img src=x onerror=alert(1)>\u202e")
    await phone.page.get_by_label("Check in").select_option("900")
    await phone.page.get_by_role("button", name="Start journey").click()
    await phone.until("s.points >= 1 && s.unsafe >= 1")
    await phone.page.get_by_text("nobody would be told").wait_for()
    await phone.page.get_by_text("<img src=x onerror=alert(1)>").wait_for()
    assert (driver_server.journeys, driver_server.timers) == ({}, [])
    await driver_server.restore_network()
    await phone.until("s.line === 'live' && s.unsafe === 0 && !s.timers_pending")
    (rest, timer), *_ = driver_server.timers
    (journey,) = driver_server.journeys.values()
    assert (rest, timer["kind"], timer["every_s"], timer["journey_id"]) == (
        "",
        "check_in",
        900,
        journey.journey_id,
    )
    await phone.page.get_by_role("button", name="I'm fine").click()
    await phone.until("!s.timers_pending")
    assert driver_server.timers[-1][0] == "/check-in"


async def test_two_tabs_are_one_driver_and_a_new_build_waits_for_a_reload(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    await driving(phone, driver_server)
    other = await open_tab(phone.page.context, driver_server.url)
    await other.page.goto(f"{driver_server.url}/drive")
    await other.page.get_by_role("heading", name="Open in another tab").wait_for()
    assert len(driver_server.sids) == 1
    await other.page.get_by_role("button", name="Go on here").click()
    await other.until("s.screen === 'going' && s.line === 'live'")
    await phone.page.get_by_role("heading", name="Open in another tab").wait_for()
    await moved(other, 2)
    await other.until("s.unsafe === 0")
    await other.page.close()
    await phone.until("s.screen === 'going' && s.line === 'live'")
    assert await all_stored(phone, driver_server) >= 3
    # A new build waits until the driver reloads.
    await phone.page.evaluate("navigator.serviceWorker.ready")
    await phone.until("s.unsafe === 0 && !s.update_ready")
    await phone.page.reload()
    await phone.until("s.screen === 'going'")
    driver_server.build = 2
    await phone.page.evaluate("navigator.serviceWorker.ready.then((one) => one.update())")
    await phone.page.get_by_text("A new version is here").wait_for()
    async with phone.page.expect_navigation():
        await phone.page.get_by_role("button", name="Reload").click()
    await phone.until("s.screen === 'going' && s.line === 'live' && !s.update_ready")
    assert len(driver_server.journeys) == 1


async def test_an_sos_is_sent_by_both_ways_shows_who_comes_and_may_be_silent(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    await driving(phone, driver_server)
    await phone.until("s.unsafe === 0")
    await held(phone, SOS, ms=500)
    assert (await phone.state())["sos"] is None
    await held(phone, SOS)
    await phone.until("s.sos?.shown === 'active'")
    await until(lambda: {way for way, _ in driver_server.presses} == {"socket", "http"})
    press = driver_server.presses[0][1]
    assert len({payload["sos_id"] for _, payload in driver_server.presses}) == 1
    assert press["point"][2:4] == [LAT, LON]
    assert press["journey_id"] == next(iter(driver_server.journeys.values())).journey_id
    await phone.page.get_by_text("It is safely stored.").wait_for()
    await driver_server.tell(reached_at=1, told=[["Mum", "sms", "delivered"]])
    await phone.page.get_by_text("text · delivered").wait_for()
    await driver_server.tell(state="acknowledged", acknowledged_by="Mum", responders=[["Mum", 600]])
    await phone.page.get_by_role("heading", name="is on it").wait_for()
    await phone.page.get_by_text("10 min").wait_for()
    await phone.page.reload()
    await phone.until("s.sos?.shown === 'acknowledged'")
    await driver_server.tell(state="resolved")
    await phone.page.get_by_role("heading", name="It is over").wait_for()
    await phone.page.get_by_role("button", name="Close").click()
    await phone.until("s.sos === null && s.screen === 'going'")
    # A silent one shows only a note.
    driver_server.presses.clear()
    await held(phone, SILENT)
    await phone.until("s.sos?.shown === 'active'")
    assert driver_server.presses[0][1]["silent"] is True
    assert (await phone.state())["screen"] == "going"
    await phone.page.get_by_role("button", name="Note sent").click()
    await phone.page.get_by_role("heading", name="SOS sent").wait_for()


async def test_an_sos_is_sent_to_the_safety_address_first_and_to_the_other_when_it_is_not_taken(
    browser: Browser, pages_built: None
) -> None:
    server = FakeDriverServer(has_safety=True)
    await server.start()
    context = await phone_context(browser, server)
    try:
        phone = await open_tab(context, server.url)
        await driving(phone, server)
        await phone.until("s.unsafe === 0")
        await phone.page.wait_for_function(HAS_SAFETY_URL)
        await held(phone, SOS)
        await until(lambda: {way for way, _ in server.presses} == {"socket", "safety"})
        await phone.until("s.sos?.shown === 'active'")
        await server.lose_safety()
        server.presses.clear()
        await server.tell(state="resolved")
        await phone.page.get_by_role("button", name="Close").click()
        await phone.until("s.sos === null && s.screen === 'going'")
        await held(phone, SOS)
        await until(lambda: {way for way, _ in server.presses} == {"socket", "http"})
    finally:
        await context.close()
        await server.stop()


async def test_an_sos_without_a_network_is_kept_over_a_reload_and_taken_once(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    await driving(phone, driver_server)
    await phone.page.get_by_role("button", name="Settings").click()
    await phone.page.get_by_label("Name").fill("Mum")
    await phone.page.get_by_label("Number", exact=True).fill("+44 7700 900 123")
    await phone.page.get_by_role("button", name="Add", exact=True).click()
    await phone.page.get_by_role("button", name="Close").click()
    await phone.page.evaluate("navigator.serviceWorker.ready")
    async with no_network(phone, driver_server):
        await held(phone, SOS)
        await phone.page.get_by_role("heading", name="Not sent yet").wait_for()
        assert await phone.page.get_by_role("link", name="Call").get_attribute("href") == "tel:112"
        text = await phone.page.get_by_role("link", name="Text").get_attribute("href")
        assert text is not None
        assert text.startswith("sms:+447700900123?&body=")
        assert "53.40840%2C%20-2.99160" in text
        await phone.page.reload()
        await phone.page.get_by_role("heading", name="Not sent yet").wait_for()
        assert driver_server.presses == []
    await phone.until("s.sos?.shown === 'active'")
    assert len({payload["sos_id"] for _, payload in driver_server.presses}) == 1
    auth = driver_server.auths[-1]
    assert auth["sos"] is True


async def test_a_code_pairs_once_and_a_pin_stops_a_countdown(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    driver_server.pairings["CODE-123"] = token()
    asked: list[str] = []
    phone.page.on("request", lambda request: asked.append(request.url))
    await phone.page.goto(f"{driver_server.url}/drive#pair=CODE-123")
    await phone.page.get_by_role("button", name="Pair", exact=True).click()
    await phone.until("s.screen === 'settings' && s.driver === 'd1' && s.line === 'live'")
    await phone.page.get_by_role("button", name="Later").click()
    await phone.until("s.screen === 'home'")
    assert phone.page.url == f"{driver_server.url}/drive"
    assert not [url for url in asked if "CODE-123" in url]
    await phone.page.reload()
    await phone.until("s.screen === 'home' && s.line === 'live'")
    await phone.page.goto(f"{driver_server.url}/drive#pair=CODE-123")
    await phone.page.get_by_role("button", name="Pair", exact=True).click()
    await phone.page.get_by_text("This code does not work.").wait_for()
    await phone.page.get_by_role("button", name="Back").click()
    await phone.until("s.screen === 'home'")
    # A countdown is stopped by the PIN alone.
    await phone.until("s.line === 'live'")
    until_ms = await phone.page.evaluate("Date.now() + 60000")
    driver_server.state_of_new = {"state": "pending", "pending_until": until_ms}
    await held(phone, SOS)
    await phone.until("s.sos?.shown === 'pending'")
    await phone.page.locator(".countdown").get_by_text("5").wait_for()
    for pin in ("9999", "1234"):
        await phone.page.get_by_label("PIN").fill(pin)
        await phone.page.get_by_role("button", name="Cancel SOS").click()
        if pin == "9999":
            await phone.page.get_by_text("This PIN is wrong.").wait_for()
    await phone.page.get_by_role("heading", name="Cancelled").wait_for()
    assert driver_server.cancels == ["9999", "1234"]
    # Nothing of what was before stays to be read: not who was told, nor how it went on.
    await driver_server.tell(state="cancelled", told=[["Mum", "sms", "delivered"]], reached_at=1)
    await phone.page.wait_for_timeout(300)
    assert await phone.page.get_by_text("Mum").count() == 0
    # The next SOS is called for by keyboard and, with a click that was no press, by a screen reader.
    driver_server.state_of_new = {"state": "active"}
    await phone.page.get_by_role("button", name="Close").click()
    button = phone.page.get_by_role("button", name=SOS, exact=True)
    await button.focus()
    await phone.page.keyboard.press("Enter")
    await phone.page.get_by_role("heading", name="Call for help now?").wait_for()
    await phone.page.keyboard.press("Escape")
    assert (await phone.state())["sos"] is None
    await button.evaluate("(element) => element.click()")
    await phone.page.get_by_role("button", name="Send SOS").click()
    await phone.until("s.sos?.shown === 'active'")


async def test_expired_access_keeps_points_and_lets_an_sos_through(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    await driving(phone, driver_server)
    await phone.until("s.unsafe === 0")
    driver_server.keep_out = refusal("token_expired", "the token is over")
    await driver_server.cut()
    await phone.page.get_by_text("Access has ended.").wait_for()
    await moved(phone, 1)
    await held(phone, SOS)
    await phone.until("s.sos?.shown === 'active'")
    await until(lambda: "socket" in {way for way, _ in driver_server.presses} or len(driver_server.sids) == 1)
    assert (await phone.state())["access"] == "expired"
    # Unpairing says what would be lost, and forgets everything.
    async with no_network(phone, driver_server):
        await moved(phone, 1, first=2)
        await phone.page.get_by_role("button", name="Settings").click()
        await phone.page.get_by_role("button", name="Unpair this phone").click()
        await phone.page.get_by_text("not safe yet and would be lost").wait_for()
    await phone.page.get_by_role("button", name="Forget everything").click()
    await phone.until("s.screen === 'pair' && s.driver === null")
    assert await phone.page.evaluate(ENTRIES_LEFT) == 0


CODE = "k3J_d8sL-2mN4bV6cX8zA0qW2eR4tY6u"


@pytest.mark.parametrize(
    "address",
    [f"#pair={CODE}", f"%23pair={CODE}", f"/#pair={CODE}", f"#pair={CODE}.", f"#pair={CODE}&utm_source=x"],
)
async def test_a_link_pairs_by_a_tap_and_not_by_being_opened(
    phone: Tab, driver_server: FakeDriverServer, address: str
) -> None:
    driver_server.pairings[CODE] = token()
    await phone.page.goto(f"{driver_server.url}/drive{address}")
    await phone.page.get_by_role("heading", name="Pair this phone?").wait_for()
    assert phone.page.url == f"{driver_server.url}/drive"
    await phone.page.wait_for_timeout(300)
    assert CODE in driver_server.pairings
    assert (await phone.state())["driver"] is None
    await phone.page.get_by_role("button", name="Pair", exact=True).click()
    await phone.until("s.screen === 'settings' && s.driver === 'd1'")
    assert driver_server.pairings == {}


async def test_a_pairing_link_that_is_not_whole_says_so_and_leaves_a_field(
    phone: Tab, driver_server: FakeDriverServer
) -> None:
    await phone.page.goto(f"{driver_server.url}/drive#pair=")
    await phone.page.get_by_text("This link is not complete.").wait_for()
    await phone.page.get_by_label("Link or code").wait_for()


@pytest.mark.parametrize(("locale", "schemes"), [("en-GB", ("light", "dark")), ("ar-EG", ("light",))])
async def test_axe_finds_nothing(
    browser: Browser, driver_server: FakeDriverServer, locale: str, schemes: tuple[str, ...]
) -> None:
    context = await phone_context(browser, driver_server, locale=locale, bypass_csp=True)
    tab = await open_tab(context, driver_server.url)
    await tab.page.goto(f"{driver_server.url}/drive")
    await tab.until("s.screen === 'pair'")
    await without_faults(tab, schemes)
    await paired(tab, driver_server)
    await without_faults(tab, schemes)
    await tab.page.locator("form.start button[type=submit]").click()
    await tab.until("s.screen === 'going' && s.unsafe === 0 && s.points >= 1")
    await without_faults(tab, schemes)
    await tab.page.locator("header.top .round").click()
    await without_faults(tab, schemes)
    await tab.page.locator("dialog.menu header .round").click()
    await tab.page.locator(".hold.loud").evaluate("(element) => element.click()")
    await tab.page.locator("dialog.asked .big").first.click()
    await tab.until("s.sos?.shown === 'active'")
    await driver_server.tell(told=[["Mum", "sms", "delivered"]], reached_at=1)
    await without_faults(tab, schemes)
    await context.close()
    assert tab.unexpected() == []


async def without_faults(tab: Tab, schemes: tuple[str, ...]) -> None:
    if not await tab.page.evaluate("'axe' in window"):
        await tab.page.add_script_tag(path=str(AXE))
    for scheme in schemes:
        await tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await tab.page.wait_for_function("(a) => document.documentElement.dataset.theme === a", arg=scheme)
        found = await tab.page.evaluate(
            "async () => (await axe.run()).violations.map((v) => [v.id, v.nodes.map((n) => n.html)])"
        )
        assert found == [], scheme
