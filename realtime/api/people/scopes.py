"""Whose contacts, policy or settings a request means, and whether they are the caller's to ask about."""

from typing import Any

from realtime.api.framework.operation import OperationCall
from realtime.auth import authorize
from realtime.protocol import Code, Refused
from realtime.store.people import tenants
from realtime.store.people.contacts import Scope


async def scope_of(
    call: OperationCall[Any, Any, Any], vendor: str | None, driver: str | None, *, make: bool
) -> Scope:
    """The scope that ``vendor`` and ``driver`` name; a driver's own when a driver asks.

    ``make``: vendor and driver are made when nobody has named them before. Raises the very same
    Refused(not_found) for a driver that is unknown, of another tenant or not the caller's to ask about.
    """
    principal = call.principal
    if principal.role == authorize.DRIVER:
        if driver not in (None, principal.driver) or vendor not in (None, principal.home_vendor):
            raise _unknown()
        driver, vendor = principal.driver, principal.home_vendor
    scope = Scope(vendor) if driver is None else await _drivers(call, vendor, driver, make=make)
    if not authorize.may_manage_people(principal, scope.vendor, scope.driver):
        if scope.driver is not None:
            raise _unknown()
        raise Refused(Code.FORBIDDEN, "this is not yours to look after")
    if make:
        await _make(call, scope)
    return scope


async def driver_of(call: OperationCall[Any, Any, Any], driver: str) -> Scope:
    """The scope of one driver, who is known. Raises like `scope_of`."""
    return await scope_of(call, None, driver, make=False)


async def _drivers(
    call: OperationCall[Any, Any, Any], vendor: str | None, driver: str, *, make: bool
) -> Scope:
    known = await tenants.vendor_of(call.context.db, call.principal.tenant, driver)
    if known is None and (make or call.principal.role == authorize.DRIVER):
        known = vendor
    moved = vendor not in (None, known) and call.principal.role != authorize.DRIVER
    if known is None or moved:
        raise _unknown()
    return Scope(known, driver)


async def _make(call: OperationCall[Any, Any, Any], scope: Scope) -> None:
    db, tenant = call.context.db, call.principal.tenant
    if scope.driver is not None and scope.vendor is not None:
        await tenants.ensure_driver(db, tenant, scope.vendor, scope.driver)
    else:
        await tenants.ensure_vendors(db, tenant, [] if scope.vendor is None else [scope.vendor])


def _unknown() -> Refused:
    return Refused(Code.NOT_FOUND, "no such driver")
