"""A day in three browsers on the running cluster: a dispatcher's console, a driver's phone, a mother's link.

The phone is paired by the console's code, drives, loses its network and comes back, an instance dies, help is
called for, the contact takes it, and the console looks back at the way.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser

from tests.e2e.proxy import Proxy
from tests.e2e.world import World
from tests.pages.conftest import Tab, browser, few_frames_context, open_tab, pages_built
from tests.pages.test_drive import CUT_OFF, LAT, LON, SOS, held, moved

__all__ = ["browser", "pages_built"]  # fixtures, found by their names here
LONG_S = 60.0


@asynccontextmanager
async def tab_of(browser: Browser, url: str, **options: Any) -> AsyncIterator[Tab]:
    """A browser of its own for ``url``. It may ask no other server, and complain of broken lines alone."""
    context = await few_frames_context(browser, locale="en-IE", timezone_id="Europe/Dublin", **options)
    context.set_default_timeout(LONG_S * 1000)
    tab = await open_tab(context, url)
    tab.expected = (*CUT_OFF, "ERR_", "503")
    yield tab
    await context.close()
    assert tab.outside == []
    assert tab.unexpected() == []


async def signed_in(console: Tab, world: World) -> None:
    await console.page.goto(f"{world.cluster.url}/console#token={world.token(ttl_s=3600)}")
    await console.until("s.connection === 'live' && s.map_ready", timeout_s=LONG_S)
    await console.page.get_by_role("button", name="No sound").click()


async def paired(world: World, console: Tab, phone: Tab, phone_url: str, driver: str, name: str) -> None:
    """Open the link behind the code that the console shows on the phone, which uses ``phone_url``."""
    page = console.page
    await page.get_by_role("button", name="Add a driver").click()
    dialog = page.get_by_role("dialog", name="Add a driver")
    await dialog.get_by_label("Vendor").fill(world.vendor)
    await dialog.get_by_label("Driver’s id").fill(driver)
    await dialog.get_by_label("Name", exact=False).last.fill(name)
    await dialog.get_by_role("button", name="Make a code").click()
    await dialog.get_by_role("img", name="QR code").wait_for()
    link = await dialog.get_by_role("textbox", name="The link").input_value()
    await page.keyboard.press("Escape")
    assert link.startswith(world.cluster.url)
    await phone.page.goto(link.replace(world.cluster.url, phone_url, 1))
    await phone.page.get_by_role("button", name="Pair", exact=True).click()
    await phone.until(
        "s.screen === 'settings' && s.driver === a && s.line === 'live'", driver, timeout_s=LONG_S
    )
    await phone.page.get_by_role("button", name="Later").click()
    await phone.until("s.screen === 'home'")
    assert "pair" not in phone.page.url


async def shared(console: Tab, driver: str, holder: str) -> str:
    """The link that the console makes for somebody who may answer."""
    page = console.page
    await page.locator(f'.driver-row[data-id="{driver}"]').click()
    await page.locator(".driver-card").get_by_role("button", name="Share").click()
    dialog = page.get_by_role("dialog", name="Share the journey of")
    await dialog.get_by_text("Whole journey").click()
    await dialog.get_by_label("For whom").fill(holder)
    await dialog.get_by_label("May answer an SOS").check()
    await dialog.get_by_role("button", name="Make a link").click()
    await dialog.get_by_role("img", name="QR code of the link").wait_for()
    link = await dialog.get_by_role("textbox", name="The link").input_value()
    await page.keyboard.press("Escape")
    return link


async def kill_the_instance_of(world: World, tab: Tab) -> None:
    """Whichever it is, each in turn: the page is live again by itself."""
    for name in world.cluster.instances:
        await world.cluster.kill(name)
        await world.cluster.until_up(name)
    await tab.until("s.connection === 'live'", timeout_s=LONG_S)


@pytest.mark.timeout(400)
async def test_a_day_of_three_people(world: World, browser: Browser, pages_built: None) -> None:
    place = {"latitude": LAT, "longitude": LON, "accuracy": 8}
    handset = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    url = world.cluster.url
    async with (
        Proxy(world.cluster.plan.port) as network,  # the phone's own
        tab_of(browser, url, viewport={"width": 1280, "height": 800}) as console,
        tab_of(browser, network.url, viewport=handset["viewport"], geolocation=place) as phone,
        tab_of(browser, url, **handset) as mother,
    ):
        await phone.page.context.grant_permissions(["geolocation"], origin=network.url)
        await signed_in(console, world)
        await paired(world, console, phone, network.url, "ada", "Ada")

        # She drives; the console and her mother see it.
        await phone.page.get_by_label("Where to?").fill("Pier Head")
        await phone.page.get_by_role("button", name="Start journey").click()
        await phone.until("s.screen === 'going' && s.points >= 1", timeout_s=LONG_S)
        await moved(phone, 3)
        await phone.until("s.unsafe === 0 && s.points >= 4", timeout_s=LONG_S)
        await console.until("s.drivers.ada && s.drivers.ada.seq >= 4", timeout_s=LONG_S)
        link = await shared(console, "ada", "Mum")
        await mother.page.goto(link)
        await mother.until("s.connection === 'live' && s.drivers.ada", timeout_s=LONG_S)
        await mother.page.get_by_role("heading", name="Ada").wait_for()
        await mother.page.get_by_text("Pier Head").wait_for()

        # A dead zone: nothing is lost. Chromium tells the page of it; the proxy takes the network away from
        # service workers too, to which Chromium applies it with a delay.
        (listed,) = (await world.call("GET", "/api/v1/journeys?driver=ada"))["journeys"]
        journey = listed["journey_id"]
        network.refuse()
        await phone.page.context.set_offline(True)
        before = len(await world.stored(journey))
        await moved(phone, 3, first=4)
        await phone.page.get_by_text("not safe yet").wait_for()
        assert len(await world.stored(journey)) == before, "the phone has no network"
        network.accept()
        await phone.page.context.set_offline(False)
        await phone.until("s.unsafe === 0 && s.line === 'live'", timeout_s=LONG_S)
        points = (await phone.state())["points"]

        # Instances die; every page comes back by itself, without a gap.
        await kill_the_instance_of(world, console)
        await phone.until("s.line === 'live'", timeout_s=LONG_S)
        await mother.until("s.connection === 'live'", timeout_s=LONG_S)
        await mother.until("s.journeys[a[0]].through >= a[1]", [journey, points], timeout_s=LONG_S)
        seqs = (await mother.state())["journeys"][journey]["seqs"]
        assert seqs == list(range(1, len(seqs) + 1))

        # She calls for help; the desk and her mother know at once, her mother takes it, she sees who.
        await held(phone, SOS)
        await phone.page.get_by_text("It is safely stored.").wait_for()
        desk = console.page.locator(".desk-now .alert").filter(has_text="ada")
        await desk.get_by_text("Waiting for help").wait_for()
        await mother.page.get_by_role("button", name="I’m on it", exact=True).tap()
        await phone.page.get_by_role("heading", name="Mum").wait_for()
        await desk.get_by_text("Mum").first.wait_for()
        await mother.page.get_by_role("button", name="It is over").tap()
        await mother.page.get_by_role("button", name="Yes, they are safe").tap()
        await phone.page.get_by_role("heading", name="It is over").wait_for()
        await console.page.locator('.desk-now .alert[data-state="resolved"]').wait_for()
        await phone.page.get_by_role("button", name="Close").click()

        # The journey ends, and the console looks back at all of it.
        await phone.page.get_by_role("button", name="End journey").click()
        await phone.page.get_by_role("button", name="End it").click()
        await phone.until("s.screen === 'home' && s.journeys === 0", timeout_s=LONG_S)
        stored = await world.stored(journey)
        assert [row.seq for row in stored] == list(range(1, len(stored) + 1))
        assert len(stored) >= points
        card = console.page.locator(".driver-card")
        await card.get_by_role("button", name="Journeys").click()
        await card.get_by_role("button", name=f"{len(stored)} points").click()
        replay = console.page.get_by_role("region", name="Looking back")
        await replay.get_by_text("Not live").wait_for()
        await replay.get_by_role("button", name="Play").click()
        await replay.get_by_role("button", name="Back to live").click()
    assert urlsplit(link).query == ""
