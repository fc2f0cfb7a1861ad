"""Which vendors there are, and where the drivers of one are now."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from geo.position import Point, order_ms
from realtime.api.framework import cursor
from realtime.api.framework.operation import OperationCall
from realtime.api.framework.shapes import (
    DriverPosition,
    NoBody,
    NoPath,
    PositionsQuery,
    Presence,
    VendorPath,
    VendorPositions,
    Vendors,
    VendorsQuery,
)
from realtime.auth import authorize
from realtime.protocol import Code, Refused
from realtime.store.journeys import journeys
from realtime.store.people import tenants

_CURSOR = "driver"
_VENDOR_CURSOR = "vendor"
_HOUR_MS: Final = 3_600_000
_EXPIRY_MS: Final = 6 * _HOUR_MS
"""How much later than its age allows a journey may be closed: upkeep closes it with its next round."""


async def list_vendors(call: OperationCall[NoPath, VendorsQuery, NoBody]) -> Vendors:
    """Those that the caller's claim names, or all of the tenant, in the order of their ids."""
    query, principal = call.query, call.principal
    if principal.role not in authorize.OVERSEERS:
        raise Refused(Code.FORBIDDEN, "vendors are listed for who oversees them")
    after = "" if query.cursor is None else cursor.unpack(_VENDOR_CURSOR, query.cursor)
    if principal.vendors is None:
        found = await tenants.vendors_after(call.context.db, principal.tenant, after, query.limit + 1)
    else:
        found = sorted(vendor for vendor in principal.vendors if vendor > after)
    page = found[: query.limit]
    following = cursor.pack(_VENDOR_CURSOR, page[-1]) if len(found) > len(page) else None
    return Vendors(vendors=page, next_cursor=following)


async def positions(call: OperationCall[VendorPath, PositionsQuery, NoBody]) -> VendorPositions:
    """Each driver that has a position or a presence, in the order of their ids."""
    vendor, tenant = call.path.vendor, call.principal.tenant
    if not authorize.may_watch_vendor(call.principal, vendor):
        raise Refused(Code.FORBIDDEN, "this vendor is not yours to watch")
    after = "" if call.query.cursor is None else cursor.unpack(_CURSOR, call.query.cursor)
    latest = {row[0]: row for row in await call.context.latest.of_vendor(tenant, vendor)}
    presence = await call.context.latest.presence_of_vendor(tenant, vendor)
    drivers = sorted(driver for driver in latest.keys() | presence.keys() if driver > after)
    page = drivers[: call.query.limit]
    now_ms = call.context.now_ms()
    under_way = await _under_way(call, page)
    return VendorPositions(
        vendor=vendor,
        now_ms=now_ms,
        positions=[
            _driver_position(
                driver,
                latest.get(driver),
                presence.get(driver),
                now_ms,
                None if under_way is None else driver in under_way,
            )
            for driver in page
        ],
        next_cursor=cursor.pack(_CURSOR, page[-1]) if len(page) < len(drivers) else None,
    )


async def _under_way(
    call: OperationCall[VendorPath, PositionsQuery, NoBody], page: Collection[str]
) -> set[str] | None:
    """Those of a page of drivers who have an open journey; None when Postgres cannot be asked: positions are
    shown without it too.
    """
    if not page:
        return set()
    settings, now_ms = call.context.settings, call.context.now_ms()
    since_ms = now_ms - settings.journey_max_h * _HOUR_MS - _EXPIRY_MS
    try:
        return await journeys.drivers_under_way(
            call.context.db, call.principal.tenant, call.path.vendor, page, since_ms
        )
    except Refused as refused:
        if refused.code is not Code.UNAVAILABLE:
            raise
        return None


def _driver_position(
    driver: str,
    row: tuple[str, Any, Point, int] | None,
    presence: Mapping[str, Any] | None,
    now_ms: int,
    journey_open: bool | None,
) -> DriverPosition:
    there = presence and Presence(presence["state"], presence["since_ms"], presence.get("reason"))
    if row is None:
        return DriverPosition(driver, None, None, None, None, there or None, journey_open)
    _, journey_id, point, received_ms = row
    fixed_ms = received_ms if point.t_ms is None else order_ms(point.t_ms, received_ms)
    # Another instance's clock may be a little ahead of this one's.
    age_ms = max(0, now_ms - fixed_ms)
    return DriverPosition(driver, str(journey_id), point, received_ms, age_ms, there or None, journey_open)
