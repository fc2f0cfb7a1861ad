"""A small server of the wire protocol with switches for named faults, for testing clients without engines.

Every fault is one the real server or the network can show; each is used up by one event, in the order given.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import socketio
from aiohttp import web

from tests.client.model import Model, refused


class Fault(StrEnum):
    """What goes wrong with the next event of a driver."""

    LOSE_ANSWER = "stored, but the ack never comes"
    LOSE_REQUEST = "neither stored nor answered"
    OVERLOADED = "answered overloaded, retry after 50 ms"
    CUT_BEFORE_STORING = "the connection dies before the commit"
    CUT_AFTER_STORING = "the connection dies between the commit and the ack"
    CLOSE_TOKEN_EXPIRED = "a coded close: the token is over"
    CLOSE_REVOKED = "a coded close: for good"


class FakeServer:
    """``url`` takes `/driver` and `/watch`; ``model`` is what is stored."""

    def __init__(self) -> None:
        self.model = Model()
        self.faults: deque[Fault] = deque()
        self.refuse_connect: deque[dict[str, Any]] = deque()
        self.connects: list[dict[str, Any]] = []
        self.departures: list[str] = []
        self.seen: list[tuple[str, Any]] = []
        self.watches: list[dict[str, Any]] = []
        self.refuse_watch: deque[dict[str, Any]] = deque()
        self.viewers: dict[str, set[str]] = {}
        self.url = ""
        self.published: dict[str, int] = {}
        self._over = asyncio.Event()
        self.sio = socketio.AsyncServer(
            async_mode="aiohttp", namespaces=["/driver", "/watch"], ping_interval=25, ping_timeout=20
        )
        for namespace in ("/driver", "/watch"):
            self.sio.on("connect", self._connect, namespace=namespace)
            self.sio.on("disconnect", self._disconnect, namespace=namespace)
        self.sio.on("*", self._driver_event, namespace="/driver")
        self.sio.on("*", self._watch_event, namespace="/watch")

    async def _connect(self, sid: str, environ: dict[str, Any], auth: dict[str, Any]) -> None:
        self.connects.append(auth)
        if self.refuse_connect:
            error = self.refuse_connect.popleft()
            raise socketio.exceptions.ConnectionRefusedError(error["message"], error)

    async def _disconnect(self, sid: str, reason: str) -> None:
        self.departures.append(reason)

    async def _driver_event(self, event: str, sid: str, payload: Any) -> Any:
        self.seen.append((event, payload))
        fault = self.faults.popleft() if self.faults and event == "positions" else None
        match fault:
            case None:
                return await self._store(event, payload)
            case Fault.LOSE_ANSWER:
                await self._store(event, payload)
            case Fault.OVERLOADED:
                return refused("overloaded", retryable=True, retry_after_s=0.05)
            case Fault.CUT_BEFORE_STORING:
                await self.cut(sid, "/driver")
            case Fault.CUT_AFTER_STORING:
                await self._store(event, payload)
                await self.cut(sid, "/driver")
            case Fault.CLOSE_TOKEN_EXPIRED:
                await self.close_with(sid, "/driver", "token_expired")
            case Fault.CLOSE_REVOKED:
                await self.close_with(sid, "/driver", "revoked")
        await self._over.wait()
        return None

    async def _store(self, event: str, payload: Any) -> Any:
        answer = self.model.answer(event, payload)
        if event == "positions" and answer["ok"]:
            await self.publish(payload["journey_id"])
        return answer

    async def _watch_event(self, event: str, sid: str, payload: Any = None) -> Any:
        if event == "whoami":
            return {"ok": True, "role": "dispatcher"}
        if event == "unwatch":
            self.viewers.get(payload["feed"], set()).discard(sid)
            return {"ok": True}
        feed = payload["feed"]
        self.watches.append(feed)
        if self.refuse_watch:
            return self.refuse_watch.popleft()
        kind = next(name for name in ("vendor", "driver", "journey") if name in feed)
        name = f"{kind}:{feed[kind]}"
        self.viewers.setdefault(name, set()).add(sid)
        positions = self.entries(feed["journey"], feed.get("since_seq", 0)) if kind == "journey" else []
        return {"ok": True, "feed": name, "snapshot": {"positions": positions, "presence": {}, "alerts": []}}

    def entries(self, journey_id: str, since_seq: int) -> list[list[Any]]:
        """The journey's points behind ``since_seq`` as a viewer gets them."""
        contents = self.model.by_id[journey_id].contents[since_seq:]
        numbered = enumerate(contents, since_seq + 1)
        return [["d1", journey_id, [s, *(c or [None, None, None])]] for s, c in numbered]

    async def publish(self, journey_id: str) -> None:
        """What was stored since the last time, to the viewers of the journey."""
        entries = self.entries(journey_id, self.published.get(journey_id, 0))
        self.published[journey_id] = len(self.model.by_id[journey_id].contents)
        if entries:
            await self.emit(f"journey:{journey_id}", "positions", f"journey:{journey_id}", entries)

    async def emit(self, feed: str, event: str, *args: Any) -> None:
        """``event`` to every viewer of ``feed``."""
        for sid in self.viewers.get(feed, set()):
            await self.sio.emit(event, args, to=sid, namespace="/watch")

    async def tell_all(self, namespace: str, event: str, *args: Any) -> None:
        """``event`` to everybody on ``namespace``."""
        await self.sio.emit(event, args, namespace=namespace)

    async def close_with(self, sid: str, namespace: str, code: str) -> None:
        """The server's coded goodbye."""
        closing = {"code": code, "message": code, "retryable": False}
        await self.sio.emit("closing", closing, to=sid, namespace=namespace)
        await self.sio.disconnect(sid, namespace=namespace)

    async def cut(self, sid: str, namespace: str) -> None:
        """The transport goes away without a word of Socket.IO."""
        environ = self.sio.get_environ(sid, namespace)
        environ["aiohttp.request"].transport.abort()

    async def cut_viewers(self) -> None:
        """Cut every viewer."""
        sids = {sid for members in self.viewers.values() for sid in members}
        self.viewers.clear()
        for sid in sids:
            await self.cut(sid, "/watch")

    def let_go(self) -> None:
        """End the handlers that wait for ever."""
        self._over.set()


@asynccontextmanager
async def fake_server() -> AsyncIterator[FakeServer]:
    """A `FakeServer` on a port of its own."""
    fake = FakeServer()
    app = web.Application()
    fake.sio.attach(app)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        fake.let_go()
        await fake.sio.shutdown()
        await runner.cleanup()
