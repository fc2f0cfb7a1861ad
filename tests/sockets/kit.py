"""A raw Socket.IO client that can say anything, and an instance in this process for it to say it to."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import aiohttp
import asyncpg
from aiohttp import WSMsgType, web

from realtime.api.routes import SERVER_LIMITS
from realtime.auth.tokens import mint
from realtime.processes.web import Instance, InstanceTimings
from realtime.settings import Settings
from realtime.sockets.timings import SocketTimings
from realtime.store.db.database import Database

SECRET = "a secret of the tests, 32 bytes long"
PATIENCE_S = 20.0
"""Long enough for a machine that is busy with other things; nothing waits this long when all is well."""

QUICK = InstanceTimings(
    revocations_poll_s=0.2,
    sockets=SocketTimings(
        expiry_check_s=0.2,
        shares_check_s=0.2,
        sessions_check_s=0.2,
        vendors_check_s=0.2,
        live_places_check_s=0.2,
        link_late_ms=500,
    ),
)
"""What ended is found within 0.2 s instead of 3."""


async def until(condition: Callable[[], Any], what: str = "condition") -> None:
    """Wait for ``condition`` to hold."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"never came: {what}"
        await asyncio.sleep(0.002)


class Raw:
    """One websocket. Whatever comes is kept; pings are answered unless ``mute``."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.packets: list[str] = []
        self.mute = False
        self._reader = asyncio.ensure_future(self._read())
        self._next_id = 0

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if message.data == "2":
                if not self.mute:
                    await self.socket.send_str("3")
                continue
            self.packets.append(message.data)

    @property
    def ended(self) -> bool:
        return self._reader.done()

    async def has_ended(self) -> int | None:
        """Wait for the end; the websocket's close code."""
        await until(lambda: self.ended, "the end of the websocket")
        return self.socket.close_code

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await self.socket.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def say(self, text: str) -> None:
        await self.socket.send_str(text)

    async def packet(self, start: str) -> str:
        """The rest of the first packet that begins with ``start``; it is taken out."""
        await until(lambda: self.ended or any(p.startswith(start) for p in self.packets), start)
        found = next((p for p in self.packets if p.startswith(start)), None)
        assert found is not None, f"the websocket ended before {start!r} came: {self.packets}"
        self.packets.remove(found)
        return found[len(start) :]

    async def connect(self, namespace: str, **auth: Any) -> dict[str, Any]:
        """CONNECT; the error's data, or ``{}`` when let in."""
        await self.say(f"40{namespace},{json.dumps(auth)}")
        starts = (f"40{namespace},", f"44{namespace},")
        await until(lambda: self.ended or any(p.startswith(starts) for p in self.packets), "connect")
        found = next((p for p in self.packets if p.startswith(starts)), None)
        assert found is not None, "closed while connecting"
        self.packets.remove(found)
        if found.startswith(starts[0]):
            return {}
        error: dict[str, Any] = json.loads(found[len(starts[1]) :])
        return error["data"] if isinstance(error.get("data"), dict) else error

    async def ask_text(self, namespace: str, body: str) -> str:
        """Send an event whose JSON is ``body`` and return its ack as it came."""
        self._next_id += 1
        mine = self._next_id
        await self.say(f"42{namespace},{mine}{body}")
        return "[" + await self.packet(f"43{namespace},{mine}[")  # not the answer to one whose id begins so

    async def ask(self, namespace: str, event: str, *args: Any) -> dict[str, Any]:
        """Send an event; its ack."""
        answer: dict[str, Any] = json.loads(await self.ask_text(namespace, json.dumps([event, *args])))[0]
        return answer

    async def event(self, namespace: str, name: str) -> list[Any]:
        """The arguments of the next event ``name``."""
        arguments: list[Any] = json.loads(
            f'["{name}"{await self.packet(f"42{namespace},[{json.dumps(name)}")}'
        )
        return arguments[1:]

    def events(self, namespace: str, name: str) -> list[list[Any]]:
        """The arguments of every event ``name`` that has come; they stay."""
        start = f"42{namespace},[{json.dumps(name)}"
        return [json.loads(p[len(f"42{namespace},") :])[1:] for p in self.packets if p.startswith(start)]


@dataclass
class Server:
    """An instance and the port it listens on."""

    instance: Instance
    port: int
    session: aiohttp.ClientSession
    opened: list[Raw] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def db(self) -> Database:
        return self.instance.db

    async def raw(self, sid: str = "", headers: dict[str, str] | None = None, **options: Any) -> Raw:
        """A new websocket, its opening packet read (none when ``sid`` names a polling session)."""
        tail = f"&sid={sid}" if sid else ""
        socket = await self.session.ws_connect(
            f"{self.url}/socket.io/?EIO=4&transport=websocket{tail}",
            headers=headers,
            max_msg_size=0,
            **options,
        )
        made = Raw(socket)
        self.opened.append(made)
        if not sid:
            await made.packet("0")
        return made

    def token(self, role: str, tenant: str = "t1", vendors: Any = ("v1",), **more: Any) -> str:
        """A token of this instance's own secret."""
        return mint(self.instance.settings, role=role, tenant=tenant, vendors=vendors, **more)  # type: ignore[arg-type]

    async def driver(self, name: str, tenant: str = "t1", vendor: str = "v1") -> Raw:
        """A driver, let in."""
        made = await self.raw()
        token = self.token("driver", tenant, [vendor], driver=name)
        assert await made.connect("/driver", token=token) == {}
        return made

    async def viewer(self, tenant: str = "t1", vendors: Any = ("v1",)) -> Raw:
        """A dispatcher, let in."""
        made = await self.raw()
        assert await made.connect("/watch", token=self.token("dispatcher", tenant, vendors)) == {}
        return made

    async def journey(self, driver: Raw, points: int = 0) -> str:
        """A journey of ``driver`` with points 1..``points``."""
        started = await driver.ask(
            "/driver", "journey:start", {"client_journey_id": str(uuid4()), "started_at": now_ms()}
        )
        assert started["ok"], started
        journey_id: str = started["journey_id"]
        if points:
            sent = {"journey_id": journey_id, "points": [good(seq) for seq in range(1, points + 1)]}
            assert (await driver.ask("/driver", "positions", sent))["ok"]
        return journey_id


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def good(seq: int, t_ms: int | None = None) -> list[Any]:
    """A point that nobody could object to."""
    return [seq, now_ms() if t_ms is None else t_ms, 53.4 + seq % 1000 / 1e5, -2.98, 7.5, 90, 4]


@contextlib.asynccontextmanager
async def serving(settings: Settings, timings: InstanceTimings = QUICK) -> AsyncIterator[Server]:
    """An instance of ``settings`` on a free port that checks its credentials often."""
    async with Instance.open(settings, timings) as instance:
        runner = web.AppRunner(instance.app, access_log=None, shutdown_timeout=0.1, **SERVER_LIMITS)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        jar = aiohttp.CookieJar(unsafe=True)
        connector = aiohttp.TCPConnector(limit=0)  # a hundred would be all that a package may ever open
        async with aiohttp.ClientSession(cookie_jar=jar, connector=connector) as session:
            server = Server(instance, port, session)
            try:
                yield server
            finally:
                for raw in server.opened:
                    await raw.close()
                await runner.cleanup()


TABLES = {
    "tenants": "tenant_id",
    "vendors": "tenant_id || vendor_id",
    "drivers": "tenant_id || driver_id || vendor_id",
    "journeys": "journeys::text",
    "journey_points": "journey_points::text",
    "shares": "shares::text",
    "revoked_tokens": "jti",
}


async def census(connection: asyncpg.Connection) -> dict[str, Any]:
    """How many rows each table has and a digest of them; connection counters and share views left out."""
    each = (
        f"(SELECT ARRAY[count(*)::text, md5(string_agg({row}, ',' ORDER BY {row}))] FROM {table})"
        for table, row in TABLES.items()
    )
    found = await connection.fetchrow(f"SELECT {', '.join(each)}", timeout=PATIENCE_S)
    return dict(zip(TABLES, found, strict=True))
