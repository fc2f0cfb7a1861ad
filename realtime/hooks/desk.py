"""What a provider's rightly signed call means, and what is done about it.

A text or a key acknowledges in the name of the contact to whom that number or call belongs. An answer is
taken once: a provider that says it again, or somebody who does in its name, changes nothing.
"""

import logging
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from alerts.alert import OPEN, Acknowledged, Actor, ActorKind, FalseAlarm, Noted
from alerts.answer import Word, keypress, sms_word
from alerts.attempt import StatusReport
from alerts.case import Case
from alerts.notifiers.twilio_hooks import Named
from alerts.policy import Contact, everyone
from alerts.ports import Away
from alerts.words.clean import clean
from alerts.words.language import words_of
from realtime.hooks.ports import Alerts, Book, Reports
from realtime.hooks.words import said
from realtime.protocol import Code, Refused
from realtime.store.hooks import Asked

log = logging.getLogger(__name__)

NOTE_CHARS: Final = 500
NAME_CHARS: Final = 60
OPTED_OUT: Final = "wants no more text messages"
_START: Final = frozenset({"start", "unstop"})
_FOR_CARRIERS: Final = "OptOutType"
"""Twilio's word that it has answered STOP, START or HELP itself."""


class Told(Struct, frozen=True):
    """What became of an answer, by a word of `realtime.metrics.CALLBACK_OUTCOMES`, and what is said back."""

    outcome: str
    text: str = ""
    voice: str = "en-GB"
    asks_again: bool = False
    """On a call: the key was none of those asked for."""


class HookDesk:
    """Moves attempts, and takes answers."""

    def __init__(self, alerts: Alerts, reports: Reports, book: Book) -> None:
        self._alerts = alerts
        self._reports = reports
        self._book = book

    async def status(self, report: StatusReport) -> str:
        """A state of a message or a call; whether it was ``taken`` or came ``early``. Raises Refused."""
        try:
            return "taken" if await self._reports.report(report) else "early"
        except Away as error:
            raise Refused(Code.UNAVAILABLE, "the store is away") from error

    async def key(self, named: Named, call_id: str, digits: str) -> Told:
        """A key that was pressed in a call. Raises Refused."""
        case = await self._alerts.case(named.alert_id)
        if case is None or named.attempt_id not in case.attempts:
            return Told("unknown", said("nothing"))
        asked = Asked(named.alert_id, named.attempt_id, named.contact_id)
        word = keypress(digits)
        if word not in (Word.ACK, Word.FALSE_ALARM):
            return _told("taken", "first", case, asked, asks_again=True)
        return await self._once(f"{call_id}:{digits[:1]}", asked, case, word, "keypress", "")

    async def text(self, form: Mapping[str, str]) -> Told:
        """A text message that came in. Raises Refused."""
        phone, body, message_id = form["From"], form.get("Body", ""), form["MessageSid"]
        asked = await self._book.last_asked(phone)
        case = None if asked is None else await self._alerts.case(asked.alert_id)
        word = sms_word(body)
        if word is Word.STOP or body.strip().casefold() in _START:
            return await self._opt(phone, message_id, asked, case, out=word is Word.STOP)
        if word is Word.HELP:
            language = "en" if case is None or asked is None else _contact(case, asked).language
            return Told("taken", "" if form.get(_FOR_CARRIERS) else said("help", language))
        if asked is None or case is None:
            return Told("unknown", said("nothing"))
        return await self._once(message_id, asked, case, word, "sms", body)

    async def _opt(
        self, phone: str, message_id: str, asked: Asked | None, case: Case | None, *, out: bool
    ) -> Told:
        """STOP and START: answered by the carrier, so nothing is said back."""
        if await self._book.is_known(message_id):
            return Told("replayed")
        tenants = await (self._book.opt_out(phone) if out else self._book.opt_in(phone))
        log.info("a number %s, in %d tenants", "opted out" if out else "opted in", tenants)
        if out and asked is not None and case is not None:
            await self._apply(case, Noted(_actor(case, asked), OPTED_OUT))
        await self._book.keep(message_id)
        return Told("taken")

    async def _once(self, answer_id: str, asked: Asked, case: Case, word: Word, how: str, body: str) -> Told:
        """Take an answer that was not taken before.

        It is kept as taken only afterwards: one that could not be taken must not look like a replay when it
        is given again.
        """
        if await self._book.is_known(answer_id):
            return Told("replayed", voice=_voice(case, asked))
        told = await self._take(asked, case, word, how, body)
        await self._book.keep(answer_id)
        return told

    async def _take(self, asked: Asked, case: Case, word: Word, how: str, body: str) -> Told:
        if case.alert.state not in OPEN:
            return _told("taken", "over", case, asked)
        actor = _actor(case, asked)
        event: Any = Noted(actor, clean(body, NOTE_CHARS) or "-")
        if word is Word.ACK:
            event = Acknowledged(actor, how)
        elif word is Word.FALSE_ALARM:
            event = FalseAlarm(actor)
        refused = await self._apply(case, event)
        await self._answered(asked)
        if word is Word.ACK:
            return _told("taken", "over" if refused == "closed" else "taken", case, asked)
        if word is Word.FALSE_ALARM:
            return _told(
                "taken", "false" if refused is None else "first", case, asked, asks_again=bool(refused)
            )
        return _told("taken", "noted", case, asked)

    async def _apply(self, case: Case, event: Any) -> str | None:
        applied = await self._alerts.apply(case.alert.tenant, case.alert.alert_id, event)
        return "closed" if applied is None else applied.refused

    async def _answered(self, asked: Asked) -> None:
        """That they acted on this very message is good to know, and no reason to lose their answer."""
        try:
            await self._reports.answered(asked.attempt_id)
        except Away:
            log.warning("an answered message is not recorded as such: the store is away")


def _told(outcome: str, what: str, case: Case, asked: Asked, *, asks_again: bool = False) -> Told:
    driver = clean(case.copy.driver_name or case.alert.driver, NAME_CHARS)
    text = said(what, _contact(case, asked).language, driver)
    return Told(outcome, text, _voice(case, asked), asks_again)


def _contact(case: Case, asked: Asked) -> Contact:
    """Whom the message was for, as the alert took them along."""
    return everyone(case.copy).get(asked.contact_id, Contact(asked.contact_id, ""))


def _actor(case: Case, asked: Asked) -> Actor:
    return Actor(ActorKind.CONTACT, asked.contact_id, _contact(case, asked).name)


def _voice(case: Case, asked: Asked) -> str:
    return words_of(_contact(case, asked).language).voice
