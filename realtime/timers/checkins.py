"""Check-ins and arrivals that Postgres could not store, in Redis until it can.

A driver that checks in while Postgres is unavailable, or cannot write timers, must not be reported missing.
The process that was asked stores the answer in Redis and acknowledges it. Each worker reads the answers
before it fires a timer, from memory (`realtime.timers.deadlines`) or from Postgres
(`realtime.timers.scheduler`), and writes them to Postgres when it takes them. Without Redis the driver is
answered ``unavailable``.

When an answer came is by Redis' clock, and its age counts: no two machines have to agree on the time.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from alerts.timers import Timer, TimerKind, TimerState, checked_in, driver_actor, ended
from realtime.protocol import STORAGE_UNAVAILABLE, Code, Refused
from realtime.redis.client import Client
from realtime.store.alerts import timers as stored
from realtime.store.db.database import Database

log = logging.getLogger(__name__)

KEY: Final = "sos:checkins"
TTL_S: Final = 86_400
"""Of all answers, from the last one on: longer than the longest interval between two check-ins."""
MAX_ANSWERS: Final = 20_000
"""Drivers times two. Beyond it a check-in is ``unavailable``."""
TIMEOUT_S: Final = 1.0
WRITTEN_AT_ONCE: Final = 500
"""Answers that one `CheckIns.apply` writes at most."""
APPLY_S: Final = 2.0
"""How long after it began `CheckIns.apply` writes no more: timers are fired after it."""
WRITE_S: Final = 1.0
"""How long the write of one answer takes at most: it may wait for a lock of its driver."""
FIRST_PAUSE_S: Final = 2.0
LAST_PAUSE_S: Final = 300.0
"""After its second failure an answer is left alone for `FIRST_PAUSE_S`, after each further one for longer."""
AWAITED_FAILURES: Final = 3
"""After so many failures the timers of its driver are fired as Postgres has them."""

_PUT: Final = """
local time = redis.call('TIME')
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 and redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[1], (time[1] * 1000 + math.floor(time[2] / 1000)) .. ' ' .. ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""
_READ: Final = """
local time = redis.call('TIME')
return {time[1] * 1000 + math.floor(time[2] / 1000), redis.call('HGETALL', KEYS[1])}
"""
_DELETE: Final = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
"""


class CheckInAction(StrEnum):
    """What a driver said about all of their timers."""

    CHECK_IN = "check_in"
    ARRIVE = "arrive"


class CheckIn(Struct, frozen=True):
    """An answer of a driver to their timers. The last one of its action counts."""

    tenant: str
    driver: str
    action: CheckInAction


class StoredCheckIn(Struct, frozen=True):
    """An answer as Redis has it; ``age_ms``: how long ago it came when it was read, which was at ``read_s``
    by the monotonic clock. None: its age does not grow.
    """

    answer: CheckIn
    age_ms: int
    field: bytes
    content: bytes
    read_s: float | None = None

    def age_now_ms(self) -> int:
        """How long ago it came, now."""
        since_ms = 0 if self.read_s is None else (time.monotonic() - self.read_s) * 1000
        return self.age_ms + round(since_ms)


def answered(timer: Timer, answer: CheckIn, at_ms: int) -> Timer | None:
    """Return ``timer`` after an answer that came at ``at_ms``; None when that changes nothing.

    ``at_ms`` is by Postgres' clock. There are four cases in which it changes nothing: 1. the timer is of
    another driver; 2. it was armed later; 3. it is over, or of a kind that is not answered so; 4. a later
    check-in is in it.
    """
    if (timer.tenant, timer.driver) != (answer.tenant, answer.driver) or timer.armed_ms > at_ms:
        return None
    if answer.action is CheckInAction.ARRIVE:
        return ended(timer, TimerState.DONE, driver_actor(answer.driver), at_ms)
    if timer.kind is TimerKind.CHECK_IN and (timer.heard_ms or 0) >= at_ms:
        return None
    return checked_in(timer, at_ms)


def overlaid(timer: Timer, answers: Sequence[StoredCheckIn], now_ms: int) -> Timer:
    """Return ``timer`` after all of ``answers``, the oldest first. ``now_ms`` by Postgres' clock."""
    for one in sorted(answers, key=lambda one: -one.age_ms):
        timer = answered(timer, one.answer, now_ms - one.age_now_ms()) or timer
    return timer


class _Failure(Struct, frozen=True):
    """How often an answer could not be written, and when it is tried again, by the monotonic clock."""

    times: int
    again_s: float


class CheckIns:
    """`keep` stores an answer, `read` returns all, `apply` writes them to Postgres.

    ``write_s``: how long the write of one answer takes at most; ``written_at_once``: how many `apply` writes.
    """

    def __init__(
        self,
        client: Client,
        *,
        timeout_s: float = TIMEOUT_S,
        max_answers: int = MAX_ANSWERS,
        key: str = KEY,
        write_s: float = WRITE_S,
        written_at_once: int = WRITTEN_AT_ONCE,
    ) -> None:
        self._write_s: Final = write_s
        self._written_at_once: Final = written_at_once
        self._failures: dict[bytes, _Failure] = {}
        """By the content of the answer."""
        self._awaited: frozenset[tuple[str, str]] = frozenset()
        self._client: Final = client
        self._timeout_s: Final = timeout_s
        self._max_answers: Final = max_answers
        self._key: Final = key

    async def keep(self, answer: CheckIn) -> None:
        """Store ``answer``, in place of an earlier one of the same driver and action.

        Raises Refused(unavailable) when Redis does not take it.
        """
        content = msgspec.json.encode(answer)
        given = (_field(answer), content, TTL_S, self._max_answers)
        try:
            is_stored = await self._bounded(lambda: self._eval(_PUT, *given))
        except Exception as error:
            log.warning(
                "a check-in of driver %s of tenant %s cannot be stored: %s",
                answer.driver,
                answer.tenant,
                type(error).__name__,
            )
            raise _unavailable() from error
        if not is_stored:
            log.error("check-ins are not stored in redis any more: there are %d", self._max_answers)
            raise _unavailable()

    async def read(self) -> list[StoredCheckIn]:
        """Return the answers that Postgres does not have yet, the oldest first. Raises what redis-py does."""
        read_s = time.monotonic()  # before: an answer never counts for a timer that was armed after it
        now_ms, flat = await self._bounded(lambda: self._eval(_READ))
        found = [
            _stored(field, content, now_ms, read_s)
            for field, content in zip(flat[::2], flat[1::2], strict=True)
        ]
        return sorted((one for one in found if one is not None), key=lambda one: -one.age_ms)

    async def count(self, tenant: str, driver: str) -> int:
        """Return how many answers of a driver are stored. Raises what redis-py does."""
        held = [self._client.hexists(self._key, field) for field in _fields(tenant, driver)]
        return sum([bool(one) for one in await self._bounded(lambda: asyncio.gather(*held))])

    async def forget(self, tenant: str, driver: str) -> None:
        """Delete the answers of a driver. Is idempotent. Raises what redis-py does."""
        await self._bounded(lambda: self._client.hdel(self._key, *_fields(tenant, driver)))

    def is_awaited(self, tenant: str, driver: str) -> bool:
        """Whether an answer of that driver was left by the last `apply` and is written soon: the timers of
        the driver wait for it.
        """
        return (tenant, driver) in self._awaited

    async def apply(self, db: Database) -> int:
        """Write answers to Postgres, the oldest first, and delete them; return their number.

        Bounded in number and time. One that Postgres does not take stays, is tried again after a pause that
        grows, and holds up no other. Raises Refused(unavailable) and what redis-py does.
        """
        self._awaited = frozenset()
        found = await self.read()
        now_s = time.monotonic()
        contents = {one.content for one in found}
        self._failures = {content: known for content, known in self._failures.items() if content in contents}
        untried = [
            one
            for one in found
            if (known := self._failures.get(one.content)) is None or known.again_s <= now_s
        ]
        done: set[bytes] = set()
        for one in untried[: self._written_at_once]:
            if time.monotonic() - now_s >= APPLY_S:
                break
            if await self._write(db, one):
                done.add(one.content)
        self._awaited = frozenset(
            (one.answer.tenant, one.answer.driver)
            for one in found
            if one.content not in done and self._times_failed(one) < AWAITED_FAILURES
        )
        if done:
            log.info("%d check-ins that redis had are in postgres", len(done))
        return len(done)

    async def _write(self, db: Database, one: StoredCheckIn) -> bool:
        """Write one answer and delete it; return whether Postgres took it."""
        answer = one.answer
        try:
            async with asyncio.timeout(self._write_s):
                await stored.change_at(db, answer.tenant, answer.driver, one.age_now_ms, _change(answer))
        except Refused:
            raise
        except Exception as error:
            times = self._times_failed(one) + 1
            pause_s = min(FIRST_PAUSE_S * 2.0 ** min(times - 2, 10), LAST_PAUSE_S) if times > 1 else 0.0
            self._failures[one.content] = _Failure(times, time.monotonic() + pause_s)
            log.error(
                "a check-in of driver %s of tenant %s cannot be written: %s",
                answer.driver,
                answer.tenant,
                type(error).__name__,
            )
            return False
        await self._bounded(partial(self._eval, _DELETE, one.field, one.content))
        return True

    def _times_failed(self, one: StoredCheckIn) -> int:
        known = self._failures.get(one.content)
        return 0 if known is None else known.times

    async def _bounded(self, call: Callable[[], Any]) -> Any:
        async with asyncio.timeout(self._timeout_s):
            return await call()

    def _eval(self, script: str, *given: Any) -> Any:
        return self._client.eval(script, 1, self._key, *given)


def _change(answer: CheckIn) -> Callable[[Timer, int], Timer | None]:
    return lambda timer, at_ms: answered(timer, answer, at_ms)


def _field(answer: CheckIn) -> bytes:
    whose = f"{answer.tenant}\0{answer.driver}\0{answer.action}"
    return hashlib.sha256(whose.encode()).hexdigest().encode()


def _fields(tenant: str, driver: str) -> list[bytes]:
    return [_field(CheckIn(tenant, driver, action)) for action in CheckInAction]


def _stored(field: bytes, content: bytes, now_ms: int, read_s: float) -> StoredCheckIn | None:
    at_ms, _, encoded = content.partition(b" ")
    try:
        answer = msgspec.json.decode(encoded, type=CheckIn)
        return StoredCheckIn(answer, max(0, now_ms - int(float(at_ms))), field, content, read_s)
    except (msgspec.MsgspecError, ValueError, OverflowError) as error:
        log.error("a check-in in redis cannot be decoded: %s", type(error).__name__)
        return None


def _unavailable() -> Refused:
    return Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE, retry_after_s=1)
