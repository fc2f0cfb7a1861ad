"""What each page weighs: all script that it can ever load, and what it needs before it shows itself."""

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser

from realtime.pages.routes import STATIC
from tests.pages.fakefleet import FleetServer

ALL_BYTES = 500 * 1000
"""Compressed, map included."""
FIRST_BYTES = 60 * 1000
"""Compressed, before the map: what stands between the first paint and the page's own life."""
PAGES = ("console.html", "share.html", "drive.html")
ASSET = re.compile(r"assets/([A-Za-z0-9._-]+\.m?js)\b|\./([A-Za-z0-9._-]+\.m?js)\b")
STATIC_IMPORT = re.compile(r"""(?:from|import)\s*["']\./([A-Za-z0-9._-]+\.m?js)["']""")
ROUND_TRIP_MS, DOWN_BYTES_S, UP_BYTES_S = 300, 1.6e6 / 8, 0.75e6 / 8
"""A 3G line."""


def named(pattern: re.Pattern[str], text: str) -> set[str]:
    return {name for match in pattern.finditer(text) for name in match.groups() if name}


def reached(page: str, pattern: re.Pattern[str]) -> set[Path]:
    """The script files that a page's html names, and those they name, and so on."""
    assets = STATIC / "assets"
    found: set[Path] = set()
    waiting = named(ASSET, (STATIC / page).read_text())
    while waiting:
        path = assets / waiting.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        waiting |= named(pattern, path.read_text())
    return found


def compressed_bytes(files: set[Path]) -> int:
    """As browsers take it: brotli, over https or from this machine."""
    copies = (Path(f"{path}.br") for path in files)
    return sum((copy if copy.exists() else copy.with_suffix("")).stat().st_size for copy in copies)


@pytest.mark.parametrize("page", PAGES)
def test_all_script_of_a_page_is_light(pages_built: None, page: str) -> None:
    files = reached(page, ASSET)
    assert files
    assert compressed_bytes(files) <= ALL_BYTES, sorted(path.name for path in files)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_lives_before_its_map_is_there(pages_built: None, page: str) -> None:
    files = reached(page, STATIC_IMPORT)
    assert files
    assert compressed_bytes(files) <= FIRST_BYTES, sorted(path.name for path in files)
    assert not any("maplibregl" in path.read_text() for path in files)


def test_the_drivers_app_has_no_map(pages_built: None) -> None:
    assert not any("maplibregl" in path.read_text() for path in reached("drive.html", ASSET))


@pytest.mark.long
@pytest.mark.parametrize("address", ["/console", "/s/abc#def", "/drive"])
async def test_first_paint_over_3g(browser: Browser, pages_built: None, address: str) -> None:
    """Prints what docs/PAGES.md tells."""
    server = FleetServer()
    await server.start()
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    try:
        page = await context.new_page()
        line = await context.new_cdp_session(page)
        await line.send("Network.enable")
        conditions = {"offline": False, "latency": ROUND_TRIP_MS}
        speeds = {"downloadThroughput": DOWN_BYTES_S, "uploadThroughput": UP_BYTES_S}
        await line.send("Network.emulateNetworkConditions", {**conditions, **speeds})
        await page.goto(f"{server.url}{address}", wait_until="load")
        found = await page.evaluate(
            "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
        )
        assert found is not None, "nothing was painted"
        print(f"\n{address}: first contentful paint after {found:.0f} ms at {ROUND_TRIP_MS} ms round trip")
    finally:
        await context.close()
        await server.stop()
