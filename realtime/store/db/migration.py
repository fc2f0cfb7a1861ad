"""The migration files of this release, and what of them a database still lacks."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "migrations"
_CONCURRENT = re.compile(
    r"\s*CREATE (?:UNIQUE )?INDEX CONCURRENTLY ([a-z_][a-z0-9_]*) ON [^;]*;?\s*", re.IGNORECASE
)
_COMMENT = re.compile(r"--[^\n]*")
_FILE = re.compile(r"(\d{3})_[a-z0-9_]+\.sql")


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

    @property
    def concurrent_index(self) -> str | None:
        """The index that it builds beside readers and writers; None: it is run in a transaction.

        Raises MigrationError when such a build is not its only statement, as Postgres has no transaction
        for it.
        """
        bare = _COMMENT.sub("", self.sql)
        if "index concurrently" not in " ".join(bare.lower().split()):
            return None
        if (match := _CONCURRENT.fullmatch(bare)) is None:
            raise MigrationError(
                f"{self.name}: CREATE INDEX CONCURRENTLY has to be the only statement, with a plain name"
            )
        return match[1].lower()


def migrations(folder: Path = FOLDER) -> list[Migration]:
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
