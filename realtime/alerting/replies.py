"""What the hooks look up of numbers and answers, with Postgres there or not: `realtime.hooks.ports.Book`."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final
from uuid import UUID

from alerts.addresses.destination import may_arrive
from alerts.addresses.phone import is_same
from alerts.alert import OPEN
from alerts.attempt import OF_NO_ALERT, Attempt, Channel, Status
from alerts.case import Case
from alerts.ports import Away
from realtime.alerting.db_guard import DatabaseGuard
from realtime.alerting.failover.contact_cache import ContactCache
from realtime.alerting.ports import Copies, Local
from realtime.protocol import Code, Refused
from realtime.store.alerts.ledger import Rejected
from realtime.store.people.replies import LastMessage, ReplyStore

ASK_S: Final = 1.0
MAX_TAKEN: Final = 10_000
"""Answers that are remembered in memory while Postgres is away; the oldest go first."""
_ASKS: Final = frozenset({Channel.SMS, Channel.CALL})


class ReplyRepository:
    """Postgres' book; with it away, what the cases here and elsewhere say."""

    def __init__(
        self, reach: DatabaseGuard, book: ReplyStore, local: Local, copies: Copies, directory: ContactCache
    ) -> None:
        self._reach: Final = reach
        self._book: Final = book
        self._local: Final = local
        self._copies: Final = copies
        self._directory: Final = directory
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
        except Away:
            away = True
        known = {asked.alert_id for asked in found}
        here = last_asked((kept.case for kept in self._local.all()), phone)
        for asked in (*here, *self._copies.last_asked(phone)):
            if asked.alert_id not in known:
                known.add(asked.alert_id)
                found.append(asked)
        if away and not found:
            raise Refused(Code.UNAVAILABLE, "the store is away", retry_after_s=2)
        return found

    async def is_known(self, answer_id: str) -> bool:
        """Whether this answer was taken before; with Postgres away, by this process."""
        if answer_id in self._taken:
            return True
        try:
            return await self._reach.ask_in_turn(lambda: self._book.is_known(answer_id), ASK_S)
        except Away:
            return False  # an answer that is taken twice does what it did once

    async def keep(self, answer_id: str) -> None:
        """This answer was taken."""
        for answers in (self._taken, self._unkept):
            answers[answer_id] = None
            if len(answers) > MAX_TAKEN:
                answers.popitem(last=False)
        try:
            await self._tell(answer_id)
        except Away:
            return  # until `hand_over`

    async def hand_over(self) -> None:
        """Give Postgres the answers that were taken while it was unavailable, so that none is taken twice.

        Raises Away; `Rejected`, which is one, after all others were given when Postgres rejects some.
        """
        rejected: Rejected | None = None
        for answer_id in list(self._unkept):
            try:
                await self._tell(answer_id)
            except Rejected as error:
                rejected = error
        if rejected is not None:
            raise rejected

    async def _tell(self, answer_id: str) -> None:
        await self._reach.ask_in_turn(lambda: self._book.keep(answer_id), ASK_S)
        self._unkept.pop(answer_id, None)

    async def opt_out(self, phone: str) -> int:
        """``phone`` wants nothing more; in how many tenants that is new, as far as is known."""
        return await self._opt(phone, out=True)

    async def opt_in(self, phone: str) -> int:
        """``phone`` wants messages again."""
        return await self._opt(phone, out=False)

    async def _opt(self, phone: str, *, out: bool) -> int:
        change = self._book.opt_out if out else self._book.opt_in
        try:
            return await self._reach.ask_in_turn(lambda: change(phone), ASK_S)
        except Away:
            pass
        try:
            await self._directory.say(phone, out=out)
        except OSError as error:
            raise Refused(Code.UNAVAILABLE, "the store is away", retry_after_s=2) from error
        return 0


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
