"""Contacts, policies and devices put there without the code that writes them."""

import uuid
from typing import Any
from uuid import UUID

import msgspec

from alerts.alert import Kind
from alerts.policy import Policy
from realtime.store.db.database import Database
from realtime.store.people import tenants

VERIFIED_MS = 1_000


async def put_contact(db: Database, tenant: str, **fields: Any) -> UUID:
    """A contact of the scope that ``vendor_id`` or ``driver_id`` names, its addresses verified."""
    contact_id = uuid.uuid4()
    row = {
        "contact_id": contact_id,
        "tenant_id": tenant,
        "name": "Ana",
        "created_by": "test",
        "phone_verified_ms": VERIFIED_MS if fields.get("phone") else None,
        "email_verified_ms": VERIFIED_MS if fields.get("email") else None,
    } | fields
    await _insert(db, "contacts", row)
    return contact_id


async def put_policy(db: Database, tenant: str, kind: Kind, policy: Policy, **scope: str) -> None:
    """A policy of the scope."""
    text = msgspec.json.encode(policy).decode()
    await _insert(
        db,
        "alert_policies",
        {"tenant_id": tenant, "kind": kind.value, "policy": text, "updated_by": "t"} | scope,
    )


async def put_device(db: Database, tenant: str, push_token: str, **fields: Any) -> None:
    """A dispatcher's device unless told otherwise."""
    row = {"tenant_id": tenant, "push_token": push_token, "subject": "disp", "role": "dispatcher"}
    await _insert(db, "devices", row | {"platform": "web"} | fields)


async def put_driver(db: Database, tenant: str, vendor: str, driver: str) -> None:
    """A driver with their vendor and tenant."""
    await tenants.connect_driver(db, tenant, vendor, driver)


async def _insert(db: Database, table: str, row: dict[str, Any]) -> None:
    places = ", ".join(f"${n}" for n in range(1, len(row) + 1))
    async with db.writer() as connection:
        await connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({places})", *row.values())
