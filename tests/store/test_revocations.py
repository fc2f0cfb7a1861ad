"""Revocations: kept for as long as they matter, and polled so that none is passed over."""

import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from realtime.protocol import Code, Refused
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.store.journeys.upkeep import run_once
from realtime.store.people import revocations
from realtime.store.people.revocations import FOR_EVER_MS, RevokedTokens

NOW = time.time_ns() // 1_000_000
DAY_MS = 86_400_000
OLD_MS = NOW - 32 * DAY_MS


async def polled(db: Database, tokens: RevokedTokens) -> set[tuple[str, str]]:
    await tokens.poll(db)
    return set(tokens._known)


@pytest.fixture
async def slow(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection for a transaction that takes its time."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


async def begin(connection: asyncpg.Connection, jti: str) -> Any:
    """Revoke ``jti`` in a transaction of which the caller makes an end."""
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT set_config('role', 'wayguard_writer', true)")
    await connection.execute(revocations._SQL["revoke"], "t1", jti, FOR_EVER_MS, False)
    return transaction


# --- what is kept


async def test_a_revoked_token_is_revoked_in_its_own_tenant_alone(db: Database) -> None:
    await revocations.revoke(db, "t1", "j1")
    await revocations.revoke(db, "t1", "j1", NOW + 5)
    assert await revocations.is_revoked(db, "t1", "j1")
    assert not await revocations.is_revoked(db, "t2", "j1")
    assert not await revocations.is_revoked(db, "t1", "j3")
    assert not await revocations.is_revoked(db, "t1", "j\0")
    with pytest.raises(Refused) as refused:
        await revocations.revoke(db, "t1", "j\0")
    assert refused.value.code is Code.INVALID


async def test_a_revocation_is_forgotten_a_month_after_the_expiry_that_its_token_names(
    settings: Settings, db: Database
) -> None:
    await revocations.revoke(db, "t1", "old", OLD_MS)
    await revocations.revoke(db, "t1", "recent", NOW - 29 * DAY_MS)
    assert (await run_once(settings, NOW)).tokens_forgotten == 1
    assert await polled(db, RevokedTokens()) == {("t1", "recent")}


async def test_a_revocation_by_jti_is_kept_for_ever(settings: Settings, db: Database) -> None:
    await revocations.revoke(db, "t1", "by jti")
    assert (await run_once(settings, NOW + 100_000 * DAY_MS)).tokens_forgotten == 0
    assert await revocations.is_revoked(db, "t1", "by jti")


@pytest.mark.parametrize("expiries", [(None, OLD_MS), (OLD_MS, None)])
async def test_a_revocation_that_is_kept_for_ever_stays_so_when_its_token_is_shown(
    settings: Settings, db: Database, expiries: tuple[int | None, ...]
) -> None:
    """Another token may have the same jti."""
    for expires_ms in expiries:
        await revocations.revoke(db, "t1", "twice", expires_ms)
    assert (await run_once(settings, NOW)).tokens_forgotten == 0


async def test_a_row_that_an_older_process_writes_is_kept_whatever_expiry_it_claims(
    settings: Settings, db: Database
) -> None:
    """In seconds, as an issue told; in a rolling upgrade a process of before writes so."""
    async with db.writer() as connection:
        await connection.execute(
            "INSERT INTO revoked_tokens (tenant_id, jti, expires_ms) VALUES ('t1', 'claimed', 1700000000)"
        )
    assert (await run_once(settings, NOW)).tokens_forgotten == 0
    assert await polled(db, RevokedTokens()) == {("t1", "claimed")}
    await revocations.revoke(db, "t1", "claimed", OLD_MS)
    assert (await run_once(settings, NOW)).tokens_forgotten == 0, "nor is it forgotten by a token shown later"


# --- how it is polled


async def test_the_first_poll_reads_all_and_the_next_what_is_new(db: Database) -> None:
    tokens = RevokedTokens(page_size=2)
    for n in range(5):
        await revocations.revoke(db, f"t{n % 2}", f"j{n}")
    assert await tokens.poll(db) == 5
    assert ("t0", "j4") in tokens and ("t1", "j4") not in tokens
    assert await tokens.poll(db) == 0, "nothing is read again while nothing goes on"
    await revocations.revoke(db, "t1", "new")
    assert await tokens.poll(db) == 1
    assert ("t1", "new") in tokens and len(tokens) == 6


async def test_a_revocation_that_commits_late_is_not_passed_over(
    db: Database, slow: asyncpg.Connection
) -> None:
    tokens = RevokedTokens()
    await tokens.poll(db)
    late = await begin(slow, "late")
    await revocations.revoke(db, "t1", "early")  # of a later transaction, which commits first
    assert await polled(db, tokens) == {("t1", "early")}
    await revocations.revoke(db, "t1", "next")
    assert await polled(db, tokens) == {("t1", "early"), ("t1", "next")}
    await late.commit()
    assert await polled(db, tokens) == {("t1", "early"), ("t1", "next"), ("t1", "late")}


async def test_a_revocation_under_way_at_the_full_read_is_not_passed_over(
    db: Database, slow: asyncpg.Connection
) -> None:
    tokens = RevokedTokens()
    late = await begin(slow, "late")
    await revocations.revoke(db, "t1", "early")
    assert await polled(db, tokens) == {("t1", "early")}
    await late.commit()
    assert await polled(db, tokens) == {("t1", "early"), ("t1", "late")}


async def test_one_transaction_with_more_rows_than_a_page_is_read_whole(db: Database) -> None:
    """As the migration makes them: all rows of before name its transaction."""
    tokens = RevokedTokens(page_size=3)
    await tokens.poll(db)
    async with db.writer() as connection:
        await connection.execute(
            "INSERT INTO revoked_tokens (tenant_id, jti, expires_ms) "
            "SELECT 't1', 'j' || n, 1 FROM generate_series(1, 10) n"
        )
    assert await tokens.poll(db) == 10
    assert len(tokens) == 10


async def test_all_are_read_again_after_a_poll_that_failed(db: Database) -> None:
    tokens = RevokedTokens()
    await revocations.revoke(db, "t1", "j1")
    await tokens.poll(db)
    with pytest.raises(AttributeError):
        await tokens.poll(None)  # type: ignore[arg-type]
    assert ("t1", "j1") in tokens, "what was known stays known"
    assert await tokens.poll(db) == 1


async def test_all_are_read_again_when_a_standby_has_taken_over(db: Database) -> None:
    """Its transaction numbers may be those of transactions that were lost with the old primary."""
    tokens = RevokedTokens()
    await tokens.poll(db)
    await revocations.revoke(db, "t1", "j1")
    assert tokens._mark is not None
    tokens._mark = tokens._mark._replace(horizon=2**40, timeline="00000009")
    assert await tokens.poll(db) == 1
    tokens._mark = tokens._mark._replace(horizon=2**40)
    assert await tokens.poll(db) == 1, "nor can the horizon fall on one timeline, but in a restored backup"


async def test_what_was_forgotten_leaves_the_memory_at_the_next_full_read(db: Database) -> None:
    clock_s = 0.0
    tokens = RevokedTokens(full_read_s=100.0, monotonic_s=lambda: clock_s)
    await revocations.revoke(db, "t1", "j1")
    await tokens.poll(db)
    async with db.writer() as connection:
        await connection.execute("DELETE FROM revoked_tokens")
    assert await tokens.poll(db) == 0 and len(tokens) == 1
    clock_s = 100.0
    assert await tokens.poll(db) == 0 and len(tokens) == 0
