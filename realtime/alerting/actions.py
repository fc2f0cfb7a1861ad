"""What people do to an alert: acknowledge, resolve, note, come, call it a false alarm. By whatever way they
ask, the rules are here.
"""

import contextlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Literal
from uuid import UUID

from alerts.alert import (
    OPEN,
    Acknowledged,
    Actor,
    ActorKind,
    Alert,
    Denied,
    FalseAlarm,
    Noted,
    Refusal,
    Resolved,
    Responder,
    ResponderAdded,
    as_shown_to_driver,
)
from alerts.events import tag_of
from realtime.alerting.ports import Intake
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.protocol import Code, Refused

MAX_TEXT_CHARS: Final = 1_000
MAX_NAME_CHARS: Final = 100
MAX_ETA_S: Final = 86_400
MAX_TRIED: Final = 10_000

How = Literal["link", "page", "api"]


class AlertActions:
    """Looks an alert up, asks `realtime.auth.authorize`, hands the event to the intake."""

    def __init__(self, intake: Intake, now_ms: Callable[[], int]) -> None:
        self._intake = intake
        self._now_ms = now_ms
        self._tried = OrderedDict[tuple[UUID, str, str], None]()
        """Who was denied what, as far as it is in a history."""

    async def visible(self, principal: Principal, alert_id: UUID) -> Alert:
        """The alert. Raises the same Refused(not_found) for one that is missing or not theirs."""
        alert = await self._intake.get(principal.tenant, alert_id)
        if alert is None or not authorize.may_see_alert(
            principal, alert.tenant, alert.vendor, alert.driver, alert.alert_id, alert.journey_id
        ):
            raise Refused(Code.NOT_FOUND, "no such alert")
        return alert

    async def answerable(self, principal: Principal, alert_id: UUID) -> Alert:
        """The alert, which they may answer. Raises Refused: not_found, forbidden."""
        alert = await self.visible(principal, alert_id)
        _must_answer(principal, alert)
        return alert

    async def acknowledge(self, principal: Principal, alert_id: UUID, how: How) -> Alert:
        """They are on it; again is a sign of life."""
        return await self._do(principal, alert_id, lambda actor: Acknowledged(actor, how))

    async def resolve(self, principal: Principal, alert_id: UUID, note: str = "") -> Alert:
        """It is over."""
        text = clean(note, "note", MAX_TEXT_CHARS)
        return await self._do(principal, alert_id, lambda actor: Resolved(actor, text))

    async def false_alarm(self, principal: Principal, alert_id: UUID, note: str = "") -> Alert:
        """Nothing was wrong; everyone who was told is told so."""
        text = clean(note, "note", MAX_TEXT_CHARS)
        return await self._do(principal, alert_id, lambda actor: FalseAlarm(actor, text))

    async def note(self, principal: Principal, alert_id: UUID, text: str) -> Alert:
        """A note for the others."""
        kept = clean(text, "text", MAX_TEXT_CHARS)
        if not kept:
            raise Refused(Code.INVALID, "text is empty")
        return await self._do(principal, alert_id, lambda actor: Noted(actor, kept))

    async def respond(
        self, principal: Principal, alert_id: UUID, name: str | None = None, eta_s: int | None = None
    ) -> Alert:
        """Somebody is coming: they themselves, or whom they name."""
        called = None if name is None else clean(name, "name", MAX_NAME_CHARS)
        if eta_s is not None and not 0 <= eta_s <= MAX_ETA_S:
            raise Refused(Code.INVALID, f"eta_s is not from 0 to {MAX_ETA_S}")

        def added(actor: Actor) -> ResponderAdded:
            who = actor if not called else Actor(actor.kind, actor.id, called)
            return ResponderAdded(actor, Responder(who, self._now_ms(), eta_s))

        return await self._do(principal, alert_id, added)

    async def _do(self, principal: Principal, alert_id: UUID, event_of: Callable[[Actor], Any]) -> Alert:
        alert = await self.visible(principal, alert_id)
        event = event_of(actor_of(principal))
        try:
            _must_answer(principal, alert)
        except Refused:
            await self._denied(principal, alert, tag_of(event))
            raise
        _must_be_open_as_shown(principal, alert)
        applied = await self._intake.apply(principal.tenant, alert.alert_id, event)
        if applied is None:
            raise Refused(Code.NOT_FOUND, "no such alert")
        if applied.refused is not None and applied.refused != Refusal.ALREADY:  # asked twice is no fault
            raise Refused(
                Code.CONFLICT,
                f"the alert is {applied.alert.state}",
                reason=str(applied.refused),
                state=applied.alert.state,
            )
        return applied.alert

    async def _denied(self, principal: Principal, alert: Alert, asked: str) -> None:
        """It is in the history of the alert: once, since who asks a thousand times fills no table."""
        tried = (alert.alert_id, principal.sub, asked)
        if tried in self._tried:
            return
        self._tried[tried] = None
        if len(self._tried) > MAX_TRIED:
            self._tried.popitem(last=False)
        with contextlib.suppress(Refused):  # refused it is all the same
            await self._intake.apply(principal.tenant, alert.alert_id, Denied(_looker(principal), asked))


def _must_be_open_as_shown(principal: Principal, alert: Alert) -> None:
    """A link that shows the alert as the phone does answers it as it is shown: one that is over there cannot
    be answered. Raises Refused(conflict).
    """
    if principal.share is None or not authorize.sees_as_phone(principal):
        return
    shown = as_shown_to_driver(alert)
    if shown.state not in OPEN:
        raise Refused(
            Code.CONFLICT, f"the alert is {shown.state}", reason=str(Refusal.CLOSED), state=shown.state
        )


def _looker(principal: Principal) -> Actor:
    """Whoever holds a link is somebody's contact, whether we know whose or not."""
    grant = principal.share
    if grant is None or grant.contact_id is not None:
        return actor_of(principal)
    return Actor(ActorKind.CONTACT, principal.sub, grant.name)


def _must_answer(principal: Principal, alert: Alert) -> None:
    if not authorize.may_answer_alert(
        principal,
        alert.tenant,
        alert.vendor,
        alert.driver,
        alert.alert_id,
        alert.journey_id,
        alert.raised_ms,
    ):
        raise Refused(Code.FORBIDDEN, "this alert is not yours to answer")


def actor_of(principal: Principal) -> Actor:
    """``principal`` as the history names it."""
    grant = principal.share
    if grant is not None and grant.contact_id is not None:
        return Actor(ActorKind.CONTACT, grant.contact_id, grant.name)
    if principal.role == authorize.DRIVER:
        return Actor(ActorKind.DRIVER, principal.driver or principal.sub)
    return Actor(ActorKind.OPERATOR, principal.sub)


def clean(text: str, name: str, limit: int) -> str:
    """``text`` without control characters, lines kept. Raises Refused(invalid) for one that is too long."""
    if len(text) > limit:
        raise Refused(Code.INVALID, f"{name} is longer than {limit} characters")
    return "".join(c for c in text if c.isprintable() or c == "\n").strip()
