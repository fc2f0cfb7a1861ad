"""The console with 2,000 drivers at a fix a second: its script works by what changed, and does not grow."""

import asyncio
import contextlib
import math
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Browser

from tests.pages.conftest import Tab, console_context, open_tab
from tests.pages.fake import Point
from tests.pages.fakefleet import FleetServer, point

DRIVERS = 2_000
LAT, LON = 53.4, -2.98
PARTS = 10
"""A second's fixes come in so many messages, as the server's ticks bring them."""
PLAYED_FIXES = 3_600


class Crowd:
    """Drivers around a city, each on a circle of its own."""

    def __init__(self, number: int = DRIVERS) -> None:
        chance = random.Random(20)
        self.places = [
            (f"d{n:04}", LAT + chance.gauss(0, 0.02), LON + chance.gauss(0, 0.03)) for n in range(number)
        ]

    def fixes(self, step: int, part: int = 0, parts: int = 1, number: int | None = None) -> dict[str, Point]:
        """What the first ``number`` drivers (default: all) report at a step, or one of ``parts`` of it."""
        turn = step / 20
        return {
            driver: point(step + 1, lat + 0.002 * math.sin(turn + n), lon + 0.003 * math.cos(turn + n))
            for n, (driver, lat, lon) in enumerate(self.places[:number])
            if n % parts == part
        }


@pytest.fixture
async def crowd(pages_built: None) -> AsyncIterator[tuple[FleetServer, Crowd]]:
    server, crowd = FleetServer(), Crowd()
    await server.start()
    await server.move(crowd.fixes(0))
    yield server, crowd
    await server.stop()


async def opened(browser: Browser, server: FleetServer, *, every_frame: bool = False) -> Tab:
    """The console with all drivers in view. By default it draws some five frames a second."""
    size = {"width": 1280, "height": 800}
    if every_frame:
        context = await browser.new_context(viewport=size)  # type: ignore[arg-type]
    else:
        context = await console_context(browser, viewport=size)
    tab = await open_tab(context, server.url)
    await tab.page.goto(f"{server.url}/console")
    await tab.until("s.connection === 'live' && s.map_ready && s.markers === a", DRIVERS, timeout_s=60)
    return tab


async def drive(server: FleetServer, crowd: Crowd) -> None:
    """A fix a second from everybody, a tenth of them at a time."""
    clock = asyncio.get_running_loop().time
    began = clock()
    for tick in range(10_000_000):
        step, part = divmod(tick, PARTS)
        await server.move(crowd.fixes(step + 1, part, PARTS))
        await asyncio.sleep(max(0.0, began + (tick + 1) / PARTS - clock()))


async def figures(tab: Tab) -> dict[str, Any]:
    script = """() => {
        const { writes, drawn, updates, frames, script_ms, markers } = window.__wayguard.state;
        const rows = document.querySelectorAll('.driver-row').length;
        return { writes, drawn, updates, frames, script_ms, markers, rows };
    }"""
    told: dict[str, Any] = await tab.page.evaluate(script)
    return told


async def settled(tab: Tab) -> dict[str, Any]:
    """The figures once names are written and nothing glides: two readings a second apart are the same."""
    known = await figures(tab)
    for _ in range(30):
        await asyncio.sleep(1.1)  # names are chosen once a second
        now = await figures(tab)
        if now["writes"] == known["writes"]:
            return now
        known = now
    raise AssertionError("records are written while nothing moves")


async def test_work_is_by_what_moved_and_nothing_is_left_behind(
    browser: Browser, crowd: tuple[FleetServer, Crowd]
) -> None:
    server, drivers = crowd
    tab = await opened(browser, server)
    await work_is_by_what_moved_and_not_by_frames(tab, server, drivers)
    await one_message_of_one_driver_writes_one_record(tab, server)
    await fixes_leave_nothing_behind(tab, server, drivers, first=100, through=700)
    await two_thousand_rows_are_reached_by_keyboard(tab)
    assert tab.outside == []
    assert tab.unexpected() == []
    await tab.page.context.close()


async def work_is_by_what_moved_and_not_by_frames(tab: Tab, server: FleetServer, drivers: Crowd) -> None:
    before = await settled(tab)
    rounds = 5
    for step in range(rounds):
        await server.move(drivers.fixes(step + 1))
        await tab.until("s.drivers.d1999.seq === a", step + 2)
    await tab.page.evaluate("window.__frameGapMs = 0")
    frames = (await figures(tab))["frames"]
    await tab.until("s.frames > a", frames + 30)
    await tab.page.evaluate("delete window.__frameGapMs")
    after = await figures(tab)
    assert after["writes"] - before["writes"] == rounds * DRIVERS, "one record a fix, none a frame"
    drawings = after["updates"] - before["updates"]
    assert after["drawn"] - before["drawn"] <= drawings * DRIVERS
    assert after["markers"] == DRIVERS
    assert after["rows"] < 60, "rows out of view are not in the page"


async def one_message_of_one_driver_writes_one_record(tab: Tab, server: FleetServer) -> None:
    before = await settled(tab)
    await tab.page.evaluate("window.__frameGapMs = 0")
    await server.move({"d0007": point(7, LAT, LON)})
    await tab.until("s.drivers.d0007.seq === 7")
    await tab.until("s.frames > a", (await figures(tab))["frames"] + 5)
    after = await figures(tab)
    await tab.page.evaluate("delete window.__frameGapMs")
    assert after["writes"] - before["writes"] == 1


async def fixes_leave_nothing_behind(
    tab: Tab, server: FleetServer, drivers: Crowd, *, first: int, through: int
) -> None:
    """Fixes of 60 drivers, as fast as they go; the other 1,940 do not move.

    Between the ``first`` fix of a driver and the last the heap may grow by 1,000 bytes a step: 17 a fix.
    """
    session = await tab.page.context.new_cdp_session(tab.page)

    async def play(begin: int, end: int) -> None:
        for step in range(begin, end):
            await server.move(drivers.fixes(step, number=60))
            if step % 100 == 0 or step == end - 1:
                await tab.until("s.drivers.d0059.seq === a", step + 1)

    async def heap_bytes() -> int:
        for _ in range(2):  # the first collection runs finalizers, which leave more garbage
            await session.send("HeapProfiler.collectGarbage")
        usage = await session.send("Runtime.getHeapUsage")
        return int(usage["usedSize"])

    await play(10, first + 1)
    early = max([await heap_bytes() for _ in range(2)])
    await play(first + 1, through + 1)
    late = await heap_bytes()
    print(f"the heap grew by {late - early} bytes")
    nodes = await tab.page.evaluate("document.querySelectorAll('*').length")
    assert late - early < (through - first) * 1_000, f"{early} bytes became {late}"
    assert nodes < 1_500


async def two_thousand_rows_are_reached_by_keyboard(tab: Tab) -> None:
    assert await tab.page.evaluate("Object.keys(window.__wayguard.state.drivers).length") == 2_000
    rows = tab.page.get_by_role("listbox", name="Drivers")
    await tab.page.get_by_text("2,000 drivers").wait_for()
    await rows.focus()
    await tab.page.keyboard.press("End")
    await tab.page.locator('.driver-row[data-id="d1999"]').wait_for()
    await tab.page.keyboard.press("ArrowUp")
    active = await rows.get_attribute("aria-activedescendant")
    assert await tab.page.locator(f"#{active}").get_attribute("data-id") == "d1998"
    assert await tab.page.locator(f"#{active}").get_attribute("aria-posinset") == "1999"
    assert await tab.page.locator(".driver-row").count() < 60
    await tab.page.keyboard.press("Enter")
    await tab.until("s.chosen === 'd1998'")


@pytest.mark.long
async def test_an_hour_of_fixes_leaves_nothing_behind(
    browser: Browser, crowd: tuple[FleetServer, Crowd]
) -> None:
    """3,600 fixes of each of the 60."""
    server, drivers = crowd
    tab = await opened(browser, server, every_frame=True)
    await fixes_leave_nothing_behind(tab, server, drivers, first=600, through=PLAYED_FIXES)
    await tab.page.context.close()


@pytest.mark.long
async def test_script_time_of_a_frame(browser: Browser, crowd: tuple[FleetServer, Crowd]) -> None:
    """Prints what docs/BENCHMARKS.md tells; judged by whoever reads it, on an idle machine."""
    server, drivers = crowd
    tab = await opened(browser, server, every_frame=True)
    session = await tab.page.context.new_cdp_session(tab.page)
    await session.send("Performance.enable")
    driving = asyncio.ensure_future(drive(server, drivers))
    try:
        await asyncio.sleep(5)
        await tab.page.evaluate(
            """() => {
                window.long = [];
                new PerformanceObserver((list) => {
                    for (const { duration } of list.getEntries()) window.long.push(duration);
                }).observe({ entryTypes: ["longtask"] });
            }"""
        )
        before = (await figures(tab), await metrics(session))
        await asyncio.sleep(30)
        after = (await figures(tab), await metrics(session))
    finally:
        driving.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await driving
    frames = after[0]["frames"] - before[0]["frames"]
    spent = {name: round(1_000 * (after[1][name] - before[1][name]) / frames, 2) for name in METRICS}
    long = await tab.page.evaluate("window.long")
    print(f"\n{frames} frames in 30 s, {after[0]['writes'] - before[0]['writes']} records written")
    print(f"ours a frame, ms: {after[0]['script_ms']}")
    print(f"all a frame, ms: {spent}")
    print(f"long tasks: {sorted((round(ms) for ms in long), reverse=True)}")
    await tab.page.context.close()


METRICS = ("ScriptDuration", "LayoutDuration", "RecalcStyleDuration", "TaskDuration")


async def metrics(session: Any) -> dict[str, float]:
    told = await session.send("Performance.getMetrics")
    return {entry["name"]: entry["value"] for entry in told["metrics"]}
