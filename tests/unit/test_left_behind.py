"""Engines of tests and development keep their data in folders of their own, not in the root."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ("*.rdb", "*.aof", "appendonlydir", "nodes*.conf", "postmaster.pid", "PG_VERSION")


def test_no_engine_has_left_data_in_the_root_of_the_repository() -> None:
    """A `dump.rdb` there was committed once: an engine that was started without a folder wrote it."""
    assert [found.name for pattern in DATA for found in ROOT.glob(pattern)] == []
