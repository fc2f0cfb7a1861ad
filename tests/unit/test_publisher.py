"""The way out of an instance over a fake bus and state: nothing newest is lost, whatever Redis does."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisAway

from realtime.bus.bus import BusItem, Message, RedisBus
from realtime.live.publisher import LivePublisher
from realtime.live.redis_state import LiveState, StoredValue
from realtime.protocol import Code, Refused

CHANNEL = "v:t1/v1"


class FakeBus:
    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.fails: BaseException | None = None
        self.gate: asyncio.Event | None = None

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.fails is not None:
            raise self.fails
        self.sent += messages


class FakeState:
    fails: BaseException | None = None

    async def write_many(self, writes: Sequence[tuple[str, str, str, Sequence[StoredValue]]]) -> None:
        if self.fails is not None:
            raise self.fails


def spot(driver: str, order: int) -> BusItem:
    return BusItem(driver, order, f"{driver}@{order}".encode())


class Here:
    def __init__(self) -> None:
        self.bus = FakeBus()
        self.state = FakeState()
        self.publisher = LivePublisher(
            None, cast(RedisBus, self.bus), cast(LiveState, self.state), now_ms=lambda: 7, flush_s=0.001
        )

    def move(self, driver: str, order: int) -> None:
        self.publisher.conflated("t1", "v1", "positions", spot(driver, order), "7")

    def unsent(self) -> dict[str, int]:
        known: dict[str, int] = {}
        for _, items in self.publisher.unsent(CHANNEL):
            for item in items:
                known[item.key] = max(item.order, known.get(item.key, 0))
        return known


@pytest.fixture
def here() -> Here:
    return Here()


async def test_what_is_not_sent_yet_can_be_asked_for_also_while_it_is_being_sent(here: Here) -> None:
    here.move("a", 1)
    assert here.unsent() == {"a": 1}
    assert here.publisher.unsent("v:t2/v1") == []
    here.bus.gate = asyncio.Event()
    flushing = asyncio.ensure_future(here.publisher.flush())
    await asyncio.sleep(0)
    here.move("b", 1)
    assert here.unsent() == {"a": 1, "b": 1}
    here.bus.gate.set()
    assert await flushing
    assert here.unsent() == {"b": 1}
    assert await here.publisher.flush()
    assert here.unsent() == {}


@pytest.mark.parametrize("fault", [RedisAway("away"), TimeoutError(), OSError("reset")])
async def test_with_redis_away_the_newest_is_kept_and_an_older_one_never_comes_back(
    here: Here, fault: BaseException
) -> None:
    here.move("a", 1)
    here.move("b", 1)
    here.bus.fails = fault
    here.bus.gate = asyncio.Event()
    flushing = asyncio.ensure_future(here.publisher.flush())
    await asyncio.sleep(0)
    here.move("a", 2)
    here.bus.gate.set()
    assert not await flushing
    assert here.unsent() == {"a": 2, "b": 1}
    here.bus.fails = None
    assert await here.publisher.flush()
    assert [(i.key, i.order) for m in here.bus.sent for i in m.items] == [("a", 2), ("b", 1)]


async def test_viewers_do_not_wait_for_what_newcomers_will_read(here: Here) -> None:
    here.state.fails = Refused(Code.UNAVAILABLE, "the live state is unavailable")
    here.move("a", 1)
    assert not await here.publisher.flush()
    assert [item.key for message in here.bus.sent for item in message.items] == ["a"]
    assert here.unsent() == {"a": 1}, "kept until newcomers can read it too"
    here.state.fails = None
    assert await here.publisher.flush()
    assert here.unsent() == {}


async def test_an_error_nobody_thought_of_does_not_end_the_publishing(here: Here) -> None:
    here.bus.fails = RuntimeError("a bug")
    here.publisher.start()
    here.move("a", 1)
    while here.bus.fails is not None:
        await asyncio.sleep(0.005)
        if here.unsent() == {"a": 1} and here.publisher._task is not None:
            here.bus.fails = None
    async with asyncio.timeout(20):
        while not here.bus.sent:
            await asyncio.sleep(0.005)
    await here.publisher.stop()
    assert here.unsent() == {}


async def test_stopping_in_the_middle_loses_nothing(here: Here) -> None:
    here.bus.gate = asyncio.Event()
    here.publisher.start()
    here.move("a", 1)
    async with asyncio.timeout(20):
        while not here.publisher._sending:
            await asyncio.sleep(0.001)
    stopping: Any = asyncio.ensure_future(here.publisher.stop())
    await asyncio.sleep(0)
    here.bus.gate.set()
    await stopping
    assert [(i.key, i.order) for m in here.bus.sent for i in m.items][-1] == ("a", 1)
