"""What a signed link lets its holder see and do. The link needs no database; the case may be a local one."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from alerts.addresses.destination import may_arrive, named
from alerts.alert import (
    OPEN,
    Acknowledged,
    AckSilent,
    Actor,
    ActorKind,
    Alert,
    FalseAlarm,
    Noted,
    Refusal,
    Resolved,
    Responder,
    ResponderAdded,
    State,
)
from alerts.attempt import Channel
from alerts.case import Case
from alerts.events import Event
from alerts.location import better
from alerts.policy import Contact, everyone
from alerts.ports import Applied
from alerts.replies.answer import AnswerClaims, read_token
from alerts.replies.tokens import cut
from alerts.who import is_responding
from alerts.words.facts import age, clock_time, happened, position_of
from alerts.words.language import words_of
from realtime.alerting.actions import MAX_ETA_S, MAX_TEXT_CHARS, clean
from realtime.alerting.last_positions import LastSeen
from realtime.alerting.ports import Intake
from realtime.alerting.receipts import persons, rows
from realtime.answers.words import primary_of, texts_of
from realtime.auth.tokens import Principal, ShareGrant
from realtime.protocol import Code, Refused

LINK: Final = "link"
CANNOT: Final = "cannot help"
WRONG: Final = "wrong"
"""Why a link opens nothing: we did not make it, or a program has changed it;"""
EXPIRED: Final = "expired"
"""it was good once."""
PHONE_WAIT_S: Final = 0.5
"""How long a view waits for the driver's number: the page is shown without it."""
PHONE_FRESH_MS: Final = 60_000
PHONE_UNKNOWN_MS: Final = 5_000
MAX_PHONES: Final = 10_000
_LINKED: Final = (Channel.SMS, Channel.EMAIL, Channel.PUSH)
"""Channels whose messages have the link in them."""

PhoneOf = Callable[[Alert], Awaitable[str | None]]
"""The number of an alert's driver, E.164; None when there is none, or it cannot be known now."""


class Shown(Struct, frozen=True, kw_only=True):
    """The page: ready texts, so that its script decides nothing but where to put them."""

    ok: bool = True
    language: str
    state: State
    version: int
    closed: bool
    mine: bool
    """Whether the holder of the link is the one who is on it."""
    may_end: bool
    """Whether they may say that it was a false alarm: who is on it may."""
    drill: str
    title: str
    happened: str
    when: str
    do_not_call: str
    message: str
    coordinates: str
    accuracy: str
    map_url: str
    status: str
    button: str
    """The big one; empty when there is nothing to say any more."""
    told: tuple[tuple[str, str, str], ...]
    """Name, channel and status, as codes."""
    coming: tuple[str, ...]
    texts: dict[str, str]
    lat: float | None = None
    lon: float | None = None
    """Degrees, WGS84; null without a place."""
    accuracy_m: float | None = None
    place_ms: int | None = None
    """When the place was taken; null when that is not known."""
    phone: str = ""
    """The driver's number; empty when it is not known, or they must not be called."""
    call: str = ""
    """The text of that button."""
    may_close: bool = False
    """Whether the holder may say that it is over, or when they are there."""
    ended: str = ""
    """Who ended it, when and how."""
    told_lines: tuple[str, ...] = ()
    """What ``told`` says, in words."""


class AnswerDesk:
    """Reads links, shows alerts, takes answers."""

    def __init__(
        self,
        key: str,
        intake: Intake,
        now_ms: Callable[[], int],
        last_seen: LastSeen | None = None,
        phone_of: PhoneOf | None = None,
    ) -> None:
        self._key = key
        self._intake = intake
        self._now_ms = now_ms
        self._last_seen = last_seen
        self._phone_of = phone_of
        self._phones: OrderedDict[UUID, tuple[int, str]] = OrderedDict()
        """The driver's number by alert, and until when it counts."""

    async def view(self, token: object) -> Shown:
        """What the holder sees. Raises Refused: not_found, unavailable. Changes nothing."""
        answer, case = await self._read(token)
        return await self._shown(answer, case)

    async def act(self, token: object, act: str, text: str = "", eta_s: int | None = None) -> Shown:
        """The holder did something: ``ack``, ``cannot``, ``over``, ``false_alarm``, ``note``, or ``coming``,
        to be there in ``eta_s`` seconds. What they see then.

        Of an alert that is over nothing changes, and the page says that it is. Raises Refused.
        """
        answer, case = await self._read(token)
        event = self._event(act, _actor(answer, case), text, eta_s)
        if case.alert.state in OPEN:
            applied = await self._intake.apply(case.alert.tenant, case.alert.alert_id, event)
            if applied is None:
                raise _no_link()
            if act in ("false_alarm", "over") and applied.refused not in (None, Refusal.CLOSED):
                raise Refused(Code.FORBIDDEN, "say that you are on it first", reason=str(applied.refused))
            if act == "cannot":
                applied = await self._stepped_back(applied, answer.contact_id)
            case = await self._intake.case(case.alert.alert_id) or case
            if case.alert.version < applied.alert.version:
                case = Case(applied.alert, case.copy, case.attempts)
        return await self._shown(answer, case)

    async def principal(self, token: object) -> Principal:
        """The holder as a viewer of ``/watch``: of this alert, and of its journey from the press on.

        Raises Refused(not_found, unavailable).
        """
        answer, case = await self._read(token)
        alert = case.alert
        grant = ShareGrant(
            share_id="",
            journey_id=None if alert.journey_id is None else str(alert.journey_id),
            scope="journey",
            alert_id=str(alert.alert_id),
            contact_id=answer.contact_id,
            name=name_of(answer, case),
        )
        return Principal(
            sub=f"contact:{answer.contact_id}",
            role="share",
            tenant=alert.tenant,
            vendors=frozenset(),
            driver=None,
            jti=None,
            expires_ms=answer.expires_ms,
            share=grant,
        )

    async def _shown(self, answer: AnswerClaims, case: Case) -> Shown:
        """The page, with the live position where that is newer than the place of an alert that is open."""
        alert = case.alert
        if self._last_seen is not None and alert.state in OPEN:
            live = await self._last_seen.of(alert.tenant, alert.vendor, alert.driver)
            case = Case(replace(alert, place=better(alert.place, live)), case.copy, case.attempts)
        return _shown(answer, case, self._now_ms(), await self._phone(case.alert))

    async def _stepped_back(self, applied: Applied, contact_id: str) -> Applied:
        """Who was on it and cannot after all is silent from now on: others are looked for again."""
        alert = applied.alert
        by = alert.acknowledged_by
        if by is None or by.id != contact_id or alert.state is not State.ACKNOWLEDGED:
            return applied
        return await self._intake.apply(alert.tenant, alert.alert_id, AckSilent()) or applied

    async def _phone(self, alert: Alert) -> str:
        """The number by which the driver can be called; empty where they must not be, or it is not known."""
        if self._phone_of is None or alert.state not in OPEN or alert.silent or alert.duress:
            return ""
        now_ms = self._now_ms()
        until_ms, phone = self._phones.get(alert.alert_id, (0, ""))
        if until_ms > now_ms:
            return phone
        try:
            async with asyncio.timeout(PHONE_WAIT_S):
                found, fresh_ms = await self._phone_of(alert) or "", PHONE_FRESH_MS
        except TimeoutError:
            found, fresh_ms = phone, PHONE_UNKNOWN_MS
        self._phones[alert.alert_id] = (now_ms + fresh_ms, found)
        self._phones.move_to_end(alert.alert_id)
        if len(self._phones) > MAX_PHONES:
            self._phones.popitem(last=False)
        return found

    def _event(self, act: str, actor: Actor, text: str, eta_s: int | None) -> Event:
        kept = clean(text, "text", MAX_TEXT_CHARS)
        if act == "ack":
            return Acknowledged(actor, LINK)
        if act == "cannot":
            return Noted(actor, CANNOT)
        if act == "false_alarm":
            return FalseAlarm(actor, kept)
        if act == "over":
            return Resolved(actor, kept)
        if act == "coming" and eta_s is not None and 0 <= eta_s <= MAX_ETA_S:
            return ResponderAdded(actor, Responder(actor, self._now_ms(), eta_s))
        if act == "note" and kept:
            return Noted(actor, kept)
        raise Refused(Code.INVALID, "act is not known, or its text is empty")

    async def _read(self, token: object) -> tuple[AnswerClaims, Case]:
        given = cut(token) if isinstance(token, str) else token
        answer = read_token(self._key, given, self._now_ms())
        if answer is None:
            raise _no_link(EXPIRED if read_token(self._key, given, 0) is not None else WRONG)
        case = await self._intake.case(answer.alert_id)
        if case is None:
            raise _no_link(EXPIRED)
        return answer, case


def _no_link(reason: str = WRONG) -> Refused:
    return Refused(Code.NOT_FOUND, "link is not valid", reason=reason)


def contact_of(answer: AnswerClaims, case: Case) -> Contact:
    """Whom the link was given to, as the alert took them along."""
    unknown = Contact(answer.contact_id, "" if _is_uuid(answer.contact_id) else answer.contact_id)
    return everyone(case.copy).get(answer.contact_id, unknown)


def name_of(answer: AnswerClaims, case: Case) -> str:
    """Who may hold the link: every contact at the addresses to which it was sent, that contact first.

    Where no message to the contact is known, those are the addresses of all channels that have a link.
    """
    attempts = case.attempts.values()
    sent = {one.channel for one in attempts if one.contact_id == answer.contact_id and may_arrive(one)}
    channels = [channel for channel in _LINKED if channel in sent] or _LINKED
    return named(case.copy, answer.contact_id, *channels) or contact_of(answer, case).name


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def _actor(answer: AnswerClaims, case: Case) -> Actor:
    return Actor(ActorKind.CONTACT, answer.contact_id, name_of(answer, case))


def _shown(answer: AnswerClaims, case: Case, now_ms: int, phone: str = "") -> Shown:
    alert, contact = case.alert, contact_of(answer, case)
    words, texts = words_of(contact.language), texts_of(contact.language)
    driver = case.copy.driver_name or alert.driver
    by = alert.acknowledged_by
    mine = by is not None and by.kind is ActorKind.CONTACT and by.id == answer.contact_id
    closed = alert.state not in OPEN
    is_on_it = not closed and is_responding(alert, _actor(answer, case))
    ago = age(words, now_ms - alert.pressed_ms)
    place = alert.place
    told = persons(rows(tuple(case.attempts.values()), case.copy))
    return Shown(
        language=primary_of(contact.language),
        state=alert.state,
        version=alert.version,
        closed=closed,
        mine=mine,
        may_end=is_on_it and not alert.duress,
        drill=words.drill_note if alert.drill else "",
        title=f"{words.drill}: {words.titles[alert.kind]}" if alert.drill else words.titles[alert.kind],
        happened=happened(words, alert, driver),
        when=words.when.format(time=clock_time(alert.pressed_ms, now_ms, contact.time_zone), age=ago),
        do_not_call=words.do_not_call if (alert.silent or alert.duress) and not closed else "",
        message=alert.message,
        coordinates="" if place is None else f"{place.lat:.5f}, {place.lon:.5f}",
        accuracy=words.no_position if place is None else position_of(words, place, now_ms),
        map_url="" if place is None else map_url(place.lat, place.lon),
        status=_status(alert, mine, is_on_it, texts),
        button=_button(alert, is_on_it, texts),
        told=told,
        coming=tuple(_coming(r, texts, now_ms, contact.time_zone) for r in alert.responders if r.actor.name),
        texts=texts,
        lat=None if place is None else place.lat,
        lon=None if place is None else place.lon,
        accuracy_m=None if place is None else place.accuracy_m,
        place_ms=None if place is None else place.t_ms,
        phone=phone,
        call=texts["call"].format(name=driver) if phone else "",
        may_close=is_on_it,
        told_lines=tuple(_told_line(row, texts) for row in told),
        ended=_ended(
            alert, answer, texts, driver, clock_time(alert.closed_ms or 0, now_ms, contact.time_zone)
        ),
    )


def map_url(lat: float, lon: float) -> str:
    """A map that any phone can open."""
    return f"https://www.openstreetmap.org/?mlat={lat:.6f}&mlon={lon:.6f}#map=16/{lat:.6f}/{lon:.6f}"


def _coming(responder: Responder, texts: dict[str, str], now_ms: int, zone: str) -> str:
    """Who, and when they are there: ``Mia, 22:41 CET (8 min)``."""
    name, eta_s = responder.actor.name, responder.eta_s
    if eta_s is None:
        return name
    there_ms = responder.at_ms + eta_s * 1000
    left_min = -(-(there_ms - now_ms) // 60_000)
    left = f" ({texts['minutes'].format(n=left_min)})" if left_min > 0 else ""
    return f"{name}, {clock_time(there_ms, now_ms, zone)}{left}"


def _ended(alert: Alert, answer: AnswerClaims, texts: dict[str, str], driver: str, time: str) -> str:
    """Who ended it, when and how; empty while it is open."""
    if alert.state in OPEN:
        return ""
    how, by = ("over" if alert.state is State.RESOLVED else "false"), alert.closed_by
    if by is None or by.kind is ActorKind.SYSTEM:
        who = "at"
    elif by.kind is ActorKind.DRIVER:
        return texts["false_own"].format(name=by.name or driver, time=time)
    elif by.kind is ActorKind.CONTACT and by.id == answer.contact_id:
        who = "you"
    elif by.kind is ActorKind.OPERATOR and not by.name:
        who = "desk"
    else:
        who = "by" if by.name else "at"
    return texts[f"{how}_{who}"].format(name=by.name if by else "", time=time)


def _told_line(row: tuple[str, str, str], texts: dict[str, str]) -> str:
    name, channel, status = row
    return f"{name}: {texts.get(f'channel.{channel}', channel)}, {texts.get(f'attempt.{status}', status)}"


def _status(alert: Alert, mine: bool, is_on_it: bool, texts: dict[str, str]) -> str:
    if alert.state is State.RESOLVED:
        return texts["over"]
    if alert.state is State.CANCELLED:
        return texts["false"]
    if mine:
        return texts["you"]
    by = alert.acknowledged_by
    if alert.state is State.ACKNOWLEDGED and by is not None:
        is_desk = by.kind is ActorKind.OPERATOR and not by.name
        who = texts["who_desk"] if is_desk else texts["who"].format(name=by.name or "…")
        return f"{who} {texts['you_too']}" if is_on_it else who
    return texts["nobody"]


def _button(alert: Alert, is_on_it: bool, texts: dict[str, str]) -> str:
    if alert.state not in OPEN:
        return ""
    if is_on_it:
        return texts["still"]
    return texts["me_too"] if alert.state is State.ACKNOWLEDGED else texts["on_it"]
