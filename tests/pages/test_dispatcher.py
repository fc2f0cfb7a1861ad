"""The dispatcher's page in a real Chromium, against a server that a test steers."""

import asyncio

import pytest
from playwright.async_api import Browser

from tests.pages.conftest import Tab, open_tab
from tests.pages.fake import JOURNEY, FakeServer, now_ms, until

LAT, LON = 53.4084, -2.9916
HOSTILE = "<img src=x onerror=window.__owned=1>"


async def opened(tab: Tab, server: FakeServer) -> Tab:
    await tab.page.goto(f"{server.url}/#token={server.token}")
    await tab.until("s.connection === 'live' && s.map_ready")
    return tab


async def test_a_token_leaves_the_address_at_once_and_survives_a_reload(tab: Tab, server: FakeServer) -> None:
    await opened(tab, server)
    assert tab.page.url == f"{server.url}/"
    await tab.page.reload()
    await tab.until("s.connection === 'live'")
    stored = await tab.page.evaluate("sessionStorage.getItem('wayguard.token')")
    assert stored == server.token
    assert server.token not in str(await tab.state())


async def test_markers_appear_from_the_snapshot_and_move_smoothly(tab: Tab, server: FakeServer) -> None:
    await server.report("d1", LAT, LON)
    await server.report("d2", LAT + 0.01, LON + 0.01, journey=JOURNEY.format(2))
    await opened(tab, server)
    await tab.until("Object.keys(s.drivers).length === 2 && s.drawing.updates > 0")
    await tab.page.evaluate(
        """() => {
            window.seen = new Set();
            const look = () => {
                window.seen.add(window.__wayguard.state.drivers.d1.shown.lat);
                requestAnimationFrame(look);
            };
            look();
        }"""
    )
    for step in range(1, 5):
        await server.report("d1", LAT + step * 0.0005, LON)
        await tab.until("s.drivers.d1.seq === a", step + 1)
    last = LAT + 4 * 0.0005
    await tab.until("Math.abs(s.drivers.d1.shown.lat - a) < 1e-9", last)
    seen = await tab.page.evaluate("[...window.seen]")
    between = [lat for lat in seen if LAT < lat < last]
    assert len(between) > 4, "it was shown at places between its fixes"
    assert seen == sorted(seen), "it never went back"


async def test_a_fleet_that_arrives_one_by_one_is_all_on_the_map(tab: Tab, server: FakeServer) -> None:
    await server.report("d1", LAT, LON)
    await opened(tab, server)
    await tab.until("s.drivers.d1 && s.drawing.updates > 0")
    await server.report("d2", LAT + 0.3, LON + 0.3, journey=JOURNEY.format(2))
    for driver in ("d1", "d2"):
        await tab.page.wait_for_function(
            """(id) => {
                const { x, y } = window.__wayguard.at(id) ?? { x: -1, y: -1 };
                return x > 0 && y > 0 && x < innerWidth && y < innerHeight;
            }""",
            arg=driver,
        )


async def test_one_source_is_rebuilt_once_a_frame_at_most_and_cheaply(tab: Tab, server: FakeServer) -> None:
    for n in range(200):
        await server.report(f"d{n}", LAT + n / 5_000, LON + (n % 14) / 500, journey=f"j{n}")
    await opened(tab, server)
    await tab.until("Object.keys(s.drivers).length === 200")
    await tab.page.evaluate(
        """() => {
            window.frames = 0;
            window.began = window.__wayguard.state.drawing.updates;
            const count = () => { window.frames += 1; requestAnimationFrame(count); };
            requestAnimationFrame(count);
        }"""
    )
    for _ in range(5):
        for n in range(200):
            lat, lon, *_ = (LAT + n / 5_000, LON + (n % 14) / 500)
            await server.report(f"d{n}", lat + 0.0001, lon, journey=f"j{n}")
        await asyncio.sleep(0)
    await tab.until("s.drivers.d199.seq === 6 && s.drawing.updates > window.began + 3")
    frames, updates = await tab.page.evaluate(
        "[window.frames, window.__wayguard.state.drawing.updates - window.began]"
    )
    assert updates <= frames + 1


async def test_a_driver_who_falls_silent_greys_out(browser: Browser, pages_built: None) -> None:
    server = FakeServer()
    await server.start(stale_after_s=2)
    try:
        await server.report("quiet", LAT, LON)
        await server.report("offline", LAT, LON, journey=JOURNEY.format(2))
        await server.report("old", LAT, LON, journey=JOURNEY.format(3), t_ms=now_ms() - 600_000)
        context = await browser.new_context()
        tab = await opened(await open_tab(context, server.url), server)
        await tab.until("s.drivers.old.freshness === 'stale'")
        await server.report("quiet", LAT, LON + 0.001)
        await tab.until("s.drivers.quiet.freshness === 'fresh'")
        await server.say_presence("offline", "offline", "vendor:north")
        await tab.until("s.drivers.offline.freshness === 'offline'")
        await tab.until("s.drivers.quiet.freshness === 'stale' && s.drivers.quiet.age_ms > 2000")
        await tab.page.get_by_text("0 live · 3 silent").wait_for()
        await server.report("quiet", LAT, LON + 0.002)
        await tab.until("s.drivers.quiet.freshness === 'fresh'")
        await context.close()
    finally:
        await server.stop()


async def test_a_click_shows_the_driver_and_the_way_they_came(tab: Tab, server: FakeServer) -> None:
    for step in range(5):
        await server.report("van-7", LAT + step * 0.0004, LON, speed_mps=12.5, battery_pct=64.0)
    await opened(tab, server)
    await tab.until("s.drivers['van-7'] && s.drawing.updates > 0")
    await click(tab, "van-7")
    card = tab.page.locator(".card")
    await card.get_by_role("heading", name="van-7").wait_for()
    for text in ("45 km/h", "64 %", "± 12 m", JOURNEY.format(1)[-12:]):
        await card.get_by_text(text).wait_for()
    await card.get_by_text("Position taken").wait_for()
    await tab.until("s.journeys[a]?.through === 5", JOURNEY.format(1))
    await tab.page.keyboard.press("Escape")
    await card.wait_for(state="hidden")


async def click(tab: Tab, driver: str) -> None:
    """Clicks a marker; again when the map has not drawn it yet."""
    async with asyncio.timeout(30):
        while not (await tab.state())["chosen"]:
            at = await tab.page.evaluate("(id) => window.__wayguard.at(id)", driver)
            await tab.page.mouse.click(at["x"], at["y"])
            await asyncio.sleep(0.2)


async def test_after_a_cut_it_is_back_without_a_gap_and_said_so_meanwhile(
    tab: Tab, server: FakeServer
) -> None:
    journey = JOURNEY.format(1)
    for step in range(3):
        await server.report("d1", LAT + step * 0.0003, LON)
    await opened(tab, server)
    await tab.until("s.drivers.d1 && s.drawing.updates > 0")
    await click(tab, "d1")
    await tab.until("s.journeys[a]?.through === 3", journey)
    server.keep_out = True
    await server.cut()
    await tab.page.get_by_text("Not live. You see what was known").wait_for()
    for step in range(3, 8):
        await server.report("d1", LAT + step * 0.0003, LON)
    await tab.until("s.drivers.d1.freshness === 'stale'", timeout_s=30)
    server.keep_out = False
    await tab.until("s.connection === 'live' && s.journeys[a]?.through === 8", journey)
    await tab.until("s.drivers.d1.seq === 8 && s.drivers.d1.freshness === 'fresh'")
    held = (await tab.state())["journeys"][journey]
    assert held["seqs"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert held["repeats"] == 0, "it asked only for what it lacked"
    assert {"journey": journey, "since_seq": 3} in server.watches
    await tab.page.get_by_text("Not live").wait_for(state="hidden")


@pytest.mark.parametrize("how", ["drain", "reset", "closing"])
async def test_it_does_what_the_server_says(tab: Tab, server: FakeServer, how: str) -> None:
    await server.report("d1", LAT, LON)
    await opened(tab, server)
    before = len(server.watches)
    if how == "drain":
        await server.drain()
    elif how == "reset":
        await server.reset("vendor:north")
    else:
        await server.close_with("stalled", retryable=True)
    await until(lambda: len(server.watches) > before)
    await server.report("d1", LAT, LON + 0.001)
    await tab.until("s.connection === 'live' && s.drivers.d1.seq === 2")
    assert (await tab.state())["connections"] == (1 if how == "reset" else 2)


async def test_a_snapshot_forgets_who_is_gone(tab: Tab, server: FakeServer) -> None:
    await server.report("gone", LAT, LON)
    await server.report("stays", LAT, LON, journey=JOURNEY.format(2))
    await opened(tab, server)
    await tab.until("s.drivers.gone && s.drivers.stays")
    del server.latest["north"]["gone"]
    await server.reset("vendor:north")
    await tab.until("!s.drivers.gone && s.drivers.stays")


async def test_names_made_to_hurt_are_only_text(tab: Tab, server: FakeServer) -> None:
    await server.report(HOSTILE, LAT, LON, journey='"><script>window.__owned=1</script>')
    await server.report("__proto__", LAT, LON + 0.003, journey="constructor")
    server.presence[HOSTILE] = "online"
    await opened(tab, server)
    await tab.until("s.drivers[a] && s.drawing.updates > 0", HOSTILE)
    await click(tab, HOSTILE)
    await tab.page.locator(".card h2").get_by_text(HOSTILE, exact=True).wait_for()
    assert await tab.page.evaluate("window.__owned === undefined")
    assert await tab.page.locator("img, .card script").count() == 0


async def test_whoever_may_watch_every_vendor_says_which(tab: Tab, server: FakeServer) -> None:
    server.vendors = None
    await server.report("s1", LAT, LON, vendor="south")
    await opened(tab, server)
    await tab.page.get_by_text("Which vendor do you want to watch?").wait_for()
    await tab.page.get_by_label("Vendor to watch").fill("no such/name")
    await tab.page.get_by_role("button", name="Watch", exact=True).click()
    await tab.page.get_by_text("A vendor's name has letters").wait_for()
    await tab.page.get_by_label("Vendor to watch").fill("south")
    await tab.page.get_by_role("button", name="Watch", exact=True).click()
    await tab.until("s.drivers.s1")
    await tab.page.get_by_text("driver in south").wait_for()


async def test_a_refused_token_says_so_and_is_forgotten(tab: Tab, server: FakeServer) -> None:
    await server.report("d1", LAT, LON)
    await tab.page.goto(f"{server.url}/#token=x.y.z")
    await tab.page.get_by_text("Your link is not valid any more").wait_for()
    assert await tab.page.evaluate("sessionStorage.getItem('wayguard.token')") is None
    assert (await tab.state())["drivers"] == {}
    assert server.connects == 1, "a refusal for good is not tried again"


async def test_without_a_token_it_says_what_to_do(tab: Tab, server: FakeServer) -> None:
    await tab.page.goto(server.url)
    await tab.page.get_by_role("heading", name="Open the link you were given").wait_for()
    assert server.connects == 0


async def test_expiry_in_mid_session_shows_nothing_any_more(tab: Tab, server: FakeServer) -> None:
    await server.report("d1", LAT, LON)
    await opened(tab, server)
    await tab.until("s.drivers.d1")
    await server.close_with("token_expired")
    await tab.page.get_by_text("Your link has expired").wait_for()
    assert (await tab.state())["drivers"] == {}


async def test_light_and_dark_can_be_switched_and_are_remembered(tab: Tab, server: FakeServer) -> None:
    await opened(tab, server)
    theme = "document.documentElement.dataset.theme"
    assert await tab.page.evaluate(theme) == "light"
    await tab.page.get_by_role("button", name="Light or dark").click()
    await tab.page.wait_for_function(f"{theme} === 'dark'")
    await tab.page.reload()
    await tab.page.wait_for_function(f"{theme} === 'dark'")


async def test_polling_does_where_websockets_do_not_get_through(browser: Browser, server: FakeServer) -> None:
    context = await browser.new_context()
    tab = await open_tab(context, server.url)
    await tab.page.add_init_script(
        "window.WebSocket = class { constructor() { setTimeout(() => this.onerror?.(new Event('error'))) }"
        " close() {} send() {} };"
    )
    await server.report("d1", LAT, LON)
    await opened(tab, server)
    await server.report("d1", LAT, LON + 0.001)
    await tab.until("s.drivers.d1.seq === 2")
    await context.close()
