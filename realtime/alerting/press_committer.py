"""Stores presses in Postgres, those that wait at the same time in one transaction.

There are two ways:

1. In a group. While a group is being stored, the presses that arrive form the next one. One transaction reads
   what all of them need and opens their alerts (`realtime.store.alerts.press_groups`).
2. Alone: a press whose group failed or left it out, and one whose token has expired. Each read has a
   transaction of its own, and what cannot be read is taken from the local copy: an unreadable table must not
   keep a press out.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

from msgspec.structs import replace

from alerts.alert import Place, Press
from alerts.policy import Circumstances, Contact
from alerts.ports import StorageFailure, StorageRejected, StorageUnavailable, Taken
from alerts.press import TOKEN_EXPIRED
from realtime.aio import end
from realtime.alerting import last_positions
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.failover.contact_cache import ContactCache
from realtime.metrics import instruments
from realtime.protocol import Refused
from realtime.store.alerts.circumstances import DriverQuery, situation
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.press_groups import GroupedPress
from realtime.store.db.database import Database
from realtime.store.people import tenants

T = TypeVar("T")
log = logging.getLogger(__name__)

GROUPS_AT_ONCE: Final = 2
"""Of one process. The presses that wait meanwhile form larger groups, which take less time in all."""
GROUP_PRESSES: Final = 50
"""Presses in one transaction: it takes 40 ms, and as long a press of one of its drivers waits."""
WAIT_S: Final = 0.5
"""A press that is in no group after this goes to the journal, which acknowledges it sooner."""

WITHIN_S: Final = 2.0
"""How long a press takes Postgres before it goes to the journal. A group that fails leaves its presses the
rest of it. It begins when the earlier presses of the same phone are stored (`AlertRepository` takes them one
by one): a phone that pressed a hundred times waits for itself, and Postgres is not slow for that.
"""


class CommittedPress(NamedTuple):
    """A press that Postgres has, as it was stored."""

    press: Press
    circumstances: Circumstances
    taken: Taken


class _Waiting:
    """A press that waits for a group. ``live``: the places of its driver that are known without Postgres.
    ``stored``: is set to None when the press is to be stored alone.
    """

    def __init__(self, press: Press, live: Sequence[Place]) -> None:
        self.press: Final = press
        self.live: Final = live
        self.stored: Final = asyncio.get_running_loop().create_future()


class PressCommitter:
    """`commit` stores a press. ``db`` and ``ledger``: connections that only presses use.

    ``ask_s``: how long Postgres may take for a group or for a press; ``locate_s``: how much of it the last
    position of a driver may take; ``wait_s``: how long a press may wait for its group; ``within_s``: how long
    all of it may take, in a group and then alone.
    """

    def __init__(
        self,
        reach: DatabaseGuard,
        db: Database,
        ledger: PostgresLedger,
        directory: ContactCache,
        operator_of: Callable[[str], Contact | None],
        *,
        ask_s: float,
        locate_s: float = last_positions.LOOK_S,
        wait_s: float = WAIT_S,
        within_s: float = WITHIN_S,
    ) -> None:
        self._reach: Final = reach
        self._db: Final = db
        self._ledger: Final = ledger
        self._directory: Final = directory
        self._operator_of: Final = operator_of
        self._ask_s: Final = ask_s
        self._locate_s: Final = locate_s
        self._wait_s: Final = wait_s
        self._within_s: Final = within_s
        self._waiting: Final[deque[_Waiting]] = deque()
        self._groups: Final[set[asyncio.Task[None]]] = set()
        self._warming: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Open the connections of groups, so that the first press finds them."""
        self.warm_up()

    async def stop(self) -> None:
        """End what `start` has begun. Is idempotent."""
        if self._warming is not None:
            await end([self._warming])

    def warm_up(self) -> None:
        """Open and prepare the connections of groups, in the background: after a start, and when Postgres
        has recovered.
        """
        if self._warming is None or self._warming.done():
            self._warming = asyncio.ensure_future(self._warm_up())

    async def _warm_up(self) -> None:
        try:
            await self._ledger.warm_up(GROUPS_AT_ONCE)
        except Exception as error:  # the first presses do without
            log.info("connections for presses are not prepared: %s", type(error).__name__)

    async def commit(self, press: Press, live: Sequence[Place]) -> CommittedPress:
        """Store ``press``; ``live``: the places of its driver that are known without Postgres.

        Raises StorageFailure: at once when Postgres is unavailable, else ``within_s`` of the constructor
        after the call at the latest. A press that was not answered in time may be stored all the same.
        """
        try:
            async with asyncio.timeout(self._within_s):
                if TOKEN_EXPIRED not in press.noted:
                    stored = await self._in_group(_Waiting(press, live))
                    if stored is not None:
                        return stored
                return await self._reach.ask_for_press(lambda: self.commit_alone(press, live), self._ask_s)
        except TimeoutError as error:
            raise StorageUnavailable from error

    async def commit_alone(self, press: Press, live: Sequence[Place]) -> CommittedPress:
        """Store ``press`` with what Postgres knows of its driver, else with what the local copy knows.

        Raises StorageFailure and Refused(unavailable).
        """
        tenant, vendor, driver = press.tenant, press.vendor, press.driver
        if TOKEN_EXPIRED in press.noted:  # it may be of a vendor that the driver has left since
            known_vendor = await _read_or(press, None, lambda: tenants.vendor_of(self._db, tenant, driver))
            press = replace(press, vendor=known_vendor or vendor)
        press, known = await self._with_situation(press, live)
        return CommittedPress(press, known, await self._ledger.press(press, known))

    async def _with_situation(self, press: Press, live: Sequence[Place]) -> tuple[Press, Circumstances]:
        """Return ``press`` with the place and the journey that count, and what is known of its driver."""
        tenant, vendor, driver, now_ms = press.tenant, press.vendor, press.driver, press.received_ms
        asked, operator = DriverQuery(tenant, driver, press.journey_id), self._operator_of(tenant)
        found = await _read_or(
            press,
            None,
            lambda: situation(self._db, vendor, asked, operator, now_ms=now_ms, seen_s=self._locate_s),
        )
        known, seen = found or (self._directory.of(tenant, vendor, driver), None)
        located = last_positions.placed_or_as_pressed(press, seen, live, now_ms)
        if located.place is None and seen is not None and seen.has_more:
            far = await last_positions.last_seen_of(self._db, press, now_ms, self._locate_s)
            located = located if far is None else last_positions.placed_or_as_pressed(press, far, (), now_ms)
        return located, known

    # --- groups

    async def _in_group(self, waiting: _Waiting) -> CommittedPress | None:
        """Store a press with others; None when it is to be stored alone. Raises StorageFailure."""
        if not self._reach.is_up:
            raise StorageUnavailable
        self._waiting.append(waiting)
        self._begin_groups()
        await asyncio.wait({waiting.stored}, timeout=self._wait_s)
        if not waiting.stored.done() and waiting in self._waiting:
            self._waiting.remove(waiting)
            raise StorageUnavailable
        stored: GroupedPress | None = await waiting.stored
        if stored is None or stored.taken is None:
            return None
        return CommittedPress(stored.press, stored.circumstances, stored.taken)

    def _begin_groups(self) -> None:
        """Store the next groups, `GROUPS_AT_ONCE`."""
        while self._waiting and len(self._groups) < GROUPS_AT_ONCE:
            group = [self._waiting.popleft() for _ in range(min(GROUP_PRESSES, len(self._waiting)))]
            task = asyncio.ensure_future(self._store(group))
            self._groups.add(task)
            task.add_done_callback(self._end_group)

    def _end_group(self, task: asyncio.Task[None]) -> None:
        self._groups.discard(task)
        self._begin_groups()

    async def _store(self, group: Sequence[_Waiting]) -> None:
        live = {id(one.press): one.live for one in group}
        presses = [one.press for one in group]
        try:
            stored = await self._reach.ask_for_press(
                lambda: self._ledger.press_group(
                    presses,
                    self._operator_of,
                    lambda press, seen: last_positions.placed_or_as_pressed(
                        press, seen, live[id(press)], press.received_ms
                    ),
                ),
                self._ask_s,
            )
        except StorageRejected:  # one unreadable row or table, or one press, fails all of them
            _set(group, [None] * len(group))
        except StorageFailure:
            for one in group:
                if not one.stored.done():
                    one.stored.set_exception(StorageUnavailable())
        except BaseException:
            _set(group, [None] * len(group))
            raise
        else:
            _set(group, stored)


def _set(group: Sequence[_Waiting], results: Sequence[GroupedPress | None]) -> None:
    for one, result in zip(group, results, strict=True):
        if not one.stored.done():
            one.stored.set_result(result)


async def _read_or(press: Press, fallback: T, read: Callable[[], Awaitable[T]]) -> T:
    """Return what ``read`` reads, or ``fallback`` when Postgres fails it. Raises Refused(unavailable)."""
    try:
        return await read()
    except Refused:
        raise
    except Exception as error:
        name = type(error).__name__
        log.error("postgres failed a read for press %s of tenant %s: %s", press.sos_id, press.tenant, name)
        instruments.ALERT_STORE_FAULTS.inc()
        return fallback
