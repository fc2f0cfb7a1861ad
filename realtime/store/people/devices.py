"""Devices: push tokens by the subject that registered them. Which are told of an alert is in
`circumstances`.
"""

import hashlib
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from realtime.store.alerts.circumstances import DEVICE_SEEN_MS
from realtime.store.db import changes
from realtime.store.db.database import Database
from realtime.store.db.queries import load

PER_SUBJECT: Final = 10
"""Devices of one subject; one more forgets the one not seen for longest."""

_SQL = load("devices")


class DeviceOwner(Struct, frozen=True):
    """Who registers a device, as their token says."""

    subject: str
    role: str
    vendors: Collection[str] | None
    driver: str | None
    jti: str | None


class Device(Struct, frozen=True):
    """A registered device. ``device_id`` is made of the push token, which is never shown again."""

    device_id: str
    platform: str
    language: str
    seen_ms: int


def device_id_of(push_token: str) -> str:
    """What a device is called in paths and lists."""
    return hashlib.sha256(push_token.encode()).hexdigest()[:32]


async def register(
    db: Database, tenant: str, owner: DeviceOwner, push_token: str, platform: str, language: str
) -> str:
    """Keep the device, or note that it was seen again; its id. ``tenant`` must be known.

    A token that another subject had is this one's from now on: the phone has changed hands.
    Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        await connection.execute(_SQL["lock_subject"], tenant, owner.subject)
        before = await connection.fetchrow(_SQL["get"], tenant, push_token)
        vendors = None if owner.vendors is None else sorted(owner.vendors)
        await connection.execute(
            _SQL["register"], tenant, push_token, owner.subject, owner.role, vendors, owner.driver, owner.jti,
            platform, language,
        )  # fmt: skip
        await connection.execute(_SQL["forget_oldest"], tenant, owner.subject, push_token, PER_SUBJECT)
        after = await connection.fetchrow(_SQL["get"], tenant, push_token)
        # An app shows its device at each start: mostly it is as before.
        scopes = (
            set() if before == after else await changes.of_devices(connection, filter(None, (before, after)))
        )
    db.changes.note(scopes)
    return device_id_of(push_token)


async def of_subject(db: Database, tenant: str, subject: str) -> list[Device]:
    """The devices of ``subject``, the one seen last first. Raises Refused(unavailable)."""
    async with db.reader(tenant) as connection:
        rows = await connection.fetch(_SQL["of_subject"], tenant, subject)
    return [
        Device(device_id_of(row["push_token"]), row["platform"], row["language"], row["seen_ms"])
        for row in rows
    ]


async def delete(db: Database, tenant: str, subject: str, device_id: str) -> bool:
    """Forget one of ``subject``'s devices; False when it has none of that id. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        gone = await connection.fetch(_SQL["delete"], tenant, subject, device_id)
        scopes = await changes.of_devices(connection, gone)
    db.changes.note(scopes)
    return bool(gone)


async def prune(db: Database, push_token: str) -> int:
    """Forget a token that its provider says is dead, in every tenant; how many. Raises
    Refused(unavailable).
    """
    async with db.writer() as connection:
        gone = await connection.fetch(_SQL["prune"], push_token)
        scopes = await changes.of_devices(connection, gone)
    db.changes.note(scopes)
    return len(gone)


async def forget_unseen(db: Database) -> int:
    """Forget devices that would be told nothing any more; how many. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        count: int = await connection.fetchval(_SQL["forget_unseen"], DEVICE_SEEN_MS)
    return count
