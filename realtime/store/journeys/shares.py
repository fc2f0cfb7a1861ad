"""Shares: links to one journey or alert that need no account. The database holds only the secret's hash."""

import base64
import hashlib
import hmac
import re
from collections import Counter
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

import asyncpg
import msgspec
from msgspec import Struct

from alerts.alert import Actor
from alerts.replies.answer import derive
from realtime.link_tokens import new_token
from realtime.protocol import Code, Refused
from realtime.store.db.database import Database
from realtime.store.db.queries import load

Scope = Literal["live", "journey"]
"""``live``: from now on only; ``journey``: all of it, of an alert's journey from the press on."""

GRACE_MS: Final = 3_600_000
"""How long after an alert was closed a link that it kept good stays so: who watches sees how it ended."""
MADE: Final = "share made"
REVOKED: Final = "share revoked"
VIEWS_LISTED: Final = 100
LISTED: Final = 500
"""Shares on a page at most."""

_ID_BYTES: Final = 12
_SECRET_BYTES: Final = 24
_ADDRESS_MAX: Final = 64
_USER_AGENT_MAX: Final = 300
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SIGNATURE_BYTES: Final = 12
_SIGNATURE_CHARS: Final = 16
_NO_SECRET: Final = bytes(32)
_SQL = load("shares")


class OpenShare(Struct, frozen=True):
    """An open share: whoever holds it may see the journey, or the alert and, while that is open, its journey.

    ``expires_ms``: until when, as far as is known by now; an open alert moves it on. ``driver``: whose it is.
    ``holder``: who was given it, when it may answer alerts raised since ``answers_from_ms``; else empty.
    """

    share_id: str
    tenant: str
    journey_id: UUID | None
    alert_id: UUID | None
    scope: Scope
    expires_ms: int
    driver: str = ""
    holder: str = ""
    answers_from_ms: int = 0
    vendor: str = ""
    """Of a link to a driver, for whom ``journey_id`` is the journey that it shows now: the vendor."""


class ShareCursor(Struct, frozen=True):
    """The last share of a page."""

    created_ms: int
    share_id: str


class Found(Struct, frozen=True):
    """A good share as it is stored: ``share`` is for a holder of the secret with this SHA-256 alone."""

    share: OpenShare
    secret_sha256: bytes


class ShareOpening(Struct, frozen=True):
    """One address and program that opened a share, ``times`` times between ``first_ms`` and ``at_ms``."""

    at_ms: int
    first_ms: int
    times: int
    address: str
    user_agent: str


class ShareRecord(Struct, frozen=True):
    """A share as its owner sees it, the latest 100 views first. ``lasts_ms``: until when it is good."""

    share_id: str
    journey_id: UUID | None
    alert_id: UUID | None
    scope: Scope
    created_ms: int
    created_by: str
    expires_ms: int
    lasts_ms: int
    revoked_ms: int | None
    holder: str
    views: list[ShareOpening]
    driver: str | None = None
    vendor: str | None = None
    """Of a link to a driver: whom, and of which vendor."""


async def create(
    db: Database,
    tenant: str,
    journey_id: UUID,
    scope: Scope,
    expires_ms: int,
    created_by: str,
    holder: str = "",
    *,
    new_only: bool = False,
    follows: bool = False,
    key: bytes | None = None,
) -> tuple[str, str]:
    """Share a journey; return (share id, secret), both of ``A-Za-z0-9_-``. The secret cannot be had again.

    ``holder``: who is given it and may answer the journey's alerts, with ``new_only`` those that are raised
    from now on; empty for one that only looks. ``follows``: the link is to the journey's driver, and goes on
    with the next journey until it expires. ``key``: what `signing_key` gives; the link is signed with it.

    Raises Refused: not_found when ``tenant`` has no such journey, unavailable.
    """
    query = "create_to_driver" if follows else "create"
    return await _create(
        db, query, tenant, journey_id, scope, expires_ms, holder, new_only, created_by, key=key
    )


async def create_to_alert(
    db: Database,
    tenant: str,
    alert_id: UUID,
    scope: Scope,
    expires_ms: int,
    by: Actor,
    holder: str = "",
    *,
    key: bytes | None = None,
) -> tuple[str, str]:
    """Share an alert, as `create` does a journey; the alert's history has it.

    Raises Refused: not_found when ``tenant`` has no such alert in the database, unavailable.
    """
    history = (_json(by), MADE)
    return await _create(
        db, "create_to_alert", tenant, alert_id, scope, expires_ms, holder, by.id, *history, key=key
    )


async def _create(
    db: Database,
    query: str,
    tenant: str,
    of: UUID,
    scope: Scope,
    expires_ms: int,
    holder: str,
    *more: str | bool,
    key: bytes | None,
) -> tuple[str, str]:
    share_id = new_token(_ID_BYTES)
    secret = new_token(_SECRET_BYTES, None if key is None else partial(_signature, key, share_id))
    given = (tenant, of, share_id, scope, _hashed(secret), expires_ms, holder != "", holder, *more)
    async with db.writer() as connection:
        made = await connection.fetchval(_SQL[query], *given)
    if made is None:
        raise Refused(Code.NOT_FOUND, f"{'alert' if query == 'create_to_alert' else 'journey'} is not known")
    return share_id, secret


def signing_key(alerts_key: str) -> bytes:
    """The key that links are signed with, made of `Settings.alerts_key`."""
    return derive(alerts_key, "share-link")


def is_signed(key: bytes, share_id: str, secret: str) -> bool:
    """Whether we made this link: that its secret ends with our signature of both. No I/O.

    A signed link may be revoked or over. One that is not signed may be good: those made before links were
    signed, or with another key, are not.
    """
    random, signature = secret[:-_SIGNATURE_CHARS], secret[-_SIGNATURE_CHARS:]
    expected = _signature(key, share_id, random)
    return hmac.compare_digest(signature.encode(errors="replace"), expected.encode())


def _signature(key: bytes, share_id: str, secret: str) -> str:
    signed = f"{share_id}.{secret}".encode(errors="surrogatepass")
    return base64.urlsafe_b64encode(hmac.digest(key, signed, "sha256")[:_SIGNATURE_BYTES]).decode()


def is_id(text: str) -> bool:
    """Whether ``text`` can be the id of a share."""
    return _ID.fullmatch(text) is not None


async def find(db: Database, share_id: str, timeout_s: float | None = None) -> Found | None:
    """The share of this id, if it is good still. Raises Refused(unavailable).

    ``timeout_s``: how long to wait for a connection, default DB_TIMEOUT_S.
    """
    async with db.lookup(timeout_s) as connection:
        row = await connection.fetchrow(_SQL["open"], share_id, GRACE_MS)
    if row is None:
        return None
    to = (_uuid(row["journey_id"]), _uuid(row["alert_id"]))
    holder = (_holder(row), row["answers_from_ms"])
    share = OpenShare(
        row["share_id"],
        row["tenant_id"],
        *to,
        row["scope"],
        row["lasts_ms"],
        row["driver_id"],
        *holder,
        vendor=row.get("vendor_id") or "",
    )
    return Found(share, row["secret_sha256"])


def opened(found: Found | None, secret: str) -> OpenShare | None:
    """The share, if ``secret`` is the right one."""
    right = hmac.compare_digest(_hashed(secret), _NO_SECRET if found is None else found.secret_sha256)
    return found.share if found is not None and right else None


async def resolve(db: Database, share_id: str, secret: str) -> OpenShare | None:
    """The share, if the secret is right and it is good still. Raises Refused(unavailable)."""
    return opened(await find(db, share_id), secret) if is_id(share_id) else None


async def list_of_journey(
    db: Database, tenant: str, journey_id: UUID, after: ShareCursor | None = None, limit: int = LISTED
) -> list[ShareRecord]:
    """A page of the journey's shares, the newest first, with their views; the next is ``after`` its last.

    Raises Refused(unavailable).
    """
    return await _listed(db, tenant, "of_journey", journey_id, *_page(after, limit))


async def list_of_alert(
    db: Database, tenant: str, alert_id: UUID, after: ShareCursor | None = None, limit: int = LISTED
) -> list[ShareRecord]:
    """The same of an alert's shares."""
    return await _listed(db, tenant, "of_alert", alert_id, *_page(after, limit))


async def get(db: Database, tenant: str, share_id: str) -> ShareRecord | None:
    """One share of ``tenant``, open or not; None when there is none. Raises Refused(unavailable)."""
    if not _ID.fullmatch(share_id):
        return None
    found = await _listed(db, tenant, "get", share_id)
    return found[0] if found else None


async def revoke(db: Database, tenant: str, share_id: str, by: Actor) -> bool:
    """Close a share for good; False if ``tenant`` has none of that id that is not closed so yet. Of a link to
    an alert the alert's history tells it. Raises Refused(unavailable).
    """
    if not _ID.fullmatch(share_id):
        return False
    async with db.writer() as connection:
        revoked = await connection.fetchval(_SQL["revoke"], tenant, share_id, _json(by), REVOKED)
    return revoked is not None


async def viewed(db: Database, share_id: str, address: str, user_agent: str, times: int = 1) -> None:
    """Record that the share was opened, ``times`` times. Raises Refused(unavailable)."""
    await viewed_by(db, share_id, {(address, user_agent): times})


async def viewed_by(db: Database, share_id: str, views: Mapping[tuple[str, str], int]) -> None:
    """Record how often the share was opened by each (address, program), in one transaction.

    Raises Refused(unavailable).
    """
    times: Counter[tuple[str, str]] = Counter()
    for (address, user_agent), number in views.items():
        times[_printable(address, _ADDRESS_MAX), _printable(user_agent, _USER_AGENT_MAX)] += number
    addresses, agents = [address for address, _ in times], [agent for _, agent in times]
    async with db.writer() as connection:
        await connection.execute(_SQL["viewed"], share_id, addresses, agents, list(times.values()))


async def lasting(db: Database, share_ids: Collection[str]) -> dict[str, int]:
    """Until when those of ``share_ids`` that nobody has revoked are good. Raises Refused(unavailable)."""
    return {row["share_id"]: row["lasts_ms"] for row in await _standing(db, share_ids)}


async def shown_journeys(db: Database, share_ids: Collection[str]) -> dict[str, UUID | None]:
    """The journey that each of ``share_ids``, links to drivers, shows now. Raises Refused(unavailable)."""
    return {row["share_id"]: _uuid(row["journey_id"]) for row in await _standing(db, share_ids)}


async def _standing(db: Database, share_ids: Collection[str]) -> list[asyncpg.Record]:
    if not share_ids:
        return []
    async with db.lookup() as connection:
        rows: list[asyncpg.Record] = await connection.fetch(_SQL["lasting"], list(share_ids), GRACE_MS)
    return rows


def _page(after: ShareCursor | None, limit: int) -> tuple[int | None, str | None, int]:
    return (None, None, limit) if after is None else (after.created_ms, after.share_id, limit)


async def _listed(
    db: Database, tenant: str, query: str, of: UUID | str, *page: int | str | None
) -> list[ShareRecord]:
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL[query], tenant, of, GRACE_MS, *page)
        return await _records(connection, tenant, rows)


async def _records(
    connection: asyncpg.Connection, tenant: str, rows: list[asyncpg.Record]
) -> list[ShareRecord]:
    views: dict[str, list[ShareOpening]] = {row["share_id"]: [] for row in rows}
    for row in await connection.fetch(_SQL["views"], tenant, list(views), VIEWS_LISTED):
        share_id, first_ms, last_ms, times, address, user_agent = row
        views[share_id].append(ShareOpening(last_ms, first_ms, times, address, user_agent))
    return [
        ShareRecord(
            share_id=row["share_id"],
            journey_id=_uuid(row["journey_id"]),
            alert_id=_uuid(row["alert_id"]),
            scope=row["scope"],
            created_ms=row["created_ms"],
            created_by=row["created_by"],
            expires_ms=row["expires_ms"],
            lasts_ms=row["lasts_ms"],
            revoked_ms=row["revoked_ms"],
            holder=_holder(row),
            views=views[row["share_id"]],
            driver=row["driver_id"],
            vendor=row["vendor_id"],
        )
        for row in rows
    ]


def _holder(row: asyncpg.Record) -> str:
    holder: str = row["holder"] if row["may_answer"] else ""
    return holder


def _uuid(value: Any) -> UUID | None:
    return None if value is None else UUID(int=value.int)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _hashed(secret: str) -> bytes:
    # The secret is 192 random bits: a plain hash is as good as a slow one.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _printable(text: str, limit: int) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:limit])
