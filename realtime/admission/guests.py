"""What a caller may cost before its credential is known to be valid.

There are four bounds, so that callers without a valid credential wait only for each other:
1. a few requests at a time (`GuestGate`), on their own database connections
   (`realtime.store.db.pools.GUESTS`);
2. a budget for each address (`realtime.rate_limits.AddressBudgets`);
3. ids that were found to be unknown are not asked for again for a moment (`UnknownIds`);
4. callers that ask for the same id share one answer.

A link that we signed has a wider limit in 1. and is exempt from 2.: a contact with a valid link is admitted
although another client behind the same carrier address tries links. Bounds 3. and 4. apply to it too.
"""

import asyncio
import hashlib
import time
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from realtime.metrics import instruments
from realtime.protocol import Code, Refused
from realtime.rate_limits import AddressBudgets
from realtime.store.db.database import Database
from realtime.store.journeys import shares
from realtime.store.journeys.shares import Found, OpenShare

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestLimits:
    """The bounds of one process; the defaults are those of production."""

    unsigned_at_once: int = 1
    """Look-ups of links without our signature: one of the lane's two connections stays free of them."""
    signed_at_once: int = 2
    sessions_at_once: int = 8
    """Look-ups of sessions in Redis, of whose 64 connections the others need the most."""
    max_waiting: int = 500
    """Requests that wait for one of those; the next one is refused at once."""
    wait_s: float = 2.0
    """How long one waits; then it is refused as `overloaded`, which an app repeats."""
    per_address_per_s: float = 20.0
    per_address_burst: float = 200.0
    """Look-ups that found nothing. Generous: carriers put thousands of phones behind one address."""
    max_addresses: int = 10_000
    unknown_s: float = 3.0
    """How long an id is taken for unknown: as long as an open socket waits for a revocation at most."""
    max_unknown: int = 10_000
    max_known: int = 10_000
    """Ids of links that opened in this process: they count as signed."""


GUEST_LIMITS: Final = GuestLimits()


class GuestGate:
    """Lets ``at_once`` requests run, ``max_waiting`` more wait for ``wait_s`` each, and refuses the rest."""

    def __init__(self, at_once: int, max_waiting: int, wait_s: float) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._max_waiting = max_waiting
        self._wait_s = wait_s
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return self._waiting

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """A slot for the length of the block. Raises Refused(overloaded), which is retryable."""
        if self._waiting >= self._max_waiting:
            raise _overloaded()
        self._waiting += 1
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError as error:
            raise _overloaded() from error
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


class UnknownIds:
    """The ``max_ids`` ids that were last found to be unknown, each for ``keep_s``."""

    def __init__(self, keep_s: float, max_ids: int) -> None:
        self._keep_s = keep_s
        self._max_ids = max_ids
        self._until_s: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until_s)

    def add(self, id_: str, now_s: float) -> None:
        """Remember that ``id_`` was not there at ``now_s``."""
        self._until_s[id_] = now_s + self._keep_s
        self._until_s.move_to_end(id_)
        if len(self._until_s) > self._max_ids:
            self._until_s.popitem(last=False)

    def has(self, id_: str, now_s: float) -> bool:
        """Whether ``id_`` was not there a moment ago."""
        until_s = self._until_s.get(id_)
        if until_s is None:
            return False
        if until_s > now_s:
            return True
        del self._until_s[id_]
        return False


class Shared(Generic[T]):
    """Work that is done once for all callers that ask for the same key while it is under way."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[T]] = {}

    async def get(self, key: str, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work`` of ``key`` comes to. It goes on when one caller is cancelled."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.ensure_future(_run(work))
            task.add_done_callback(lambda done: self._end(key, done))
        return await asyncio.shield(task)

    def _end(self, key: str, done: "asyncio.Task[T]") -> None:
        del self._under_way[key]
        _forget(done)


async def _run(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


@dataclass(slots=True, eq=False)
class _Views:
    """Who opened one share, by (address, program), and the task that is to write it."""

    times: Counter[tuple[str, str]] = field(default_factory=Counter)
    task: asyncio.Task[None] | None = None


class GuestLinks:
    """Looks up share links, and records who opened them, within the bounds.

    ``db``: connections for these look-ups alone. ``key``: what our links are signed with
    (`realtime.store.journeys.shares.signing_key`).
    """

    def __init__(
        self,
        db: Database,
        key: bytes,
        limits: GuestLimits = GUEST_LIMITS,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db = db
        self._key = key
        self._limits = limits
        self._now_s = now_s
        self._signed = GuestGate(limits.signed_at_once, limits.max_waiting, limits.wait_s)
        self._unsigned = GuestGate(limits.unsigned_at_once, limits.max_waiting, limits.wait_s)
        self._budgets = AddressBudgets(
            limits.per_address_per_s, limits.per_address_burst, limits.max_addresses
        )
        self._unknown = UnknownIds(limits.unknown_s, limits.max_unknown)
        self._known: OrderedDict[str, None] = OrderedDict()
        self._found: Shared[Found | None] = Shared()
        self._gathering: dict[str, _Views] = {}
        self._writing: dict[str, asyncio.Task[None]] = {}

    @property
    def waiting(self) -> int:
        """Look-ups and records that wait for a slot."""
        return self._signed.waiting + self._unsigned.waiting

    async def open(self, share_id: str, secret: str, address: str) -> OpenShare | None:
        """The share of a link, if the secret is right and it is good still; ``address``: who asks.

        Raises Refused: rate_limited, overloaded, unavailable.
        """
        now_s = self._now_s()
        if not shares.is_id(share_id) or self._unknown.has(share_id, now_s):
            instruments.GUEST_LOOKUPS.labels("share", "unknown").inc()
            return None
        if shares.is_signed(self._key, share_id, secret) or share_id in self._known:
            found = await self._look_up(share_id, self._signed)
        else:
            self._spend(address, now_s)
            found = await self._look_up(share_id, self._unsigned)
        share = shares.opened(found, secret)
        instruments.GUEST_LOOKUPS.labels("share", "unknown" if share is None else "opened").inc()
        if share is not None and share_id not in self._known:
            self._budgets.give_back(address, self._now_s())
            self._known[share_id] = None
            if len(self._known) > self._limits.max_known:
                self._known.popitem(last=False)
        return share

    async def viewed(self, share_id: str, address: str, user_agent: str) -> None:
        """Record that a share was opened. Raises Refused: overloaded, unavailable.

        Those who open it while one record of it is being written are recorded together by the next.
        """
        views = self._gathering.get(share_id)
        if views is None:
            views = self._gathering[share_id] = _Views()
            views.task = asyncio.ensure_future(self._write(share_id, views))
            views.task.add_done_callback(_forget)
        views.times[address, user_agent] += 1
        assert views.task is not None
        await asyncio.shield(views.task)

    async def _write(self, share_id: str, views: "_Views") -> None:
        """Write ``views`` after those of the same share that are being written: they change the same rows."""
        task = views.task
        assert task is not None
        try:
            if (before := self._writing.get(share_id)) is not None:
                await asyncio.wait({before})
            self._writing[share_id] = task
            async with self._signed.one():
                self._end_gathering(share_id, views)
                await shares.viewed_by(self._db, share_id, views.times)
        finally:
            self._end_gathering(share_id, views)
            if self._writing.get(share_id) is task:
                del self._writing[share_id]

    def _end_gathering(self, share_id: str, views: "_Views") -> None:
        if self._gathering.get(share_id) is views:
            del self._gathering[share_id]

    def _spend(self, address: str, now_s: float) -> None:
        if (wait_s := self._budgets.take(address, now_s)) > 0.0:
            instruments.GUEST_LOOKUPS.labels("share", "rate_limited").inc()
            raise Refused(Code.RATE_LIMITED, "too many unknown links", retry_after_s=wait_s)

    async def _look_up(self, share_id: str, slots: GuestGate) -> Found | None:
        async def ask() -> Found | None:
            async with slots.one():
                found = await shares.find(self._db, share_id, self._limits.wait_s)
            if found is None:
                self._unknown.add(share_id, self._now_s())
            return found

        try:
            # One that we signed does not share the wait of one that we did not.
            return await self._found.get(f"{share_id}?{slots is self._signed}", ask)
        except Refused as refused:
            instruments.GUEST_LOOKUPS.labels("share", refused.code.value).inc()
            raise


class GuestSessions:
    """The same bounds for sessions of browsers, which are looked up in Redis."""

    def __init__(
        self, limits: GuestLimits = GUEST_LIMITS, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._now_s = now_s
        self._slots = GuestGate(limits.sessions_at_once, limits.max_waiting, limits.wait_s)
        self._unknown = UnknownIds(limits.unknown_s, limits.max_unknown)

    async def open(self, value: str, is_known: bool, look_up: Callable[[], Awaitable[T]]) -> T:
        """What ``look_up`` finds for the cookie ``value``; at once where this process knows the session.

        Raises Refused: overloaded, and what ``look_up`` raises.
        """
        if is_known:
            return await look_up()
        digest = hashlib.sha256(value.encode(errors="surrogatepass")).hexdigest()
        if self._unknown.has(digest, self._now_s()):
            instruments.GUEST_LOOKUPS.labels("session", "unknown").inc()
            raise Refused(Code.UNAUTHENTICATED, "no such session")
        try:
            async with self._slots.one():
                found = await look_up()
        except Refused as refused:
            if refused.code is Code.UNAUTHENTICATED:
                self._unknown.add(digest, self._now_s())
            outcome = "unknown" if refused.code is Code.UNAUTHENTICATED else refused.code.value
            instruments.GUEST_LOOKUPS.labels("session", outcome).inc()
            raise
        instruments.GUEST_LOOKUPS.labels("session", "opened").inc()
        return found


def _forget(done: "asyncio.Task[Any]") -> None:
    """Retrieve the exception of a task that failed: no caller may be waiting for it any more."""
    if not done.cancelled():
        done.exception()


def _overloaded() -> Refused:
    return Refused(Code.OVERLOADED, "too many callers that are not known yet", retry_after_s=2)
