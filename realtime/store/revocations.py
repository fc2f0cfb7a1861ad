"""Revoked tokens by ``jti``.

A revocation is kept for 31 days after its token's expiry, since until day 30 an expired driver token still
raises an SOS; then upkeep forgets it.
"""

from realtime.protocol import Code, Refused
from realtime.store.database import Database
from realtime.store.queries import load

_SQL = load("revocations")


async def revoke(db: Database, jti: str, expires_ms: int) -> None:
    """Revoke the token ``jti``, which expires at ``expires_ms`` anyway.

    Raises Refused: invalid, unavailable.
    """
    if "\0" in jti:
        raise Refused(Code.INVALID, "jti contains a nul")
    async with db.writer() as connection:
        await connection.execute(_SQL["revoke"], jti, expires_ms)


async def all_live(db: Database) -> set[str]:
    """Every ``jti`` whose revocation still matters. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        rows = await connection.fetch(_SQL["all"])
    return {row["jti"] for row in rows}


async def is_revoked(db: Database, jti: str) -> bool:
    """Whether the token ``jti`` is revoked. Raises Refused(unavailable)."""
    if "\0" in jti:
        return False
    async with db.writer() as connection:
        found: bool = await connection.fetchval(_SQL["is_revoked"], jti)
    return found
