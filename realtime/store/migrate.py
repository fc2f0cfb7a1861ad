"""Brings a database to the current schema: SQL files in order, each once, however many start at once."""

import asyncio
import logging
from pathlib import Path
from typing import Final, NamedTuple

import asyncpg

from realtime.clock import wall_clock_ms
from realtime.settings import Settings
from realtime.store.db.advisory_lock import Lock, locked
from realtime.store.db.migration import FOLDER, Migration, MigrationError, migrations, pending
from realtime.store.db.queries import load
from realtime.store.journeys import upkeep

_SQL = load("migrate")
_STEP_TIMEOUT_S = 600.0
_HOLDERS: Final = 3
_log = logging.getLogger(__name__)


class LockPatience(NamedTuple):
    """How a migration waits for the locks of its tables.

    Each reader and writer of a table queues behind a migration that waits for it. After ``timeout_s`` the
    migration therefore gives up, lets them pass for ``pause_s``, and begins again, ``tries`` times in all.
    """

    timeout_s: float = 0.2
    """Below the 0.3 s after which a group of presses gives up (`press_groups.LOCK_TIMEOUT_S`)."""
    tries: int = 24
    pause_s: float = 2.0
    """All tries together stay below the minute that other runners wait for this one (`LOCK_WAIT_S`)."""


LOCK_PATIENCE: Final = LockPatience()


async def migrate(
    settings: Settings, folder: Path = FOLDER, patience: LockPatience = LOCK_PATIENCE
) -> list[str]:
    """Run what is pending, make the partitions of the coming days, and return the names of what ran.

    Safe to start many times at once: one runs, the others wait and find nothing left to do.
    Raises MigrationError, also when a lock is not free within ``patience``; asyncpg.PostgresError names what
    the database refused. Migrations before the one that failed stay.
    """
    known = migrations(folder)
    async with locked(settings.direct_url, Lock.MIGRATE) as connection:
        present = await connection.fetchrow(_SQL["present"])
        await connection.execute(_SQL["make_record"])
        if not await connection.fetchval(_SQL["record_is_readable"]):
            await connection.execute(_SQL["let_record_be_read"])
        rows = await connection.fetch(_SQL["recorded"])
        if present["has_tables"] and not rows:
            raise MigrationError(
                "the database has tables and no record of migrations: restore schema_migrations from a backup"
            )
        todo = pending(known, {row["number"]: (row["name"], row["sha256"]) for row in rows})
        for migration in todo:
            await _apply(connection, migration, patience)
    await upkeep.run_once(settings, wall_clock_ms())
    return [migration.name for migration in todo]


async def _apply(connection: asyncpg.Connection, migration: Migration, patience: LockPatience) -> None:
    if (index := migration.concurrent_index) is not None:
        await _build(connection, migration, index)
        return
    for tried in range(1, patience.tries + 1):
        try:
            async with connection.transaction():
                await connection.execute(_SQL["limit_lock_waits"], f"{round(patience.timeout_s * 1000)}ms")
                await connection.execute(migration.sql, timeout=_STEP_TIMEOUT_S)
                await _record(connection, migration)
            return
        except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
            holders = await _holders(connection)
            if tried == patience.tries:
                raise MigrationError(
                    f"{migration.name}: a lock was not free, {tried} times for {patience.timeout_s:g} s; "
                    f"nothing of it ran. End the oldest transactions and start again: {holders}"
                ) from error
            _log.warning("migration waits for a lock: %s, try %d, beside %s", migration.name, tried, holders)
        await asyncio.sleep(patience.pause_s)


async def _build(connection: asyncpg.Connection, migration: Migration, index: str) -> None:
    """Build an index beside readers and writers. It has no transaction: what a build that failed has left is
    dropped first, and an index that is there and not recorded is recorded.
    """
    is_valid = await connection.fetchval(_SQL["index_is_valid"], index)
    if is_valid is False:
        await connection.execute(f'DROP INDEX CONCURRENTLY "{index}"', timeout=_STEP_TIMEOUT_S)
    if not is_valid:
        await connection.execute(migration.sql, timeout=_STEP_TIMEOUT_S)
    await _record(connection, migration)


async def _record(connection: asyncpg.Connection, migration: Migration) -> None:
    await connection.execute(_SQL["record"], migration.number, migration.name, migration.checksum)


async def _holders(connection: asyncpg.Connection) -> str:
    """The oldest other transactions of the database; a login sees the age of its own role's alone."""
    rows = await connection.fetch(_SQL["oldest_transactions"], _HOLDERS)
    found = [f"pid {row['pid']} ({row['name'] or 'unnamed'}, {row['age_s']} s)" for row in rows]
    return ", ".join(found) or "none is visible to this login"
