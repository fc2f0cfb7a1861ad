"""The tick keeps its period: a late one does not move the next, and those it has missed are left out."""

import asyncio
import contextlib
from typing import Any

import pytest

from realtime.fanout.hub.ticker import Ticker


class Clock:
    """A loop's time that passes only while somebody sleeps, or when a tick takes long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000.0
        self.begun_s = self.now_s
        monkeypatch.setattr(asyncio, "sleep", self._sleep)
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: self)

    def time(self) -> float:
        return self.now_s

    async def _sleep(self, pause_s: float) -> None:
        self.now_s += pause_s

    def after_s(self) -> float:
        return round(self.now_s - self.begun_s, 6)


class Enough(BaseException):
    """Ends a ticker from inside."""


def ticks(clock: Clock, took_s: list[float]) -> tuple[list[float], list[float]]:
    """When each tick came, and how late it was said to be; tick ``n`` takes ``took_s[n]``."""
    came: list[float] = []
    late: list[float] = []

    def action() -> None:
        came.append(clock.after_s())
        if len(came) > len(took_s):
            raise Enough
        clock.now_s += took_s[len(came) - 1]

    run: Any = Ticker(0.1, action, lambda late_s: late.append(round(late_s, 6))).run()
    with contextlib.suppress(Enough):
        run.send(None)
    return came, late


def test_what_a_tick_takes_does_not_move_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    came, late = ticks(Clock(monkeypatch), [0.0, 0.03, 0.09, 0.0])
    assert came == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert late == [0.0] * 5


def test_a_late_tick_is_followed_at_the_old_beat_and_missed_ones_are_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    came, late = ticks(Clock(monkeypatch), [0.13, 0.0, 0.35, 0.0])
    assert came == [0.1, 0.23, 0.3, 0.65, 0.7]
    assert late == [0.0, 0.03, 0.0, 0.25, 0.0]


async def test_a_fault_of_one_tick_is_not_the_end() -> None:
    calls: list[int] = []

    def action() -> None:
        calls.append(1)
        raise ValueError("a fault")

    task = asyncio.ensure_future(Ticker(0.001, action).run())
    while len(calls) < 3:
        await asyncio.sleep(0.001)
    task.cancel()
