"""Transactions when Postgres is slow, gone, full or silent: one coded error, and no harm to the next."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from realtime.engines.embedded import free_port
from realtime.engines.postgres import EmbeddedPostgres
from realtime.metrics import registry
from realtime.protocol import Code, Refused
from realtime.settings import Settings
from realtime.store.db.database import SLOW_S, Database
from realtime.store.db.pools import PoolBusy, PoolLane


@asynccontextmanager
async def opened(url: str, *, slow_s: float = SLOW_S, **more: float) -> AsyncIterator[Database]:
    db = await Database.open(Settings(database_url=url, **more), slow_s=slow_s)  # type: ignore[arg-type]
    try:
        yield db
    finally:
        await db.close()


class Proxy:
    """A TCP proxy before Postgres. ``swallow``: once this is seen from a client, nothing goes back to it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = ("127.0.0.1", parts.port or 5432)
        self._login = parts.netloc.rpartition("@")[0]
        self._parts = parts
        self.swallow: bytes | None = None
        self.connections = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = urlunsplit(self._parts._replace(netloc=f"{self._login}@127.0.0.1:{port}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        back, forth = await asyncio.open_connection(*self._target)
        silent = asyncio.Event()

        async def inward() -> None:
            while data := await reader.read(65536):
                if self.swallow and self.swallow in data:
                    silent.set()
                forth.write(data)

        async def outward() -> None:
            while data := await back.read(65536):
                if not silent.is_set():
                    writer.write(data)

        pumps = [asyncio.create_task(inward()), asyncio.create_task(outward())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            forth.close()
            writer.close()


def is_away(refused: pytest.ExceptionInfo[Refused]) -> bool:
    return refused.value.code is Code.UNAVAILABLE and refused.value.retry_after_s is not None


async def test_a_database_that_is_not_there_is_unavailable() -> None:
    async with opened(f"postgresql://nobody@127.0.0.1:{free_port()}/x") as db:
        assert not db.is_up
        assert not await db.ping()
        for lend in (db.writer(), db.reader("t1"), await db.history("t1")):
            with pytest.raises(Refused) as refused:
                async with lend:
                    pass
            assert is_away(refused)


async def test_a_server_that_accepts_and_says_nothing_is_unavailable() -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        async with opened(f"postgresql://nobody@127.0.0.1:{port}/x", db_timeout_s=0.2) as db:
            assert not db.is_up


async def test_a_connection_cut_in_the_middle_harms_only_its_transaction(
    database_url: str, postgres_server: EmbeddedPostgres
) -> None:
    admin = await asyncpg.connect(postgres_server.admin_url)
    async with opened(database_url) as db:
        with pytest.raises(Refused) as refused:
            async with db.writer() as connection:
                pid = await connection.fetchval("SELECT pg_backend_pid()")
                await admin.execute("SELECT pg_terminate_backend($1)", pid)
                while True:
                    await connection.fetchval("SELECT 1")
        assert is_away(refused)
        assert not db.is_up
        async with db.writer() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert db.is_up
    await admin.close()


async def test_a_slow_statement_is_given_up_and_its_connection_too(database_url: str) -> None:
    async with opened(database_url, db_timeout_s=1, db_pool_size=2) as db:
        for _ in range(3):
            with pytest.raises(Refused) as refused:
                async with db.writer() as connection:
                    await connection.execute("SELECT pg_sleep(600)")
            assert is_away(refused)
        assert db.connections()["primary", "used"] == 0
        while not await db.ping():
            pass


async def test_a_full_pool_is_unavailable_and_recovers(database_url: str) -> None:
    async with opened(database_url, db_timeout_s=2, db_pool_size=2) as db:
        async with db.writer(), db.reader("t1"):
            assert db.connections()["primary", "used"] == 2
            with pytest.raises(Refused) as refused:
                async with db.writer():
                    pass
            assert is_away(refused)
            assert isinstance(refused.value, PoolBusy)
            assert db.is_up
        assert await db.ping()


async def test_a_lane_has_connections_of_its_own_when_the_pool_is_full(database_url: str) -> None:
    settings = Settings(database_url=database_url, db_pool_size=2, db_timeout_s=2)  # type: ignore[arg-type]
    lane = await Database.open(settings, lane=PoolLane("guests", 1))
    try:
        async with (
            opened(database_url, db_timeout_s=2, db_pool_size=2) as db,
            db.writer(),
            db.writer(),
            lane.lookup() as connection,
        ):
            name = await connection.fetchval("SELECT current_setting('application_name')")
            assert name == "wayguard-w1-guests"
            assert lane.connections() == {("guests", "idle"): 0, ("guests", "used"): 1}
            with pytest.raises(PoolBusy):
                async with lane.lookup(0.05):
                    pass
    finally:
        await lane.close()


async def test_a_lookup_sees_every_tenant_and_writes_nothing(db: Database) -> None:
    async with db.writer() as connection:
        await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('a'), ('b')")
    async with db.lookup() as connection:
        assert await connection.fetchval("SELECT count(*) FROM tenants") == 2
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        async with db.lookup() as connection:
            await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('c')")


async def test_what_a_statement_is_refused_for_passes_through_and_rolls_back(database_url: str) -> None:
    async with opened(database_url, db_pool_size=2) as db:
        with pytest.raises(asyncpg.UniqueViolationError):
            async with db.writer() as connection:
                await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('a')")
                await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('a')")
        # Mistakes of ours look like its absence to asyncpg; they are told apart.
        with pytest.raises(asyncpg.DataError):
            async with db.writer() as connection:
                await connection.fetchval("SELECT $1::int", "x")
        with pytest.raises(asyncpg.InterfaceError):
            async with db.writer() as connection:
                await connection.fetchval("SELECT $1::int", 1, 2)
        with pytest.raises(RuntimeError, match="rolled back"):
            async with db.writer() as connection:
                await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('c')")
                with suppress(asyncpg.DivisionByZeroError):
                    await connection.fetchval("SELECT 1/0")
        with pytest.raises(KeyError):
            async with db.writer() as connection:
                await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('b')")
                raise KeyError
        assert db.is_up
        async with db.writer() as connection:
            assert await connection.fetchval("SELECT count(*) FROM tenants") == 0


async def test_a_cancelled_request_rolls_back_and_frees_its_connection(database_url: str) -> None:
    async with opened(database_url, db_pool_size=2) as db:
        inside = asyncio.Event()

        async def request() -> None:
            async with db.writer() as connection:
                await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('a')")
                inside.set()
                await connection.execute("SELECT pg_sleep(600)")

        task = asyncio.create_task(request())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert db.connections()["primary", "used"] == 0
        async with db.writer() as connection:
            assert await connection.fetchval("SELECT count(*) FROM tenants") == 0


async def tenants(url: str) -> int:
    async with opened(url) as db, db.writer() as connection:
        count: int = await connection.fetchval("SELECT count(*) FROM tenants")
        return count


async def test_a_commit_without_answer_is_hung_up_on_and_never_cancelled(database_url: str) -> None:
    async with Proxy(database_url) as proxy, opened(proxy.url, db_timeout_s=2) as db:
        before = proxy.connections
        proxy.swallow = b"COMMIT"
        with pytest.raises(Refused) as refused:
            async with db.writer() as connection:
                await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('a')")
        assert is_away(refused)
        # A cancel would have been a connection of its own.
        assert proxy.connections == before
        proxy.swallow = None
        assert await db.ping()
    assert await tenants(database_url) == 1


async def test_a_commit_whose_request_is_cancelled_is_not_cancelled(database_url: str) -> None:
    async with Proxy(database_url) as proxy, opened(proxy.url, db_timeout_s=30) as db:
        before = proxy.connections
        proxy.swallow = b"COMMIT"
        reached = asyncio.Event()

        async def request() -> None:
            async with db.writer() as connection:
                await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('a')")
                reached.set()

        task = asyncio.create_task(request())
        await reached.wait()
        while await tenants(database_url) == 0:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert proxy.connections == before
        assert db.connections()["primary", "used"] == 0


async def test_closing_twice_is_fine_and_closed_is_unavailable(database_url: str) -> None:
    async with opened(database_url) as db:
        await db.close()
        await db.close()
        assert not db.is_up
        with pytest.raises(Refused) as refused:
            async with db.writer():
                pass
        assert is_away(refused)


async def test_transactions_are_measured_and_slow_ones_counted(database_url: str, db: Database) -> None:
    def counted(name: str, kind: str) -> float:
        return registry.REGISTRY.get_sample_value(name, {"kind": kind}) or 0.0

    seconds, slow = "wayguard_db_transaction_seconds_count", "wayguard_db_slow_transactions_total"
    before = {(name, kind): counted(name, kind) for name in (seconds, slow) for kind in ("read", "write")}
    async with db.reader("t1"):
        pass
    async with opened(database_url, slow_s=-1.0) as slow_db:
        before[seconds, "write"] = counted(seconds, "write")  # what opening it took is counted too
        before[slow, "write"] = counted(slow, "write")
        async with slow_db.writer():
            pass
        after = {key: counted(*key) - was for key, was in before.items()}
    assert after == {(seconds, "read"): 1, (seconds, "write"): 1, (slow, "read"): 0, (slow, "write"): 1}
