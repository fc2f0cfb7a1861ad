"""Which scopes a committed write has changed: contacts, policies, devices or PINs of a driver, a vendor or a
tenant. Each process re-reads those into its local copy.
"""

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

import asyncpg

from alerts.addresses.phone import spellings
from realtime.store.db.queries import load

_SQL: Final = load("changes")
_log = logging.getLogger(__name__)

EVERYTHING: Final = "*"
"""In the place of scopes: more has changed than is worth naming."""
MAX_SCOPES: Final = 500
"""Scopes that one write names, that wait to be announced and that are re-read together; beyond it
`EVERYTHING`.
"""

Changed = Callable[[Collection[str]], None]
"""Is given scopes, or `EVERYTHING`. Must not block."""


def scope_of(tenant: str, vendor: str | None, driver: str | None) -> str:
    """The name of a scope: ``tenant``, ``tenant/v/vendor`` or ``tenant/d/driver``; identifiers hold no
    slash.
    """
    if driver is not None:
        return f"{tenant}/d/{driver}"
    return tenant if vendor is None else f"{tenant}/v/{vendor}"


class ScopeParts(NamedTuple):
    """A scope by its parts; a tenant's has neither vendor nor driver."""

    tenant: str
    vendor: str | None
    driver: str | None


def parts_of(scope: str) -> ScopeParts | None:
    """The parts of a `scope_of`; None for anything else."""
    match scope.split("/"):
        case [tenant] if tenant and tenant != EVERYTHING:
            return ScopeParts(tenant, None, None)
        case [tenant, "v", vendor] if tenant and vendor:
            return ScopeParts(tenant, vendor, None)
        case [tenant, "d", driver] if tenant and driver:
            return ScopeParts(tenant, None, driver)
    return None


class Pending:
    """Scopes that wait, each once; `EVERYTHING` alone beyond ``max_scopes``."""

    def __init__(self, max_scopes: int = MAX_SCOPES) -> None:
        self._max: Final = max_scopes
        self._scopes: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._scopes)

    def add(self, scopes: Iterable[str]) -> None:
        """Have these too."""
        for scope in scopes:
            if EVERYTHING in self._scopes:
                return
            self._scopes[scope] = None
            if scope == EVERYTHING or len(self._scopes) > self._max:
                self._scopes = {EVERYTHING: None}

    def take(self) -> tuple[str, ...]:
        """All that waits; nothing does afterwards."""
        taken, self._scopes = tuple(self._scopes), {}
        return taken


class ScopeChanges:
    """Tells listeners of the scopes that writes of this process have changed, once they are committed."""

    def __init__(self) -> None:
        self._listeners: Final[list[Changed]] = []

    def listen(self, changed: Changed) -> None:
        """Tell ``changed`` of every change from now on."""
        self._listeners.append(changed)

    def note(self, scopes: Collection[str]) -> None:
        """These have changed, and that is committed."""
        if not scopes:
            return
        named = scopes if len(scopes) <= MAX_SCOPES else (EVERYTHING,)
        for changed in self._listeners:
            try:
                changed(named)
            except Exception as error:  # the write is committed; the poll of the copies finds it
                _log.error("changed scopes are not announced: %s", type(error).__name__)


async def of_address(connection: asyncpg.Connection, address: str, tenant: str | None = None) -> set[str]:
    """The scopes of contacts with this phone number, in each of its spellings, or mail address; of all
    tenants or of one.
    """
    found = await connection.fetch(_SQL["of_address"], list(spellings(address)), tenant, MAX_SCOPES + 1)
    return {scope_of(row["tenant_id"], row["vendor_id"], row["driver_id"]) for row in found}


async def of_devices(connection: asyncpg.Connection, devices: Iterable[asyncpg.Record]) -> set[str]:
    """The scopes that use these rows of devices: contacts with their subject, vendors of dispatchers."""
    scopes: set[str] = set()
    for device in devices:
        tenant = device["tenant_id"]
        if device["role"] != "driver":
            vendors = [None] if device["vendor_ids"] is None else device["vendor_ids"]
            scopes |= {scope_of(tenant, vendor, None) for vendor in vendors}
        found = await connection.fetch(_SQL["of_subject"], tenant, device["subject"], MAX_SCOPES + 1)
        scopes |= {scope_of(tenant, row["vendor_id"], row["driver_id"]) for row in found}
    return scopes
