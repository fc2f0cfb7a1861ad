"""People on the console in a real Chromium: names, numbers, contacts, edits, alerts that are raised, the map.

Loading the console takes three seconds of CPU time, so each test has several steps on one page. A step closes
what it opened.
"""

import asyncio
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.pages.conftest import Tab, console_context, open_tab
from tests.pages.fake import now_ms, until
from tests.pages.fakefleet import FleetServer, contact, point
from tests.pages.test_console_fleet import (
    LAT,
    LON,
    axe,
    close_dialog,
    close_driver_card,
    names,
    opened,
    place_of,
    row,
)

PHONE = "+442079460958"


@pytest.fixture
async def server(pages_built: None) -> AsyncIterator[FleetServer]:
    server = FleetServer()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def tab(browser: Browser, server: FleetServer) -> AsyncIterator[Tab]:
    context = await console_context(browser, locale="en-IE", timezone_id="Europe/Dublin")
    tab = await open_tab(context, server.url)
    yield tab
    await context.close()
    assert tab.outside == []
    assert tab.unexpected() == []


async def four_drivers(server: FleetServer) -> None:
    server.names |= {"d1": "Asha Okoye", "d2": "José Núñez", "d3": "Asha Okoye"}
    server.phones["d1"] = PHONE
    await server.move({f"d{n}": point(1, LAT + n * 0.004, LON + n * 0.004) for n in range(1, 5)})


async def test_people_are_called_by_their_names_everywhere(tab: Tab, server: FleetServer) -> None:
    await four_drivers(server)
    await opened(tab, server)
    await the_list_has_names_and_finds_by_name_and_id(tab, server)
    await an_alarm_says_the_name(tab, server)
    await a_name_that_changes_is_changed_everywhere(tab, server)
    await dialogs_say_the_name(tab, server)


async def the_list_has_names_and_finds_by_name_and_id(tab: Tab, server: FleetServer) -> None:
    page = tab.page
    await row(tab, "d1").get_by_text("Asha Okoye").wait_for()
    assert await row(tab, "d1").locator(".row-id").text_content() == "d1", "two are called so"
    assert await names(tab) == ["d1", "d3", "d4", "d2"], "in the order of their names"
    search = page.get_by_role("searchbox", name="Find a driver")
    for sought, found in {
        "jose": ["d2"],
        "okoye asha": ["d1", "d3"],
        "D4": ["d4"],
        "asha d3": ["d3"],
    }.items():
        await search.fill(sought)
        await page.wait_for_function(
            "(n) => document.querySelectorAll('.driver-row').length === n", arg=len(found)
        )
        assert await names(tab) == found, sought
    await search.fill("")
    assert server.asked.count("POST /api/v1/drivers/names") == 1, "one look-up for all"


async def an_alarm_says_the_name(tab: Tab, server: FleetServer) -> None:
    page = tab.page
    await server.raise_alert("d2")
    await page.wait_for_function("() => document.title.includes('José Núñez')")
    card = page.locator(".desk-now .alert")
    await card.get_by_text("José Núñez").wait_for()
    assert await card.locator(".driver-id").text_content() == "d2"
    assert (await names(tab))[0] == "d2", "an SOS comes first in every order"
    await server.raise_alert("d2", state="resolved", closed_at=now_ms() - 3_600_000)
    await tab.until("s.alarmed.length === 0")


async def a_name_that_changes_is_changed_everywhere(tab: Tab, server: FleetServer) -> None:
    page = tab.page
    await row(tab, "d1").click()
    card = page.locator(".driver-card")
    await card.get_by_role("heading", name="Asha Okoye").wait_for()
    await card.get_by_role("button", name="Edit", exact=True).click()
    dialog = page.get_by_role("dialog", name="Name and number of")
    name, phone = dialog.get_by_label("Name"), dialog.get_by_label("Number", exact=True)
    assert (await name.input_value(), await phone.input_value()) == ("Asha Okoye", PHONE)
    assert await axe(tab, ".dialog") == []
    tab.expected = ("400 (Bad Request)",)
    await phone.fill("020 7946 0000")
    await page.keyboard.press("Enter")
    await dialog.get_by_text("The number is not right: \u2068not an international number").wait_for()
    assert await phone.input_value() == "020 7946 0000", "what was typed stays"
    assert server.names["d1"] == "Asha Okoye"
    await name.fill("Asha O’Neil")
    await phone.fill("+44 20 7946 0000")
    await page.keyboard.press("Enter")
    await dialog.wait_for(state="detached")
    assert (server.names["d1"], server.phones["d1"]) == ("Asha O’Neil", "+442079460000")
    await card.get_by_role("heading", name="Asha O’Neil").wait_for()
    await row(tab, "d1").get_by_text("Asha O’Neil").wait_for()
    call = card.get_by_role("link", name="Call")
    await page.wait_for_function("() => document.querySelector('.call')?.href === 'tel:+442079460000'")
    await call.wait_for()
    await card.get_by_role("button", name="Edit", exact=True).click()
    await dialog.get_by_text("Earlier changes").click()
    await dialog.get_by_text("Asha Okoye\u2069 → ").wait_for()
    await close_dialog(tab)


async def dialogs_say_the_name(tab: Tab, server: FleetServer) -> None:
    page = tab.page
    card = page.locator(".driver-card")
    await card.get_by_role("button", name="Share").click()
    await page.get_by_role("dialog", name="Share the journey of").get_by_text("Asha O’Neil").wait_for()
    await close_dialog(tab)
    await card.get_by_role("button", name="Pair a phone").click()
    await page.get_by_role("dialog", name="Pair the phone of").get_by_text("Asha O’Neil").wait_for()
    await close_dialog(tab)
    await close_driver_card(tab)


async def test_a_drivers_contacts_and_a_dry_run_are_shown(tab: Tab, server: FleetServer) -> None:
    await four_drivers(server)
    server.contacts = [
        contact("c1", "Mum", "d1", "+442079460111"),
        contact("c2", "Bo", "d1", "+442079460222", verified=False),
        contact("c3", "Zed", "d2", "+442079460333"),
    ]
    await opened(tab, server)
    page = tab.page
    await row(tab, "d1").click()
    await page.locator(".driver-card").get_by_role("button", name="Contacts").click()
    dialog = page.get_by_role("dialog", name="Who is told for")
    for said in (
        "+44•••11 · verified",
        "+44•••22 · not verified",
        "At once",
        "text\u2069; if that fails \u2068call",
    ):
        await dialog.get_by_text(said).first.wait_for()
    assert await dialog.get_by_text("Zed").count() == 0
    await dialog.get_by_text("Would not be told").wait_for()
    assert await axe(tab, ".dialog") == []
    await dialog.get_by_label("For the alert").select_option("fall")
    await dialog.get_by_text("First a countdown of").wait_for()
    await dialog.get_by_role("button", name="Edit").first.click()
    inner = page.get_by_role("dialog", name="Contact")
    await inner.get_by_label("Name").fill("Mother")
    await page.keyboard.press("Enter")
    await dialog.get_by_text("Mother").first.wait_for()
    assert server.contacts[0]["phone"]["counts"], "a number that was not typed stays"
    await close_dialog(tab)
    server.contacts = []
    await page.locator(".driver-card").get_by_role("button", name="Contacts").click()
    await dialog.get_by_text("Nobody but the live pages would be told").wait_for()
    await close_dialog(tab)


async def test_who_must_not_be_called_is_not_offered_a_call(tab: Tab, server: FleetServer) -> None:
    await four_drivers(server)
    await opened(tab, server)
    card = tab.page.locator(".driver-card")
    await row(tab, "d1").click()
    await card.get_by_role("link", name="Call").wait_for()
    await server.raise_alert("d1", silent=True)
    await card.get_by_text("Do not call").wait_for()
    assert await card.get_by_role("link", name="Call").count() == 0
    await row(tab, "d2").click()
    await card.get_by_text("The driver has left no number").wait_for()
    assert await card.get_by_role("link", name="Call").count() == 0, "not the number of the one before"


async def test_an_open_journey_is_what_counts_as_one(tab: Tab, server: FleetServer) -> None:
    await four_drivers(server)
    server.under_way = {"d1": True, "d2": False, "d3": False, "d4": True}
    await opened(tab, server)
    page = tab.page
    await page.get_by_role("button", name="On a journey 2").click()
    assert await names(tab) == ["d1", "d4"]
    await page.get_by_role("button", name="On a journey 2").click()
    await row(tab, "d2").click()
    card = page.locator(".driver-card")
    await card.get_by_text("ended").wait_for()
    await server.move({"d2": point(1, LAT + 0.009, LON + 0.009)}, journey="next-{}")
    await card.get_by_text("under way").wait_for()


# --- alerts that are raised


async def test_a_dispatcher_raises_an_sos_and_a_drill_for_a_driver(tab: Tab, server: FleetServer) -> None:
    await four_drivers(server)
    await opened(tab, server)
    page = tab.page
    await row(tab, "d1").click()
    begin = page.locator(".driver-card").get_by_role("button", name="Raise an alert")
    await begin.click()
    dialog = page.get_by_role("dialog", name="Raise an alert for")
    await dialog.get_by_text("Asha Okoye (d1)").wait_for()
    assert await axe(tab, ".dialog") == []
    hold = dialog.get_by_role("button", name="Raise the SOS")
    await hold.click()  # a short press of the mouse is none
    await asyncio.sleep(0.3)
    assert server.raised == []
    await hold.focus()
    await page.keyboard.press("Enter")  # a short one by keyboard asks
    await dialog.get_by_text("Raise a real SOS?").wait_for()
    await dialog.get_by_role("button", name="Cancel").click()
    assert server.raised == []
    await dialog.get_by_label("What happened").fill("rang us")
    server.away.add("/api/v1/alerts")
    tab.expected = ("503",)
    await held(tab, hold)
    await dialog.get_by_text("cannot do this right now").wait_for()
    server.away.clear()
    await held(tab, hold)
    await dialog.wait_for(state="detached")
    (body,) = server.raised
    assert {name: body[name] for name in ("vendor", "driver", "drill", "silent", "message")} == {
        "vendor": "north",
        "driver": "d1",
        "drill": False,
        "silent": False,
        "message": "rang us",
    }
    await tab.until("s.alarmed.includes('d1') && s.desk.selected?.startsWith('raised-')")
    await page.locator(".desk-now .alert").get_by_text("Raised by \u2068desk").wait_for()
    await begin.click()
    await dialog.get_by_text("Drill", exact=True).click()
    drill = dialog.get_by_role("button", name="Begin the drill")
    await drill.focus()
    await page.keyboard.down("Space")
    await until(lambda: len(server.raised) == 2)
    await page.keyboard.up("Space")
    await dialog.wait_for(state="detached")
    assert server.raised[1]["drill"] is True
    assert server.raised[1]["sos_id"] != server.raised[0]["sos_id"]


async def test_a_new_alert_leaves_the_selection_and_a_key_selects_it(tab: Tab, server: FleetServer) -> None:
    await four_drivers(server)
    await opened(tab, server)
    page = tab.page
    await server.raise_alert("d3", "a-3", pressed_at=now_ms() - 60_000)
    await tab.until("s.desk.order.length === 1")
    await row(tab, "d1").click()
    await page.keyboard.press("j")
    await tab.until("s.desk.selected === 'a-3'")
    await page.locator(".driver-card").get_by_role("button", name="Raise an alert").click()
    dialog = page.get_by_role("dialog", name="Raise an alert for")
    await held(tab, dialog.get_by_role("button", name="Raise the SOS"))
    await dialog.wait_for(state="detached")
    await tab.until("s.desk.order.length === 2")
    assert (await tab.state())["desk"]["selected"] == "a-3"
    await page.get_by_text("is on the desk. Press \u2068G\u2069 to select it.").first.wait_for()
    await page.keyboard.press("r")
    await page.get_by_role("dialog", name="Resolve").wait_for()
    await page.keyboard.press("Escape")
    await server.raise_alert("d2", "a-2")
    await tab.until("s.desk.order.length === 3")
    assert (await tab.state())["desk"]["selected"] == "a-3", "another driver's press moves nothing either"
    await page.keyboard.press("g")
    await tab.until("s.desk.selected === 'a-2'")
    await page.keyboard.press("k")
    await tab.until("s.desk.selected?.startsWith('raised-')")


async def held(tab: Tab, button: object) -> None:
    """Hold a button by the mouse for as long as it wants to be held."""
    await button.hover()  # type: ignore[attr-defined]
    await tab.page.mouse.down()
    await asyncio.sleep(2.2)
    await tab.page.mouse.up()


# --- keys


async def test_an_alert_is_resolved_by_keyboard_alone(tab: Tab, server: FleetServer) -> None:
    await four_drivers(server)
    await opened(tab, server)
    page = tab.page
    await server.raise_alert("d3", "a-3", pressed_at=now_ms() - 60_000)
    await server.raise_alert("d1", "a-1")
    await tab.until("s.desk.order.length === 2")
    rows = page.get_by_role("listbox", name="Drivers")
    await rows.focus()
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")  # the second in the list: whoever that is
    chosen = (await tab.state())["chosen"]
    other = {"d1": "a-1", "d3": "a-3"}[chosen]
    await tab.until("s.desk.selected === a", other)
    await page.keyboard.press("r")
    dialog = page.get_by_role("dialog", name="Resolve")
    await dialog.get_by_text("Asha Okoye").wait_for()
    await dialog.get_by_text("Enter: \u2068Resolve it").wait_for()
    await page.keyboard.type("rang back")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("r a f j")
    assert await dialog.get_by_label("Note").input_value() == "rang back\nr a f j"
    await page.keyboard.press("Escape")
    await dialog.wait_for(state="detached")
    assert [one["state"] for one in server.alerts.values()] == ["active", "active"]
    await page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    for said in (
        "Resolve, after asking",
        "Find a driver",
        "Do it, in a dialog",
        "Keys do nothing while you type",
    ):
        await keys.get_by_text(said).wait_for()
    assert await axe(tab, ".dialog") == []
    await close_dialog(tab)
    await page.keyboard.press("/")
    assert await page.evaluate("document.activeElement.classList.contains('list-search')")
    await page.keyboard.type("rafmj?/")
    await asyncio.sleep(0.2)
    assert await page.get_by_role("dialog").count() == 0, "keys do nothing while one types"
    assert await page.get_by_role("searchbox", name="Find a driver").input_value() == "rafmj?/"


# --- the map


async def test_show_on_the_map_comes_near_and_following_allows_zooming(tab: Tab, server: FleetServer) -> None:
    await four_drivers(server)
    await opened(tab, server)
    page = tab.page
    await tab.until("s.zoom > 9 && s.zoom < 15")
    await server.raise_alert("d2")
    await page.locator(".desk-now .alert").get_by_role("button", name="Show on the map").click()
    await tab.until("s.zoom >= 15 && s.chosen === 'd2'")
    await page.wait_for_function(IN_VIEW, arg="d2")
    await page.locator(".driver-card").get_by_role("button", name="Follow").click()
    await tab.until("s.follows && s.zoom >= 15")
    await page.evaluate("window.__frameGapMs = 60")
    box = await page.locator(".map-field").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] - 90, box["y"] + 300)
    for step in range(2, 40):
        await server.move({"d2": point(step, LAT + 0.008 + step * 0.0002, LON + 0.008)})
        await page.mouse.wheel(0, 240)
        await asyncio.sleep(0.12)
        if (await tab.state())["zoom"] < 11.5:
            break
    assert (await tab.state())["zoom"] < 11.5, "a wheel zooms out although fixes come"
    await asyncio.sleep(0.5)
    for step in range(40, 44):
        await server.move({"d2": point(step, LAT + step * 0.002, LON + 0.008)})
        await asyncio.sleep(0.3)
    state = await tab.state()
    assert state["follows"] and state["zoom"] < 12, "it follows on, as far away as was chosen"
    await page.wait_for_function(IN_VIEW, arg="d2")


IN_VIEW = """(id) => {
    const { x, y } = window.__wayguard.at(id) ?? { x: -1, y: -1 };
    const { clientWidth, clientHeight } = document.querySelector('.map-field');
    return x > 0 && y > 0 && x < clientWidth && y < clientHeight;
}"""


async def test_close_markers_are_gathered_and_an_sos_is_not(tab: Tab, server: FleetServer) -> None:
    server.names |= {f"d{n}": f"Driver {n}" for n in range(40)}
    await server.move({f"d{n}": point(1, LAT + n * 0.00002, LON) for n in range(30)})
    await server.move({"far": point(1, LAT + 0.03, LON + 0.05)})
    await opened(tab, server)
    page = tab.page
    await tab.until("s.groups.length === 1 && s.groups[0].length === 30 && s.markers === 31")
    await server.raise_alert("d7")
    await tab.until("s.groups[0].length === 29 && !s.groups[0].includes('d7')")
    await server.raise_alert("d7", state="resolved", closed_at=now_ms() - 3_600_000)
    await tab.until("s.groups[0].length === 30")
    await server.move({"d0": point(2, LAT + 0.02, LON + 0.02)})
    await tab.until("s.groups[0].length === 29", timeout_s=30)
    box = await page.locator(".map-field").bounding_box()
    assert box is not None
    near = (await tab.state())["zoom"]
    at = await place_of(tab, "d15")
    await page.mouse.click(box["x"] + at["x"], box["y"] + at["y"])
    await tab.until("s.zoom > a + 1 && s.chosen === null", near)


async def test_drivers_on_one_place_are_listed(tab: Tab, server: FleetServer) -> None:
    server.names |= {"a1": "Zoe", "a2": "Bo"}
    await server.move({"a1": point(1, LAT, LON), "a2": point(1, LAT + 0.00001, LON)})
    await opened(tab, server)
    page = tab.page
    await tab.until("s.groups.length === 1")
    box = await page.locator(".map-field").bounding_box()
    assert box is not None
    at = await place_of(tab, "a1")
    await page.mouse.click(box["x"] + at["x"], box["y"] + at["y"])
    dialog = page.get_by_role("dialog", name="2 drivers here")
    await dialog.get_by_role("button", name="Bo").wait_for()
    assert await dialog.get_by_role("button").all_text_contents() == ["", "Boa2", "Zoea1"]
    assert await axe(tab, ".dialog") == []
    await page.keyboard.press("Enter")
    await tab.until("s.chosen === 'a2' && s.groups.length === 0")


# --- what may come


async def test_strange_names_and_keys_that_cannot_be_done(tab: Tab, server: FleetServer) -> None:
    hostile = "<img src=x onerror=window.__owned=1>\u202egnp"
    server.names |= {"d1": hostile, "d2": "x" * 1_000, "d3": "", "d4": "عائشة"}
    await server.move({f"d{n}": point(1, LAT + n * 0.004, LON + n * 0.004) for n in range(1, 5)})
    await server.move({"<b>": point(1, LAT, LON)})  # of no shape that is looked up
    await opened(tab, server)
    page = tab.page
    await row(tab, "d1").get_by_text("<img src=x").wait_for()
    assert await row(tab, "d3").locator(".row-name").text_content() == "d3"
    await row(tab, "d2").click()
    await page.locator(".driver-card").get_by_role("heading", name="xxx").wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    await server.raise_alert("d1", "a-1", place=None)
    await page.wait_for_function("() => document.title.includes('<img')")
    assert "\u202e" not in await page.locator(".console").inner_text()
    assert "\u202e" not in await page.title()
    assert await page.evaluate("window.__owned === undefined && !document.querySelector('img[src=\"x\"]')")
    await page.keyboard.press("j")
    await tab.until("s.desk.selected === 'a-1'")
    await server.raise_alert("d1", "a-1", state="resolved", version=9, closed_at=now_ms())
    await tab.until("s.desk.alerts['a-1'].state === 'resolved'")
    await page.keyboard.press("r")
    await page.get_by_text("The alert is over already.").wait_for()
    await page.keyboard.press("Control+r")  # the browser's own: it reloads
    await tab.until("s.connection === 'live' && s.connections === 1 && s.map_ready")


async def test_many_on_one_place_are_gathered_and_listed_in_part(tab: Tab, server: FleetServer) -> None:
    await server.move({f"d{n:03}": point(1, LAT, LON) for n in range(300)})
    await opened(tab, server)
    page = tab.page
    await tab.until("s.groups.length === 1 && s.groups[0].length === 300")
    box = await page.locator(".map-field").bounding_box()
    assert box is not None
    at = await place_of(tab, "d000")
    await page.mouse.click(box["x"] + at["x"], box["y"] + at["y"])
    dialog = page.get_by_role("dialog", name="300 drivers here")
    await dialog.get_by_text("and 100 more").wait_for()
    assert await dialog.locator(".group-list button").count() == 200
    await close_dialog(tab)
    await server.raise_alert("d150", drill=True)
    await tab.until("s.groups[0].length === 299")
