"""Every page as somebody sees it, into docs/images: ``python -m tests.pictures``.

A real cluster, a simulated fleet, a paired phone, an SOS; light, dark, right to left, wide and on a phone.
"""

import asyncio
from pathlib import Path

from playwright.async_api import async_playwright

from tests.e2e.cluster import Cluster
from tests.e2e.test_browser import fleet
from tests.e2e.test_story import paired, shared, signed_in
from tests.e2e.world import new_world
from tests.engines_fixtures import engine_folder
from tests.pages.conftest import CHROMIUM_ARGS, Tab, open_tab
from tests.pages.test_drive import LAT, LON, SOS, held, moved

FOLDER = Path(__file__).parents[1] / "docs" / "images"
LOOKS = (("", "light", "en"), ("-dark", "dark", "en"), ("-ar", "light", "ar"))
PHONE = {"width": 390, "height": 844}
WIDE = {"width": 1440, "height": 900}
SETTLED_S = 4.0
"""Until tiles are drawn and markers have arrived."""
LIVE = "s.connection === 'live' && s.map_ready"


async def taken(tab: Tab, name: str) -> None:
    await asyncio.sleep(SETTLED_S)
    await tab.page.screenshot(path=FOLDER / f"{name}.jpg", type="jpeg", quality=80)
    print(f"{name}.jpg")


async def looked_at(tab: Tab, name: str, ready: str) -> None:
    """In each look; the page is opened anew in it, as its reader would."""
    for look, scheme, language in LOOKS:
        await tab.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        await tab.page.evaluate("(to) => localStorage.setItem('wayguard.language', to)", language)
        await tab.page.reload()
        await tab.until(ready, timeout_s=60)
        await taken(tab, f"{name}{look}")
    await tab.page.evaluate("localStorage.setItem('wayguard.language', 'en')")
    await tab.page.emulate_media(color_scheme="light")
    await tab.page.reload()
    await tab.until(ready, timeout_s=60)


async def main() -> None:
    with engine_folder() as folder:
        async with Cluster(folder) as cluster, new_world(cluster) as world, async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=CHROMIUM_ARGS
            )
            common = {"locale": "en-IE", "timezone_id": "Europe/Dublin"}
            place = {"latitude": LAT, "longitude": LON, "accuracy": 30}
            wide = await browser.new_context(viewport=WIDE, **common)  # type: ignore[arg-type]
            pocket = await browser.new_context(viewport=PHONE, geolocation=place, **common)  # type: ignore[arg-type]
            other = await browser.new_context(viewport=PHONE, **common)  # type: ignore[arg-type]
            await pocket.grant_permissions(["geolocation"], origin=cluster.url)
            console, phone, contact = [await open_tab(one, cluster.url) for one in (wide, pocket, other)]
            async with fleet(world):
                await signed_in(console, world)
                await paired(world, console, phone, "ada", "Ada Byrne")
                await looked_at(phone, "drive", "s.screen === 'home' && s.line === 'live'")
                await phone.page.get_by_label("Where to?").fill("Pier Head")
                await phone.page.get_by_role("button", name="Start journey").click()
                await phone.until("s.screen === 'going' && s.points >= 1", timeout_s=60)
                await moved(phone, 4)
                await taken(phone, "drive-going")
                await contact.page.goto(await shared(console, "ada", "Mum"))
                await contact.until(f"{LIVE} && s.drivers.ada", timeout_s=60)
                await taken(contact, "contact")
                await held(phone, SOS)
                await phone.page.get_by_text("It is safely stored.").wait_for()
                await taken(phone, "drive-sos")
                await looked_at(contact, "contact-sos", f"{LIVE} && s.drivers.ada")
                await looked_at(console, "console", f"{LIVE} && s.drivers.ada")
                await console.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
                await taken(console, "console-phone")
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
