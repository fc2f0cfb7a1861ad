"""The way to Postgres: transactions as the writer, or as the reader of one tenant."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final

import asyncpg

from realtime.metrics import instruments
from realtime.protocol import Code, Refused
from realtime.settings import Settings
from realtime.store.db.changes import ScopeChanges
from realtime.store.db.pools import PoolBusy, PoolLane, close_pool, make_pool, transaction
from realtime.store.db.queries import load
from realtime.store.db.replica import ReadReplica, begin_reader
from realtime.store.db.schema import POLL_S as SCHEMA_POLL_S
from realtime.store.db.schema import SchemaFinding, SchemaGate

_SQL = load("database")
_log = logging.getLogger(__name__)

SLOW_S: Final = 1.0
"""A transaction that takes longer is counted as slow."""


class Database:
    """The pools of one process; `open` makes it. Its transactions raise Refused(unavailable) when it is away.

    ``is_up``: whether the primary answered when it was last asked. With ``gate`` no transaction begins before
    the schema fits this release; until then the primary counts as unavailable.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        timeout_s: float,
        replica: ReadReplica | None = None,
        *,
        slow_s: float = SLOW_S,
        gate: SchemaGate | None = None,
        name: str = "primary",
    ) -> None:
        self._pool = pool
        self._gate = gate
        self._name = name
        self._timeout_s = timeout_s
        self._replica = replica
        self._slow_s = slow_s
        self.is_up = False
        self.changes: Final = ScopeChanges()
        """Of what is written through it."""

    @classmethod
    async def open(
        cls,
        settings: Settings,
        *,
        slow_s: float = SLOW_S,
        checks_schema: bool = False,
        schema_poll_s: float = SCHEMA_POLL_S,
        gate_of: "Database | None" = None,
        lane: PoolLane | None = None,
    ) -> "Database":
        """Make the pools. An unavailable Postgres is no error here: ``is_up`` says what was found. Raises
        ValueError when DATABASE_URL itself cannot be used.

        ``slow_s``: a transaction that takes longer is counted as slow. ``checks_schema``: refuse every
        transaction until the schema fits, which is read again every ``schema_poll_s``. ``gate_of``: another
        of the same server that reads it for this one too, and is closed after it.
        ``lane``: connections of one kind of request, to the primary alone; nothing is connected before the
        first request.
        """
        if lane is not None:
            lane_pool = await make_pool(settings.database_url.get_secret_value(), settings, lane)
            gate = None if gate_of is None else gate_of._gate
            return cls(lane_pool, settings.db_timeout_s, slow_s=slow_s, gate=gate, name=lane.name)
        pool = await make_pool(settings.database_url.get_secret_value(), settings)
        replica = None
        if url := settings.database_replica_url.get_secret_value():
            replica = ReadReplica(await make_pool(url, settings), settings.db_timeout_s)
        own = SchemaGate(pool, settings.db_timeout_s, poll_s=schema_poll_s) if checks_schema else None
        db = cls(pool, settings.db_timeout_s, replica, slow_s=slow_s, gate=gate_of._gate if gate_of else own)
        await db._ping_first()
        if own is not None:
            own.start()
        if replica is not None:
            replica.watch(db.reader)
        return db

    async def close(self) -> None:
        """Close the pools, waiting at most the timeout for what is in flight. Is idempotent."""
        if self._gate is not None:
            await self._gate.stop()
        if self._replica is not None:
            await self._replica.close()
        await close_pool(self._pool, self._timeout_s)
        self.is_up = False

    async def _ping_first(self) -> None:
        """`ping`. Raises ValueError for a DATABASE_URL that the driver refuses before it connects."""
        try:
            async with self.writer():
                pass
        except Refused as refused:
            if isinstance(refused.__cause__, asyncpg.ClientConfigurationError):
                # Its own text may quote a part of the URL, which may be of the password.
                raise ValueError(
                    "DATABASE_URL cannot be used: Postgres' driver refuses its options"
                ) from None

    async def ping(self) -> bool:
        """Ask the primary now; the answer is ``is_up`` too."""
        try:
            async with self.writer():
                return True
        except Refused:
            return False

    @property
    def schema(self) -> SchemaFinding | None:
        """What was found of the schema; None when it was not asked or the primary never answered."""
        return None if self._gate is None else self._gate.finding

    async def check_schema(self) -> None:
        """Raises Refused(unavailable) unless the schema fits, or is not checked by this process."""
        if self._gate is not None:
            await self._gate.enter()

    def connections(self) -> dict[tuple[str, str], int]:
        """Connections by (pool, state): ``primary``, ``replica`` or the lane's name, ``idle`` or ``used``."""
        pools = {self._name: self._pool}
        if self._replica is not None:
            pools["replica"] = self._replica.pool
        counts = {}
        for name, pool in pools.items():
            idle = int(pool.get_idle_size())
            counts[name, "idle"] = idle
            counts[name, "used"] = int(pool.get_size()) - idle
        return counts

    @property
    def replica_is_fresh(self) -> bool:
        """Whether there is a replica that has everything older than 60 s."""
        return self._replica is not None and self._replica.is_fresh

    def writer(
        self, timeout_s: float | None = None, *, lock_timeout_s: float | None = None
    ) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """A transaction that may read and write every tenant's rows; it commits when the block ends well.

        ``lock_timeout_s``: a statement that waits longer for a lock, a table's included, fails with
        asyncpg.LockNotAvailableError; None = it waits until its own timeout.
        ``timeout_s`` bounds the wait for a connection and that for the commit, default DB_TIMEOUT_S; a
        statement takes DB_TIMEOUT_S at most unless given a ``timeout`` of its own.
        A commit not answered in time raises Refused(unavailable) and may have happened.
        """
        begin = _SQL["begin_writer"]
        if lock_timeout_s is not None:
            begin += _SQL["and_lock_timeout"].format(ms=round(lock_timeout_s * 1000))
        return self._primary(begin, timeout_s=timeout_s or self._timeout_s, readonly=False)

    def lookup(self, timeout_s: float | None = None) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """A read-only transaction on the primary that sees every tenant's rows: for a credential, whose
        tenant is not known before it was found. ``timeout_s`` as for `writer`.
        """
        return self._primary(_SQL["begin_lookup"], timeout_s=timeout_s or self._timeout_s, readonly=True)

    def reader(self, tenant: str) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """A read-only transaction on the primary that sees only ``tenant``'s rows."""
        return self._primary(begin_reader(tenant), timeout_s=self._timeout_s, readonly=True)

    async def history(self, tenant: str) -> AbstractAsyncContextManager[asyncpg.Connection]:
        """Like `reader`, for what is older than 60 s: on the replica if that has it all, else the primary."""
        if self._replica is not None and self._replica.is_fresh:
            return self._replica.reader(tenant, self.reader)
        return self.reader(tenant)

    @asynccontextmanager
    async def _primary(
        self, begin: str, *, timeout_s: float, readonly: bool
    ) -> AsyncIterator[asyncpg.Connection]:
        begun_s = time.perf_counter()
        try:
            if self._gate is not None and not self._gate.is_open:
                await self._gate.enter()
            async with transaction(self._pool, begin, timeout_s=timeout_s, readonly=readonly) as connection:
                self._note(True)
                yield connection
        except Refused as refused:
            if refused.code is Code.UNAVAILABLE and not isinstance(refused, PoolBusy):
                self._note(False, str(type(refused.__cause__).__name__))
            raise
        finally:
            _measure("read" if readonly else "write", time.perf_counter() - begun_s, self._slow_s)

    def _note(self, is_up: bool, why: str = "") -> None:
        if is_up != self.is_up:
            _log.log(
                logging.INFO if is_up else logging.WARNING,
                "postgres is %s",
                "up" if is_up else f"away: {why}",
            )
        self.is_up = is_up


def _measure(kind: str, took_s: float, slow_s: float) -> None:
    instruments.DB_SECONDS.labels(kind).observe(took_s)
    if took_s > slow_s:
        instruments.DB_SLOW.labels(kind).inc()
