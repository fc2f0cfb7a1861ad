"""An alert on the contact's page in a real Chromium: what is shown, what a thumb can do, for everybody."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Locator, expect

from realtime.pages.routes import STATIC
from tests.pages.conftest import WEB, Tab, open_tab
from tests.pages.fake import JOURNEY, now_ms, refusal
from tests.pages.fakecontact import MINE, FakeContact, Link, used

LAT, LON = 53.4084, -2.9916
HOSTILE = "<img src=x onerror=window.pwned=1>\u202e" + "n" * 1_000
PHONE = {"width": 390, "height": 844}
AXE = WEB / "node_modules" / "axe-core" / "axe.min.js"


@pytest.fixture(scope="module")
async def contact_server(pages_built: None) -> AsyncIterator[FakeContact]:
    server = FakeContact(bare=True)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def server(contact_server: FakeContact) -> FakeContact:
    """As if it had just been started; without a map, save in a test that turns that off."""
    contact_server.bare = True
    contact_server.renew(trip={"name": "Asha"}, shares={"id1.secret1": Link(holder="Mum")})
    return contact_server


@pytest.fixture(scope="module")
async def handset(browser: Browser, contact_server: FakeContact) -> AsyncIterator[Tab]:
    context = await browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, locale="en-GB")
    yield await open_tab(context, contact_server.url)
    await context.close()


@pytest.fixture
async def phone(handset: Tab, server: FakeContact) -> AsyncIterator[Tab]:
    """A phone held in one hand: one for all tests that need no map, and each loads its page in it."""
    async with used(handset) as tab:
        yield tab


@pytest.fixture
async def phone_with_map(browser: Browser, server: FakeContact) -> AsyncIterator[Tab]:
    """A phone of its own, on which the map is drawn, without glides: software rendering is slow."""
    server.bare = False
    context = await browser.new_context(
        viewport=PHONE, has_touch=True, is_mobile=True, locale="en-GB", reduced_motion="reduce"
    )
    async with used(await open_tab(context, server.url)) as tab:
        yield tab
    await context.close()


async def opened(tab: Tab, server: FakeContact) -> Tab:
    await server.report("asha", LAT, LON)
    await tab.page.goto(f"{server.url}/s/id1#secret1")
    await tab.until("s.connection === 'live' && s.drivers.asha")
    return tab


def said(text: str) -> re.Pattern[str]:
    """``text`` as the page says it: what was put in is isolated from the words around it."""
    isolates = "[\\u2068\\u2069]*"
    return re.compile(isolates.join(re.escape(char) for char in text))


def named(tab: Tab, name: str, *, exact: bool = True) -> Locator:
    return tab.page.get_by_role("button", name=name, exact=exact)


async def test_a_contact_takes_and_ends_an_alert_and_calls_off_the_next(
    phone: Tab, server: FakeContact
) -> None:
    await opened(phone, server)
    alert_id = await server.press(message="flat tyre, strange man")
    page = phone.page
    await page.get_by_role("heading", name=said("Asha needs help")).wait_for()
    await page.get_by_text(said("flat tyre, strange man")).wait_for()
    await page.get_by_text(said("Nobody is on it yet.")).wait_for()
    assert "SOS" in await page.title()
    assert await named(phone, "It is over").count() == 0, "who is not on it ends nothing"
    await named(phone, "I’m on it").tap()
    await page.get_by_text(said("You are on it since")).wait_for()
    await named(phone, "10 min").tap()
    await page.get_by_text(said("You are on the way, there at about")).wait_for()
    await named(phone, "It is over").tap()
    await page.get_by_text(said("Everyone who was told will hear it.")).wait_for()
    await named(phone, "No, go back").tap()
    assert [act for act, _ in server.acts] == ["ack", "respond"]
    await named(phone, "It is over").tap()
    await named(phone, "Yes, they are safe").tap()
    await page.get_by_role("heading", name=said("It is over")).wait_for()
    await page.get_by_text(said("You said that it is over")).wait_for()
    assert server.acts[1:] == [
        ("respond", {"alert_id": alert_id, "eta_s": 600}),
        ("resolve", {"alert_id": alert_id}),
    ]
    await named(phone, "Close this message").tap()
    await expect(page.locator(".sos")).to_be_hidden()
    await page.get_by_role("heading", name=said("Asha")).wait_for()
    # The next one is a drill and a false alarm. The contact who is on it calls it off.
    server.acts.clear()
    await server.press(drill=True)
    await page.get_by_text(said("This is an exercise. Nobody is in danger.")).wait_for()
    await page.get_by_text("Drill · SOS").wait_for()
    await named(phone, "I’m on it").tap()
    await named(phone, "False alarm").tap()
    await named(phone, "Yes, a false alarm").tap()
    await page.get_by_role("heading", name=said("False alarm")).wait_for()
    assert [act for act, _ in server.acts] == ["ack", "false_alarm"]


async def test_what_others_do_is_shown_as_it_comes(phone: Tab, server: FakeContact) -> None:
    await opened(phone, server)
    alert_id = await server.press()
    page = phone.page
    server.told = [["Ben", "sms", "delivered"], ["Ana", "call", "failed"]]
    ben = {"kind": "contact", "id": "c9", "name": "Ben"}
    await server.change(alert_id, state="acknowledged", acknowledged_by=ben, acknowledged_at=now_ms())
    await page.get_by_text(said("Ben is on it since")).wait_for()
    await page.get_by_text(said("Ben: text, delivered")).wait_for()
    await page.get_by_text(said("Ana: call, failed")).wait_for()
    await named(phone, "I’m on it too").wait_for()
    await server.change(alert_id, responders=[{"person": ben, "at": now_ms(), "eta_s": 300}])
    await page.get_by_text(said("Ben is on the way, there at about")).wait_for()
    await server.change(
        alert_id, state="cancelled", closed_by={"kind": "driver", "id": "", "name": ""}, closed_at=now_ms()
    )
    await page.get_by_text(said("Asha has called it off, at")).wait_for()
    assert await page.locator("a[href^='tel:']").count() == 0


async def test_emergency_number_of_the_place_and_no_call_in_silent_alerts(
    phone: Tab, server: FakeContact
) -> None:
    server.trip["phone"] = "+442079460958"
    await opened(phone, server)
    alert_id = await server.press()
    number = phone.page.locator("a[href='tel:999']")
    await number.get_by_text(said("Call 999")).wait_for()
    await number.get_by_text(said("The emergency number where they are.")).wait_for()
    them = phone.page.locator("a[href='tel:+442079460958']")
    assert "Call" in await them.inner_text() and "Asha" in await them.inner_text()
    await server.report("asha", 40.7128, -74.006)
    await phone.page.locator("a[href='tel:911']").wait_for()
    # A silent one: the driver is not to be called, the emergency number of the place is.
    await server.report("asha", LAT, LON)
    await server.change(alert_id, silent=True)
    await only_the_emergency_number_is_offered(phone)
    # An alert that was raised as silent.
    await server.change(alert_id, state="resolved", closed_at=now_ms())
    await named(phone, "Close this message").tap()
    await expect(phone.page.locator(".sos")).to_be_hidden()
    await server.press(silent=True)
    await only_the_emergency_number_is_offered(phone)


async def only_the_emergency_number_is_offered(phone: Tab) -> None:
    await phone.page.get_by_text(said("Please do not call them")).wait_for()
    assert await phone.page.locator("a[href='tel:+442079460958']").count() == 0
    await phone.page.locator("a[href='tel:999']").wait_for()


async def test_refusals_are_said_kindly_and_a_tap_in_a_dead_zone_gets_through(
    phone: Tab, server: FakeContact
) -> None:
    await opened(phone, server)
    await server.press()
    for code, words in (
        ("conflict", "Things have moved on meanwhile."),
        ("forbidden", "This link cannot answer this alert."),
    ):
        server.refuse["ack"] = refusal(code, "no")
        await named(phone, "I’m on it").tap()
        await phone.page.get_by_text(words).wait_for()
    assert server.acts == []
    server.refuse.clear()
    server.deaf = True
    await named(phone, "I’m on it").tap()
    await phone.page.get_by_text(said("No connection. Still trying…")).wait_for()
    server.deaf = False
    await phone.page.get_by_text(said("You are on it since")).wait_for()
    assert [act for act, _ in server.acts] == ["ack"]


async def test_a_state_that_moved_while_away_is_shown(phone: Tab, server: FakeContact) -> None:
    await opened(phone, server)
    alert_id = await server.press()
    await named(phone, "I’m on it").wait_for()
    server.keep_out = True
    await server.cut()
    server.alerts[alert_id] |= {"state": "resolved", "version": 9, "closed_at": now_ms()}
    server.keep_out = False
    await phone.page.get_by_role("heading", name=said("It is over")).wait_for()
    await phone.until("s.alert.version === 9 && s.connection === 'live'")


async def test_a_read_only_link_offers_only_calls_and_a_drill_is_marked(
    phone: Tab, server: FakeContact
) -> None:
    server.shares["id1.secret1"] = Link()
    await opened(phone, server)
    alert_id = await server.press()
    await phone.page.get_by_text(said("This link is for looking.")).wait_for()
    await phone.page.locator("a[href='tel:999']").wait_for()
    assert await phone.page.locator(".actions button").count() == 0
    assert (await phone.state())["told"] is None
    assert await phone.page.get_by_text(said("This is an exercise.")).count() == 0
    await server.change(alert_id, drill=True)
    await phone.page.get_by_text(said("This is an exercise. Nobody is in danger.")).wait_for()
    await phone.page.get_by_text("Drill · SOS").wait_for()


async def test_an_alerts_link_without_a_journey_shows_where_it_was_pressed(
    phone: Tab, server: FakeContact
) -> None:
    alert_id = await server.press(journey_id=None)
    server.shares["id1.secret1"] = Link(journey="", holder="Mum", alert=alert_id)
    await phone.page.goto(f"{server.url}/s/id1#secret1")
    await phone.page.get_by_role("heading", name=said("Asha needs help")).wait_for()
    await named(phone, "Open in maps").wait_for()
    await named(phone, "I’m on it").tap()
    await phone.page.get_by_text(said("You are on it since")).wait_for()
    await server.change(alert_id, state="resolved", closed_at=now_ms())
    await phone.page.get_by_role("heading", name=said("It is over")).wait_for()
    await expect(named(phone, "Open in maps")).to_be_hidden()


async def test_the_place_of_an_alert_without_a_journey_follows_and_says_its_age(
    phone: Tab, server: FakeContact
) -> None:
    alert_id = await server.press(journey_id=None)
    server.shares["id1.secret1"] = Link(journey="", holder="Mum", alert=alert_id)
    await phone.page.goto(f"{server.url}/s/id1#secret1")
    place = {"lat": 52.52, "lon": 13.4, "accuracy_m": 300, "battery_pct": None, "source": "press"}
    await server.change(alert_id, place=place | {"t_ms": now_ms() - 600_000})
    await phone.page.get_by_text(said("This is where they were 10 min")).wait_for()
    await phone.page.get_by_text("± 984 ft").wait_for()
    await server.change(alert_id, place=place | {"t_ms": None})
    await phone.page.get_by_text(said("It is not known when they were here.")).wait_for()
    await server.change(alert_id, place=place | {"t_ms": now_ms(), "accuracy_m": 5})
    await phone.page.get_by_text("± 16 ft").wait_for()
    await expect(phone.page.get_by_text(said("It is not known when they were here."))).to_be_hidden()


async def test_revoking_while_an_alert_is_open_forgets_it_too(
    phone_with_map: Tab, server: FakeContact
) -> None:
    phone = phone_with_map
    server.trip["phone"] = "+442079460958"
    await opened(phone, server)
    await server.press(message="help me please")
    await phone.page.get_by_text(said("help me please")).wait_for()
    server.shares.clear()
    await server.close_with("revoked")
    await phone.page.get_by_role("heading", name=said("This link has been switched off")).wait_for()
    content = await phone.page.content()
    assert not [
        word for word in ("Asha", "asha", "help me please", "+442079460958", "tel:") if word in content
    ]
    assert (await phone.state())["alert"] is None


async def test_hostile_names_and_words_do_nothing(phone_with_map: Tab, server: FakeContact) -> None:
    phone = phone_with_map
    server.trip |= {
        "name": HOSTILE,
        "phone": "javascript:alert(1)",
        "destination": {"name": HOSTILE, "lat": 1e9, "lon": {}},
        "arrive_by": "<b>",
    }
    server.told = [[HOSTILE, "<b>", "<i>"], ["x"]]
    await opened(phone, server)
    evil = {"kind": "contact", "id": "c", "name": HOSTILE}
    coming = [{"person": evil, "at": now_ms(), "eta_s": -5}]
    await server.press(message=HOSTILE, kind="<svg>", acknowledged_by=evil, responders=coming)
    await phone.page.locator(".told li").first.wait_for()
    assert await phone.page.evaluate(
        "() => window.pwned === undefined && !document.querySelector('main img')"
    )
    assert await phone.page.locator("a[href^='javascript']").count() == 0
    title = await phone.page.locator("#sos-title").inner_text()
    assert "\u202e" not in title and len(title) < 200
    widths = "() => [document.documentElement, document.querySelector('.sheet')].map((e) => e.scrollWidth)"
    page, sheet = await phone.page.evaluate(widths)
    assert max(page, sheet) <= PHONE["width"], "nothing runs out of the side"


async def test_open_in_maps_asks_an_app_at_the_tap_and_the_web_only_by_its_own_button(
    phone: Tab, server: FakeContact
) -> None:
    phone.expected = ("Failed to launch",)
    await opened(phone, server)
    asked: list[str] = []
    phone.page.on("request", lambda request: asked.append(request.url))
    await expect(phone.page.get_by_text(said("Did no map open?"))).to_be_hidden()
    await named(phone, "Open in maps").tap()
    await phone.page.get_by_text(said("Did no map open?")).wait_for()
    opened_web = "window.open = (...args) => { window.asked = args; return null; }"
    await phone.page.evaluate(opened_web)
    await named(phone, "Open in the browser (OpenStreetMap)").dispatch_event("click")
    url, target, features = await phone.page.evaluate("() => window.asked")
    assert url.startswith("https://www.openstreetmap.org/") and (target, features) == (
        "_blank",
        "noopener,noreferrer",
    )
    phone.outside = [one for one in phone.outside if not one.startswith("geo:")]
    assert not [one for one in asked if "53.4" in one and not one.startswith("geo:")]
    assert "53.4" not in phone.page.url


async def test_where_to_by_when_and_since_when_are_told(phone: Tab, server: FakeContact) -> None:
    server.trip |= {
        "destination": {"name": "Pier Head", "lat": 53.4, "lon": -3.0},
        "arrive_by": now_ms() + 1_800_000,
    }
    for step in range(3):
        await server.report(
            "asha",
            LAT + step * 0.0001,
            LON,
            t_ms=now_ms() - (3 - step) * 60_000,
            speed_mps=0.1,
            battery_pct=9,
        )
    await opened(phone, server)
    await server.report("asha", LAT, LON, battery_pct=9)
    facts = phone.page.locator(".facts")
    await facts.get_by_text(said("Pier Head")).wait_for()
    await facts.get_by_text(said("9%, low")).wait_for()
    await facts.get_by_text(said("Moving since")).wait_for()


# --- for everybody


LANGUAGES = pytest.mark.parametrize("language", ["en-GB", "ar-EG"])


@LANGUAGES
async def test_axe_finds_no_fault_with_a_map(browser: Browser, server: FakeContact, language: str) -> None:
    """The controls of the map are the same in every state of the sheet, which has a test of its own."""
    server.bare = False
    small = {"width": PHONE["width"], "height": 320}  # every pixel of a map costs
    context = await browser.new_context(viewport=small, locale=language, reduced_motion="reduce")
    async with used(await open_tab(context, server.url)) as tab:
        await opened(tab, server)
        await tab.until("s.map_ready && s.drawing.updates > 0")
        await tab.page.evaluate(AXE.read_text())
        await without_faults(tab, "quiet, with a map")
    await context.close()


@LANGUAGES
async def test_axe_finds_no_fault_in_any_state(browser: Browser, server: FakeContact, language: str) -> None:
    """Each state of the sheet in the light and in the dark."""
    context = await browser.new_context(viewport=PHONE, locale=language, reduced_motion="reduce")
    tab = await open_tab(context, server.url)
    server.told = [["Ben", "sms", "delivered"]]
    server.trip["phone"] = "+442079460958"
    me = {"kind": "contact", "id": "share:id1", "name": "Mum"}
    await opened(tab, server)
    assert await tab.page.evaluate("() => document.documentElement.dir") == (
        "rtl" if language[:2] == "ar" else "ltr"
    )
    await tab.page.evaluate(AXE.read_text())
    await without_faults(tab, "quiet")
    alert_id = await server.press(message="help")
    await shown(tab, server, alert_id)
    await without_faults(tab, "active")
    mine = {"state": "acknowledged", "acknowledged_by": me, "acknowledged_at": now_ms(), "silent": True}
    await server.change(alert_id, **mine)
    await shown(tab, server, alert_id)
    await without_faults(tab, "mine")
    over = {"state": "resolved", "closed_by": me, "closed_at": now_ms(), "silent": False, "drill": True}
    await server.change(alert_id, **over)
    await shown(tab, server, alert_id)
    await without_faults(tab, "over")
    await server.close_with("revoked")
    await tab.until("s.closed")
    await without_faults(tab, "closed")
    await context.close()
    assert tab.unexpected() == []


async def shown(tab: Tab, server: FakeContact, alert_id: str) -> None:
    """The page has the alert as it is now, and who was notified."""
    version = server.alerts[alert_id]["version"]
    await tab.until("s.alert?.version === a && s.told !== null", version)


async def without_faults(tab: Tab, state: str) -> None:
    for scheme in ("light", "dark"):
        await tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await tab.page.wait_for_function("(a) => document.documentElement.dataset.theme === a", arg=scheme)
        found = await tab.page.evaluate(
            "async () => (await axe.run(document, {resultTypes: ['violations']})).violations"
        )
        faults = [(one["id"], one["impact"], one["nodes"][0]["html"][:160]) for one in found]
        assert faults == [], (state, scheme)


async def test_every_target_is_big_enough_for_a_thumb_and_large_text_fits(
    phone: Tab, server: FakeContact
) -> None:
    server.trip |= {"phone": "+442079460958", "name": "Asha Kiplagat-Worthington"}
    await opened(phone, server)
    await server.press(message="help")
    await named(phone, "I’m on it").tap()
    await named(phone, "10 min").wait_for()
    script = """() => [...document.querySelectorAll('main button, main a, main select')]
      .filter((e) => e.offsetParent !== null).map((e) => [e.textContent, e.getBoundingClientRect()])
      .filter(([, r]) => r.width < 44 || r.height < 44).map(([t, r]) => [t, r.width, r.height])"""
    assert await phone.page.evaluate(script) == []
    await phone.page.evaluate("() => (document.documentElement.style.fontSize = '200%')")
    cut = """() => [...document.querySelectorAll('.sheet *')]
      .map((e) => [e.tagName, e.getBoundingClientRect()])
      .filter(([, r]) => r.right > innerWidth + 1 || r.left < -1).map(([name]) => name)"""
    assert await phone.page.evaluate(cut) == []
    scroll = """() => { const s = document.querySelector('.sheet'); s.scrollTop = 1e6;
      return s.scrollTop + s.clientHeight >= s.scrollHeight - 2; }"""
    assert await phone.page.evaluate(scroll), "all of it can be scrolled to"


@pytest.mark.parametrize("size", [(390, 844), (360, 640)])
async def test_map_and_open_in_maps_are_on_the_first_screen_of_an_sos(
    phone: Tab, server: FakeContact, size: tuple[int, int]
) -> None:
    server.trip |= {"phone": "+442079460958", "name": "Asha Kiplagat-Worthington"}
    await phone.page.set_viewport_size({"width": size[0], "height": size[1]})
    await opened(phone, server)
    await server.press(message="somebody follows me, and has done so since the bridge")
    await named(phone, "I’m on it").wait_for()
    script = """() => {
      const at = (e) => e.getBoundingClientRect();
      const sheet = at(document.querySelector('.sheet'));
      const maps = at(document.querySelector('.over-map'));
      const ack = at(document.querySelector('[data-act=take]'));
      const [free, high] = [sheet.top, innerHeight];
      return { free, maps: [maps.top, maps.bottom, maps.right], ack: ack.bottom, high };
    }"""
    seen = await phone.page.evaluate(script)
    assert seen["free"] >= 160, "a strip of the map stays free"
    top, bottom, right = seen["maps"]
    assert top >= 0 and bottom <= seen["free"] and right <= size[0]
    assert seen["ack"] <= seen["high"]
    assert await named(phone, "Open in maps").count() == 1
    await phone.page.set_viewport_size(PHONE)


async def test_how_an_alert_ended_is_shown_after_a_reload(phone: Tab, server: FakeContact) -> None:
    await opened(phone, server)
    alert_id = await server.press()
    await phone.until("s.alert && s.alert.state === 'active'")
    ben = {"kind": "contact", "id": "c9", "name": "Ben"}
    await server.change(alert_id, state="resolved", closed_by=ben, closed_at=now_ms())
    ended = phone.page.get_by_text(said("Ben has said that it is over, at"))
    await ended.wait_for()
    await phone.page.reload()
    await ended.wait_for()
    await named(phone, "Close this message").tap()
    await phone.page.reload()
    await phone.until("s.connection === 'live' && s.drivers.asha")
    await expect(phone.page.locator(".sos")).to_be_hidden()


async def test_a_live_link_hides_the_place_after_the_journey_unless_an_sos_is_open(
    phone: Tab, server: FakeContact
) -> None:
    server.shares["id1.secret1"] = Link(MINE, "live")
    await server.report("asha", LAT, LON)
    server.trip["ended_ms"] = now_ms() - 6 * 60_000
    await phone.page.goto(f"{server.url}/s/id1#secret1")
    await phone.page.get_by_text("The position is not shown any more.").wait_for()
    assert (await phone.state())["drivers"] == {}
    assert str(LAT) not in await phone.page.content()
    server.trip["ended_ms"] = now_ms() - 60_000
    await phone.page.reload()
    await phone.until("s.drivers.asha")
    server.trip["ended_ms"] = now_ms() - 6 * 60_000
    await server.press()
    await phone.page.reload()
    await named(phone, "Open in maps").wait_for()


async def test_a_link_to_a_driver_goes_on_with_the_next_journey(phone: Tab, server: FakeContact) -> None:
    link = server.shares["id1.secret1"] = Link("", "journey", follows="asha")
    await phone.page.goto(f"{server.url}/s/id1#secret1")
    await phone.page.get_by_text("No position yet. It will appear here as soon as there is one.").wait_for()
    for number in (1, 2):
        link.journey = JOURNEY.format(number)
        await server.report("asha", LAT + number / 100, LON, journey=link.journey)
        await server.sio.emit("share", {"journey_id": link.journey}, namespace="/watch")
        await phone.until("s.drivers.asha && s.drivers.asha.journey === a", link.journey)
        await phone.until("Math.abs(s.drivers.asha.lat - a) < 1e-6", LAT + number / 100)
        assert list((await phone.state())["journeys"]) == [link.journey]


CHANGED = (
    "/s/id1%23{}",
    "/s/id1/#{}",
    "/s/id1#{}.",
    "/s/id1#{}&utm_source=x",
    "/s/id1%2523{})",
    "/S/id1#{}%20",
)


@pytest.mark.parametrize("address", CHANGED)
async def test_a_link_that_was_changed_on_the_way_opens_the_journey(
    phone: Tab, server: FakeContact, address: str
) -> None:
    await server.report("asha", LAT, LON)
    await phone.page.goto("about:blank")
    await phone.page.goto(server.url + address.format("secret1"))
    await phone.until("s.connection === 'live' && s.drivers.asha")
    assert phone.page.url == f"{server.url}/s/id1#secret1", "a reload gives the server nothing of the secret"


@pytest.mark.parametrize(
    ("locale", "said_there"), [("de-CH", "Dieser Link funktioniert nicht"), ("en", "This link does not work")]
)
async def test_a_link_without_its_secret_helps_in_the_readers_language(
    browser: Browser, server: FakeContact, locale: str, said_there: str
) -> None:
    context = await browser.new_context(viewport=PHONE, locale=locale)
    async with used(await open_tab(context, server.url)) as tab:
        for address in ("/s/id1", "/s/id1#", "/s/", "/s", "/s/id1?fbclid=x"):
            await tab.page.goto("about:blank")
            await tab.page.goto(server.url + address)
            await tab.page.get_by_role("heading", name=said_there).wait_for()
            assert await tab.page.get_by_role("link").get_attribute("href") == "tel:112"
    await context.close()


async def test_by_keyboard_alone_an_alert_is_taken_and_the_focus_stays_in_it(
    tab: Tab, server: FakeContact
) -> None:
    await opened(tab, server)
    await server.press()
    await named(tab, "I’m on it").focus()
    await tab.page.keyboard.press("Enter")
    await tab.page.get_by_text(said("You are on it since")).wait_for()
    inside = "() => document.querySelector('.sos').contains(document.activeElement)"
    await tab.page.wait_for_function(inside)


async def test_the_table_of_numbers_waits_until_it_is_wanted_and_nothing_blinks(
    phone: Tab, server: FakeContact
) -> None:
    asked: list[str] = []
    phone.page.on("request", lambda request: asked.append(request.url))
    await opened(phone, server)
    assert not [url for url in asked if "emergency" in url], "not before the page is up"
    await server.press()
    await phone.until("s.emergency")
    assert len([url for url in asked if "emergency" in url]) == 1
    await named(phone, "I’m on it").wait_for()
    moving = "() => document.getAnimations().filter((a) => a.playState === 'running').length"
    assert await phone.page.evaluate(moving) == 0


@pytest.mark.engines
def test_the_page_is_light_before_its_map() -> None:
    """The scripts that share.html itself asks for, compressed."""
    asked = re.findall(r'"/pages/(assets/[^"]+\.js)"', (STATIC / "share.html").read_text())
    sizes = {name: _compressed(STATIC / name) for name in asked}
    assert sizes and sum(sizes.values()) < 40_000, sizes
    assert not [name for name in asked if "mapside" in name or "emergency" in name]


def _compressed(path: Path) -> int:
    brotli = path.with_name(path.name + ".br")
    return (brotli if brotli.exists() else path).stat().st_size
