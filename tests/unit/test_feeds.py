"""Feeds over fake sockets whose unread bytes can be set: who is skipped, and what is owed to them."""

import json
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from realtime.bus.bus import BusItem
from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.feeds.feed import LOG_PAGE, LatestFeed, LogFeed
from realtime.fanout.feeds.latest import LatestState
from realtime.fanout.feeds.log import TAIL_ENTRIES, LogState

LIMIT = 1_000
NOW_MS = 1_790_000_000_000


@dataclass
class FakeServer:
    buffer_limit_bytes: int = LIMIT


@dataclass(eq=False)
class FakeSocket:
    """Remembers what is written; ``buffered_bytes`` is how much of it counts as unread."""

    server: FakeServer = field(default_factory=FakeServer)
    buffered_bytes: int = 0
    wire: None = None
    written: list[Frame] = field(default_factory=list)

    def write(self, frame: Frame) -> None:
        self.written.append(frame)

    def events(self) -> list[tuple[str, Any]]:
        """(name, second argument) of each event, and forget them."""
        frames, self.written = self.written, []
        decoded = [json.loads(frame.packet.partition(b",")[2]) for frame in frames]
        return [(name, argument) for name, _, argument in decoded]


def member() -> tuple[FakeSocket, EngineSocket]:
    fake = FakeSocket()
    return fake, cast(EngineSocket, fake)


def position(key: str, order: int) -> BusItem:
    return BusItem(key, order, json.dumps([key, order]).encode())


@dataclass
class Conflated:
    """A board and one feed of it, fed as the hub does."""

    key: str | None = None
    board: LatestState = field(default_factory=LatestState)

    def __post_init__(self) -> None:
        self.feed = LatestFeed("/watch", "vendor:v1", self.board, self.key, "positions")

    def say(self, kind: str, *items: BusItem) -> None:
        if taken := self.board.apply(kind, items):
            self.feed.take(kind, taken, LIMIT, NOW_MS)

    def tick(self) -> None:
        self.feed.tick(LIMIT)


def test_positions_gather_until_the_tick_and_go_out_as_one_frame_the_same_for_all() -> None:
    here = Conflated()
    (first, one), (second, two) = member(), member()
    here.feed.members |= {one, two}
    here.say("positions", position("a", 1), position("b", 1))
    here.say("positions", position("a", 2))
    assert first.written == []
    here.tick()
    assert first.written[0] is second.written[0], "encoded and framed once"
    assert first.events() == [("positions", [["a", 2], ["b", 1]])]
    here.tick()
    assert first.events() == []


def test_other_kinds_do_not_wait() -> None:
    here = Conflated()
    fake, one = member()
    here.feed.members.add(one)
    here.say("presence", position("a", 1))
    assert fake.events() == [("presence", ["a", 1])]


def test_a_feed_of_one_driver_hears_of_that_driver_alone() -> None:
    here = Conflated(key="a")
    fake, one = member()
    here.feed.members.add(one)
    here.say("positions", position("a", 1), position("b", 1))
    here.say("presence", position("b", 1))
    here.tick()
    assert fake.events() == [("positions", [["a", 1]])]


def test_a_member_that_is_behind_is_skipped_and_then_paid_the_difference() -> None:
    here = Conflated()
    (slow, one), (fast, two) = member(), member()
    here.feed.members |= {one, two}
    here.say("positions", position("a", 1), position("b", 1))
    here.tick()
    slow.events()
    slow.buffered_bytes = LIMIT + 1
    for order in (2, 3):
        here.say("positions", position("a", order))
        here.tick()
    here.say("presence", position("c", 9))
    assert slow.events() == []
    assert len(fast.events()) == 4
    slow.buffered_bytes = 0
    here.say("positions", position("d", 1))
    here.tick()
    assert slow.events() == [], "what is owed comes first"
    here.feed.pay(one)
    assert sorted(slow.events()) == [("positions", [["a", 3], ["d", 1]]), ("presence", ["c", 9])]
    here.say("positions", position("a", 4))
    here.tick()
    assert slow.events() == [("positions", [["a", 4]])]


def test_falling_behind_at_another_kind_costs_no_gathered_position() -> None:
    here = Conflated()
    fake, one = member()
    here.feed.members.add(one)
    here.say("positions", position("a", 1))
    fake.buffered_bytes = LIMIT + 1
    here.say("presence", position("c", 1))  # not a's position has been written yet
    fake.buffered_bytes = 0
    here.tick()
    here.feed.pay(one)
    assert sorted(fake.events()) == [("positions", [["a", 1]]), ("presence", ["c", 1])]


def test_a_member_that_has_left_is_owed_nothing() -> None:
    here = Conflated()
    fake, one = member()
    here.feed.members.add(one)
    fake.buffered_bytes = LIMIT + 1
    here.say("presence", position("a", 1))
    here.feed.leave(one)
    assert here.feed.owed == {}
    here.feed.leave(one)


# --- logs


@dataclass
class Log:
    """A log and its feed."""

    through: int = 0

    def __post_init__(self) -> None:
        self.state = LogState(self.through)
        self.feed = LogFeed("/watch", "journey:j", self.state, "positions")

    def say(self, *numbers: int) -> None:
        self.state.offer([BusItem("", n, str(n).encode()) for n in numbers])

    def tick(self) -> None:
        self.feed.tick(LIMIT)


def read(fake: FakeSocket) -> list[int]:
    return [number for _, numbers in fake.events() for number in numbers]


def test_entries_go_out_at_the_tick_in_order_and_once() -> None:
    log = Log()
    fake, one = member()
    log.feed.members[one] = 0
    log.say(2, 1, 1, 4)
    log.tick()
    log.say(3)
    log.tick()
    log.tick()
    assert read(fake) == [1, 2, 3, 4]
    assert log.feed.behind() == []


def test_a_member_that_is_ahead_of_the_tick_hears_nothing_twice() -> None:
    log = Log()
    fake, one = member()
    log.say(1, 2, 3)
    log.feed.members[one] = 3  # its snapshot was read while these waited for the tick
    log.tick()
    assert read(fake) == []
    log.say(4)
    log.tick()
    assert read(fake) == [4]


def test_a_member_in_between_is_paged_from_where_it_is() -> None:
    log = Log()
    fake, one = member()
    log.say(*range(1, 8))
    log.feed.members[one] = 5
    log.tick()
    assert log.feed.behind() == [one]
    fragments = log.state.after(5, LOG_PAGE)
    assert fragments is not None
    log.feed.page(one, fragments)
    assert read(fake) == [6, 7]
    assert log.feed.behind() == []


def test_a_slow_member_is_skipped_and_the_others_are_not() -> None:
    log = Log()
    (slow, one), (fast, two) = member(), member()
    log.feed.members.update({one: 0, two: 0})
    slow.buffered_bytes = LIMIT + 1
    log.say(1, 2)
    log.tick()
    slow.buffered_bytes = 0
    log.say(3)
    log.tick()
    assert read(fast) == [1, 2, 3]
    assert read(slow) == []
    assert log.feed.behind() == [one]


def test_more_than_a_page_goes_out_in_pages() -> None:
    log = Log()
    fake, one = member()
    log.feed.members[one] = 0
    log.say(*range(1, LOG_PAGE * 2 + 4))
    log.tick()
    assert [len(numbers) for _, numbers in fake.events()] == [LOG_PAGE, LOG_PAGE, 3]


def test_a_refill_longer_than_the_memory_leaves_members_to_page_for_themselves() -> None:
    log = Log()
    fake, one = member()
    log.feed.members[one] = 0
    log.say(*range(1, TAIL_ENTRIES + 101))
    log.tick()
    assert read(fake) == []
    assert log.feed.behind() == [one]
    assert log.state.after(0, LOG_PAGE) is None
    log.say(TAIL_ENTRIES + 101)
    log.tick()
    assert read(fake) == [], "nothing new before what is missing"


@pytest.mark.parametrize("slow", [False, True])
def test_news_about_the_log_come_after_its_entries(slow: bool) -> None:
    log = Log()
    fake, one = member()
    log.feed.members[one] = 0
    log.say(1)
    log.tick()
    fake.buffered_bytes = LIMIT + 1 if slow else 0
    log.feed.note("journey", b'{"state":"ended"}')
    assert [name for name, _ in fake.events()] == ["positions", "journey"]


def test_news_about_the_log_wait_for_the_entries_a_member_has_still_to_get() -> None:
    log = Log()
    fake, one = member()
    log.feed.members[one] = 0
    fake.buffered_bytes = LIMIT + 1
    log.say(1, 2)
    log.tick()
    log.feed.note("journey", b'{"state":"ended"}')
    assert fake.events() == []
    fake.buffered_bytes = 0
    fragments = log.state.after(0, LOG_PAGE)
    assert fragments is not None
    log.feed.page(one, fragments)
    assert [name for name, _ in fake.events()] == ["positions", "journey"]
