"""Brings a database to the current schema: SQL files in order, each once, however many start at once."""

import hashlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from realtime.settings import Settings
from realtime.store import upkeep
from realtime.store.direct import Lock, locked
from realtime.store.queries import load

_FOLDER = Path(__file__).with_name("migrations")
_FILE = re.compile(r"(\d{3})_[a-z0-9_]+\.sql")
_SQL = load("migrate")
_STEP_TIMEOUT_S = 600.0


class MigrationError(Exception):
    """The database and the migration files contradict each other."""


@dataclass(frozen=True)
class Migration:
    """One file: ``001_ground.sql`` has number 1."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path = _FOLDER) -> list[Migration]:
    """The files of ``folder`` in order. Raises MigrationError unless they are numbered 1, 2, 3 …"""
    found: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        named = _FILE.fullmatch(path.name)
        if not named or int(named[1]) != len(found) + 1:
            raise MigrationError(f"migration file is misnamed or out of order: {path.name}")
        found.append(Migration(int(named[1]), path.name, path.read_text(encoding="utf-8")))
    return found


def pending(known: list[Migration], recorded: dict[int, tuple[str, str]]) -> list[Migration]:
    """What of ``known`` has not run yet; ``recorded`` is number -> (name, checksum) of what has.

    Raises MigrationError when a file was changed after it ran, or the database is ahead of this release.
    """
    by_number = {migration.number: migration for migration in known}
    for number, (name, checksum) in sorted(recorded.items()):
        ours = by_number.get(number)
        if ours is None:
            raise MigrationError(f"the database is newer than this release: it has {name}")
        if ours.checksum != checksum:
            raise MigrationError(f"{ours.name} was changed after it had run")
    return [migration for migration in known if migration.number not in recorded]


async def migrate(settings: Settings, folder: Path = _FOLDER) -> list[str]:
    """Run what is pending, make the partitions of the coming days, and return the names of what ran.

    Safe to start many times at once: one runs, the others wait and find nothing left to do.
    Raises MigrationError; asyncpg.PostgresError names what the database refused.
    """
    known = migrations(folder)
    async with locked(settings.direct_url, Lock.MIGRATE) as connection:
        await connection.execute(_SQL["make_record"])
        rows = await connection.fetch(_SQL["recorded"])
        todo = pending(known, {row["number"]: (row["name"], row["sha256"]) for row in rows})
        for migration in todo:
            await _apply(connection, migration)
    await upkeep.run_once(settings, time.time_ns() // 1_000_000)
    return [migration.name for migration in todo]


async def _apply(connection: asyncpg.Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.sql, timeout=_STEP_TIMEOUT_S)
        await connection.execute(_SQL["record"], migration.number, migration.name, migration.checksum)
