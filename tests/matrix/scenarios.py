"""What is broken while somebody presses: one function a row of the matrix.

Each presses its share of SOS while its fault lasts, mends it, and waits until everybody was reached or said
to be unreachable. ``kind`` says whether a message may come twice (`tests.matrix.ledger.MAY_DOUBLE`).
"""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from realtime.alerting.failover.election import SPREAD_S
from tests.e2e.launcher import clock_shift, send_trap
from tests.matrix import store_faults as faults
from tests.matrix.ledger import Sos
from tests.matrix.world import World

HOUR_S: Final = 3600
LOOKED_S: Final = 3.0
"""Within it every process has read what is open."""
MADE_S: Final = 1.0
SLOW_S: Final = 2.0
DOWN_S: Final = 5.0
FROZEN_S: Final = 60.0
"""Twice a lease: what the frozen worker held was taken over long before it wakes."""

Play = Callable[[World, Sequence[Sos]], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """A row: its name, the kind of fault, how it is played, and its share of the presses."""

    name: str
    kind: str
    play: Play
    share: float = 1.0
    needs_small_disk: bool = False
    """Whether it fills the disk: it is played where the system has a small one of its own."""
    has_contacts: bool = True
    """Whether its drivers have contacts from the beginning."""


async def calm(world: World, presses: Sequence[Sos]) -> None:
    """Nothing is broken: what the others are compared with."""
    await world.press_all(presses)


async def acceptor_killed(
    world: World, presses: Sequence[Sos], groups: int = 6, other_way: bool = False
) -> None:
    """kill -9 of the process that took it, at the very moment of its ack, by each way in turn.

    Whoever presses at the process that is killed does so by ``other_way`` as well, if told to.
    """
    for number, some in enumerate(world.in_groups(presses, groups)):
        way = ("socket", "http")[number % 2]
        name = world.pick(world.cluster.instances if way == "socket" else world.cluster.workers)
        url = world.cluster.url_of(name)
        killed = asyncio.Event()

        def kill(sos: Sos, name: str = name, way: str = way, killed: asyncio.Event = killed) -> None:
            if sos.answers[f"{way} ok"] and not killed.is_set():
                killed.set()
                pid = world.cluster.pid(name)
                if pid is not None:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)

        await world.press_all(
            some,
            ways=("socket", "http") if other_way else (way,),
            socket_url=url if way == "socket" else None,
            http_url=url if way == "http" else None,
            on_ack=kill,
        )
        await world.until_listens(name)


async def postgres_down_before(world: World, presses: Sequence[Sos]) -> None:
    """Postgres is away, and stays so until everybody was reached."""
    await world.cluster.postgres.stop()
    await world.press_all(presses)
    await world.until_reached(presses)
    await world.cluster.postgres.start()


async def contact_made_before_postgres_is_slow(world: World, presses: Sequence[Sos]) -> None:
    """Contacts are made a second before the presses, and Postgres then does not answer for 2 s."""
    await world.put_contacts(presses)
    await asyncio.sleep(MADE_S)
    async with world.postgres_slow(SLOW_S):
        await world.press_all(presses)
    await world.until_reached(presses)


async def contact_made_before_postgres_is_down(world: World, presses: Sequence[Sos]) -> None:
    """Contacts are made a second before the presses, and Postgres is down for 5 s meanwhile."""
    await world.put_contacts(presses)
    await asyncio.sleep(MADE_S)
    await world.cluster.postgres.stop()
    await world.press_all(presses)
    await asyncio.sleep(DOWN_S)
    await world.cluster.postgres.start()
    await world.until_reached(presses)


async def postgres_down_during(world: World, presses: Sequence[Sos]) -> None:
    """Postgres goes away in the middle of the presses and comes back 15 s later."""
    pressing = asyncio.ensure_future(world.press_all(presses, over_s=4.0))
    await asyncio.sleep(1.5)
    await world.cluster.postgres.stop()
    await asyncio.sleep(15)
    await world.cluster.postgres.start()
    await pressing


async def postgres_down_after(world: World, presses: Sequence[Sos]) -> None:
    """Postgres goes away as soon as the last press is acknowledged."""
    await world.press_all(presses)
    await world.cluster.postgres.stop()
    await asyncio.sleep(10)
    await world.cluster.postgres.start()


async def postgres_down_for_long(world: World, presses: Sequence[Sos]) -> None:
    """Postgres goes away once everybody was told the first way, and stays away until the next is due."""
    await world.press_all(presses)
    await world.until_reached(presses)
    await asyncio.sleep(LOOKED_S)
    await world.cluster.postgres.stop()
    await world.until_pushed(presses)
    await world.cluster.postgres.start()


async def acceptor_killed_without_postgres(world: World, presses: Sequence[Sos]) -> None:
    """With Postgres away, the acceptor dies right after its ack: a peer or its restart carries on.

    Apps press both ways at once: an instance that starts without Postgres takes nobody in by socket.
    """
    await world.cluster.postgres.stop()
    await acceptor_killed(world, presses, groups=4, other_way=True)
    await world.until_reached(presses)
    await world.cluster.postgres.start()


async def redis_down(world: World, presses: Sequence[Sos]) -> None:
    """Redis is away."""
    await world.cluster.redis.stop()
    await world.press_all(presses)
    await world.until_reached(presses)
    await world.cluster.redis.start()


async def redis_emptied(world: World, presses: Sequence[Sos]) -> None:
    """Redis loses all it held in the middle of the presses."""
    pressing = asyncio.ensure_future(world.press_all(presses, over_s=3.0))
    await asyncio.sleep(1.0)
    await world.cluster.empty_redis()
    await pressing


async def postgres_and_redis_down(world: World, presses: Sequence[Sos]) -> None:
    """Both are away: whoever takes a press acts on it alone."""
    await world.cluster.redis.stop()
    await world.cluster.postgres.stop()
    await world.press_all(presses)
    await world.until_reached(presses)
    await world.cluster.redis.start()
    await world.cluster.postgres.start()


async def postgres_and_redis_down_for_long(world: World, presses: Sequence[Sos]) -> None:
    """Both go away once everybody was told the first way, and stay away until all are told the next, by every
    worker: nobody can tell who acts, so each process stands in after a while.
    """
    await world.press_all(presses)
    await world.until_reached(presses)
    await asyncio.sleep(LOOKED_S)
    await world.cluster.redis.stop()
    await world.cluster.postgres.stop()
    await world.until_pushed(presses)
    await asyncio.sleep(SPREAD_S)
    await world.cluster.redis.start()
    await world.cluster.postgres.start()


async def killed_between_send_and_record(world: World, presses: Sequence[Sos]) -> None:
    """A worker dies after the provider took a message and before that is recorded."""
    for some in world.in_groups(presses, 6):
        name = world.pick(world.cluster.workers)
        trap = send_trap(world.cluster.folder / "run", name)
        trap.touch()
        await world.press_all(some)
        await world.until_reached(some)
        trap.unlink(missing_ok=True)
        await world.cluster.until_up(name)


async def worker_frozen(world: World, presses: Sequence[Sos]) -> None:
    """A worker stands still for a minute, longer than its leases, and wakes."""
    name = world.pick(world.cluster.workers)
    pid = world.cluster.pid(name)
    assert pid is not None
    pressing = asyncio.ensure_future(world.press_all(presses, over_s=2.0))
    await asyncio.sleep(0.5)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(FROZEN_S)
    finally:
        os.kill(pid, signal.SIGCONT)
    await pressing


def provider(*faults: str, for_s: float = 8.0) -> Play:
    """The SMS provider has ``faults`` for a while."""

    async def play(world: World, presses: Sequence[Sos]) -> None:
        for fault in faults:
            world.outside.break_sms(fault)
        await world.press_all(presses)
        await asyncio.sleep(for_s)
        world.outside.mend()

    return play


async def sms_and_push_down(world: World, presses: Sequence[Sos]) -> None:
    """SMS and push both fail for as long as it takes: the next ways must do."""
    world.outside.break_sms("fail")
    world.outside.break_push()
    await world.press_all(presses)
    await world.until_reached(presses)
    world.outside.mend()


def clock(shift_s: int) -> Play:
    """Our processes' clocks jump while SOS are under way, and back."""

    async def play(world: World, presses: Sequence[Sos]) -> None:
        file = clock_shift(world.cluster.folder / "run")
        pressing = asyncio.ensure_future(world.press_all(presses, over_s=3.0))
        await asyncio.sleep(1.0)
        file.write_text(str(shift_s))
        await pressing
        await world.until_reached(presses)
        file.write_text("0")

    return play


MATRIX: Final = (
    Scenario("nothing is broken", "none", calm),
    Scenario("acceptor killed right after the ack", "killed", acceptor_killed),
    Scenario("Postgres down before", "none", postgres_down_before),
    Scenario(
        "contact made just before, Postgres slow",
        "none",
        contact_made_before_postgres_is_slow,
        has_contacts=False,
    ),
    Scenario(
        "contact made just before, Postgres down",
        "none",
        contact_made_before_postgres_is_down,
        has_contacts=False,
    ),
    Scenario("Postgres down during", "none", postgres_down_during),
    Scenario("Postgres down after", "none", postgres_down_after),
    Scenario("Postgres down for long, after", "none", postgres_down_for_long),
    Scenario("Postgres down and the acceptor killed", "killed", acceptor_killed_without_postgres),
    Scenario("Redis down", "none", redis_down),
    Scenario("Redis emptied", "none", redis_emptied),
    Scenario("Postgres and Redis down", "partitioned", postgres_and_redis_down),
    Scenario("Postgres and Redis down, after", "partitioned", postgres_and_redis_down_for_long),
    Scenario("worker killed between send and record", "killed", killed_between_send_and_record),
    Scenario("worker frozen for 60 s, then woken", "frozen", worker_frozen),
    Scenario("provider says 429", "none", provider("throttle")),
    Scenario("provider says 500", "none", provider("fail")),
    Scenario("provider hangs", "lost reply", provider("hang")),
    Scenario("provider's replies are lost", "lost reply", provider("lose_reply")),
    Scenario("provider lies", "none", provider("lie")),
    Scenario("SMS and push down", "none", sms_and_push_down),
    Scenario("contacts damaged", "none", faults.contacts_damaged),
    Scenario("right to read contacts lost", "none", faults.privilege_lost),
    Scenario("a table is missing", "none", faults.table_missing),
    Scenario("alerts cannot be stored", "none", faults.statements_fail("alerts", "ALL", "XX001")),
    Scenario(
        "deliveries cannot be recorded", "none", faults.statements_fail("alert_attempts", "UPDATE", "58030")
    ),
    Scenario("schema of an older release", "killed", faults.schema_old),
    Scenario("disk full", "killed", faults.disk_full, needs_small_disk=True),
    Scenario("a webhook hangs beside them", "none", faults.webhook_hangs),
    Scenario("clocks jump an hour ahead", "none", clock(HOUR_S)),
    Scenario("clocks jump an hour back", "none", clock(-HOUR_S)),
)
