"""Databases for tests: clones of one migrated template, leased to a test, emptied, and leased again.

Making and dropping a clone costs about 0.15 s, emptying one about 0.01 s. A test that holds a lease sees
what a fresh clone would show it: no rows, and the template's tables, functions, rights and partitions.
"""

import asyncio
import secrets
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from realtime.engines.postgres import OWNER

TEMPLATE: Final = "wayguard_template"
STATEMENT_TIMEOUT_S: Final = 60.0
LARGE_BYTES: Final = 1_048_576
"""A table above this size is truncated instead of deleted from, so that the next test finds no dead rows."""

T = TypeVar("T")

_FUNCTIONS = """
SELECT p.oid::regprocedure::text AS name, pg_get_functiondef(p.oid) AS definition
FROM pg_proc p
WHERE p.pronamespace = 'public'::regnamespace
ORDER BY 1
"""

_SHAPE = """
SELECT 'relation', c.relname::text, c.relkind::text, c.relrowsecurity::text, c.relforcerowsecurity::text,
       c.relispartition::text, coalesce(c.relacl::text, ''), coalesce(c.reloptions::text, ''),
       c.relowner::regrole::text
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'analyzed', c.relname::text, '', '', '', '', '', '', ''
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'm') AND c.reltuples >= 0
UNION ALL
SELECT 'statistics', s.starelid::regclass::text, s.staattnum::text, s.stainherit::text, '', '', '', '', ''
FROM pg_statistic s JOIN pg_class c ON c.oid = s.starelid
WHERE c.relnamespace = 'public'::regnamespace
UNION ALL
SELECT 'view', c.relname::text, pg_get_viewdef(c.oid), '', '', '', '', '', ''
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('v', 'm')
UNION ALL
SELECT 'column', a.attrelid::regclass::text, a.attname::text, a.atttypid::regtype::text, a.attnotnull::text,
       a.attisdropped::text, coalesce(a.attacl::text, ''), coalesce(pg_get_expr(d.adbin, d.adrelid), ''), ''
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND a.attnum > 0
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname::text, pg_get_constraintdef(oid), '', '', '', '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'policy', tablename::text, policyname::text, roles::text, cmd, coalesce(qual, ''),
       coalesce(with_check, ''), permissive, ''
FROM pg_policies WHERE schemaname = 'public'
UNION ALL
SELECT 'trigger', tgrelid::regclass::text, tgname::text, pg_get_triggerdef(oid), tgenabled::text,
       '', '', '', ''
FROM pg_trigger WHERE NOT tgisinternal
UNION ALL
SELECT 'function', p.oid::regprocedure::text, coalesce(p.proacl::text, ''), p.proowner::regrole::text,
       '', '', '', '', ''
FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
UNION ALL
SELECT 'schema', nspname::text, coalesce(nspacl::text, ''), '', '', '', '', '', ''
FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
UNION ALL
SELECT 'setting', setrole::regrole::text, setconfig::text, '', '', '', '', '', ''
FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
UNION ALL
SELECT 'extension', extname::text, '', '', '', '', '', '', '' FROM pg_extension
ORDER BY 1, 2, 3
"""

_TABLES = """
SELECT quote_ident(c.relname) AS name, pg_relation_size(c.oid) AS bytes
FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
ORDER BY 1
"""

_SEQUENCES = """
SELECT quote_ident(sequencename) AS name
FROM pg_sequences
WHERE schemaname = 'public' AND last_value IS NOT NULL
"""

_OTHERS = """
SELECT pg_terminate_backend(pid, 5000)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
"""


def at_database(url: str, database: str) -> str:
    """Return ``url`` with the name of another database of the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


class Loop:
    """An event loop in a thread of its own: synchronous fixtures keep connections of asyncpg there."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="databases", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run ``coroutine`` to its end and return its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class DatabasePool:
    """Leases databases of one server. `leased` gives a URL; `close` ends the pool's connections.

    ``url`` and ``admin_url``: the server as the application's login and as the superuser. The template must
    exist and be migrated. A database whose shape a test has changed, or whose tables it has analyzed, is
    dropped, not leased again; functions that a test has replaced (the database's clock) are put back.

    What belongs to the whole server is not compared: roles, their memberships, and their settings outside of
    one database. Nor are types, extended statistics and the definitions of indexes: these cost 2 ms a lease,
    and a test that adds or drops an index is noticed all the same.
    """

    def __init__(self, url: str, admin_url: str) -> None:
        self._url: Final = url
        self._admin_url: Final = admin_url
        self._loop: Final = Loop()
        self._free: Final[list[tuple[str, asyncpg.Connection[Any]]]] = []
        self._admin: Final = self._loop.run(asyncpg.connect(admin_url, timeout=30))
        self.made = 0
        self._shape, self._functions, self._seeded = self._loop.run(self._read_template())

    @contextmanager
    def leased(self) -> Iterator[str]:
        """Lease a database without rows; the URL is that of the application's login, its owner."""
        name, connection = self._free.pop() if self._free else self._loop.run(self._make())
        try:
            yield at_database(self._url, name)
        finally:
            if self._loop.run(self._emptied(connection)):
                self._free.append((name, connection))
            else:
                self._loop.run(self._drop(name, connection))

    def close(self) -> None:
        """End all connections of the pool."""
        for _, connection in self._free:
            self._loop.run(connection.close(timeout=10))
        self._loop.run(self._admin.close(timeout=10))
        self._loop.close()

    async def _read_template(self) -> tuple[list[asyncpg.Record], dict[str, str], dict[str, list[Any]]]:
        connection = await asyncpg.connect(at_database(self._admin_url, TEMPLATE), timeout=30)
        try:
            shape = await connection.fetch(_SHAPE)
            functions = {row["name"]: row["definition"] for row in await connection.fetch(_FUNCTIONS)}
            seeded = {}
            for row in await connection.fetch(_TABLES):
                if rows := await connection.fetch(f"SELECT * FROM {row['name']} ORDER BY 1"):
                    seeded[row["name"]] = rows
            return shape, functions, seeded
        finally:
            await connection.close(timeout=10)  # a template with a session cannot be cloned

    async def _make(self) -> tuple[str, "asyncpg.Connection[Any]"]:
        name = f"leased_{secrets.token_hex(4)}"
        await self._admin.execute(
            f'CREATE DATABASE "{name}" TEMPLATE {TEMPLATE} OWNER {OWNER}', timeout=STATEMENT_TIMEOUT_S
        )
        self.made += 1
        return name, await asyncpg.connect(at_database(self._admin_url, name), timeout=30)

    async def _drop(self, name: str, connection: "asyncpg.Connection[Any]") -> None:
        connection.terminate()
        await self._admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)', timeout=STATEMENT_TIMEOUT_S)

    async def _emptied(self, connection: "asyncpg.Connection[Any]") -> bool:
        """Empty the database of ``connection``; whether it is now as the template is."""
        try:
            await connection.execute(_OTHERS, timeout=STATEMENT_TIMEOUT_S)
            for row in await connection.fetch(_FUNCTIONS):
                wanted = self._functions.get(row["name"])
                if wanted is not None and wanted != row["definition"]:
                    await connection.execute(wanted, timeout=STATEMENT_TIMEOUT_S)
            if await connection.fetch(_SHAPE) != self._shape:
                return False
            tables = await connection.fetch(_TABLES)
            if not await self._seeds_are_whole(connection):
                return False
            for row in await connection.fetch(_SEQUENCES):
                await connection.execute(f"ALTER SEQUENCE {row['name']} RESTART")
            await connection.execute(
                _emptying([(row["name"], row["bytes"]) for row in tables if row["name"] not in self._seeded]),
                timeout=STATEMENT_TIMEOUT_S,
            )
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return False  # a test broke the server or this database
        return True

    async def _seeds_are_whole(self, connection: "asyncpg.Connection[Any]") -> bool:
        for name, rows in self._seeded.items():
            if await connection.fetch(f"SELECT * FROM {name} ORDER BY 1") != rows:
                return False
        return True


def _emptying(tables: list[tuple[str, int]]) -> str:
    """Return the statements that empty ``tables`` (name, size in bytes) without checking keys."""
    used = [(name, size) for name, size in tables if size > 0]
    large = [name for name, size in used if size > LARGE_BYTES]
    deletes = [f"DELETE FROM {name};" for name, size in used if size <= LARGE_BYTES]
    truncates = [f"TRUNCATE {', '.join(large)} CASCADE;"] if large else []
    return "\n".join(["SET session_replication_role = replica;", *truncates, *deletes])
