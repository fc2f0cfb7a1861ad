"""Policies: how a kind of alert escalates, set for a tenant, a vendor or a driver. `circumstances` picks
one.
"""

import msgspec
from msgspec import Struct

from alerts.alert import Kind
from alerts.policy import Policy
from realtime.store.db.changes import scope_of
from realtime.store.db.database import Database
from realtime.store.db.queries import load
from realtime.store.people.contacts import Scope

_SQL = load("policies")
_decoder = msgspec.json.Decoder(Policy)


class SetPolicy(Struct, frozen=True):
    """A policy as somebody has set it."""

    policy: Policy
    updated_ms: int
    updated_by: str


async def put(db: Database, tenant: str, scope: Scope, kind: Kind, policy: Policy, by: str) -> SetPolicy:
    """Set the policy; driver and vendor must be known. Alerts under way keep theirs. Raises
    Refused(unavailable).
    """
    text = msgspec.json.encode(policy).decode()
    async with db.writer() as connection:
        updated_ms = await connection.fetchval(_SQL["put"], tenant, *scope.stored, kind.value, text, by)
    db.changes.note([scope_of(tenant, *scope.stored)])
    return SetPolicy(policy, updated_ms, by)


async def get(db: Database, tenant: str, scope: Scope, kind: Kind) -> SetPolicy | None:
    """The policy of exactly this scope; None when none is set there, or it can no longer be read.

    Raises Refused(unavailable).
    """
    async with db.reader(tenant) as connection:
        row = await connection.fetchrow(_SQL["get"], tenant, *scope.stored, kind.value)
    if row is None:
        return None
    try:
        return SetPolicy(_decoder.decode(row["policy"]), row["updated_ms"], row["updated_by"])
    except msgspec.ValidationError:
        return None


async def delete(db: Database, tenant: str, scope: Scope, kind: Kind) -> bool:
    """The next wider policy counts again; False when none was set. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        status: str = await connection.execute(_SQL["delete"], tenant, *scope.stored, kind.value)
    db.changes.note([scope_of(tenant, *scope.stored)])
    return status != "DELETE 0"
