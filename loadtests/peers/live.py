"""Stock python-socketio with live viewers and no database, as its documentation shows it and well tuned.

uvloop, no compression, handlers awaited in line. Settings by environment: PORT, AUTH_SECRET, and

- ``TICK_MS`` above 0 gathers the newest position of each driver and emits them once a tick;
- ``REDIS_URL`` joins several of these servers by python-socketio's own Redis manager;
- ``GC=rare`` adds what no documentation says and our own server does: a frozen heap, rare full collections;
- ``ENGINE=fanout`` serves the same handlers by `realtime.fanout.socketio.server.FanoutServer`: our engine
alone.
"""

import asyncio
import gc
import math
import os
import uuid
from typing import Any, Final

import jwt
import socketio
import uvloop
from aiohttp import web

DRIVER: Final = "/driver"
WATCH: Final = "/watch"
OPTIONS: Final[dict[str, Any]] = {
    "async_mode": "aiohttp",
    "transports": ["websocket"],
    "http_compression": False,
    "async_handlers": False,
    "ping_interval": 20,
    "ping_timeout": 15,
    "max_http_buffer_size": 256 * 1024,
}


def make_server() -> Any:
    """The server that ``ENGINE`` names."""
    if os.environ.get("ENGINE") == "fanout":
        from realtime.fanout.socketio.server import FanoutServer

        return FanoutServer(**OPTIONS)
    redis_url = os.environ.get("REDIS_URL")
    manager = socketio.AsyncRedisManager(redis_url) if redis_url else None
    return socketio.AsyncServer(client_manager=manager, **OPTIONS)


class Board:
    """Shows positions to a vendor's room: each at once, or the newest of each driver once a tick."""

    def __init__(self, sio: Any, tick_s: float) -> None:
        self._sio = sio
        self._tick_s = tick_s
        self._newest: dict[str, dict[str, list[Any]]] = {}

    async def show(self, room: str, driver: str, journey: str, point: list[Any]) -> None:
        """One position."""
        shown = [driver, journey, point]
        if self._tick_s:
            self._newest.setdefault(room, {})[driver] = shown
        else:
            await self._sio.emit("positions", (room, [shown]), room=room, namespace=WATCH)

    async def tick(self) -> None:
        """Emit what has gathered, for ever."""
        while True:
            await asyncio.sleep(self._tick_s)
            gathered, self._newest = self._newest, {}
            for room, newest in gathered.items():
                await self._sio.emit("positions", (room, list(newest.values())), room=room, namespace=WATCH)


def serve_viewers(sio: Any, secret: str) -> None:
    """Register what a viewer asks for."""

    @sio.on("connect", namespace=WATCH)  # type: ignore[untyped-decorator]
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        _claims(auth, secret)

    @sio.on("watch", namespace=WATCH)  # type: ignore[untyped-decorator]
    async def watch(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        room = f"vendor:{data['feed']['vendor']}"
        await sio.enter_room(sid, room, namespace=WATCH)
        return {"ok": True, "feed": room}


def serve_drivers(sio: Any, board: Board, secret: str) -> None:
    """Register what a driver sends."""
    drivers: dict[str, dict[str, Any]] = {}

    @sio.on("connect", namespace=DRIVER)  # type: ignore[untyped-decorator]
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        drivers[sid] = _claims(auth, secret)

    @sio.on("disconnect", namespace=DRIVER)  # type: ignore[untyped-decorator]
    async def disconnect(sid: str, reason: str) -> None:
        drivers.pop(sid, None)

    @sio.on("journey:start", namespace=DRIVER)  # type: ignore[untyped-decorator]
    async def start(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        return {"ok": True, "journey_id": str(uuid.uuid4()), "next_seq": 1}

    @sio.on("positions", namespace=DRIVER)  # type: ignore[untyped-decorator]
    async def positions(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        points = data["points"]
        if not all(map(_is_position, points)):
            return {"ok": False, "error": {"code": "invalid"}}
        claims = drivers[sid]
        room = f"vendor:{claims['vendors'][0]}"
        await board.show(room, claims["driver"], data["journey_id"], points[-1])
        return {"ok": True, "through": points[-1][0], "voided": []}


def _is_position(point: list[Any]) -> bool:
    seq, t_ms, lat, lon = point[:4]
    return (
        isinstance(seq, int)
        and isinstance(t_ms, int)
        and math.isfinite(lat)
        and math.isfinite(lon)
        and -90.0 <= lat <= 90.0
        and -180.0 <= lon <= 180.0
    )


def _claims(auth: Any, secret: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = jwt.decode(
            auth["token"], secret, algorithms=["HS256"], audience="wayguard", issuer="wayguard"
        )
    except (jwt.PyJWTError, KeyError, TypeError):
        raise socketio.exceptions.ConnectionRefusedError("unauthenticated") from None
    return found


async def application() -> web.Application:
    """The server with its handlers."""
    secret = os.environ["AUTH_SECRET"]
    sio = make_server()
    board = Board(sio, float(os.environ.get("TICK_MS", "0")) / 1000)
    serve_viewers(sio, secret)
    serve_drivers(sio, board, secret)
    app = web.Application()
    sio.attach(app)
    app.router.add_get("/readyz", _ready)
    ticking: list[asyncio.Task[None]] = []

    async def begin(_: web.Application) -> None:
        if os.environ.get("TICK_MS", "0") != "0":
            ticking.append(asyncio.create_task(board.tick()))

    app.on_startup.append(begin)
    return app


async def _ready(request: web.Request) -> web.Response:
    return web.Response(text="ok")


def main() -> None:
    """Serve until SIGTERM."""
    if os.environ.get("GC") == "rare":
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
    web.run_app(
        application(),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        print=None,
        backlog=4096,
        shutdown_timeout=0.1,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
