"""Whether everything that was acknowledged is stored: by seq, not by anybody's counters."""

import asyncio
from collections.abc import Mapping
from itertools import pairwise
from typing import Final
from uuid import UUID

import asyncpg

_STORED: Final = """
SELECT journey_id, array_agg(seq ORDER BY seq) AS seqs FROM journey_points
WHERE journey_id = ANY($1::uuid[]) GROUP BY journey_id
"""
_AT_ONCE: Final = 50


def missing(through: Mapping[str, int], stored: Mapping[str, list[int]]) -> dict[str, list[int]]:
    """The acknowledged seqs of each journey that are not stored exactly once; empty when all is well.

    ``through``: journey → the last acknowledged seq, so that 1…through are promised. ``stored``: journey →
    its stored seqs, ascending.
    """
    found = {}
    for journey_id, last in through.items():
        seqs = stored.get(journey_id, [])
        wrong = sorted(set(range(1, last + 1)) - set(seqs))
        wrong += [seq for before, seq in pairwise(seqs) if seq == before]
        if wrong:
            found[journey_id] = wrong
    return found


def stored_seqs(url: str, journeys: Mapping[str, int]) -> dict[str, list[int]]:
    """The stored seqs of ``journeys`` in the database at ``url``. Raises OSError, asyncpg.PostgresError."""

    async def read() -> dict[str, list[int]]:
        connection = await asyncpg.connect(url, timeout=30)
        try:
            ids = [UUID(journey_id) for journey_id in journeys]
            rows = []
            for at in range(0, len(ids), _AT_ONCE):
                rows += await connection.fetch(_STORED, ids[at : at + _AT_ONCE], timeout=120)
            return {str(row["journey_id"]): row["seqs"] for row in rows}
        finally:
            await connection.close(timeout=10)

    return asyncio.run(read())
