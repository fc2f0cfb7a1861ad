"""Migrations of an earlier release are unchanged; a database that ran others is refused."""

import json
from pathlib import Path

from tests.golden import names

GOLDEN: dict[str, str] = json.loads((Path(__file__).parent / "files" / "migrations.json").read_text())


def test_each_migration_of_an_earlier_release_is_as_it_was_to_the_byte() -> None:
    """`migrate` and the check at a start compare the file with the checksum that the database recorded."""
    now = {one.name: one.checksum for one in names.known_migrations()}
    assert [name for name, checksum in GOLDEN.items() if now.get(name) != checksum] == []


def test_a_database_of_an_earlier_release_is_migrated_on() -> None:
    recorded = dict(enumerate(GOLDEN.items(), start=1))
    left = names.pending(names.known_migrations(), recorded)
    assert all(migration.number > len(GOLDEN) for migration in left)
