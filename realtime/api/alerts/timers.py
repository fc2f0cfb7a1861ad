"""Safety timers over HTTP: armed, listed, checked in to, ended; a mass silence dismissed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

from alerts.timers import Spec, Timer
from realtime.alerting.actions import actor_of
from realtime.api.alerts.shapes import (
    ListedTimers,
    Nothing,
    OneTimer,
    TimerPath,
    TimerRequest,
    Timers,
    TimersQuery,
    TimerView,
)
from realtime.api.framework import cursor
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import NoBody, NoPath, NoQuery
from realtime.auth import authorize
from realtime.protocol import Code, Refused
from realtime.store.alerts import timers
from realtime.store.people import tenants
from realtime.timers.checkins import CheckIn, CheckInAction

_CURSOR: Final = "timer"
STORE_S: Final = 3.0
"""How long Postgres is waited for with a check-in that Redis could store."""


async def create_timer(call: OperationCall[NoPath, NoQuery, TimerRequest]) -> OneTimer:
    """Arm a timer; the same ``client_timer_id`` again gives the one that is there."""
    body, principal = call.body, call.principal
    driver = authorize.listable_driver(principal) or body.driver
    if driver is None or body.driver not in (None, driver):
        raise Refused(Code.INVALID, "driver is not named, or not the caller")
    vendor = await tenants.vendor_of(call.context.db, principal.tenant, driver)
    if vendor is None and principal.role == authorize.DRIVER:
        vendor = principal.home_vendor
    if vendor is None or not authorize.may_set_timer(principal, vendor, driver):
        raise Refused(Code.NOT_FOUND, "driver is not known")
    spec = Spec(
        kind=body.kind,
        client_timer_id=body.client_timer_id,
        by_ms=body.by,
        every_s=body.every_s,
        grace_s=body.grace_s,
        journey_id=body.journey_id,
        drill=body.drill,
    )
    made = await timers.arm(call.context.db, principal.tenant, vendor, driver, spec, actor_of(principal))
    return OneTimer(timer=_view(made))


async def list_timers(call: OperationCall[NoPath, TimersQuery, NoBody]) -> ListedTimers:
    """Those that run, newest first, by page; the caller's own, or of the vendors it looks after."""
    query, principal = call.query, call.principal
    if not authorize.may_list_journeys(principal, None, query.driver):
        raise Refused(Code.FORBIDDEN, "these timers are not yours to list")
    page = await timers.page(
        call.context.db,
        principal.tenant,
        vendors=authorize.listable_vendors(principal),
        driver=authorize.listable_driver(principal) or query.driver,
        live=not query.all,
        after=_after(query.cursor),
        limit=query.limit,
    )
    last = page.next_after
    return ListedTimers(
        timers=[_view(timer) for timer in page.timers],
        next_cursor=None if last is None else cursor.pack(_CURSOR, f"{last.created_ms}.{last.timer_id.hex}"),
    )


def _after(given: str | None) -> timers.TimerCursor | None:
    if given is None:
        return None
    created_ms, _, timer_id = cursor.unpack(_CURSOR, given).partition(".")
    try:
        return timers.TimerCursor(cursor.number(created_ms), UUID(hex=timer_id))
    except ValueError as error:
        raise Refused(Code.INVALID, "cursor is not valid") from error


async def check_in(call: OperationCall[NoPath, NoQuery, Nothing]) -> Timers:
    """The driver is well: every timer of theirs that waits for that begins anew."""
    tenant, driver = call.principal.tenant, _own(call)
    return await _answered(
        call, CheckInAction.CHECK_IN, lambda: timers.check_in(call.context.db, tenant, driver)
    )


async def arrive(call: OperationCall[NoPath, NoQuery, Nothing]) -> Timers:
    """The driver has arrived: their timers are done."""
    tenant, driver = call.principal.tenant, _own(call)
    return await _answered(call, CheckInAction.ARRIVE, lambda: timers.arrive(call.context.db, tenant, driver))


async def _answered(
    call: OperationCall[NoPath, NoQuery, Nothing],
    action: CheckInAction,
    store: Callable[[], Awaitable[list[Timer]]],
) -> Timers:
    """Store an answer in Postgres, else in Redis. Raises Refused(unavailable) when neither takes it."""
    try:
        async with asyncio.timeout(STORE_S):
            found = await store()
    except Exception as error:
        if isinstance(error, Refused) and error.code is not Code.UNAVAILABLE:
            raise
        checkins, principal = call.context.checkins, call.principal
        if checkins is None:
            raise
        await checkins.keep(CheckIn(principal.tenant, _own(call), action))
        return Timers(timers=[], durability="replicated")
    return Timers(timers=[_view(timer) for timer in found])


async def cancel_timer(call: OperationCall[TimerPath, NoQuery, NoBody]) -> OneTimer:
    """End one timer: the driver's own, or one of a driver the caller looks after."""
    db, principal = call.context.db, call.principal
    timer = await timers.live(db, principal.tenant, call.path.timer_id)
    if timer is None or not authorize.may_set_timer(principal, timer.vendor, timer.driver):
        raise Refused(Code.NOT_FOUND, "no such timer runs")
    gone = await timers.cancel(db, principal.tenant, timer.driver, timer.timer_id, actor_of(principal))
    return OneTimer(timer=_view(gone or timer))


async def dismiss(call: OperationCall[NoPath, NoQuery, Nothing]) -> Timers:
    """The operator knows why so many are silent: what is held back begins anew."""
    principal = call.principal
    if principal.role not in authorize.OVERSEERS or principal.vendors is not None:
        raise Refused(Code.FORBIDDEN, "a mass silence is dismissed by those who see the whole tenant")
    begun = await timers.dismiss(call.context.db, principal.tenant, actor_of(principal))
    return Timers(timers=[_view(timer) for timer in begun])


def _own(call: OperationCall[Any, Any, Any]) -> str:
    driver = authorize.listable_driver(call.principal)
    if driver is None:
        raise Refused(Code.FORBIDDEN, "only a driver checks in and arrives")
    return driver


def _view(timer: Timer) -> TimerView:
    return TimerView(
        timer.timer_id,
        timer.vendor,
        timer.driver,
        timer.kind,
        timer.state,
        timer.due_ms,
        timer.by_ms,
        timer.every_s,
        timer.grace_s,
        timer.journey_id,
        timer.drill,
        timer.alert_id,
    )
