"""How often the truth is read again, over a fake truth that counts."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from realtime.bus.bus import BusItem
from realtime.fanout.feeds.latest import LatestState
from realtime.fanout.hub import recovery
from realtime.fanout.hub.channel import FeedChannel, LogEnd
from realtime.fanout.hub.recovery import Resync
from tests.fanout.kit import until


class Truth:
    """A board that is read; ``failures`` reads fail first."""

    def __init__(self) -> None:
        self.reads = 0
        self.failures = 0
        self.reasons: list[str] = []

    async def load_board(self, channel: str) -> Sequence[tuple[str, Sequence[BusItem]]]:
        self.reads += 1
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise OSError("away")
        return []

    async def read_log(self, channel: str, since: int, limit: int) -> list[BusItem]:
        return []

    async def log_ends(self, channels: Sequence[str]) -> dict[str, LogEnd]:
        return {}

    def refilled(self, reason: str) -> None:
        self.reasons.append(reason)

    def dropped(self, reason: str) -> None: ...
    def received(self, kind: str, items: int) -> None: ...
    def stalled(self) -> None: ...
    def delivered(self, kind: str, age_ms: int) -> None: ...


class Pause:
    """Stands for the pause between two reads: it ends when a test lets it."""

    def __init__(self) -> None:
        self.begun = 0
        self._over = asyncio.Event()

    async def sleep(self, pause_s: float) -> None:
        assert pause_s == recovery.RETRY_S
        self.begun += 1
        self._over.clear()
        await self._over.wait()

    def end(self) -> None:
        self._over.set()


class Here:
    def __init__(self, pause: Pause) -> None:
        self.truth, self.pause = Truth(), pause
        self.channel = FeedChannel("c", state=LatestState())
        self.refiller = Resync(self.truth, self.truth, lambda *_: None, lambda _: None)

    def doubt(self) -> None:
        self.refiller.refill(self.channel, "gap")


@pytest.fixture
async def here(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Here]:
    pause = Pause()

    class Asyncio:
        """asyncio, but for its sleep."""

        sleep = staticmethod(pause.sleep)

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

    monkeypatch.setattr(recovery, "asyncio", Asyncio())
    made = Here(pause)
    yield made
    await made.refiller.stop()


async def test_a_storm_of_doubts_costs_one_read_at_once_and_one_more_after_a_pause(here: Here) -> None:
    for _ in range(10_000):
        here.doubt()
    await until(lambda: here.pause.begun == 1, "the pause")
    assert here.truth.reads == 1
    for _ in range(10_000):
        here.doubt()
    await asyncio.sleep(0)
    assert here.truth.reads == 1
    here.pause.end()
    await until(lambda: here.pause.begun == 2, "the second pause")
    assert here.truth.reads == 2, "no doubt is forgotten"
    assert here.truth.reasons == ["gap", "gap"]


async def test_without_a_new_doubt_it_is_read_once_and_the_next_doubt_is_heard_at_once(here: Here) -> None:
    here.doubt()
    await until(lambda: here.pause.begun == 1, "the pause")
    here.pause.end()
    await until(lambda: here.channel.refilling is not None and here.channel.refilling.done(), "the end")
    assert here.truth.reads == 1
    here.doubt()
    await until(lambda: here.truth.reads == 2, "the next")


async def test_a_read_that_fails_is_tried_again_after_a_pause(here: Here) -> None:
    here.truth.failures = 2
    here.doubt()
    for number in (1, 2, 3):
        await until(lambda number=number: here.pause.begun == number, "a pause")  # type: ignore[misc]
        assert here.truth.reads == number
        here.pause.end()
    await until(lambda: here.channel.refilling is not None and here.channel.refilling.done(), "the end")
    assert here.truth.reads == 3


async def test_a_channel_that_is_being_opened_is_read_by_its_opener(here: Here) -> None:
    here.channel.state = None
    here.doubt()
    assert here.channel.doubted
    assert here.channel.refilling is None
    assert here.truth.reads == 0


async def test_stopping_leaves_no_task_behind(here: Here) -> None:
    here.doubt()
    await until(lambda: here.pause.begun == 1, "the pause")
    await here.refiller.stop()
    assert here.channel.refilling is not None and here.channel.refilling.done()
