"""What a failed statement says of the points it was to store."""

from typing import Final

import asyncpg

ROW_FAULTS: Final = frozenset({"22", "23", "P0"})
"""SQLSTATE classes: data exception, integrity constraint violation, raised by a trigger."""


def named(error: asyncpg.PostgresError) -> str:
    """What the log says of ``error``: never its text, which may hold a row."""
    return "no partition, run upkeep" if is_missing_partition(error) else type(error).__name__


def is_of_the_row(error: asyncpg.PostgresError) -> bool:
    """Whether it is the row itself that Postgres will not have: bad data, or a rule that it breaks.

    Anything else (a deadlock, a lock, a right that is missing, no partition) may pass, and must not turn a
    good point into a void.
    """
    return str(error.sqlstate)[:2] in ROW_FAULTS and not is_missing_partition(error)


def is_missing_partition(error: asyncpg.PostgresError) -> bool:
    """Whether Postgres had no partition to put a row into (it says so as a check violation)."""
    return isinstance(error, asyncpg.CheckViolationError) and "no partition" in str(error)
