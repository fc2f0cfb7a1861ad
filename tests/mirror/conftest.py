"""A mirror between real engines, each behind a proxy that can be cut, and a stand-in of Firebase."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import msgspec
import pytest

from alerts.alert import Alert
from geo.position import Point
from realtime.engines.embedded import free_port
from realtime.live.presence import presence_order
from realtime.live.redis_state import LiveState, StoredValue
from realtime.live.topics import POSITIONS, PRESENCE, position_item, presence_item
from realtime.mirror.mirror import CHUNK_PATHS, Mirror
from realtime.mirror.remote import RealtimeDatabase
from realtime.outside.rtdb import MAX_KEY_BYTES, RealtimeDatabaseServer
from realtime.redis.client import client
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.store.journeys import journeys
from realtime.store.people import tenants
from tests.e2e.proxy import Proxy

NOW_MS = 1_764_000_000_000


class Clock:
    """Time that passes when told: seconds for leases, milliseconds for ages."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def seconds(self) -> float:
        return self.now_s

    def ms(self) -> int:
        return NOW_MS + round((self.now_s - 1_000.0) * 1_000)


class Cut:
    """A proxy before an engine; `cut` makes the engine away, `mend` brings it back."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._target = self._parts.port or 0
        self.proxy = Proxy(self._target)

    @property
    def url(self) -> str:
        """The engine's address, through the proxy."""
        login, at, _ = self._parts.netloc.rpartition("@")
        return urlunsplit(self._parts._replace(netloc=f"{login}{at}{urlsplit(self.proxy.url).netloc}"))

    def cut(self) -> None:
        self.proxy.target = free_port()
        for pair in list(self.proxy.pairs):
            pair.close()

    def mend(self) -> None:
        self.proxy.target = self._target


@dataclass
class World:
    """What tests do to the mirror's surroundings."""

    db: Database
    state: LiveState
    redis: Any
    server: RealtimeDatabaseServer
    postgres: Cut
    redis_cut: Cut
    clock: Clock
    settings: Settings
    opened: list[tuple[Mirror, RealtimeDatabase]] = field(default_factory=list)
    epoch: int = 0

    def mirror(
        self, holder: str = "w1", db: Database | None = None, max_chunk_paths: int = CHUNK_PATHS
    ) -> Mirror:
        """A mirror that is told when to tick; its engines are behind the proxies."""
        remote = RealtimeDatabase(self.server.database_url, None, http_timeout_s=1.0, call_timeout_s=2.0)
        made = Mirror(
            db or self.db,
            self.redis,
            remote,
            holder=holder,
            redis_timeout_s=2.0,
            now_ms=self.clock.ms,
            clock=self.clock.seconds,
            max_chunk_paths=max_chunk_paths,
        )
        self.opened.append((made, remote))
        return made

    async def drive(
        self,
        driver: str,
        lat: float = 52.5,
        *,
        vendor: str = "taxi",
        tenant: str = "acme",
        built: bool = True,
    ) -> None:
        """``driver`` is online and at ``lat``. ``built``: with Redis as full as it was, or nobody knows."""
        self.epoch += 1
        now_ms = self.clock.ms() + self.epoch
        point = Point(1, now_ms, lat, 13.4)
        item = position_item(driver, str(UUID(int=7)), point, now_ms)
        await self.state.write(tenant, vendor, POSITIONS, [StoredValue(item, str(now_ms))])
        await self.presence(driver, "online", vendor=vendor, tenant=tenant, built=built)

    async def presence(
        self, driver: str, state: str, *, vendor: str = "taxi", tenant: str = "acme", built: bool = True
    ) -> None:
        """Tell the presence of ``driver``."""
        self.epoch += 1
        now_ms = self.clock.ms() + self.epoch
        item = presence_item(driver, presence_order(self.epoch, now_ms), state, now_ms, "heard")
        await self.state.write(tenant, vendor, PRESENCE, [StoredValue(item, "i1")])
        if built:
            await self.state.mark_built(tenant, vendor)

    async def journey(self, driver: str, client_id: int = 1, now_ms: int = NOW_MS) -> UUID:
        """``driver`` begins a journey."""
        await tenants.connect_driver(self.db, "acme", "taxi", driver)
        head = await journeys.start(
            self.db, "acme", "taxi", driver, UUID(int=client_id), NOW_MS, "van", None, None, now_ms
        )
        return head.journey_id

    async def alert(self, alert: Alert) -> None:
        """Put ``alert`` there, or change it."""
        await tenants.connect_driver(self.db, alert.tenant, alert.vendor, alert.driver)
        row = (
            *(alert.alert_id, alert.tenant, alert.vendor, alert.driver, alert.kind, alert.state, alert.drill),
            *(alert.raised_ms, alert.closed_ms, alert.version, msgspec.json.encode(alert).decode()),
        )
        async with self.db.writer() as connection:
            await connection.execute(
                "INSERT INTO alerts (alert_id, tenant_id, vendor_id, driver_id, kind, state, drill, "
                "raised_ms, closed_ms, version, alert, policy_copy) "
                "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, '{}') "
                "ON CONFLICT (alert_id) DO UPDATE SET state = excluded.state, alert = excluded.alert, "
                "version = excluded.version, closed_ms = excluded.closed_ms",
                *row,
            )

    def live(self, vendor: str = "taxi", tenant: str = "acme") -> dict[str, Any]:
        """The drivers of a vendor that the mirror shows."""
        found = self.server.at(f"live/{tenant}/{vendor}")
        return json.loads(json.dumps(found)) if found else {}


@pytest.fixture
def max_key_bytes() -> int:
    """The longest key that Firebase takes."""
    return MAX_KEY_BYTES


@pytest.fixture
async def world(database_url: str, redis_url: str, max_key_bytes: int) -> AsyncIterator[World]:
    postgres, redis = Cut(database_url), Cut(redis_url)
    async with RealtimeDatabaseServer(max_key_bytes=max_key_bytes) as server, postgres.proxy, redis.proxy:
        settings = Settings(database_url=postgres.url, redis_url=redis.url, db_timeout_s=5)
        db = await Database.open(settings)
        connected = client(redis.url, timeout_s=2.0, max_connections=20)
        state = LiveState(connected, 2.0)
        world = World(db, state, connected, server, postgres, redis, Clock(), settings)
        yield world
        for mirror, remote in world.opened:
            await mirror.stop()
            await remote.close()
        await connected.aclose()
        await db.close()
