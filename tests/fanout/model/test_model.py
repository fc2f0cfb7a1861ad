"""Whatever viewers, instances and the bus do, each viewer is told exactly what the model says, in order.

A log's member gets every entry after where it began, once; a board's member ends with the newest of each key
and never sees one go back; who leaves is told nothing more; and nothing is left when everybody has gone.
"""

import asyncio
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fanout.model.client import Viewer
from tests.fanout.model.world import BOARDS, LOGS, World, world

EXAMPLE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Connect:
    slot: int
    instance: int
    polling: bool

    async def play(self, on: World) -> None:
        if self.slot not in on.slots:
            viewer = on.slots[self.slot] = Viewer(on.instances[self.instance].port, polling=self.polling)
            await viewer.open()


@dataclass(frozen=True)
class Join:
    slot: int
    label: str
    back: int | None
    """How many entries before the end to begin at; None: wherever the log is."""

    async def play(self, on: World) -> None:
        viewer = on.slots.get(self.slot)
        if viewer is None or viewer.stalled:
            return
        since = None
        if self.back is not None and self.label in LOGS:
            since = max(0, len(on.truth.logs[self.label]) - self.back)
        viewer.join(self.label, since)


@dataclass(frozen=True)
class Leave:
    slot: int
    label: str

    async def play(self, on: World) -> None:
        viewer = on.slots.get(self.slot)
        if viewer is not None and not viewer.stalled:
            await viewer.leave(self.label)


@dataclass(frozen=True)
class Go:
    slot: int
    politely: bool

    async def play(self, on: World) -> None:
        viewer = on.slots.pop(self.slot, None)
        if viewer is not None:
            await viewer.close(politely=self.politely)
            assert viewer.faults == []


@dataclass(frozen=True)
class Upgrade:
    slot: int
    count: int
    """Entries that are published while neither transport is read."""

    async def play(self, on: World) -> None:
        async def publish() -> None:
            await Append(0, LOGS[0], self.count, lost=False).play(on)
            await asyncio.sleep(0.02)

        if (viewer := on.slots.get(self.slot)) is not None:
            await viewer.upgrade(publish)


@dataclass(frozen=True)
class Stall:
    slot: int

    async def play(self, on: World) -> None:
        viewer = on.slots.get(self.slot)
        if viewer is not None:
            await viewer.settled()  # who waits for an answer reads
            viewer.stall()


@dataclass(frozen=True)
class Resume:
    slot: int

    async def play(self, on: World) -> None:
        if (viewer := on.slots.get(self.slot)) is not None:
            viewer.resume()


@dataclass(frozen=True)
class Append:
    instance: int
    label: str
    count: int
    lost: bool

    async def play(self, on: World) -> None:
        items = [on.truth.append(self.label) for _ in range(self.count)]
        await on.publish(self.instance, self.label, items, lost=self.lost)


@dataclass(frozen=True)
class Move:
    instance: int
    key: str
    order: int

    async def play(self, on: World) -> None:
        item = on.truth.move(self.key, self.order)
        await on.publish(self.instance, BOARDS[0], [item], lost=False)


@dataclass(frozen=True)
class LoseBus:
    async def play(self, on: World) -> None:
        await on.lose_bus()


@dataclass(frozen=True)
class Settle:
    async def play(self, on: World) -> None:
        await on.settle()


@dataclass(frozen=True)
class Pause:
    ms: int

    async def play(self, on: World) -> None:
        await asyncio.sleep(self.ms / 1000)


Step = Connect | Join | Leave | Go | Upgrade | Stall | Resume | Append | Move | LoseBus | Settle | Pause
SLOTS = st.integers(0, 3)
INSTANCES = st.integers(0, 1)
LABELS = st.sampled_from(LOGS + BOARDS)
JOINS = st.builds(Join, SLOTS, LABELS, st.none() | st.integers(0, 60))
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(Connect, SLOTS, INSTANCES, st.booleans()),
    JOINS,
    JOINS,
    st.builds(Leave, SLOTS, LABELS),
    st.builds(Go, SLOTS, st.booleans()),
    st.builds(Upgrade, SLOTS, st.integers(0, 40)),
    st.builds(Stall, SLOTS),
    st.builds(Resume, SLOTS),
    st.builds(Append, INSTANCES, st.sampled_from(LOGS), st.integers(1, 120), st.booleans()),
    st.builds(Append, INSTANCES, st.sampled_from(LOGS), st.integers(1, 120), st.just(False)),
    st.builds(Move, INSTANCES, st.sampled_from("abc"), st.integers(1, 30)),
    st.builds(Move, INSTANCES, st.sampled_from("abc"), st.integers(1, 30)),
    st.builds(LoseBus),
    st.builds(Settle),
    st.builds(Pause, st.integers(0, 30)),
)
PROLOGUE: list[Step] = [
    Connect(0, 0, polling=False),
    Connect(1, 1, polling=False),
    Connect(2, 1, polling=True),
    Join(0, LOGS[0], 0),
    Join(1, LOGS[0], 0),
    Join(2, LOGS[0], 0),
    Join(1, BOARDS[0], None),
    Join(2, BOARDS[1], None),
]
"""Viewers to begin with, so that most of what follows has somebody to be seen by."""
SCRIPTS = st.lists(STEPS, min_size=25, max_size=80).map(lambda steps: [*PROLOGUE, *steps])


async def play(script: list[Step], redis_url: str) -> None:
    async with (
        asyncio.timeout(EXAMPLE_TIMEOUT_S),
        world(redis_url, f"m{secrets.token_hex(4)}:") as on,
    ):
        for step in script:
            await step.play(on)
        for viewer in on.slots.values():
            viewer.resume()
        await on.settle()
        await on.emptied()


def on_a_loop_of_its_own(run: Callable[[], Any], policy: asyncio.AbstractEventLoopPolicy) -> None:
    """Run to the end in a thread, off the tests' own loop."""
    failures: list[BaseException] = []

    def body() -> None:
        loop = policy.new_event_loop()
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(run())
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


POLICIES = {"asyncio": asyncio.DefaultEventLoopPolicy, "uvloop": uvloop.EventLoopPolicy}
CHECKS = settings(
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)


@pytest.mark.usefixtures("young_heap")
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_members_get_what_the_model_says(policy: Any, redis_url: str) -> None:
    @settings(CHECKS, max_examples=5, derandomize=True)
    @given(script=SCRIPTS)
    def check(script: list[Step]) -> None:
        on_a_loop_of_its_own(lambda: play(script, redis_url), policy())

    check()


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.usefixtures("young_heap")
@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
def test_members_get_what_the_model_says_in_many_more_cases(policy: Any, redis_url: str) -> None:
    @settings(CHECKS, max_examples=150)
    @given(script=SCRIPTS)
    def check(script: list[Step]) -> None:
        on_a_loop_of_its_own(lambda: play(script, redis_url), policy())

    check()
