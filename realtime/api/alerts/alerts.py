"""Alerts over HTTP: listed, explained, answered, raised for a driver."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

from alerts.addresses.destination import named
from alerts.alert import Alert, Kind, Press
from alerts.attempt import Attempt
from alerts.case import Audit
from alerts.policy import PolicyCopy
from alerts.press import cleaned
from realtime.alerting.actions import AlertActions, actor_of
from realtime.alerting.views import view_for
from realtime.api.alerts.shapes import (
    AlertDetail,
    AlertPage,
    AlertPath,
    AlertQuery,
    AlertsQuery,
    AttemptPage,
    AttemptView,
    CloseRequest,
    EarlierQuery,
    HistoryPage,
    HistoryView,
    NoteRequest,
    Nothing,
    OneAlert,
    RaiseRequest,
    ResponderRequest,
    SnapshotView,
)
from realtime.api.framework import cursor
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import NoBody, NoPath, NoQuery, SosAck
from realtime.auth import authorize
from realtime.protocol import Code, Refused
from realtime.store.alerts import reads
from realtime.store.alerts.reads import AlertCursor, AttemptCursor
from realtime.store.people import tenants

_CURSOR: Final = "alert"
_ATTEMPT_CURSOR: Final = "attempt"
_LINE_CURSOR: Final = "history"
_API: Final = "api"
_DISPATCHER: Final = "dispatcher"
_VENDOR_TIMEOUT_S: Final = 1.0
_LIVE_TIMEOUT_S: Final = 1.0
_log = logging.getLogger(__name__)


async def list_alerts(call: OperationCall[NoPath, AlertsQuery, NoBody]) -> AlertPage:
    """Newest first. Without filters it is narrowed to what the caller may see."""
    query, principal = call.query, call.principal
    if not authorize.may_list_journeys(principal, query.vendor, query.driver):
        raise Refused(Code.FORBIDDEN, "these alerts are not yours to list")
    # By the state that the driver's phone is shown: after a duress PIN the other would give it away.
    shown_state = query.state if principal.role == authorize.DRIVER else None
    found = await reads.list_(
        call.context.db,
        principal.tenant,
        vendors=authorize.listable_vendors(principal) if query.vendor is None else [query.vendor],
        driver=authorize.listable_driver(principal) or query.driver,
        states=None if query.state is None or shown_state is not None else [query.state],
        since_ms=query.since,
        after=_after(query.cursor),
        limit=query.limit + 1,
    )
    page = found[: query.limit]
    last = page[-1] if len(found) > len(page) else None
    return AlertPage(
        alerts=[
            view
            for view in (view_for(principal, alert) for alert in page)
            if shown_state is None or view.state == shown_state
        ],
        next_cursor=None if last is None else cursor.pack(_CURSOR, f"{last.raised_ms}.{last.alert_id.hex}"),
    )


def _after(given: str | None) -> AlertCursor | None:
    if given is None:
        return None
    raised_ms, _, alert_id = cursor.unpack(_CURSOR, given).partition(".")
    try:
        return AlertCursor(cursor.number(raised_ms), UUID(hex=alert_id))
    except ValueError as error:
        raise Refused(Code.INVALID, "cursor is not valid") from error


async def get_alert(call: OperationCall[AlertPath, AlertQuery, NoBody]) -> AlertDetail:
    """One alert; for overseers with its newest attempts and history, and where earlier ones begin."""
    principal = call.principal
    alert = await _answering(call).visible(principal, call.path.alert_id)
    found = None
    if principal.role in authorize.OVERSEERS:
        found = await reads.explain(call.context.db, principal.tenant, alert.alert_id, call.query.limit)
    if found is None:
        return AlertDetail(
            alert=view_for(principal, alert),
            attempts=[],
            attempts_cursor=None,
            history=[],
            history_cursor=None,
        )
    return AlertDetail(
        alert=view_for(principal, found.alert),
        attempts=_attempts(found.attempts, found.copy),
        attempts_cursor=_packed_attempt(found.earlier_attempts),
        history=[_line(line) for line in found.audit],
        history_cursor=_packed_line(found.earlier_audit),
        snapshot=SnapshotView(found.copy.source, found.copy.age_ms, found.copy.is_complete),
    )


async def list_attempts(call: OperationCall[AlertPath, EarlierQuery, NoBody]) -> AttemptPage:
    """From the newest back in time, a page at a time."""
    alert = await _overseen(call)
    before = _attempt_cursor(call.query.cursor)
    found = await reads.attempts_before(
        call.context.db, alert.tenant, alert.alert_id, before, call.query.limit
    )
    if found is None:  # a journal has it, and its import is under way
        return AttemptPage(attempts=[], next_cursor=None)
    copy, page = found
    return AttemptPage(attempts=_attempts(page.attempts, copy), next_cursor=_packed_attempt(page.earlier))


async def list_history(call: OperationCall[AlertPath, EarlierQuery, NoBody]) -> HistoryPage:
    """From the newest back in time, a page at a time."""
    alert = await _overseen(call)
    before = _line_cursor(call.query.cursor)
    page = await reads.history_before(call.context.db, alert.tenant, alert.alert_id, before, call.query.limit)
    return HistoryPage(history=[_line(line) for line in page.audit], next_cursor=_packed_line(page.earlier))


async def _overseen(call: OperationCall[AlertPath, Any, Any]) -> Alert:
    """The alert of the path, for those who see its attempts and history. Raises Refused."""
    alert = await _answering(call).visible(call.principal, call.path.alert_id)
    if call.principal.role not in authorize.OVERSEERS:
        raise Refused(Code.FORBIDDEN, "the history of an alert is for those who oversee its vendor")
    return alert


def _attempts(attempts: Iterable[Attempt], copy: PolicyCopy) -> list[AttemptView]:
    return [
        AttemptView(
            attempt_id=a.attempt_id,
            purpose=a.purpose,
            contact_id=a.contact_id,
            contact=named(copy, a.contact_id, a.channel),
            channel=a.channel,
            status=a.status,
            round=a.round,
            step=a.step,
            number=a.number,
            repeat=a.repeat,
            due_at=a.due_ms,
            sent_at=a.sent_ms,
            delivered_at=a.delivered_ms,
            provider=a.provider,
            provider_status=a.provider_status,
            reason=a.reason,
        )
        for a in attempts
    ]


def _line(line: Audit) -> HistoryView:
    return HistoryView(
        line.version,
        line.at_ms,
        line.actor.kind,
        line.actor.id,
        line.actor.name,
        line.what,
        line.arrow,
        dict(line.detail),
    )


def _packed_attempt(earlier: AttemptCursor | None) -> str | None:
    if earlier is None:
        return None
    return cursor.pack(_ATTEMPT_CURSOR, f"{earlier.created_ms}.{earlier.attempt_id.hex}")


def _attempt_cursor(given: str | None) -> AttemptCursor | None:
    if given is None:
        return None
    created_ms, _, attempt_id = cursor.unpack(_ATTEMPT_CURSOR, given).partition(".")
    try:
        return AttemptCursor(cursor.number(created_ms), UUID(hex=attempt_id))
    except ValueError as error:
        raise Refused(Code.INVALID, "cursor is not valid") from error


def _packed_line(earlier: int | None) -> str | None:
    return None if earlier is None else cursor.pack(_LINE_CURSOR, str(earlier))


def _line_cursor(given: str | None) -> int | None:
    return None if given is None else cursor.number(cursor.unpack(_LINE_CURSOR, given))


async def acknowledge(call: OperationCall[AlertPath, NoQuery, Nothing]) -> OneAlert:
    """The caller is on it."""
    alert = await _answering(call).acknowledge(call.principal, call.path.alert_id, _API)
    return OneAlert(alert=view_for(call.principal, alert))


async def resolve(call: OperationCall[AlertPath, NoQuery, CloseRequest]) -> OneAlert:
    """It is over."""
    alert = await _answering(call).resolve(call.principal, call.path.alert_id, call.body.note)
    return OneAlert(alert=view_for(call.principal, alert))


async def false_alarm(call: OperationCall[AlertPath, NoQuery, CloseRequest]) -> OneAlert:
    """Nothing was wrong."""
    alert = await _answering(call).false_alarm(call.principal, call.path.alert_id, call.body.note)
    return OneAlert(alert=view_for(call.principal, alert))


async def note(call: OperationCall[AlertPath, NoQuery, NoteRequest]) -> OneAlert:
    """A note for the others."""
    alert = await _answering(call).note(call.principal, call.path.alert_id, call.body.text)
    return OneAlert(alert=view_for(call.principal, alert))


async def respond(call: OperationCall[AlertPath, NoQuery, ResponderRequest]) -> OneAlert:
    """Somebody is coming."""
    body = call.body
    alert = await _answering(call).respond(call.principal, call.path.alert_id, body.name, body.eta_s)
    return OneAlert(alert=view_for(call.principal, alert))


async def raise_alert(call: OperationCall[NoPath, NoQuery, RaiseRequest]) -> SosAck:
    """An alert for a driver of the caller's: a drill, or a call for help that somebody took.

    A driver of others is refused like one that does not exist.
    """
    body, principal = call.body, call.principal
    if principal.role not in authorize.OVERSEERS:
        raise Refused(Code.FORBIDDEN, "alerts are raised for drivers by those who oversee their vendor")
    if not body.sos_id.int:
        raise Refused(Code.INVALID, "sos_id is the nil uuid")  # all presses of such a page would be one
    if not authorize.may_raise_for(principal, body.vendor) or not await _drives_for(call):
        raise Refused(Code.NOT_FOUND, "driver is not known")
    now_ms = call.context.now_ms()
    taken = await call.context.alerts.press(
        Press(
            tenant=principal.tenant,
            vendor=body.vendor,
            driver=body.driver,
            sos_id=body.sos_id,
            kind=Kind.SOS,
            received_ms=now_ms,
            pressed_ms=now_ms,
            source=_DISPATCHER if principal.role == authorize.DISPATCHER else _API,
            message=cleaned(body.message),
            silent=body.silent,
            drill=body.drill,
            by=actor_of(principal),
        )
    )
    return SosAck(alert_id=taken.alert.alert_id, state=taken.alert.state, durability=taken.durability)


async def _drives_for(call: OperationCall[NoPath, NoQuery, RaiseRequest]) -> bool:
    """Whether the driver of the request is of its vendor. When Postgres does not answer within
    `_VENDOR_TIMEOUT_S`, or fails in any way, the live state in Redis decides: a driver that it does not have
    may still be one. Raises Refused(unavailable).
    """
    body, context, tenant = call.body, call.context, call.principal.tenant
    try:
        async with asyncio.timeout(_VENDOR_TIMEOUT_S):
            return await tenants.vendor_of(context.db, tenant, body.driver) == body.vendor
    except Exception as failure:
        _log.warning("the vendor of a driver cannot be read from postgres: %s", type(failure).__name__)
    try:
        async with asyncio.timeout(_LIVE_TIMEOUT_S):
            if body.driver in await context.latest.presence_of_vendor(tenant, body.vendor):
                return True
            if any(row[0] == body.driver for row in await context.latest.of_vendor(tenant, body.vendor)):
                return True
    except Exception as failure:
        _log.warning("the vendor of a driver cannot be read from redis: %s", type(failure).__name__)
    raise Refused(Code.UNAVAILABLE, "the vendor of the driver cannot be read", retry_after_s=2)


def _answering(call: OperationCall[Any, Any, Any]) -> AlertActions:
    return AlertActions(call.context.alerts, call.context.now_ms)
