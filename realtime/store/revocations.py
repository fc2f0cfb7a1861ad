"""Revoked tokens by tenant and ``jti``.

A revocation is kept for 31 days after its token's expiry, since until day 30 an expired driver token still
raises an SOS; then upkeep forgets it.
"""

from realtime.protocol import Code, Refused
from realtime.store.database import Database
from realtime.store.queries import load

_SQL = load("revocations")


async def revoke(db: Database, tenant: str, jti: str, expires_ms: int) -> None:
    """Revoke ``tenant``'s token ``jti``, which expires at ``expires_ms`` anyway.

    Raises Refused: invalid, unavailable.
    """
    if "\0" in jti:
        raise Refused(Code.INVALID, "jti contains a nul")
    async with db.writer() as connection:
        await connection.execute(_SQL["revoke"], tenant, jti, expires_ms)


async def all_live(db: Database) -> set[tuple[str, str]]:
    """(tenant, ``jti``) of every revocation that still matters. Raises Refused(unavailable)."""
    async with db.writer() as connection:  # across tenants
        rows = await connection.fetch(_SQL["all"])
    return {(row["tenant_id"], row["jti"]) for row in rows}


async def is_revoked(db: Database, tenant: str, jti: str) -> bool:
    """Whether ``tenant``'s token ``jti`` is revoked. Raises Refused(unavailable)."""
    if "\0" in jti:
        return False
    async with db.reader(tenant) as connection:
        found: bool = await connection.fetchval(_SQL["is_revoked"], jti)
    return found
