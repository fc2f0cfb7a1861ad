"""Tenants, vendors and drivers: made when a valid token first names them. What drivers are called, and who
changed that.
"""

from collections.abc import Collection, Sequence
from typing import Final, Literal, NamedTuple

import asyncpg

from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL = load("identity")

CHANGES: Final = 50
"""Changes of a driver's name and number that are shown: the newest."""


class Author(NamedTuple):
    """Who changes something: the ``role`` and the ``sub`` of their token."""

    role: str
    sub: str


class Change(NamedTuple):
    """A driver's name or number was changed. Of a number the end is kept; None: there was none."""

    at_ms: int
    by: Author
    field: Literal["name", "phone"]
    before: str | None
    after: str | None


async def connect_driver(db: Database, tenant: str, vendor: str, driver: str) -> int:
    """Note a driver's new connection; return its epoch, greater than that of any earlier one of the driver.

    The driver belongs to ``vendor`` from now on. Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        epoch: int = await connection.fetchval(_SQL["connect_driver"], tenant, vendor, driver)
    return epoch


async def ensure_driver(db: Database, tenant: str, vendor: str, driver: str) -> None:
    """Make a driver of ``vendor`` that is not there yet; one that is stays as it is. Raises
    Refused(unavailable).
    """
    async with db.writer() as connection:
        await connection.execute(_SQL["ensure_driver"], tenant, vendor, driver)


async def ensure_vendors(db: Database, tenant: str, vendors: Collection[str]) -> None:
    """Make ``tenant`` and those of its ``vendors`` that are not there yet. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        await connection.execute(_SQL["ensure_vendors"], tenant, list(vendors))


async def vendor_of(db: Database, tenant: str, driver: str) -> str | None:
    """The vendor that ``driver`` last connected for; None when it never did. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        vendor: str | None = await connection.fetchval(_SQL["vendor_of"], tenant, driver)
    return vendor


async def vendors_of(db: Database, tenant: str, limit: int) -> list[str]:
    """Up to ``limit`` vendors of ``tenant``, in order of their ids. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["vendors_of"], tenant, limit)
    return [row["vendor_id"] for row in rows]


async def vendors_after(db: Database, tenant: str, after: str, limit: int) -> list[str]:
    """Up to ``limit`` vendors of ``tenant`` whose ids come after ``after``, in their order. Raises
    Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["vendors_after"], tenant, after, limit)
    return [row["vendor_id"] for row in rows]


async def names_of(
    db: Database, tenant: str, drivers: Collection[str], vendors: Collection[str] | None
) -> dict[str, str]:
    """What those of ``drivers`` are called that have a name and are of one of ``vendors`` (None: of any), by
    their ids. Raises Refused(unavailable).
    """
    among = None if vendors is None else list(vendors)
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["names_of"], tenant, list(drivers), among)
    return {row["driver_id"]: row["name"] for row in rows}


async def described(
    connection: asyncpg.Connection, tenant: str, driver: str
) -> tuple[str | None, str | None]:
    """Name and number of a driver as they are, locked until the transaction ends; (None, None): none yet."""
    row = await connection.fetchrow(_SQL["described"], tenant, driver)
    return (None, None) if row is None else (row["name"] or None, row["phone"])


async def note_changes(
    connection: asyncpg.Connection,
    tenant: str,
    driver: str,
    by: Author,
    changes: Sequence[tuple[str, str | None, str | None]],
) -> None:
    """Write down those of the ``changes`` (field, before, after) of a driver that change something, in the
    caller's transaction.
    """
    made = [change for change in changes if change[1] != change[2]]
    if made:
        fields, before, after = zip(*(_shortened(*change) for change in made), strict=True)
        await connection.execute(
            _SQL["note_changes"], tenant, driver, by.role, by.sub, list(fields), list(before), list(after)
        )


def _shortened(field: str, before: str | None, after: str | None) -> tuple[str, str | None, str | None]:
    """A change as it is kept: a number that is not the driver's any more is not kept whole."""
    if field != "phone":
        return field, before, after
    return field, *_ends(before, after)


def _ends(before: str | None, after: str | None) -> tuple[str | None, str | None]:
    return None if before is None else f"…{before[-2:]}", None if after is None else f"…{after[-2:]}"


async def changes_of(db: Database, tenant: str, driver: str) -> list[Change]:
    """The newest `CHANGES` changes of a driver, the newest first. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["changes_of"], tenant, driver, CHANGES)
    return [
        Change(
            row["at_ms"],
            Author(row["actor_role"], row["actor_id"]),
            row["field"],
            row["old_value"],
            row["new_value"],
        )
        for row in rows
    ]
