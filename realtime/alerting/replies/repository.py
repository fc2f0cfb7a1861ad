"""What the webhooks look up of numbers and answers, also without Postgres: `realtime.hooks.ports.Book`."""

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final
from uuid import UUID

from alerts.addresses.destination import may_arrive
from alerts.addresses.phone import is_same
from alerts.alert import OPEN
from alerts.attempt import OF_NO_ALERT, Attempt, Channel, Status
from alerts.case import Case
from alerts.ports import StorageFailure, StorageRejected
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.failover.contact_cache import ContactCache
from realtime.alerting.ports import Copies, Local
from realtime.alerting.replies.bindings import ReplyBindings, lock_name, new_holder
from realtime.protocol import STORAGE_UNAVAILABLE, Code, Refused
from realtime.store.people.replies import LastMessage, ReplyStore

log = logging.getLogger(__name__)

ASK_S: Final = 1.0
MAX_TAKEN: Final = 10_000
"""Answers that are remembered in memory while Postgres is away; the oldest go first."""
LOCK_S: Final = 15.0
"""How long the lock of a phone's texts outlives its worker. A provider waits as long for a reply."""
LOCK_WAIT_S: Final = 5.0
"""How long a text waits for an earlier one of its phone; then it is applied all the same."""
LOCK_POLL_S: Final = 0.05
_ASKS: Final = frozenset({Channel.SMS, Channel.CALL})


class ReplyRepository:
    """Postgres' book; with it away, what the cases here and elsewhere say."""

    def __init__(
        self,
        reach: DatabaseGuard,
        book: ReplyStore,
        local: Local,
        copies: Copies,
        directory: ContactCache,
        bindings: ReplyBindings,
        *,
        lock_wait_s: float = LOCK_WAIT_S,
    ) -> None:
        self._reach: Final = reach
        self._book: Final = book
        self._local: Final = local
        self._copies: Final = copies
        self._directory: Final = directory
        self._bindings: Final = bindings
        self._lock_wait_s: Final = lock_wait_s
        self._taken: Final[OrderedDict[str, None]] = OrderedDict()
        self._unkept: Final[OrderedDict[str, None]] = OrderedDict()
        """Those of them that Postgres does not know yet."""

    async def last_asked(self, phone: str) -> list[LastMessage]:
        """The last message to ``phone`` about each open alert: of Postgres, of the cases here, and of the
        copies that were seen.
        """
        away = False
        found: list[LastMessage] = []
        try:
            found = await self._reach.ask_in_turn(lambda: self._book.last_asked(phone), ASK_S)
        except StorageFailure:
            away = True
        known = {asked.alert_id for asked in found}
        here = last_asked((kept.case for kept in self._local.all()), phone)
        for asked in (*here, *self._copies.last_asked(phone)):
            if asked.alert_id not in known:
                known.add(asked.alert_id)
                found.append(asked)
        if away and not found:
            raise Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE, retry_after_s=2)
        return found

    @asynccontextmanager
    async def ordered(self, phone: str) -> AsyncIterator[None]:
        """Apply the texts of ``phone`` one after the other, on all workers.

        There is one lock in Redis and one in Postgres; each is acquired if it can be reached. Without both,
        or after `LOCK_WAIT_S`, the text is applied unordered: an answer that is lost is worse than two
        answers for one alert.
        """
        holder, lease = new_holder(), f"reply:{lock_name(phone)}"
        try:
            async with asyncio.timeout(self._lock_wait_s):
                await _acquired(lambda: self._bindings.lock(phone, holder, LOCK_S))
                await _acquired(lambda: self._lock_stored(lease, holder))
        except TimeoutError:
            log.warning("a text of one phone did not wait for another one any longer")
        try:
            yield
        finally:
            await self._bindings.unlock(phone, holder)
            with contextlib.suppress(StorageFailure, Refused):
                await self._reach.ask_in_turn(lambda: self._book.unlock(lease, holder), ASK_S)

    async def _lock_stored(self, lease: str, holder: str) -> bool:
        try:
            return await self._reach.ask_in_turn(
                lambda: self._book.lock(lease, holder, int(LOCK_S * 1000)), ASK_S
            )
        except (StorageFailure, Refused):
            return True  # it orders nothing now

    async def bound(self, message_id: str) -> LastMessage | None:
        """The alert that an earlier delivery of this text was for, if it was stored."""
        binding = await self._bindings.find(message_id)
        return None if binding is None else binding.asked

    async def bind(self, message_id: str, asked: LastMessage) -> LastMessage:
        """Store which alert a text is for, before it is applied; what to apply it to."""
        return await self._bindings.bind(message_id, asked)

    def language_of(self, phone: str) -> str | None:
        """The language of the contact who has ``phone``, from the local copy; None: there is none."""
        return self._directory.language_of(phone)

    async def is_known(self, answer_id: str) -> bool:
        """Whether this answer has taken effect: known here, in Redis, or in Postgres."""
        if answer_id in self._taken:
            return True
        binding = await self._bindings.find(answer_id)
        if binding is not None and binding.applied:
            return True
        try:
            return await self._reach.ask_in_turn(lambda: self._book.is_known(answer_id), ASK_S)
        except StorageFailure:
            return False  # `bound` has its alert: an answer that is applied twice does what it did once

    async def keep(self, answer_id: str) -> None:
        """This answer has taken effect."""
        for answers in (self._taken, self._unkept):
            answers[answer_id] = None
            if len(answers) > MAX_TAKEN:
                answers.popitem(last=False)
        await self._bindings.applied(answer_id)
        try:
            await self._tell(answer_id)
        except StorageFailure:
            return  # until `hand_over`

    async def hand_over(self) -> None:
        """Give Postgres the answers that were taken while it was unavailable, so that none is taken twice.

        Raises StorageUnavailable, and StorageRejected after all others were given when Postgres rejects some.
        """
        rejected: StorageRejected | None = None
        for answer_id in list(self._unkept):
            try:
                await self._tell(answer_id)
            except StorageRejected as error:
                rejected = error
        if rejected is not None:
            raise rejected

    async def _tell(self, answer_id: str) -> None:
        await self._reach.ask_in_turn(lambda: self._book.keep(answer_id), ASK_S)
        self._unkept.pop(answer_id, None)

    async def opt_out(self, phone: str) -> int | None:
        """``phone`` wants nothing more; in how many tenants that is new.

        None: the number is unknown, since Postgres is unavailable. The wish is stored here until Postgres
        has it.
        """
        return await self._opt(phone, out=True)

    async def opt_in(self, phone: str) -> int | None:
        """``phone`` wants messages again; as `opt_out`."""
        return await self._opt(phone, out=False)

    async def _opt(self, phone: str, *, out: bool) -> int | None:
        change = self._book.opt_out if out else self._book.opt_in
        try:
            return await self._reach.ask_in_turn(lambda: change(phone), ASK_S)
        except StorageFailure:
            pass
        try:
            await self._directory.say(phone, out=out)
        except OSError as error:
            raise Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE, retry_after_s=2) from error
        return None


async def _acquired(lock: Callable[[], Awaitable[bool]]) -> None:
    """Ask for a lock until it is acquired."""
    while not await lock():  # noqa: ASYNC110  another process releases it
        await asyncio.sleep(LOCK_POLL_S)


def last_asked(cases: Iterable[Case], phone: str) -> list[LastMessage]:
    """The last text or call to ``phone`` about each of ``cases`` that is open, the last told of first."""
    found: dict[UUID, LastMessage] = {}
    for case in cases:
        known = (*case.copy.contacts, *case.copy.former)
        theirs = {one.contact_id for one in known if one.phone and is_same(one.phone, phone)}
        if case.alert.state not in OPEN or not theirs:
            continue
        for attempt in case.attempts.values():
            if attempt.contact_id in theirs and _was_sent(attempt):
                sent_ms = attempt.sent_ms or attempt.created_ms
                asked = LastMessage(case.alert.alert_id, attempt.attempt_id, attempt.contact_id, sent_ms)
                found[asked.alert_id] = max(found.get(asked.alert_id, asked), asked, key=_newest)
    return sorted(found.values(), key=_newest, reverse=True)


def _newest(asked: LastMessage) -> tuple[int, UUID]:
    return asked.sent_ms, asked.attempt_id


def _was_sent(attempt: Attempt) -> bool:
    """Whether the person may have it: a message whose reply was lost is one of those."""
    return (
        attempt.channel in _ASKS
        and attempt.purpose not in OF_NO_ALERT
        and attempt.status is not Status.DUE
        and may_arrive(attempt)
    )
