"""The console's fleet in a real Chromium: map by viewport, list, driver, links, replay, pairing.

Loading the console takes three seconds of CPU time, so each test has several steps on one page. A step closes
what it opened.
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Locator

from tests.pages.conftest import WEB, Tab, console_context, open_tab
from tests.pages.fake import now_ms
from tests.pages.fakefleet import FleetServer, point

LAT, LON = 53.4084, -2.9916
BIDI = "evil\u202egnp.exe"
HOSTILE = "<img src=x onerror=window.__owned=1>"
SECOND = 1_000


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


async def opened(tab: Tab, server: FleetServer) -> Tab:
    await tab.page.goto(f"{server.url}/console")
    await tab.until("s.connection === 'live' && s.map_ready && s.framed")
    return tab


async def some(server: FleetServer, *drivers: str) -> None:
    await server.move({driver: point(1, LAT + n * 0.01, LON + n * 0.01) for n, driver in enumerate(drivers)})


def row(tab: Tab, driver: str) -> Locator:
    return tab.page.locator(f'.driver-row[data-id="{driver}"]')


async def choose(tab: Tab, driver: str) -> Locator:
    await row(tab, driver).click()
    card = tab.page.locator(".driver-card")
    await card.get_by_role("heading", name=driver).wait_for()
    return card


async def close_dialog(tab: Tab) -> None:
    await tab.page.keyboard.press("Escape")
    await tab.page.get_by_role("dialog").wait_for(state="detached")


async def close_driver_card(tab: Tab) -> None:
    await tab.page.locator(".driver-card").get_by_role("button", name="Close").click()
    await tab.until("s.chosen === null")


async def axe(tab: Tab, within: str) -> list[str]:
    """The serious faults that axe finds in a part of the page."""
    source = (WEB / "node_modules" / "axe-core" / "axe.min.js").read_text()
    await tab.page.evaluate(source)  # not a script element: the page's policy would refuse it
    found: list[dict[str, Any]] = await tab.page.evaluate(
        "(within) => axe.run(within, { resultTypes: ['violations'] }).then((told) => told.violations)", within
    )
    serious = [fault for fault in found if fault["impact"] in ("serious", "critical")]
    return [f"{fault['id']}: {[node['html'] for node in fault['nodes']]}" for fault in serious]


# --- the map


async def test_the_map_shows_what_is_in_view_and_follows(tab: Tab, server: FleetServer) -> None:
    await some(server, "d1", "d2")
    await opened(tab, server)
    await it_asks_for_what_it_shows(tab, server)
    await a_click_on_a_marker_chooses_and_markers_glide(tab, server)
    await markers_jump_with_reduced_motion(tab, server)
    await an_alert_is_on_the_map_in_view_or_not(tab, server)
    await a_reset_and_a_broken_line_lose_and_double_no_driver(tab, server)
    await follow_keeps_the_driver_in_view_until_the_map_is_dragged(tab, server)
    await close_driver_card(tab)
    await it_asks_again_when_it_is_moved_and_not_at_every_step(tab, server)


async def it_asks_for_what_it_shows(tab: Tab, server: FleetServer) -> None:
    await tab.until("s.mode === 'markers' && s.markers === 2")
    (south, west), (north, east) = server.watches[-1]["area"]["bbox"]
    assert south < LAT < north
    assert west < LON < east
    await server.move({"far": point(1, LAT + 5, LON)})
    await server.move({"d2": point(2, LAT + 0.01, LON + 0.01)})
    await tab.until("s.drivers.d2.seq === 2")
    assert (await tab.state())["markers"] == 2, "who is not in view is not drawn"
    await server.move({"d1": point(2, LAT + 5, LON)})
    await tab.until("s.markers === 1 && s.shown === 1")
    await server.move({"d1": point(3, LAT, LON)})
    await tab.until("s.markers === 2 && s.shown === 2")


async def it_asks_again_when_it_is_moved_and_not_at_every_step(tab: Tab, server: FleetServer) -> None:
    await tab.until("s.mode === 'markers'")
    asked = len(server.watches)
    await tab.page.locator(".map-field canvas").first.focus()
    presses = 0
    while (await tab.state())["mode"] == "markers" and presses < 200:
        frames = (await tab.state())["frames"]
        await tab.page.keyboard.press("-")
        presses += 1
        # A press that comes before a frame was drawn starts the same step again.
        await tab.until("s.frames > a + 1 || s.mode !== 'markers'", frames)
    assert presses
    await tab.until("s.cells.reduce((n, cell) => n + cell.count, 0) === 3")
    assert len(server.watches) - asked <= presses, "a map on the move does not ask at every step"


async def a_click_on_a_marker_chooses_and_markers_glide(tab: Tab, server: FleetServer) -> None:
    await tab.until("s.markers === 2 && s.updates > 0")
    await tab.page.evaluate("window.__frameGapMs = 0")
    begin, other = await place_of(tab, "d1"), await place_of(tab, "d2")
    end_y = begin["y"] + 0.4 * (other["y"] - begin["y"])
    await tab.page.evaluate(
        """([high, low]) => {
            window.glided = new Set();
            window.sampling = true;
            const sample = () => {
                if (!window.sampling) return;
                const { y } = window.__wayguard.at('d1');
                if (y < high - 2 && y > low + 2) window.glided.add(Math.round(y * 10));
                setTimeout(sample, 10);
            };
            sample();
        }""",
        [begin["y"], end_y],
    )
    for seq in range(4, 23):  # on a busy machine few samples fall into one glide
        moved = seq % 2 == 0
        if moved:
            await tab.page.evaluate("window.glided.clear()")
        await server.move({"d1": point(seq, LAT + (0.004 if moved else 0), LON)})
        await tab.page.wait_for_function(
            "(y) => Math.abs(window.__wayguard.at('d1').y - y) < 1", arg=end_y if moved else begin["y"]
        )
        if moved and await tab.page.evaluate("window.glided.size > 5"):
            break
    assert await tab.page.evaluate("window.glided.size") > 5, "a marker that jumps is never between two fixes"
    await tab.page.wait_for_function("(y) => window.__wayguard.at('d1').y < y - 5", arg=begin["y"])
    await tab.page.evaluate("window.sampling = false; delete window.__frameGapMs")
    box = await tab.page.locator(".map-field").bounding_box()
    assert box is not None
    at = await place_of(tab, "d2")
    await tab.page.mouse.click(box["x"] + at["x"], box["y"] + at["y"])
    await tab.until("s.chosen === 'd2'")
    await tab.page.keyboard.press("Escape")
    await tab.until("s.chosen === null")


async def place_of(tab: Tab, driver: str) -> dict[str, float]:
    at: dict[str, float] = await tab.page.evaluate("(id) => window.__wayguard.at(id)", driver)
    return at


async def markers_jump_with_reduced_motion(tab: Tab, server: FleetServer) -> None:
    await tab.page.emulate_media(reduced_motion="reduce")
    await tab.page.evaluate("window.__frameGapMs = 0")
    await tab.until("s.markers === 2")
    await tab.page.evaluate(
        """() => {
            window.seen = new Set();
            window.sampling = true;
            const sample = () => {
                if (!window.sampling) return;
                window.seen.add(window.__wayguard.at('d1').y);
                requestAnimationFrame(sample);
            };
            sample();
        }"""
    )
    await server.move({"d1": point(30, LAT + 0.002, LON)})
    await tab.page.wait_for_function("() => window.seen.size > 1")
    await asyncio.sleep(0.5)
    assert await tab.page.evaluate("window.seen.size") == 2
    await tab.page.evaluate("window.sampling = false; delete window.__frameGapMs")
    await tab.page.emulate_media(reduced_motion="no-preference")


async def an_alert_is_on_the_map_in_view_or_not(tab: Tab, server: FleetServer) -> None:
    await tab.until("s.markers === 2")
    place = {"lat": LAT + 30, "lon": LON + 30, "accuracy_m": 9, "t_ms": now_ms(), "battery_pct": 50}
    await server.raise_alert("lost", place=place)
    await tab.until("s.alarmed.includes('lost') && s.markers === 3 && s.drivers.lost.on_map")
    await server.raise_alert("lost", place=place, state="resolved", version=9, closed_at=now_ms())
    await tab.until("s.alarmed.length === 0 && s.markers === 2")


async def a_reset_and_a_broken_line_lose_and_double_no_driver(tab: Tab, server: FleetServer) -> None:
    await tab.until("s.shown === 2")
    await server.reset_area()
    await server.move({"d1": point(40, LAT, LON + 0.001)})
    await tab.until("s.drivers.d1.seq === 40 && s.shown === 2 && s.markers === 2")
    await server.cut()
    await tab.until("s.connection === 'live' && s.connections === 2 && s.shown === 2")
    await server.move({"d2": point(9, LAT, LON)})
    await tab.until("s.drivers.d2.seq === 9 && s.markers === 2")


async def follow_keeps_the_driver_in_view_until_the_map_is_dragged(tab: Tab, server: FleetServer) -> None:
    await tab.page.evaluate("window.__frameGapMs = 250")
    card = await choose(tab, "d1")
    await card.get_by_role("button", name="Follow").click()
    await tab.until("s.follows")
    for step in range(2, 6):
        await server.move({"d1": point(step + 50, LAT + step * 0.03, LON)})
        await tab.until("s.drivers.d1.seq === a", step + 50)
        await tab.page.wait_for_function(
            """() => {
                const { x, y } = window.__wayguard.at('d1') ?? { x: -1, y: -1 };
                return y > 0 && y < 750 && x > 0 && x < 600;
            }"""
        )
    box = await tab.page.locator(".map-field").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] - 60, box["y"] + 300
    await tab.page.mouse.move(x, y)
    await tab.page.mouse.down()
    await tab.page.mouse.move(x - 80, y + 60, steps=4)
    await tab.page.mouse.up()
    await tab.until("!s.follows")
    await tab.page.evaluate("delete window.__frameGapMs")


# --- the list


async def test_the_list_has_every_driver_finds_sorts_filters_and_opens(tab: Tab, server: FleetServer) -> None:
    await server.move(
        {
            "bus": point(1, LAT, LON, speed_mps=20, battery_pct=9),
            "cab": point(1, LAT + 20, LON, speed_mps=0),
            "old": point(1, LAT, LON, t_ms=now_ms() - 600 * SECOND),
            "off": point(1, LAT, LON, speed_mps=12.5, battery_pct=64, t_ms=now_ms() - 300 * SECOND),
            "out": point(1, LAT, LON),
        }
    )
    server.presence["off"] = server.presence["out"] = "offline"
    await opened(tab, server)
    await tab.until("s.mode === 'counts' && s.cells.length === 2")
    page = tab.page
    await page.get_by_text("5 drivers").wait_for()
    for name, number in {
        "Moving": 1,
        "Stopped": 1,
        "No news": 1,
        "Offline": 2,
        "Low battery": 1,
        "In an alert": 0,
    }.items():
        await page.get_by_role("button", name=f"{name} {number}").wait_for()
    assert await names(tab) == ["bus", "cab", "off", "old", "out"]
    await page.get_by_role("combobox", name="Order by").select_option("state")
    assert await names(tab) == ["bus", "cab", "old", "off", "out"]
    await page.get_by_role("button", name="Offline").click()
    await page.get_by_role("button", name="No news").click()
    assert await names(tab) == ["old", "off", "out"]
    await page.get_by_role("searchbox", name="Find a driver").fill("OF")
    assert await names(tab) == ["off"]
    await page.get_by_role("searchbox", name="Find a driver").fill("zzz")
    await page.get_by_text("No driver matches.").wait_for()
    await page.get_by_role("searchbox", name="Find a driver").fill("")
    await page.get_by_role("button", name="Offline").click()
    await page.get_by_role("button", name="No news").click()
    await page.get_by_text("5 drivers").wait_for()
    await counts_are_kept_and_give_way_to_markers(tab, server)
    await close_driver_card(tab)
    await the_panel_says_what_is_known_and_how_old_it_is(tab, server)


async def counts_are_kept_and_give_way_to_markers(tab: Tab, server: FleetServer) -> None:
    await server.move({"cab": point(2, LAT, LON, speed_mps=0)})
    await tab.until("s.cells.length === 1 && s.cells[0].count === 5")
    await choose(tab, "bus")
    await tab.until("s.mode === 'markers' && s.cells.length === 0 && s.shown === 5")


async def the_panel_says_what_is_known_and_how_old_it_is(tab: Tab, server: FleetServer) -> None:
    card = await choose(tab, "off")
    for text in ("Offline", "45 km/h", "64%", "± 12 m", "Not connected", "Position taken"):
        await card.get_by_text(text).first.wait_for()
    await server.raise_alert("off")
    await card.get_by_text("Waiting for help").wait_for()
    assert await axe(tab, ".fleet-list") == []
    assert await axe(tab, ".driver-card") == []


async def names(tab: Tab) -> list[str]:
    script = """() => [...document.querySelectorAll('.driver-row')]
        .sort((a, b) => a.getAttribute('aria-posinset') - b.getAttribute('aria-posinset'))
        .map((row) => row.dataset.id)"""
    told: list[str] = await tab.page.evaluate(script)
    return told


# --- the driver


async def test_of_a_driver_the_way_links_replay_and_pairing(tab: Tab, server: FleetServer) -> None:
    for step in range(4):
        await server.report("van-7", LAT + step * 0.001, LON)
    await some(server, "d1", HOSTILE, BIDI, "x" * 1_000)
    await server.raise_alert(HOSTILE, kind=HOSTILE)
    await opened(tab, server)
    await the_way_so_far_is_watched_and_left(tab, server)
    await choose(tab, "d1")
    await a_link_is_made_shown_once_listed_and_revoked(tab, server)
    await a_server_that_cannot_share_now_is_said(tab, server)
    await a_phone_is_paired_by_a_code(tab, server)
    await close_driver_card(tab)
    await a_new_driver_is_added(tab, server)
    await a_journey_is_looked_back_at_with_its_gaps(tab, server)
    await close_driver_card(tab)
    await hostile_names_are_only_text(tab, server)


async def the_way_so_far_is_watched_and_left(tab: Tab, server: FleetServer) -> None:
    await choose(tab, "van-7")
    await tab.until("Object.values(s.journeys)[0]?.through === 4")
    await server.report("van-7", LAT + 0.005, LON)
    await tab.until("Object.values(s.journeys)[0]?.through === 5")
    await tab.page.locator(".driver-card").get_by_role("button", name="Close").click()
    await tab.until("Object.keys(s.journeys).length === 0 && s.chosen === null")


async def a_link_is_made_shown_once_listed_and_revoked(tab: Tab, server: FleetServer) -> None:
    await tab.page.locator(".driver-card").get_by_role("button", name="Share").click()
    dialog = tab.page.get_by_role("dialog", name="Share the journey of")
    await dialog.get_by_text("No link has been made yet.").wait_for()
    await dialog.get_by_text("Whole journey").click()
    await dialog.get_by_role("combobox", name="Works for").select_option(str(12 * 3_600))
    await dialog.get_by_role("button", name="Make a link").click()
    await dialog.get_by_role("img", name="QR code of the link").wait_for()
    link = await dialog.get_by_role("textbox", name="The link").input_value()
    assert link == "https://track.example/s/share-1#secret-of-share-1"
    made = server.made[0]
    assert (made["scope"], round((made["expires_at"] - now_ms()) / 3_600_000)) == ("journey", 12)
    assert await axe(tab, ".dialog") == []
    assert "secret-of" not in str(await tab.state())
    made["views"].append(
        {
            "address": "10.0.0.9",
            "user_agent": "Mozilla/5.0 (Linux; Android 14) Chrome/126.0 Safari/537.36",
            "first_at": 1,
            "last_at": now_ms(),
            "times": 1,
        }
    )
    await tab.page.keyboard.press("Escape")
    await dialog.wait_for(state="detached")
    await tab.page.locator(".driver-card").get_by_role("button", name="Share").click()
    await dialog.get_by_text("Chrome · Android").wait_for()
    assert await dialog.get_by_role("textbox", name="The link").count() == 0, "a secret is shown once"
    await dialog.get_by_role("button", name="Revoke").click()
    await (
        tab.page.get_by_role("dialog", name="Revoke this link?").get_by_role("button", name="Revoke").click()
    )
    await dialog.get_by_text("revoked").wait_for()
    assert "DELETE /api/v1/shares/share-1" in server.asked
    await tab.page.keyboard.press("Escape")
    await dialog.wait_for(state="detached")
    server.made += [server.made[0] | {"id": f"old-{n}", "views": made["views"] * 7} for n in range(4)]
    await tab.page.locator(".driver-card").get_by_role("button", name="Share").click()
    await dialog.get_by_text("and 2 more").first.wait_for()
    assert await dialog.locator(".share-entry").count() == 3, "a page"
    await dialog.get_by_role("button", name="Show more").click()
    await dialog.locator(".share-entry").nth(4).wait_for()
    await dialog.get_by_role("button", name="Show more").wait_for(state="hidden")
    await close_dialog(tab)
    del server.made[1:]


async def a_server_that_cannot_share_now_is_said(tab: Tab, server: FleetServer) -> None:
    assert tab.complaints == []
    tab.expected = ("503",)
    server.away.add("/api/v1/journeys")
    await tab.page.locator(".driver-card").get_by_role("button", name="Share").click()
    await tab.page.get_by_role("dialog").get_by_text("cannot do this right now").wait_for()
    server.away.clear()
    await close_dialog(tab)


async def a_phone_is_paired_by_a_code(tab: Tab, server: FleetServer) -> None:
    await tab.page.locator(".driver-card").get_by_role("button", name="Pair a phone").click()
    dialog = tab.page.get_by_role("dialog", name="Pair the phone of")
    await dialog.get_by_role("button", name="Make a code").click()
    await dialog.get_by_role("img", name="QR code for the driver’s phone").wait_for()
    assert server.pairings == [{"vendor": "north", "driver": "d1"}]
    assert "#pair=" in await dialog.get_by_role("textbox", name="The link").input_value()
    assert "#pair=" not in str(await tab.state())
    await close_dialog(tab)


async def a_new_driver_is_added(tab: Tab, server: FleetServer) -> None:
    server.pairings.clear()
    await tab.page.get_by_role("button", name="Add a driver").click()
    dialog = tab.page.get_by_role("dialog", name="Add a driver")
    await dialog.get_by_label("Driver’s id").fill("no spaces please")
    await dialog.get_by_role("button", name="Make a code").click()
    assert server.pairings == [], "an id of another shape is not sent"
    await dialog.get_by_label("Driver’s id").fill("ada-1")
    await dialog.get_by_label("Name", exact=False).last.fill("Ada")
    assert await axe(tab, ".dialog") == []
    await dialog.get_by_role("button", name="Make a code").click()
    await dialog.get_by_role("img", name="QR code").wait_for()
    assert server.pairings == [{"vendor": "north", "driver": "ada-1", "name": "Ada"}]
    await close_dialog(tab)


async def a_journey_is_looked_back_at_with_its_gaps(tab: Tab, server: FleetServer) -> None:
    begin = now_ms() - 7_200 * SECOND
    server.logs["j-old"] = [
        point(1, LAT, LON, t_ms=begin),
        point(2, LAT + 0.01, LON, t_ms=begin + 60 * SECOND),
        [3, None, None, None],
        point(4, LAT + 0.02, LON, t_ms=begin + 120 * SECOND),
        point(5, LAT + 0.03, LON, t_ms=begin + 180 * SECOND),
    ]
    head = {
        "journey_id": "j-old",
        "driver": "d1",
        "vendor": "north",
        "state": "ended",
        "started_at": begin,
        "ended_at": begin + 180 * SECOND,
        "last_seq": 5,
        "vehicle": HOSTILE,
    }
    server.heads = [head]
    card = await choose(tab, "d1")
    await card.get_by_role("button", name="Journeys").click()
    await card.get_by_role("button", name="5 points").click()
    replay = tab.page.get_by_role("region", name="Looking back")
    await replay.get_by_text("Not live").wait_for()
    await tab.until("s.replay?.stretches === 2 && s.replay.t_ms === a", begin)
    scrub = replay.get_by_role("slider", name="Moment of the journey")
    await scrub.fill("30")
    await tab.until("Math.abs(s.replay.at.lat - a) < 1e-6 && !s.replay.at.gap", LAT + 0.005)
    await scrub.fill("90")
    await tab.until("s.replay.at.gap && Math.abs(s.replay.at.lat - a) < 1e-6", LAT + 0.01)
    await replay.get_by_text("Nothing is known of this time").wait_for()
    await scrub.focus()
    await tab.page.keyboard.press("ArrowRight")
    await tab.until("s.replay.t_ms === a", begin + 91 * SECOND)
    assert await axe(tab, ".replay") == []
    await replay.get_by_role("button", name="240×").click()
    await replay.get_by_role("button", name="Play").click()
    await tab.until("s.replay.t_ms === a && !s.replay.playing", begin + 180 * SECOND)
    await tab.page.locator(".replay-marker").wait_for()
    await replay.get_by_role("button", name="Back to live").click()
    await card.wait_for()
    await tab.until("s.replay === null")
    assert await tab.page.locator(".replay-marker").count() == 0


async def hostile_names_are_only_text(tab: Tab, server: FleetServer) -> None:
    server.made.append(
        {
            "id": "s1",
            "scope": "live",
            "created_at": now_ms(),
            "created_by": HOSTILE,
            "expires_at": now_ms() + SECOND * 900,
            "revoked_at": None,
            "views": [
                {"address": HOSTILE, "user_agent": HOSTILE, "first_at": 1, "last_at": now_ms(), "times": 2}
            ],
        }
    )
    await tab.until("Object.keys(s.drivers).length === 5")
    await tab.page.locator(".driver-row").filter(has_text="<img").click()
    card = tab.page.locator(".driver-card")
    await card.get_by_role("heading", name=HOSTILE).wait_for()
    await card.get_by_role("button", name="Share").click()
    await tab.page.get_by_role("dialog").get_by_text("opened 2 times").wait_for()
    assert await tab.page.evaluate(
        "window.__owned === undefined && document.querySelector('img[src=\"x\"]') === null"
    )
    assert "\u202e" not in await tab.page.locator(".rows").inner_text()


async def test_on_a_narrow_screen_who_is_picked_in_the_list_is_shown_on_the_map(
    browser: Browser, server: FleetServer
) -> None:
    context = await console_context(browser, viewport={"width": 390, "height": 844}, locale="en-IE")
    tab = await open_tab(context, server.url)
    await some(server, "d1", "d2")
    await opened(tab, server)
    tabs = tab.page.get_by_role("navigation", name="What is shown")
    await tabs.get_by_role("button", name="Drivers").click()
    await row(tab, "d2").click()
    await tab.until("s.chosen === 'd2'")
    await tab.page.locator(".driver-card").wait_for()
    assert not await row(tab, "d2").is_visible()
    await context.close()


async def test_in_arabic_it_reads_from_right_to_left(
    browser: Browser, server: FleetServer, tmp_path: Path
) -> None:
    await some(server, "d1", "d2")
    context = await console_context(browser, locale="ar-EG")
    tab = await opened(await open_tab(context, server.url), server)
    await tab.page.get_by_role("heading", name="السائقون").wait_for()
    side = await tab.page.locator(".fleet-list").bounding_box()
    field = await tab.page.locator(".map-field").bounding_box()
    assert side is not None
    assert field is not None
    assert side["x"] > field["x"]
    await choose(tab, "d1")
    assert await axe(tab, ".driver-card") == []
    await context.close()
