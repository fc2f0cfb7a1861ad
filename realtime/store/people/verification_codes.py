"""Codes that verify a contact's address: what may be sent, what is kept, what was tried.

The budget is codes' alone: an SOS neither asks it nor spends of it. Three limits:

* a tenant, so that a mistake does not become a bill;
* an address within a tenant, so that nobody is bombed; it is refused aloud;
* an address over all tenants: what is beyond that is withheld in silence, since a refusal would tell one
tenant about another.

The try at a code is counted in a transaction of its own before the answer is known.
"""

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal
from uuid import UUID

import asyncpg
from msgspec import Struct

from alerts.addresses.phone import identity, spellings
from realtime.protocol import Code, Refused
from realtime.store.db import changes
from realtime.store.db.database import Database
from realtime.store.db.queries import load

CodeChannel = Literal["sms", "call", "email"]

VALID_MS: Final = 600_000
MAX_TRIES: Final = 5
SHORT_MS: Final = 600_000
LONG_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000
ADDRESS_SHORT: Final = 3
"""Codes a tenant sends to one address in ten minutes,"""
ADDRESS_LONG: Final = 6
"""and in a day;"""
OPTED_OUT_LONG: Final = 1
"""in a day to an address that said STOP: enough to come back, not enough to pester."""
ADDRESS_EVERYWHERE: Final = 10
"""Codes all tenants together send to one address in a day."""
TENANT_HOUR: Final = 200
TENANT_DAY: Final = 1_000
KEEP_MS: Final = 2 * LONG_MS

_SQL = load("codes")


@dataclass(frozen=True, slots=True)
class CodeBudget:
    """How many codes a tenant may send."""

    per_tenant_hour: int = TENANT_HOUR
    per_tenant_day: int = TENANT_DAY


CODE_BUDGET: Final = CodeBudget()
"""That of production."""


class StoredCode(Struct, frozen=True):
    """A code is in force. ``send``: whether it may go out; withheld else."""

    expires_ms: int
    send: bool


class CodeResult(StrEnum):
    """What became of a try."""

    RIGHT = "right"
    WRONG = "wrong"
    NONE = "none"
    """There is no code to compare with: none sent, too old, tried too often, or for an address that has
    changed.
    """


async def keep(
    db: Database,
    tenant: str,
    contact_id: UUID,
    channel: CodeChannel,
    address: str,
    digest: bytes,
    budget: CodeBudget = CODE_BUDGET,
) -> StoredCode | None:
    """Spend of the budget and put a code in force; the one before it is void. None when there is no such
    contact.

    Raises Refused: rate_limited, unavailable.
    """
    async with db.writer() as connection:
        withheld = await _withheld(connection, tenant, address, budget)
        expires_ms = await connection.fetchval(
            _SQL["keep"], tenant, contact_id, channel, address, digest, VALID_MS
        )
        if expires_ms is None:
            return None
        await connection.execute(_SQL["spend"], tenant, contact_id, address, withheld)
    return StoredCode(expires_ms, not withheld)


async def spend(
    db: Database, tenant: str, contact_id: UUID, address: str, budget: CodeBudget = CODE_BUDGET
) -> bool:
    """Spend of the same budget for a message without a code; return whether it may go out, withheld else.

    Raises Refused: rate_limited, unavailable.
    """
    async with db.writer() as connection:
        withheld = await _withheld(connection, tenant, address, budget)
        await connection.execute(_SQL["spend"], tenant, contact_id, address, withheld)
    return not withheld


async def _withheld(connection: asyncpg.Connection, tenant: str, address: str, budget: CodeBudget) -> bool:
    """Lock the budgets of ``tenant`` and ``address`` and return whether the next message is withheld.

    Raises Refused(rate_limited).
    """
    await connection.execute(_SQL["lock"], tenant, identity(address))
    forms = list(spellings(address))
    spent = await connection.fetchrow(_SQL["spent"], tenant, forms, SHORT_MS, LONG_MS, HOUR_MS)
    opted_out = await connection.fetchval(_SQL["is_opted_out"], tenant, forms)
    if spent["tenant_short"] >= budget.per_tenant_hour or spent["tenant_long"] >= budget.per_tenant_day:
        raise Refused(Code.RATE_LIMITED, "the tenant has sent too many codes", retry_after_s=HOUR_MS / 1000)
    if spent["address_short"] >= ADDRESS_SHORT:
        raise Refused(Code.RATE_LIMITED, "too many codes to this address", retry_after_s=SHORT_MS / 1000)
    if spent["address_long"] >= (OPTED_OUT_LONG if opted_out else ADDRESS_LONG):
        raise Refused(Code.RATE_LIMITED, "too many codes to this address", retry_after_s=LONG_MS / 1000)
    everywhere: int = spent["address_everywhere"]
    return everywhere >= ADDRESS_EVERYWHERE


async def try_(
    db: Database, tenant: str, contact_id: UUID, channel: CodeChannel, digest: bytes
) -> CodeResult:
    """Count a try and compare. The right code verifies the address it was sent to, if that is still the
    contact's, undoes its opt-out, and is used up. Raises Refused(unavailable).
    """
    async with db.writer() as connection:
        row = await connection.fetchrow(_SQL["try"], tenant, contact_id, channel, MAX_TRIES)
        if row is None:
            return CodeResult.NONE
        if not hmac.compare_digest(row["code_sha256"], digest):
            return CodeResult.WRONG if row["tries"] < MAX_TRIES else CodeResult.NONE
        await connection.execute(_SQL["forget"], tenant, contact_id, channel)
        verified = "email_verified" if channel == "email" else "phone_verified"
        status: str = await connection.execute(_SQL[verified], tenant, contact_id, row["address"])
        if status == "UPDATE 0":
            return CodeResult.NONE
        await connection.execute(_SQL["opted_in"], tenant, list(spellings(row["address"])))
        scopes = await changes.of_address(connection, row["address"], tenant)
    db.changes.note(scopes)
    return CodeResult.RIGHT


async def prune(db: Database) -> int:
    """Forget what no budget looks at any more; how many rows. Raises Refused(unavailable)."""
    async with db.writer() as connection:
        count: int = await connection.fetchval(_SQL["prune"], KEEP_MS)
    return count
