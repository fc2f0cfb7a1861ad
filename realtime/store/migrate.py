"""Brings a database to the current schema: SQL files in order, each once, however many start at once."""

import time
from pathlib import Path

import asyncpg

from realtime.settings import Settings
from realtime.store.db.advisory_lock import Lock, locked
from realtime.store.db.migration import FOLDER, Migration, MigrationError, migrations, pending
from realtime.store.db.queries import load
from realtime.store.journeys import upkeep

_SQL = load("migrate")
_STEP_TIMEOUT_S = 600.0


async def migrate(settings: Settings, folder: Path = FOLDER) -> list[str]:
    """Run what is pending, make the partitions of the coming days, and return the names of what ran.

    Safe to start many times at once: one runs, the others wait and find nothing left to do.
    Raises MigrationError; asyncpg.PostgresError names what the database refused.
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
            await _apply(connection, migration)
    await upkeep.run_once(settings, time.time_ns() // 1_000_000)
    return [migration.name for migration in todo]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql, timeout=_STEP_TIMEOUT_S)
        await connection.execute(_SQL["record"], migration.number, migration.name, migration.checksum)
