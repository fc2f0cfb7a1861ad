"""A shared journey's page in a real Chromium."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from tests.pages.conftest import Tab, open_tab
from tests.pages.fake import JOURNEY, FakeServer, Share
from tests.pages.fakecontact import FakeContact, used

LAT, LON = 53.4084, -2.9916
MINE = JOURNEY.format(1)


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
    contact_server.renew()
    return contact_server


@pytest.fixture(scope="module")
async def shared_tab(browser: Browser, contact_server: FakeContact) -> AsyncIterator[Tab]:
    context = await browser.new_context(viewport={"width": 820, "height": 560})
    yield await open_tab(context, contact_server.url)
    await context.close()


@pytest.fixture
async def tab_with_map(browser: Browser, server: FakeContact) -> AsyncIterator[Tab]:
    """A small one, without glides: the map is drawn by software, and every pixel of every frame costs."""
    server.bare = False
    context = await browser.new_context(viewport={"width": 420, "height": 320}, reduced_motion="reduce")
    async with used(await open_tab(context, server.url)) as tab:
        yield tab
    await context.close()


@pytest.fixture
async def reader(shared_tab: Tab, server: FakeContact) -> AsyncIterator[Tab]:
    """The tab of all tests that need no map: it is opened once, and each test loads its page in it."""
    async with used(shared_tab) as tab:
        yield tab


async def opened(tab: Tab, server: FakeServer, scope: str = "journey") -> Tab:
    server.shares["id1.secret1"] = Share(MINE, scope)
    await tab.page.goto(f"{server.url}/s/id1#secret1")
    await tab.until("s.connection === 'live' && s.map_ready")
    return tab


async def walk(server: FakeServer, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        await server.report("asha", LAT + step * 0.0002, LON)


async def test_it_shows_one_person_and_their_way_and_clears_it_when_revoked(
    tab_with_map: Tab, server: FakeContact
) -> None:
    tab = tab_with_map
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url + str(request.headers)))
    await walk(server, 6)
    await opened(tab, server)
    await tab.until("s.journeys[a]?.through === 6 && s.drawing.updates > 0", MINE)
    await tab.page.get_by_role("heading", name="asha").wait_for()
    await tab.page.locator(".pill").get_by_text("Live", exact=True).wait_for()
    await tab.page.get_by_text("Updated").wait_for()
    await walk(server, 2, first=6)
    await tab.until("s.drivers.asha.seq === 8")
    assert (await tab.state())["journeys"][MINE]["seqs"] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert len(asked) > 3 and not [line for line in asked if "secret1" in line]
    # A void, a glide and a lost connection are drawn on the map.
    await tab.page.emulate_media(reduced_motion="no-preference")
    await server.report("asha", None, None)
    await walk(server, 1, first=9)
    await tab.until("s.journeys[a].through === 10", MINE)
    held = (await tab.state())["journeys"][MINE]
    assert (held["seqs"], held["voids"]) == ([*range(1, 9), 10], 1)
    await server.say_presence("asha", "offline", f"journey:{MINE}", reason="lost")
    await tab.page.locator(".pill").get_by_text("Not connected").wait_for()
    await server.say_presence("asha", "online", f"journey:{MINE}")
    await tab.until("s.drivers.asha.freshness === 'fresh'")
    # The server has less than the page holds: it starts over.
    del server.journeys[MINE][3:]
    await server.cut()
    await tab.until("s.connection === 'live' && s.journeys[a]?.through === 3", MINE)
    assert (await tab.state())["journeys"][MINE]["seqs"] == [1, 2, 3]
    # The link is revoked while the page is open.
    await tab.until("s.drivers.asha && s.drawing.updates > 0")
    server.shares.clear()
    await server.close_with("revoked")
    await tab.page.get_by_role("heading", name="This link has been switched off").wait_for()
    state = await tab.state()
    assert (state["drivers"], state["journeys"], state["connection"]) == ({}, {}, "refused")
    assert "asha" not in await tab.page.content()
    assert "asha" not in await tab.page.title()


async def test_the_secret_never_leaves_in_a_request(reader: Tab, server: FakeServer) -> None:
    asked: list[str] = []
    reader.page.on("request", lambda request: asked.append(request.url + str(request.headers)))
    await walk(server, 1)
    await opened(reader, server)
    assert len(asked) > 3
    assert not [line for line in asked if "secret1" in line]


async def test_a_live_share_shows_where_and_not_whence(reader: Tab, server: FakeServer) -> None:
    await walk(server, 5)
    await opened(reader, server, scope="live")
    await reader.until("s.drivers.asha?.seq === 5")
    await walk(server, 1, first=5)
    await reader.until("s.drivers.asha.seq === 6")
    held = (await reader.state())["journeys"][MINE]
    assert (held["seqs"], held["gap"]) == ([5, 6], False)


async def test_a_lost_event_is_noticed_and_fetched(reader: Tab, server: FakeServer) -> None:
    await walk(server, 2)
    await opened(reader, server)
    await reader.until("s.journeys[a]?.through === 2", MINE)
    server.lose_journey_events = 2
    await walk(server, 3, first=2)
    await reader.until("s.journeys[a].through === 5", MINE)
    held = (await reader.state())["journeys"][MINE]
    assert held["seqs"] == [1, 2, 3, 4, 5]
    assert {"journey": MINE, "since_seq": 2} in server.watches


async def test_voids_are_passed_over(reader: Tab, server: FakeServer) -> None:
    await walk(server, 2)
    await opened(reader, server)
    await server.report("asha", None, None)
    await walk(server, 1, first=3)
    await reader.until("s.journeys[a]?.through === 4", MINE)
    held = (await reader.state())["journeys"][MINE]
    assert (held["seqs"], held["voids"]) == ([1, 2, 4], 1)


async def test_it_resumes_after_a_cut_where_it_was(reader: Tab, server: FakeServer) -> None:
    await walk(server, 3)
    await opened(reader, server)
    await reader.until("s.journeys[a]?.through === 3", MINE)
    await server.cut()
    await walk(server, 4, first=3)
    await reader.until("s.connections === 2 && s.journeys[a]?.through === 7", MINE)
    held = (await reader.state())["journeys"][MINE]
    assert (held["seqs"], held["repeats"]) == ([1, 2, 3, 4, 5, 6, 7], 0)


async def test_presence_is_told_in_words(reader: Tab, server: FakeContact) -> None:
    await walk(server, 1)
    await opened(reader, server)
    await reader.until("s.drivers.asha?.freshness === 'fresh'")
    await server.say_presence("asha", "offline", f"journey:{MINE}", reason="lost")
    pill = reader.page.locator(".pill")
    await pill.get_by_text("Not connected").wait_for()
    await reader.page.get_by_text("Their phone lost its network at").wait_for()
    await server.say_presence("asha", "online", f"journey:{MINE}")
    await reader.until("s.drivers.asha.freshness === 'fresh'")
    await server.end(MINE, "asha")
    await pill.get_by_text("Journey ended").wait_for()
    await reader.page.reload()
    await reader.until("s.drivers.asha && s.ended")
    await pill.get_by_text("Journey ended").wait_for()


async def test_a_link_that_is_no_good_says_so_and_shows_nothing(reader: Tab, server: FakeServer) -> None:
    await walk(server, 3)
    server.shares["id1.secret1"] = Share(MINE)
    for path in ("/s/id1#wrong", "/s/id1", "/s/nobody#secret1", "/s/id1#%3Cb%3E"):
        await reader.page.goto("about:blank")
        await reader.page.goto(f"{server.url}{path}")
        await reader.page.get_by_role("heading", name="This link does not work").wait_for()
        await reader.page.get_by_text("Ask the person who sent it for a new one.").wait_for()
        assert "asha" not in await reader.page.content(), path
        state = await reader.state()
        assert state is None or state["drivers"] == {}, path


async def test_a_journey_with_no_position_yet_waits_politely(reader: Tab, server: FakeServer) -> None:
    await opened(reader, server)
    await reader.page.get_by_text("No position yet.").wait_for()
    await walk(server, 1)
    await reader.until("s.drivers.asha?.seq === 1")
