"""Joining, leaving and refilling, over a fake bus and a fake truth with gates and failures."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from realtime.fanout import hub as hub_module
from realtime.fanout import refill
from realtime.fanout.bus import Item, Listener, RedisBus
from realtime.fanout.channel import LogEnd
from realtime.fanout.engine import EngineSocket
from realtime.fanout.feeds import ConflatedFeed
from realtime.fanout.frames import Frame
from realtime.fanout.hub import Hub
from tests.fanout.kit import until

LOG, BOARD = "j:t1/j", "v:t1/v"
LIMIT = 10_000


@dataclass
class FakeBus:
    """Counts who is subscribed. ``confirms`` False: as with Redis away."""

    confirms: bool = True
    is_up: bool = True
    subscribed: list[str] = field(default_factory=list)
    during: Any = None

    def start(self, listener: Listener) -> None: ...

    async def stop(self) -> None: ...

    async def subscribe(self, channel: str, timeout_s: float) -> bool:
        self.subscribed.append(channel)
        if self.during is not None:
            self.during()
        await asyncio.sleep(0)
        return self.confirms

    async def unsubscribe(self, channel: str) -> None:
        self.subscribed.remove(channel)


@dataclass
class FakeOrigin:
    """The truth: a log of ``length`` entries and a board. ``during`` is called inside each read, after the
    truth was looked at; ``failures`` are raised by the next reads.
    """

    length: int = 0
    board: dict[str, int] = field(default_factory=dict)
    during: Any = None
    failures: int = 0
    reads: int = 0

    async def _look(self) -> None:
        self.reads += 1
        if self.failures:
            self.failures -= 1
            raise OSError("away")
        await asyncio.sleep(0)
        if self.during is not None:
            during, self.during = self.during, None
            during()
        await asyncio.sleep(0)

    async def load_board(self, channel: str) -> Sequence[tuple[str, Sequence[Item]]]:
        items = [spot(key, order) for key, order in self.board.items()]
        await self._look()
        return [("positions", items)]

    async def read_log(self, channel: str, since: int, limit: int) -> list[Item]:
        items = entries(range(since + 1, min(self.length, since + limit) + 1))
        await self._look()
        return items

    async def log_ends(self, channels: Sequence[str]) -> dict[str, LogEnd]:
        ends = {channel: LogEnd(self.length) for channel in channels}
        await self._look()
        return ends


def entries(numbers: Sequence[int]) -> list[Item]:
    return [Item("", n, str(n).encode()) for n in numbers]


def spot(key: str, order: int) -> Item:
    return Item(key, order, json.dumps([key, order]).encode())


class Observer:
    def __init__(self) -> None:
        self.refills: list[str] = []
        self.refused: list[str] = []
        self.stalls = 0

    def refilled(self, reason: str) -> None:
        self.refills.append(reason)

    def dropped(self, reason: str) -> None:
        self.refused.append(reason)

    def received(self, kind: str, items: int) -> None: ...
    def delivered(self, kind: str, age_ms: int) -> None: ...

    def stalled(self) -> None:
        self.stalls += 1


@dataclass
class FakeServer:
    buffer_limit_bytes: int = LIMIT


@dataclass(eq=False)
class Viewer:
    """A fake member: what it was told by snapshot and by events."""

    server: FakeServer = field(default_factory=FakeServer)
    buffered_bytes: int = 0
    is_leaving: bool = False
    wire: None = None
    heard: list[Any] = field(default_factory=list)

    @property
    def socket(self) -> EngineSocket:
        return cast(EngineSocket, self)

    def write(self, frame: Frame) -> None:
        name, _, argument = json.loads(frame.packet.partition(b",")[2])
        self.heard += argument if name == "positions" else [(name, argument)]


class Here:
    """A hub and everything around it."""

    def __init__(self) -> None:
        self.bus, self.origin, self.observer = FakeBus(), FakeOrigin(), Observer()
        self.cut: list[EngineSocket] = []
        self.hub = Hub(
            cast(RedisBus, self.bus),
            self.origin,
            self.observer,
            namespace="/watch",
            tick_s=0.005,
            buffer_limit_bytes=LIMIT,
            stall_s=0.05,
            on_stalled=self.cut.append,
            now_ms=lambda: 7,
        )
        self.hub.start()

    async def watch_log(self, viewer: Viewer, since: int | None = 0) -> None:
        joined = await self.hub.join_log(LOG, "journey:j", viewer.socket, since)
        viewer.heard += [int(fragment) for fragment in joined.fragments]

    async def watch_board(self, viewer: Viewer, key: str | None = None) -> None:
        label = f"driver:{key}" if key else "vendor:v"
        snapshot = await self.hub.join_board(BOARD, label, key, viewer.socket)
        viewer.heard += [json.loads(fragment) for fragment in snapshot.get("positions", [])]

    def commit(self, *numbers: int, published: bool = True) -> None:
        """Entries are stored and, unless the instance died in between, published."""
        self.origin.length = max(self.origin.length, *numbers)
        if published:
            self.hub.on_message(LOG, "positions", entries(numbers), 7)

    def move(self, key: str, order: int, published: bool = True) -> None:
        self.origin.board[key] = order
        if published:
            self.hub.on_message(BOARD, "positions", [spot(key, order)], 7)

    def empty(self) -> bool:
        counts = self.hub.counts()
        return counts.channels == 0 and not self.bus.subscribed and not self.hub._memberships


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    monkeypatch.setattr(refill, "RETRY_S", 0.01)
    monkeypatch.setattr(hub_module, "AUDIT_S", 0.05)
    made = Here()
    yield made
    await made.hub.stop()


def newest(viewer: Viewer) -> dict[str, int]:
    known: dict[str, int] = {}
    for key, order in viewer.heard:
        assert order >= known.get(key, order), "an older position after a newer one"
        known[key] = order
    return known


@pytest.mark.parametrize("reads_before", [0, 1])
async def test_a_log_is_joined_without_a_hole_when_entries_come_during_the_reads(
    here: Here, reads_before: int
) -> None:
    here.commit(1, 2, 3)
    viewer = Viewer()

    def more() -> None:
        here.commit(4, 5)
        if reads_before:
            here.origin.during = lambda: here.commit(6, 7)

    here.origin.during = more
    await here.watch_log(viewer)
    here.commit(8)
    last = here.origin.length
    await until(lambda: viewer.heard[-1:] == [last], "the last entry")
    assert viewer.heard == list(range(1, last + 1))


async def test_entries_that_come_while_subscribing_are_not_lost_nor_doubled(here: Here) -> None:
    here.bus.during = lambda: here.commit(1, 2)
    viewer = Viewer()
    await here.watch_log(viewer)
    here.commit(3)
    await until(lambda: viewer.heard[-1:] == [3], "the last entry")
    assert viewer.heard == [1, 2, 3]


async def test_a_board_is_joined_without_a_hole_when_positions_come_meanwhile(here: Here) -> None:
    """One while it subscribes, which the truth does not show yet; one during the read, looked at before."""
    here.origin.board = {"a": 1, "b": 1}
    here.bus.during = lambda: here.hub.publish(BOARD, "positions", [spot("a", 2)], 7)
    here.origin.during = lambda: here.hub.publish(BOARD, "positions", [spot("b", 2)], 7)
    viewer = Viewer()
    await here.watch_board(viewer)
    await until(lambda: newest(viewer) == {"a": 2, "b": 2}, "the newest")


async def test_more_than_can_be_kept_while_a_channel_opens_is_read_again(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "EARLY_MESSAGES", 3)
    here.bus.during = lambda: [here.move(f"d{n}", 1) for n in range(10)]
    viewer = Viewer()
    await here.watch_board(viewer)
    await until(lambda: len(newest(viewer)) == 10, "all of them")


async def test_two_joiners_at_once_open_once_and_both_are_told_all(here: Here) -> None:
    here.commit(*range(1, 11))
    viewers = [Viewer() for _ in range(5)]
    here.origin.during = lambda: here.commit(11)
    await asyncio.gather(*(here.watch_log(viewer) for viewer in viewers))
    here.commit(12)
    for viewer in viewers:
        await until(lambda v=viewer: v.heard[-1:] == [12], "the last")  # type: ignore[misc]
        assert viewer.heard == list(range(1, 13))
    assert here.bus.subscribed == [LOG]


async def test_the_last_viewer_takes_the_subscription_with_it(here: Here) -> None:
    one, two = Viewer(), Viewer()
    await here.watch_log(one)
    await here.watch_log(two)
    await here.watch_board(one)
    await here.watch_board(one, "a")
    assert sorted(here.bus.subscribed) == [LOG, BOARD]
    assert here.hub.leave("journey:j", one.socket)
    assert not here.hub.leave("journey:j", one.socket)
    assert LOG in here.bus.subscribed
    here.hub.drop(one.socket)
    here.hub.drop(two.socket)
    await until(here.empty, "an empty hub")


async def test_leaving_during_the_join_leaves_nothing(here: Here) -> None:
    viewer = Viewer()

    def leave() -> None:
        viewer.is_leaving = True
        here.hub.drop(viewer.socket)

    here.origin.during = leave
    await here.watch_log(viewer)
    await until(here.empty, "an empty hub")
    viewer.is_leaving = False
    here.origin.during = leave
    await here.watch_board(viewer)
    await until(here.empty, "an empty hub")


async def test_a_join_that_fails_leaves_nothing_and_the_next_one_works(here: Here) -> None:
    for join in (here.watch_log, here.watch_board):
        here.origin.failures = 1
        with pytest.raises(OSError, match="away"):
            await join(Viewer())
        await until(here.empty, "an empty hub")
        await join(Viewer())
        here.hub.drop(next(iter(here.hub._memberships._of)))
        await until(here.empty, "an empty hub")


async def test_watching_again_starts_over_and_counts_once(here: Here) -> None:
    here.commit(1, 2, 3)
    viewer = Viewer()
    for _ in range(3):
        viewer.heard.clear()
        await here.watch_log(viewer)
        assert viewer.heard == [1, 2, 3]
    here.commit(4)
    await until(lambda: viewer.heard == [1, 2, 3, 4], "the next, once")
    here.hub.drop(viewer.socket)
    await until(here.empty, "an empty hub")


async def test_from_where_it_was_and_from_now_on_and_from_the_future(here: Here) -> None:
    here.commit(*range(1, 11))
    some, live = Viewer(), Viewer()
    await here.watch_log(some, 7)
    await here.watch_log(live, None)
    here.commit(11)
    await until(lambda: some.heard == [8, 9, 10, 11] and live.heard == [10, 11], "each its part")
    with pytest.raises(ValueError, match="beyond"):
        await here.watch_log(Viewer(), 99)


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


async def test_a_reader_that_falls_behind_gets_all_of_a_log_once(here: Here) -> None:
    slow, fast = Viewer(), Viewer()
    await here.watch_log(slow)
    await here.watch_log(fast)
    slow.buffered_bytes = LIMIT // 2 + 1  # too much for paying what is owed, not too much to be written to
    here.commit(1)
    await until(lambda: slow.heard == [1], "the first")
    slow.buffered_bytes = LIMIT + 1
    here.commit(*range(2, 3_002))
    await until(lambda: fast.heard[-1:] == [3_001], "the fast one")
    assert slow.heard == [1]
    slow.buffered_bytes = 0
    await until(lambda: slow.heard[-1:] == [3_001], "the slow one")
    assert slow.heard == fast.heard == list(range(1, 3_002))


async def test_no_progress_for_too_long_is_the_end(here: Here) -> None:
    stuck, fine = Viewer(), Viewer()
    await here.watch_board(stuck)
    await here.watch_board(fine)
    stuck.buffered_bytes = LIMIT + 1
    here.move("a", 1)
    await until(lambda: here.cut, "the cut")
    assert set(here.cut) == {stuck.socket}
    assert newest(fine) == {"a": 1}
    here.hub.drop(stuck.socket)
    assert here.hub.counts().behind == 0


async def test_a_position_costs_only_the_feeds_that_want_it(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    viewers = {f"d{n}": Viewer() for n in range(50)}
    for key, viewer in viewers.items():
        await here.watch_board(viewer, key)
    taken: list[str] = []
    take = ConflatedFeed.take

    def counted(feed: ConflatedFeed, *args: Any) -> None:
        taken.append(feed.label)
        take(feed, *args)

    monkeypatch.setattr(ConflatedFeed, "take", counted)
    here.move("d7", 1)
    here.move("nobody", 1)
    await until(lambda: newest(viewers["d7"]) == {"d7": 1}, "its position")
    assert taken == ["driver:d7"]
    assert all(not viewer.heard for key, viewer in viewers.items() if key != "d7")
    for viewer in viewers.values():
        here.hub.drop(viewer.socket)
    await until(here.empty, "an empty hub")


async def test_nobody_is_looked_at_who_is_not_behind(here: Here) -> None:
    slow, fast = Viewer(), Viewer()
    await here.watch_log(slow)
    await here.watch_log(fast)
    feeds = here.hub._laggards._feeds
    here.commit(1)
    await until(lambda: slow.heard == fast.heard == [1], "the first")
    assert not feeds
    slow.buffered_bytes = LIMIT + 1
    here.commit(2)
    await until(lambda: here.hub.counts().behind == 1, "one is behind")
    assert [feed.behind() for feed in feeds] == [[slow.socket]]
    slow.buffered_bytes = 0
    await until(lambda: slow.heard == [1, 2] and not feeds, "nobody is")
    assert here.hub.counts().behind == 0


async def test_with_redis_away_viewers_of_this_instance_go_on(here: Here) -> None:
    here.bus.confirms = here.bus.is_up = False
    viewer = Viewer()
    await here.watch_board(viewer)
    here.hub.publish(BOARD, "positions", [spot("a", 1)], 7)
    await until(lambda: newest(viewer) == {"a": 1}, "the position")


async def test_many_come_and_go_and_nothing_is_left(here: Here) -> None:
    async def visit(number: int) -> None:
        viewer = Viewer()
        joins = [here.watch_log(viewer), here.watch_board(viewer), here.watch_board(viewer, "a")]
        tasks = [asyncio.ensure_future(join) for join in joins]
        for _ in range(number % 7):
            await asyncio.sleep(0)
        if number % 3 == 0:
            viewer.is_leaving = True
            here.hub.drop(viewer.socket)
        await asyncio.gather(*tasks)
        here.commit(here.origin.length + 1)
        here.hub.drop(viewer.socket)

    await asyncio.gather(*(visit(number) for number in range(200)))
    await until(here.empty, "an empty hub")


@pytest.mark.parametrize("forged", [b"", b"[1", b'["a",1],["b",2]', b'"a\xff"', b"nul", b'["a",1]]', b"x"])
async def test_a_forged_fragment_that_is_no_json_spoils_nobodys_frames(here: Here, forged: bytes) -> None:
    viewer = Viewer()
    await here.watch_board(viewer)
    await here.watch_log(viewer)
    for channel, key in ((BOARD, "a"), (LOG, "")):
        here.hub.on_message(channel, "positions", [Item(key, 1, forged)], 7)
    assert here.observer.refused == ["malformed", "malformed"]
    here.move("a", 2)
    here.commit(1)
    await until(lambda: ["a", 2] in viewer.heard and 1 in viewer.heard, "what is sound")
    assert viewer.heard.count(["a", 2]) == 1


async def test_an_announcement_waits_for_no_tick_and_skips_no_slow_member(here: Here) -> None:
    board, key, other, log = Viewer(), Viewer(), Viewer(), Viewer()
    await here.watch_board(board)
    await here.watch_board(key, "a")
    await here.watch_board(other, "b")
    await here.watch_log(log)
    board.buffered_bytes = log.buffered_bytes = LIMIT + 1
    here.hub.announce([BOARD, LOG, "v:t1/unwatched"], "alert", "a", lambda member: b"1")
    assert (board.heard, key.heard, other.heard, log.heard) == (
        [("alert", 1)],
        [("alert", 1)],
        [],
        [("alert", 1)],
    )


async def test_an_announcement_tells_each_member_what_it_may_know(here: Here) -> None:
    whole, part, none = Viewer(), Viewer(), Viewer()
    for viewer in (whole, part, none):
        await here.watch_board(viewer)
    may = {whole.socket: b"2", part.socket: b"1"}
    here.hub.announce([BOARD], "alert", "a", may.get)
    assert (whole.heard, part.heard, none.heard) == ([("alert", 2)], [("alert", 1)], [])


async def test_a_member_that_does_not_take_an_announcement_is_cut_off(here: Here) -> None:
    stuck = Viewer()
    await here.watch_board(stuck)
    stuck.buffered_bytes = LIMIT + 1
    here.hub.announce([BOARD], "alert", "a", lambda member: b"1")
    await until(lambda: stuck.socket in here.cut, "the end of a member that takes nothing")
    assert here.observer.stalls >= 1
