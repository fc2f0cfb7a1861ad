"""What `wayguard doctor` looks at. Each check answers with findings and raises nothing."""

import asyncio
import resource
import shutil
import stat
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import redis.asyncio

from realtime.clock import wall_clock_ms
from realtime.engines.probe import http_status
from realtime.monitoring.checks import COPY_MS, copy_age_ms
from realtime.protocol import Refused
from realtime.redis.client import cluster_url
from realtime.settings import Settings
from realtime.store.alerts import health
from realtime.store.db import durability, schema
from realtime.store.db.database import Database
from realtime.store.db.migration import MigrationError, migrations
from realtime.store.db.queries import load
from realtime.store.journeys import upkeep
from realtime.urls import without_login

CLOCK_SKEW_MAX_S = 1.0
"""Presence, expiry and the order of positions compare clocks of several machines."""
OPEN_FILES_MIN = 4_096
FREE_DISK_MIN_BYTES = 2**30
REDIS_MAJOR_MIN = 7
POSTGRES_MAJOR_MIN = 15
_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class DoctorFinding:
    """What was found about ``subject``. ``advice`` says what to do and makes it a fault."""

    subject: str
    text: str
    advice: str = ""

    @property
    def is_fault(self) -> bool:
        """Whether something has to be done."""
        return bool(self.advice)


Check = Callable[[Settings], Awaitable[list[DoctorFinding]]]


async def identity(settings: Settings) -> list[DoctorFinding]:
    """Whether tokens can be checked, and whether the secret is kept secret."""
    if settings.auth_jwks_url:
        return [DoctorFinding("auth", f"key set {_shown_source(settings.auth_jwks_url)}")]
    if not settings.auth_secret:
        return [
            DoctorFinding("auth", "no secret", "set AUTH_SECRET (32 random bytes or more) or AUTH_JWKS_URL")
        ]
    file = settings.data_dir / "secrets" / "auth"
    if file.exists() and file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return [DoctorFinding("auth", f"{file} is readable by others", f"chmod 600 {file}")]
    return [DoctorFinding("auth", "a secret is set")]


async def machine(settings: Settings) -> list[DoctorFinding]:
    """Room on the disk and for open files."""
    found = []
    folder = next(
        path
        for path in (settings.data_dir.absolute(), *settings.data_dir.absolute().parents)
        if path.exists()
    )
    free = shutil.disk_usage(folder).free
    advice = "" if free >= FREE_DISK_MIN_BYTES else "make room: Postgres stops when its disk is full"
    found.append(DoctorFinding("disk", f"{free / 2**30:.1f} GiB free at {folder}", advice))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    unlimited = limit == resource.RLIM_INFINITY
    advice = (
        "" if unlimited or limit >= OPEN_FILES_MIN else "raise the limit (ulimit -Hn): a client takes three"
    )
    found.append(DoctorFinding("files", f"{'unlimited' if unlimited else limit} open files allowed", advice))
    return found


async def pages(settings: Settings) -> list[DoctorFinding]:
    """Whether the web pages were built."""
    if (Path(__file__).parents[1] / "pages" / "static" / "share.html").exists():
        return [DoctorFinding("pages", "built")]
    return [
        DoctorFinding(
            "pages", "not built", "run ./run once, or npm ci && npm run build in realtime/pages/web"
        )
    ]


async def postgres(settings: Settings) -> list[DoctorFinding]:
    """The primary: reachable, durable, migrated, partitioned, its clock ours, its login role bound."""
    url = settings.database_url.get_secret_value()
    if not url:
        return [
            DoctorFinding(
                "postgres", "no DATABASE_URL and no data directory", "start ./run, or set DATABASE_URL"
            )
        ]
    try:
        async with _connected(url) as connection:
            found = [await _version(connection), await _login_role(connection), await _clock(connection)]
            found.append(await _schema(connection))
            if not found[-1].is_fault:
                found.append(await _alert_store(connection))
        return found if found[-1].is_fault else [*found, *await _storage(settings)]
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
        why = _why(problem)
        return [DoctorFinding("postgres", f"does not answer: {why}", "start it, or correct DATABASE_URL")]
    except (Refused, MigrationError) as problem:
        return [DoctorFinding("postgres", str(problem), "run wayguard migrate with this release")]


async def replica(settings: Settings) -> list[DoctorFinding]:
    """The replica, where one is set."""
    url = settings.database_replica_url.get_secret_value()
    if not url:
        return []
    try:
        async with _connected(url) as connection:
            if await connection.fetchval("SELECT pg_is_in_recovery()"):
                return [DoctorFinding("replica", "answers")]
        return [
            DoctorFinding("replica", "is no replica", "point DATABASE_REPLICA_URL at a standby, or unset it")
        ]
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as problem:
        why = _why(problem)
        return [
            DoctorFinding("replica", f"does not answer: {why}", "start it, or unset DATABASE_REPLICA_URL")
        ]


async def redis_server(settings: Settings) -> list[DoctorFinding]:
    """Redis: reachable, recent enough, with our clock."""
    url = settings.redis_url.get_secret_value()
    if not url:
        return [DoctorFinding("redis", "no REDIS_URL and no data directory", "start ./run, or set REDIS_URL")]
    try:
        cluster = cluster_url(url)
        asked = url if cluster is None else cluster.of(cluster.seeds[0])
    except ValueError as problem:
        return [DoctorFinding("redis", str(problem), "correct REDIS_URL")]
    client = redis.asyncio.from_url(asked, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S)
    try:
        async with asyncio.timeout(2 * _TIMEOUT_S):
            before = time.time()
            seconds, micros = await client.time()
            skew_s = float(seconds) + float(micros) / 1e6 - (before + time.time()) / 2
            about = await client.info("server")
        version = str(about.get("redis_version", "0"))
        shown = f"Valkey {about['valkey_version']}" if "valkey_version" in about else f"Redis {version}"
        advice = "" if int(version.split(".")[0]) >= REDIS_MAJOR_MIN else "use Redis 7 or Valkey"
        return [DoctorFinding("redis", shown, advice), _skew("redis clock", skew_s)]
    except (OSError, TimeoutError, ValueError, redis.RedisError) as problem:
        why = _why(problem)
        return [DoctorFinding("redis", f"does not answer: {why}", "start it, or correct REDIS_URL")]
    finally:
        await client.aclose()


async def front(settings: Settings) -> list[DoctorFinding]:
    """Whether the system answers where its links point."""
    url = urlsplit(settings.public_url)
    if url.scheme != "http":
        return []
    status = await http_status(url.hostname or "", url.port or 80, "/readyz", _TIMEOUT_S)
    if status == 200:
        return [DoctorFinding("front", f"{settings.public_url} is ready")]
    said = "nobody answers" if status is None else f"answers {status}"
    return [DoctorFinding("front", f"{settings.public_url}: {said}", "start ./run, or set PUBLIC_URL")]


CHECKS: tuple[Check, ...] = (identity, machine, pages, postgres, replica, redis_server, front)


def _why(problem: Exception) -> str:
    """What a finding says of ``problem``; not the text of one that may quote a part of a URL."""
    text = "" if isinstance(problem, ValueError) else str(problem)
    return text or type(problem).__name__


def _shown_source(url: str) -> str:
    return without_login(url) if "://" in url else url


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(
        url, timeout=_TIMEOUT_S, command_timeout=_TIMEOUT_S, statement_cache_size=0
    )
    try:
        yield connection
    finally:
        await connection.close(timeout=_TIMEOUT_S)


async def _version(connection: asyncpg.Connection) -> DoctorFinding:
    version = await connection.fetchval("SHOW server_version")
    advice = "" if connection.get_server_version().major >= POSTGRES_MAJOR_MIN else "use Postgres 15 or newer"
    return DoctorFinding("postgres", f"version {version}", advice)


async def _login_role(connection: asyncpg.Connection) -> DoctorFinding:
    role = await connection.fetchrow(
        "SELECT rolname AS name, rolsuper OR rolbypassrls AS above FROM pg_roles WHERE rolname = current_user"
    )
    if role["above"]:
        advice = (
            "log in as a plain owner with CREATEROLE: tenants are kept apart by policies that do not bind it"
        )
        return DoctorFinding("role", f"{role['name']} bypasses row-level security", advice)
    return DoctorFinding("role", f"{role['name']} is bound by row-level security")


async def _clock(connection: asyncpg.Connection) -> DoctorFinding:
    before = time.time()
    theirs = await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())::float8")
    return _skew("postgres clock", theirs - (before + time.time()) / 2)


def _skew(subject: str, skew_s: float) -> DoctorFinding:
    advice = "" if abs(skew_s) <= CLOCK_SKEW_MAX_S else "let NTP keep both machines' clocks"
    return DoctorFinding(subject, f"{skew_s * 1000:+.0f} ms from ours", advice)


async def _schema(connection: asyncpg.Connection) -> DoctorFinding:
    """Whether the schema is the one that this release needs; a process is not ready on another."""
    found = await schema.read(connection, migrations())
    return DoctorFinding("schema", str(found), found.advice)


async def _alert_store(connection: asyncpg.Connection) -> DoctorFinding:
    """Whether statements about alerts have failed in running processes."""
    rows = await connection.fetch(load("audit")["beats"], health.REMEMBERED_MS)
    failed = [beat for beat in map(health.beat_of, rows) if beat.detail.store_faults.recent]
    if not failed:
        return DoctorFinding("alert store", "no statement about alerts failed in the last five minutes")
    names = ", ".join(f"{beat.process} ({beat.detail.store_faults.recent})" for beat in failed)
    return DoctorFinding(
        "alert store",
        f"postgres fails statements about alerts: {names}",
        "look for the error class in the log of that process; alerts go through its journal meanwhile",
    )


async def _storage(settings: Settings) -> list[DoctorFinding]:
    db = await Database.open(settings)
    try:
        unsafe = await durability.unsafe_settings(db)
        missing = await upkeep.missing_partitions(db, wall_clock_ms())
        copies = copies_of(*await health.beats(db))
    finally:
        await db.close()
    named = ", ".join(f"{name} is {value}" for name, value in unsafe.items())
    days = ", ".join(day.isoformat() for day in missing)
    return [
        DoctorFinding("durability", named, "turn them on: acknowledged points could be lost")
        if unsafe
        else DoctorFinding("durability", f"{', '.join(durability.SAFE)} are on"),
        DoctorFinding("partitions", f"missing for {days}", "keep a worker running, or run wayguard migrate")
        if missing
        else DoctorFinding("partitions", "made for the coming days"),
        copies,
    ]


def copies_of(now_ms: int, beats: Sequence[health.Beat]) -> DoctorFinding:
    """How old the local copies of contacts and policies are that an SOS uses without Postgres."""
    ages = {beat.process: age_ms for beat in beats if (age_ms := copy_age_ms(beat, now_ms)) is not None}
    if not ages:
        return DoctorFinding("local copies", "no process is running that has one")
    oldest = max(ages, key=lambda process: ages[process])
    text = f"{len(ages)}, the oldest of {oldest}: not read for {ages[oldest] // 1000} s"
    is_old = ages[oldest] > COPY_MS
    advice = f"look into the log of {oldest} for what cannot be read; new contacts are not known to it"
    return DoctorFinding("local copies", text, advice if is_old else "")
