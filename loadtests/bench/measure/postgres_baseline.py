"""Postgres' own ceiling: the committer's INSERT, in transactions of the same size, straight through asyncpg.

A process of its own, with a prepared statement, one round trip a transaction and nothing else to do. Reads a
`CeilingSpec` from standard input; writes ``measuring`` and ``measured``, then a `CeilingResult`.
"""

import asyncio
import sys
import time
from array import array
from itertools import cycle
from typing import Any, Final
from uuid import UUID, uuid4

import asyncpg
import msgspec
import uvloop

from loadtests.bench.load.positions import quantiles, told_to_end
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.store.db.queries import load
from realtime.store.journeys import journeys
from realtime.store.people import tenants

TENANT: Final = "ceiling"
VENDOR: Final = "north"


class CeilingSpec(msgspec.Struct):
    """``points`` a transaction, ``batch`` of them a journey, ``connections`` at once."""

    database_url: str
    points: int
    batch: int
    connections: int
    warm_s: float
    seconds: float


class CeilingResult(msgspec.Struct):
    """Points committed within ``seconds``; latencies are those of a transaction."""

    points: int
    seconds: float
    latencies_s: dict[str, float]


Owner = tuple[UUID, str]


class Ceiling:
    """Runs one `CeilingSpec`."""

    def __init__(self, spec: CeilingSpec) -> None:
        self.spec = spec
        self.counting = False
        self.stopped = False
        self.points = 0
        self.latencies_s = array("d")

    async def run(self) -> CeilingResult:
        """Make journeys, then commit on every connection until it is over."""
        width = max(1, round(self.spec.points / self.spec.batch))
        db = await Database.open(Settings.model_validate({"database_url": self.spec.database_url}))
        try:
            # Three groups take turns, as journeys do that are not all in every transaction.
            groups = [
                [await _journey(db, f"{n}-{group}-{one}") for one in range(width)]
                for n in range(self.spec.connections)
                for group in range(3)
            ]
        finally:
            await db.close()
        lanes = [groups[3 * n : 3 * n + 3] for n in range(self.spec.connections)]
        tasks = [asyncio.create_task(self._lane(lane)) for lane in lanes]
        await asyncio.sleep(self.spec.warm_s)
        print("measuring", flush=True)
        start_s, self.counting = time.perf_counter(), True
        await asyncio.sleep(self.spec.seconds)
        self.counting = False
        seconds = time.perf_counter() - start_s
        print("measured", flush=True)
        await told_to_end()
        self.stopped = True
        await asyncio.gather(*tasks)
        return CeilingResult(self.points, seconds, quantiles(self.latencies_s))

    async def _lane(self, groups: list[list[Owner]]) -> None:
        connection = await asyncpg.connect(self.spec.database_url, timeout=30)
        try:
            await connection.execute("SET ROLE wayguard_writer")
            # A generic plan takes every array for a short one and joins by nested loops: 20 times slower.
            await connection.execute("SET plan_cache_mode = force_custom_plan")
            insert = await connection.prepare(load("commit")["insert_points"])
            rows = [_columns(group, self.spec.batch) for group in groups]
            for columns in cycle(rows):
                if self.stopped:
                    return
                start_s = time.perf_counter()
                await insert.fetch(*columns, timeout=60)
                if self.counting:
                    self.points += len(columns[0])
                    self.latencies_s.append(time.perf_counter() - start_s)
                columns[1] = [seq + self.spec.batch for seq in columns[1]]
        finally:
            await connection.close(timeout=10)


async def _journey(db: Database, name: str) -> Owner:
    driver = f"{name}-{uuid4().hex[:8]}"
    await tenants.connect_driver(db, TENANT, VENDOR, driver)
    now_ms = time.time_ns() // 1_000_000
    head = await journeys.start(db, TENANT, VENDOR, driver, uuid4(), now_ms, None, None, None, now_ms)
    return head.journey_id, driver


def _columns(group: list[Owner], batch: int) -> list[list[Any]]:
    """What `realtime.store.journeys.commit` passes for ``batch`` points of each journey."""
    now_ms = time.time_ns() // 1_000_000
    rows = [
        (
            journey_id,
            seq,
            now_ms,
            now_ms,
            53.4 + seq * 3.1e-5,
            -2.98,
            8.3,
            120.5,
            4.8,
            31.5,
            87.0,
            None,
            False,
        )
        for journey_id, _ in group
        for seq in range(1, batch + 1)
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    return [*columns, [one for one, _ in group], [TENANT] * len(group), [driver for _, driver in group]]


def main() -> None:
    """Run the spec on standard input."""
    spec = msgspec.json.decode(sys.stdin.buffer.readline(), type=CeilingSpec)
    result = uvloop.run(Ceiling(spec).run())
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


if __name__ == "__main__":
    main()
