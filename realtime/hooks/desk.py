"""What a provider's rightly signed call means, and what is done about it.

A text or a key acknowledges in the name of the contact to whom that number or call belongs. An answer is
taken once: a provider that says it again, or somebody who does in its name, changes nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from weakref import WeakValueDictionary

from msgspec import Struct, structs

from alerts.addresses.destination import named
from alerts.addresses.phone import identity
from alerts.alert import OPEN, Acknowledged, Actor, ActorKind, FalseAlarm, Noted, State
from alerts.attempt import Channel, StatusReport
from alerts.case import Case
from alerts.events import Event
from alerts.notifiers.twilio_hooks import Named
from alerts.policy import Contact, everyone
from alerts.ports import StorageFailure
from alerts.replies.answer import Word, is_carriers_word, keypress, sms_word
from alerts.words.clean import clean
from alerts.words.facts import clock_time
from alerts.words.language import DEFAULT, words_of
from realtime.hooks.choice import Candidate, chosen, in_order, is_mine
from realtime.hooks.ports import Alerts, Book, Reports
from realtime.hooks.words import said
from realtime.protocol import STORAGE_UNAVAILABLE, Code, Refused
from realtime.store.people.replies import MAX_ASKED, LastMessage

log = logging.getLogger(__name__)

NOTE_CHARS: Final = 500
NAME_CHARS: Final = 60
OPTED_OUT: Final = "wants no more text messages"
_OF_CARRIERS: Final = "OptOutType"
"""Twilio's word that it has answered STOP, START or HELP itself, whatever the text was."""
_CARRIERS: Final = {"STOP": Word.STOP, "START": Word.START, "HELP": Word.HELP}


class ReplyOutcome(Struct, frozen=True):
    """The outcome of an answer, of `realtime.metrics.instruments.CALLBACK_OUTCOMES`, and the reply."""

    outcome: str
    text: str = ""
    voice: str = "en-GB"
    asks_again: bool = False
    """On a call: the key was none of those asked for."""


class CallbackService:
    """Moves attempts, and takes answers."""

    def __init__(self, alerts: Alerts, reports: Reports, book: Book, now_ms: Callable[[], int]) -> None:
        self._alerts = alerts
        self._reports = reports
        self._book = book
        self._now_ms = now_ms
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Phones whose texts are being applied here. Between workers `Book.ordered` orders them."""

    async def status(self, report: StatusReport) -> str:
        """A state of a message or a call; whether it was ``taken`` or came ``early``. Raises Refused."""
        try:
            return "taken" if await self._reports.report(report) else "early"
        except StorageFailure as error:
            raise Refused(Code.UNAVAILABLE, STORAGE_UNAVAILABLE) from error

    async def key(self, named: Named, call_id: str, digits: str) -> ReplyOutcome:
        """A key that was pressed in a call. Raises Refused."""
        case = await self._alerts.case(named.alert_id)
        if case is None or named.attempt_id not in case.attempts:
            return ReplyOutcome("unknown", said("nothing"))
        asked = LastMessage(named.alert_id, named.attempt_id, named.contact_id)
        word = keypress(digits)
        if word not in (Word.ACK, Word.FALSE_ALARM):
            return self._told("taken", "first", case, asked, [case], asks_again=True)
        return await self._once(f"{call_id}:{digits[:1]}", asked, case, word, "keypress", "")

    async def text(self, form: Mapping[str, str]) -> ReplyOutcome:
        """A text message that came in. Raises Refused.

        The texts of one phone are taken one after the other: two that come together are two answers.
        """
        phone = identity(form["From"])
        async with self._locks.setdefault(phone, asyncio.Lock()), self._book.ordered(phone):
            return await self._text(phone, form)

    async def _text(self, phone: str, form: Mapping[str, str]) -> ReplyOutcome:
        body, message_id = form.get("Body", ""), form["MessageSid"]
        if await self._book.is_known(message_id):
            return ReplyOutcome("replayed")
        said_word = sms_word(body)
        carriers = form.get(_OF_CARRIERS, "").strip().upper()
        word = _CARRIERS.get(carriers, said_word)
        if word is Word.STOP or word is Word.START:
            language = self._language(phone)
            tenants = await self._opt(phone, out=word is Word.STOP)
            # "YES" is the carriers' START. From a number that is known not to have been opted out it is an
            # answer as well. If that is unknown it is none, and the reply says how to acknowledge.
            if tenants != 0 or said_word is not Word.ACK or word is Word.STOP:
                await self._book.keep(message_id)
                if word is Word.START and said_word is Word.ACK:
                    return await self._asked_again(phone)
                what = "stopped" if word is Word.STOP else "started"
                return ReplyOutcome(
                    "taken", "" if carriers or is_carriers_word(body) else said(what, language)
                )
            word = said_word
        if word is Word.HELP:
            return ReplyOutcome("taken", "" if carriers else said("help", self._language(phone)))
        told_of = await self._in_order(phone, word, message_id)
        if not told_of:
            return ReplyOutcome("unknown", said("nothing", self._language(phone)))
        told_back = await self._take_text(phone, told_of, word, body)
        await self._book.keep(message_id)
        return told_back

    async def _in_order(self, phone: str, word: Word, message_id: str) -> list[Candidate]:
        """The alerts that a text could be about, that of the text first.

        The text is bound to its alert before it is applied: a repeat, on any worker, has the same one.
        """
        bound = await self._book.bound(message_id)
        try:
            found = in_order(phone, word, await self._candidates(phone))
        except Refused:
            if bound is None:
                raise
            found = []
        if bound is None and not found:
            return []
        asked = bound or await self._book.bind(message_id, found[0].asked)
        others = [one for one in found if one.asked.alert_id != asked.alert_id]
        case = await self._alerts.case(asked.alert_id)
        return [Candidate(asked, case), *others] if case is not None else []

    async def _asked_again(self, phone: str) -> ReplyOutcome:
        """The reply to a START that reads like an acknowledgement: how to acknowledge an open alert."""
        try:
            candidates = await self._candidates(phone)
        except Refused:
            return ReplyOutcome("taken")
        first = chosen(phone, Word.ACK, candidates)
        if first is None or first.case.alert.state not in OPEN:
            return ReplyOutcome("taken")
        return self._told("taken", "first", first.case, first.asked, [one.case for one in candidates])

    def _language(self, phone: str) -> str:
        return self._book.language_of(phone) or DEFAULT

    async def _candidates(self, phone: str) -> list[Candidate]:
        """The open alerts that ``phone`` was told of."""
        found = []
        for asked in (await self._book.last_asked(phone))[:MAX_ASKED]:
            case = await self._alerts.case(asked.alert_id)
            if case is not None:
                found.append(Candidate(asked, case))
        return found

    async def _take_text(self, phone: str, told_of: list[Candidate], word: Word, body: str) -> ReplyOutcome:
        """Take an answer by text; what is said back names the alert, and another one that needs an answer."""
        one, *others = told_of
        among = [candidate.case for candidate in told_of]
        told = await self._take(one.asked, one.case, word, "sms", body, among)
        waiting = [c for c in others if not is_mine(phone, c.case) and is_unanswered(c.case)]
        if word is not Word.ACK or not waiting or not told.text:
            return told
        contact = _contact(one.case, one.asked)
        more = said("more", contact.language, self._label(waiting[0].case, contact, among))
        return structs.replace(told, text=f"{told.text} {more}")

    async def _opt(self, phone: str, *, out: bool) -> int | None:
        """Opt a number out or in; in how many tenants that is new, None = unknown."""
        tenants = await (self._book.opt_out(phone) if out else self._book.opt_in(phone))
        count = "an unknown number of" if tenants is None else tenants
        log.info("a number %s, in %s tenants", "opted out" if out else "opted in", count)
        if out:
            try:
                for one in await self._candidates(phone):
                    await self._apply(one.case, Noted(_actor(one.case, one.asked, Channel.SMS), OPTED_OUT))
            except Refused:  # the number is opted out all the same
                log.warning("an opt-out is not in the history of its alerts: the storage is unavailable")
        return tenants

    async def _once(
        self, answer_id: str, asked: LastMessage, case: Case, word: Word, how: str, body: str
    ) -> ReplyOutcome:
        """Take an answer that was not taken before.

        It is kept as taken only afterwards: one that could not be taken must not look like a replay when it
        is given again.
        """
        if await self._book.is_known(answer_id):
            return ReplyOutcome("replayed", voice=_voice(case, asked))
        told = await self._take(asked, case, word, how, body, [case])
        await self._book.keep(answer_id)
        return told

    async def _take(
        self, asked: LastMessage, case: Case, word: Word, how: str, body: str, among: Sequence[Case]
    ) -> ReplyOutcome:
        """Take an answer about ``case``, one of those (``among``) that it could be about."""
        if case.alert.state not in OPEN:
            return self._told("taken", "over", case, asked, among)
        actor = _actor(case, asked, Channel.CALL if how == "keypress" else Channel.SMS)
        event: Event = Noted(actor, clean(body, NOTE_CHARS) or "-")
        if word is Word.ACK:
            event = Acknowledged(actor, how)
        elif word is Word.FALSE_ALARM:
            event = FalseAlarm(actor)
        refused = await self._apply(case, event)
        await self._answered(asked)
        if word is Word.ACK:
            return self._told("taken", "over" if refused == "closed" else "taken", case, asked, among)
        if word is Word.FALSE_ALARM:
            what = "false" if refused is None else "first"
            return self._told("taken", what, case, asked, among, asks_again=bool(refused))
        return self._told("taken", "noted", case, asked, among)

    async def _apply(self, case: Case, event: Event) -> str | None:
        applied = await self._alerts.apply(case.alert.tenant, case.alert.alert_id, event)
        return "closed" if applied is None else applied.refused

    def _told(
        self,
        outcome: str,
        what: str,
        case: Case,
        asked: LastMessage,
        among: Sequence[Case],
        *,
        asks_again: bool = False,
    ) -> ReplyOutcome:
        contact = _contact(case, asked)
        text = said(what, contact.language, self._label(case, contact, among))
        return ReplyOutcome(outcome, text, _voice(case, asked), asks_again)

    def _label(self, case: Case, contact: Contact, among: Sequence[Case]) -> str:
        """Of whom an alert is, so that it is told from the others: a drill is said to be one, and of several
        alerts the kind and the time are said.
        """
        alert, words = case.alert, words_of(contact.language)
        name = clean(case.copy.driver_name or alert.driver, NAME_CHARS)
        details = [words.drill] if alert.drill else []
        if len(among) > 1:
            time = clock_time(alert.pressed_ms, self._now_ms(), contact.time_zone)
            details += [words.titles[alert.kind], time]
        return f"{name} ({', '.join(details)})" if details else name

    async def _answered(self, asked: LastMessage) -> None:
        """That they acted on this very message is good to know, and no reason to lose their answer."""
        try:
            await self._reports.answered(asked.attempt_id)
        except StorageFailure:
            log.warning("an answered message is not recorded as such: the storage is unavailable")


def is_unanswered(case: Case) -> bool:
    """Whether no contact is on a real alert."""
    return case.alert.state is State.ACTIVE and not case.alert.drill


def _contact(case: Case, asked: LastMessage) -> Contact:
    """Whom the message was for, as the alert took them along."""
    return everyone(case.copy).get(asked.contact_id, Contact(asked.contact_id, ""))


def _actor(case: Case, asked: LastMessage, channel: Channel) -> Actor:
    """Who answers: whoever it was, everybody at that address is named."""
    name = named(case.copy, asked.contact_id, channel) or _contact(case, asked).name
    return Actor(ActorKind.CONTACT, asked.contact_id, name)


def _voice(case: Case, asked: LastMessage) -> str:
    return words_of(_contact(case, asked).language).voice
