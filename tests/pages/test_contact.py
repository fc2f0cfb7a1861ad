"""A shared journey's page in a real Chromium."""

from collections.abc import AsyncIterator

import pytest

from tests.pages.conftest import Tab
from tests.pages.fake import JOURNEY, FakeServer, Share
from tests.pages.fakecontact import FakeContact

LAT, LON = 53.4084, -2.9916
MINE = JOURNEY.format(1)


@pytest.fixture
async def server(pages_built: None) -> AsyncIterator[FakeContact]:
    server = FakeContact()
    await server.start()
    yield server
    await server.stop()


async def opened(tab: Tab, server: FakeServer, scope: str = "journey") -> Tab:
    server.shares["id1.secret1"] = Share(MINE, scope)
    await tab.page.goto(f"{server.url}/s/id1#secret1")
    await tab.until("s.connection === 'live' && s.map_ready")
    return tab


async def walk(server: FakeServer, steps: int, first: int = 0) -> None:
    for step in range(first, first + steps):
        await server.report("asha", LAT + step * 0.0002, LON)


async def test_it_shows_one_person_how_fresh_and_the_way_they_came(tab: Tab, server: FakeServer) -> None:
    await walk(server, 6)
    await opened(tab, server)
    await tab.until("s.journeys[a]?.through === 6 && s.drawing.updates > 0", MINE)
    await tab.page.get_by_role("heading", name="asha").wait_for()
    await tab.page.locator(".pill").get_by_text("Live", exact=True).wait_for()
    await tab.page.get_by_text("Updated").wait_for()
    await walk(server, 2, first=6)
    await tab.until("s.drivers.asha.seq === 8")
    assert (await tab.state())["journeys"][MINE]["seqs"] == [1, 2, 3, 4, 5, 6, 7, 8]


async def test_the_secret_never_leaves_in_a_request(tab: Tab, server: FakeServer) -> None:
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url + str(request.headers)))
    await walk(server, 1)
    await opened(tab, server)
    assert len(asked) > 3
    assert not [line for line in asked if "secret1" in line]


async def test_a_live_share_shows_where_and_not_whence(tab: Tab, server: FakeServer) -> None:
    await walk(server, 5)
    await opened(tab, server, scope="live")
    await tab.until("s.drivers.asha?.seq === 5")
    await walk(server, 1, first=5)
    await tab.until("s.drivers.asha.seq === 6")
    held = (await tab.state())["journeys"][MINE]
    assert (held["seqs"], held["gap"]) == ([5, 6], False)


async def test_a_lost_event_is_noticed_and_fetched(tab: Tab, server: FakeServer) -> None:
    await walk(server, 2)
    await opened(tab, server)
    await tab.until("s.journeys[a]?.through === 2", MINE)
    server.lose_journey_events = 2
    await walk(server, 3, first=2)
    await tab.until("s.journeys[a].through === 5", MINE)
    held = (await tab.state())["journeys"][MINE]
    assert held["seqs"] == [1, 2, 3, 4, 5]
    assert {"journey": MINE, "since_seq": 2} in server.watches


async def test_voids_are_passed_over(tab: Tab, server: FakeServer) -> None:
    await walk(server, 2)
    await opened(tab, server)
    await server.report("asha", None, None)
    await walk(server, 1, first=3)
    await tab.until("s.journeys[a]?.through === 4", MINE)
    held = (await tab.state())["journeys"][MINE]
    assert (held["seqs"], held["voids"]) == ([1, 2, 4], 1)


async def test_it_resumes_after_a_cut_where_it_was(tab: Tab, server: FakeServer) -> None:
    await walk(server, 3)
    await opened(tab, server)
    await tab.until("s.journeys[a]?.through === 3", MINE)
    await server.cut()
    await walk(server, 4, first=3)
    await tab.until("s.connections === 2 && s.journeys[a]?.through === 7", MINE)
    held = (await tab.state())["journeys"][MINE]
    assert (held["seqs"], held["repeats"]) == ([1, 2, 3, 4, 5, 6, 7], 0)


async def test_presence_is_told_in_words(tab: Tab, server: FakeContact) -> None:
    await walk(server, 1)
    await opened(tab, server)
    await tab.until("s.drivers.asha?.freshness === 'fresh'")
    await server.say_presence("asha", "offline", f"journey:{MINE}", reason="lost")
    pill = tab.page.locator(".pill")
    await pill.get_by_text("Not connected").wait_for()
    await tab.page.get_by_text("Their phone lost its network at").wait_for()
    await server.say_presence("asha", "online", f"journey:{MINE}")
    await tab.until("s.drivers.asha.freshness === 'fresh'")
    await server.end(MINE, "asha")
    await pill.get_by_text("Journey ended").wait_for()
    await tab.page.reload()
    await tab.until("s.drivers.asha && s.ended")
    await pill.get_by_text("Journey ended").wait_for()


async def test_it_starts_over_when_the_server_has_less_than_it_holds(tab: Tab, server: FakeServer) -> None:
    await walk(server, 5)
    await opened(tab, server)
    await tab.until("s.journeys[a]?.through === 5", MINE)
    del server.journeys[MINE][3:]
    await server.cut()
    await tab.until("s.connection === 'live' && s.journeys[a]?.through === 3", MINE)
    assert (await tab.state())["journeys"][MINE]["seqs"] == [1, 2, 3]


@pytest.mark.parametrize("path", ["/s/id1#wrong", "/s/id1", "/s/nobody#secret1", "/s/id1#%3Cb%3E"])
async def test_a_link_that_is_no_good_says_so_and_shows_nothing(
    tab: Tab, server: FakeServer, path: str
) -> None:
    await walk(server, 3)
    server.shares["id1.secret1"] = Share(MINE)
    await tab.page.goto(f"{server.url}{path}")
    await tab.page.get_by_role("heading", name="This link does not work").wait_for()
    await tab.page.get_by_text("Ask the person who sent it for a new one.").wait_for()
    assert "asha" not in await tab.page.content()
    state = await tab.state()
    assert state is None or state["drivers"] == {}


async def test_revoking_clears_the_page_while_one_looks(tab: Tab, server: FakeServer) -> None:
    await walk(server, 3)
    await opened(tab, server)
    await tab.until("s.drivers.asha && s.drawing.updates > 0")
    server.shares.clear()
    await server.close_with("revoked")
    await tab.page.get_by_role("heading", name="This link has been switched off").wait_for()
    state = await tab.state()
    assert (state["drivers"], state["journeys"], state["connection"]) == ({}, {}, "refused")
    assert "asha" not in await tab.page.content()
    assert "asha" not in await tab.page.title()


async def test_a_journey_with_no_position_yet_waits_politely(tab: Tab, server: FakeServer) -> None:
    await opened(tab, server)
    await tab.page.get_by_text("No position yet.").wait_for()
    await walk(server, 1)
    await tab.until("s.drivers.asha?.seq === 1")
