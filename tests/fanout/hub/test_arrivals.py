"""What arrives, what did not and is read again, and what should not have, over the fakes of `kit`."""

from typing import Any

import pytest

from realtime.bus.bus import BusItem
from realtime.fanout.feeds.feed import LatestFeed
from tests.fanout.hub.kit import BOARD, LOG, Here, Viewer, newest
from tests.fanout.kit import until


async def test_a_gap_is_refilled_from_the_truth_in_order(here: Here) -> None:
    viewer = Viewer()
    await here.watch_log(viewer)
    here.commit(1)
    here.commit(2, 3, published=False)
    here.commit(4)
    await until(lambda: viewer.heard[-1:] == [4], "the last")
    assert viewer.heard == [1, 2, 3, 4]
    assert here.observer.refills == ["gap"]


async def test_a_refill_goes_on_until_the_truth_answers_and_again_for_a_new_doubt(here: Here) -> None:
    viewer = Viewer()
    await here.watch_log(viewer)
    here.commit(1, 2, published=False)
    here.origin.failures = 3
    here.hub.on_doubt([LOG, "j:t1/unknown"], "resubscribed")
    await until(lambda: viewer.heard == [1, 2], "both")

    def doubt() -> None:
        here.commit(3, published=False)
        here.hub.on_doubt([LOG], "gap")

    here.origin.during = doubt
    here.hub.on_doubt([LOG], "gap")
    await until(lambda: viewer.heard == [1, 2, 3], "the one that came during the refill")


async def test_a_board_in_doubt_is_made_whole(here: Here) -> None:
    viewer = Viewer()
    await here.watch_board(viewer)
    here.move("a", 5, published=False)
    here.hub.on_doubt([BOARD], "resubscribed")
    await until(lambda: newest(viewer) == {"a": 5}, "the newest")


async def test_what_nobody_ever_published_is_found_by_the_audit(here: Here) -> None:
    viewer = Viewer()
    await here.watch_log(viewer)
    here.commit(1, 2, 3, published=False)
    await until(lambda: viewer.heard == [1, 2, 3], "what was only stored")
    assert "audit" in here.observer.refills


async def test_a_position_costs_only_the_feeds_that_want_it(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewers = {f"d{n}": Viewer() for n in range(50)}
    for key, viewer in viewers.items():
        await here.watch_board(viewer, key)
    taken: list[str] = []
    take = LatestFeed.take

    def counted(feed: LatestFeed, *args: Any) -> None:
        taken.append(feed.label)
        take(feed, *args)

    monkeypatch.setattr(LatestFeed, "take", counted)
    here.move("d7", 1)
    here.move("nobody", 1)
    await until(lambda: newest(viewers["d7"]) == {"d7": 1}, "its position")
    assert taken == ["driver:d7"]
    assert all(not viewer.heard for key, viewer in viewers.items() if key != "d7")
    for viewer in viewers.values():
        here.hub.drop(viewer.socket)
    await until(here.empty, "an empty hub")


@pytest.mark.parametrize("forged", [b"", b"[1", b'["a",1],["b",2]', b'"a\xff"', b"nul", b'["a",1]]', b"x"])
async def test_a_forged_fragment_that_is_no_json_spoils_nobodys_frames(here: Here, forged: bytes) -> None:
    viewer = Viewer()
    await here.watch_board(viewer)
    await here.watch_log(viewer)
    for channel, key in ((BOARD, "a"), (LOG, "")):
        here.hub.on_message(channel, "positions", [BusItem(key, 1, forged)], 7)
    assert here.observer.refused == ["malformed", "malformed"]
    here.move("a", 2)
    here.commit(1)
    await until(lambda: ["a", 2] in viewer.heard and 1 in viewer.heard, "what is sound")
    assert viewer.heard.count(["a", 2]) == 1


async def test_what_may_be_lost_of_a_wired_channel_is_told_to_whom_it_is_wired(here: Here) -> None:
    taken: list[BusItem] = []
    doubts: list[str] = []
    here.hub.wire("circumstances", taken.extend, lambda: doubts.append("circumstances"))
    here.hub.wire("alerts", taken.extend)
    here.hub.on_message("circumstances", "scopes", [BusItem("t1", 0, b"null")], 0)
    here.hub.on_doubt(["circumstances", "alerts", LOG], "gap")
    assert ([item.key for item in taken], doubts) == (["t1"], ["circumstances"])
