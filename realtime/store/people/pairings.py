"""Of which vendor each pairing is, for as long as its token can live: who oversees that vendor revokes it."""

from realtime.store.db.database import Database
from realtime.store.db.queries import load

_SQL = load("pairings")


async def note(db: Database, tenant: str, jti: str, vendor: str, driver: str, expires_ms: int) -> None:
    """Note the pairing of ``driver``, who is known, with ``vendor``.

    ``jti``: that of the token which the phone will have; ``expires_ms``: when that expires at the latest.
    Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        await connection.execute(_SQL["note"], tenant, jti, vendor, driver, expires_ms)


async def vendor_of(db: Database, tenant: str, jti: str) -> str | None:
    """The vendor of ``tenant``'s pairing ``jti``; None when there is none. Raises Refused(unavailable)."""
    if "\0" in jti:
        return None
    async with db.reader(tenant) as connection:
        vendor: str | None = await connection.fetchval(_SQL["vendor_of"], tenant, jti)
    return vendor
