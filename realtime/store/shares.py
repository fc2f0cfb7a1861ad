"""Shares: links to one journey that need no account. The database holds only the secret's hash."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Collection
from typing import Final, Literal
from uuid import UUID

import asyncpg
from msgspec import Struct

from realtime.protocol import Code, Refused
from realtime.store.database import Database
from realtime.store.queries import load

Scope = Literal["live", "journey"]
"""``live``: from now on only; ``journey``: all of it."""

VIEWS_LISTED: Final = 100

_ID_BYTES: Final = 12
_SECRET_BYTES: Final = 24
_ADDRESS_MAX: Final = 64
_USER_AGENT_MAX: Final = 300
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOBODY: Final = bytes(32)
_SQL = load("shares")


class Share(Struct, frozen=True):
    """An open share: whoever holds it may see ``journey_id`` until ``expires_ms``."""

    share_id: str
    tenant: str
    journey_id: UUID
    scope: Scope
    expires_ms: int


class View(Struct, frozen=True):
    """One address and program that opened a share, ``times`` times between ``first_ms`` and ``at_ms``."""

    at_ms: int
    first_ms: int
    times: int
    address: str
    user_agent: str


class ShareRecord(Struct, frozen=True):
    """A share as its owner sees it, the latest 100 views first."""

    share_id: str
    journey_id: UUID
    scope: Scope
    created_ms: int
    created_by: str
    expires_ms: int
    revoked_ms: int | None
    views: list[View]


async def create(
    db: Database, tenant: str, journey_id: UUID, scope: Scope, expires_ms: int, created_by: str
) -> tuple[str, str]:
    """Share a journey; return (share id, secret), both of ``A-Za-z0-9_-``. The secret cannot be had again.

    Raises Refused: not_found when ``tenant`` has no such journey, unavailable.
    """
    share_id, secret = secrets.token_urlsafe(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    async with db.writer() as connection:
        made = await connection.fetchval(
            _SQL["create"], tenant, journey_id, share_id, scope, _hashed(secret), expires_ms, created_by
        )
    if made is None:
        raise Refused(Code.NOT_FOUND, "journey is not known")
    return share_id, secret


async def resolve(db: Database, share_id: str, secret: str) -> Share | None:
    """The share, if the secret is right and it is not expired or revoked. Raises Refused(unavailable)."""
    if not _ID.fullmatch(share_id):
        return None
    async with db.writer() as connection:  # the tenant is not known yet, so no reader's role will do
        row = await connection.fetchrow(_SQL["open"], share_id)
    right = hmac.compare_digest(_hashed(secret), _NOBODY if row is None else row["secret_sha256"])
    if row is None or not right:
        return None
    journey_id = UUID(int=row["journey_id"].int)
    return Share(row["share_id"], row["tenant_id"], journey_id, row["scope"], row["expires_ms"])


async def list_of_journey(db: Database, tenant: str, journey_id: UUID) -> list[ShareRecord]:
    """Every share of the journey, the newest first, with its views. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["of_journey"], journey_id)
        return await _records(connection, rows)


async def get(db: Database, tenant: str, share_id: str) -> ShareRecord | None:
    """One share of ``tenant``, open or not; None when there is none. Raises Refused(unavailable)."""
    if not _ID.fullmatch(share_id):
        return None
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["get"], share_id)
        found = await _records(connection, rows)
    return found[0] if found else None


async def revoke(db: Database, tenant: str, share_id: str) -> bool:
    """Close a share for good; False if ``tenant`` has no open one of that id. Raises Refused(unavailable)."""
    if not _ID.fullmatch(share_id):
        return False
    async with db.writer() as connection:
        status: str = await connection.execute(_SQL["revoke"], tenant, share_id)
    return status != "UPDATE 0"


async def viewed(db: Database, share_id: str, address: str, user_agent: str) -> None:
    """Note that somebody opened the share. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        await connection.execute(
            _SQL["viewed"],
            share_id,
            _printable(address, _ADDRESS_MAX),
            _printable(user_agent, _USER_AGENT_MAX),
        )


async def closed_among(db: Database, share_ids: Collection[str]) -> set[str]:
    """Those of ``share_ids`` that are revoked, expired or unknown. Raises Refused(unavailable)."""
    if not share_ids:
        return set()
    async with db.writer() as connection:  # across tenants
        rows = await connection.fetch(_SQL["still_open"], list(share_ids))
    return set(share_ids) - {row["share_id"] for row in rows}


async def _records(connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> list[ShareRecord]:
    views: dict[str, list[View]] = {row["share_id"]: [] for row in rows}
    for row in await connection.fetch(_SQL["views"], list(views), VIEWS_LISTED):
        share_id, first_ms, last_ms, times, address, user_agent = row
        views[share_id].append(View(last_ms, first_ms, times, address, user_agent))
    return [
        ShareRecord(
            share_id=row["share_id"],
            journey_id=UUID(int=row["journey_id"].int),
            scope=row["scope"],
            created_ms=row["created_ms"],
            created_by=row["created_by"],
            expires_ms=row["expires_ms"],
            revoked_ms=row["revoked_ms"],
            views=views[row["share_id"]],
        )
        for row in rows
    ]


def _hashed(secret: str) -> bytes:
    # The secret is 192 random bits: a plain hash is as good as a slow one.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _printable(text: str, limit: int) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:limit])
