"""Tenants, vendors and drivers: made when a valid token first names them."""

from collections.abc import Collection

from realtime.store.database import Database
from realtime.store.queries import load

_SQL = load("identity")


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
