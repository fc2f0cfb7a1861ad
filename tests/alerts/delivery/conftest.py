"""A dispatcher on fakes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import pytest

from alerts.attempt import Channel
from alerts.delivery.dispatcher import Dispatcher
from alerts.delivery.routes import SLOTS, Limits, ways_of
from tests.alerts.delivery.fakes import Clock, FakeLedger, FakeProvider


async def until(what: Callable[[], bool], meaning: str, *, within_s: float = 20.0) -> None:
    """Wait until ``what`` holds."""
    try:
        async with asyncio.timeout(within_s):
            while not what():
                await asyncio.sleep(0.002)
    except TimeoutError:
        raise AssertionError(f"never: {meaning}") from None


class Start(Protocol):
    """Starts a dispatcher; further arguments are the dispatcher's own, and ``slots``."""

    def __call__(self, *providers: FakeProvider, **options: Any) -> Dispatcher: ...


@pytest.fixture
def clock() -> Clock:
    """The test's own time."""
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> FakeLedger:
    """An empty one."""
    return FakeLedger(clock)


@pytest.fixture
def sms() -> FakeProvider:
    """Takes text messages."""
    return FakeProvider(Channel.SMS)


@pytest.fixture
def push() -> FakeProvider:
    """Takes pushes."""
    return FakeProvider(Channel.PUSH)


@pytest.fixture
async def start(ledger: FakeLedger, clock: Clock) -> AsyncIterator[Start]:
    """Dispatchers that are stopped at the end."""
    started: list[Dispatcher] = []

    def begin(*providers: FakeProvider, **options: Any) -> Dispatcher:
        limits = Limits(slots=options.pop("slots", SLOTS))
        ways = ways_of({provider.channel: provider for provider in providers}, limits)
        options = {"by": f"worker{len(started)}", "poll_s": 0.01, "clock": clock, **options}
        dispatcher = Dispatcher(ledger, ways, **options)
        started.append(dispatcher)
        dispatcher.start()
        return dispatcher

    yield begin
    for dispatcher in started:
        await dispatcher.stop(grace_s=0.05)
