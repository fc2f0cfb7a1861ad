"""Stock python-socketio and asyncpg: events handled as the documentation shows, acked after the commit.

What a careful user would write: uvloop, a pool, prepared statements, one INSERT a position, and a batch as
one ``executemany``, which asyncpg runs as one transaction in one round trip. It checks the token and the
coordinates. An SOS is told to everybody who is connected, and forgotten. It has no log of journeys, no
tenants, no live viewers, and nothing bounds it.

Settings by environment: DATABASE_URL, PORT, AUTH_SECRET, POOL.
"""

import os
import time
import uuid
from typing import Any, Final

import asyncpg
import jwt
import socketio
import uvloop
from aiohttp import web

NAMESPACE: Final = "/driver"
SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS journeys (journey_id uuid PRIMARY KEY, driver text NOT NULL);
CREATE TABLE IF NOT EXISTS journey_points (
    journey_id uuid NOT NULL, seq int NOT NULL, t_ms bigint NOT NULL, received_ms bigint NOT NULL,
    lat float8 NOT NULL, lon float8 NOT NULL, speed_mps real, heading_deg real, accuracy_m real,
    altitude_m real, battery_pct real, PRIMARY KEY (journey_id, seq)
)
"""
INSERT: Final = """
INSERT INTO journey_points VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING
"""


def serve_drivers(sio: socketio.AsyncServer, pool: asyncpg.Pool, secret: str) -> None:
    """Register the events a driver sends."""

    @sio.on("connect", namespace=NAMESPACE)  # type: ignore[untyped-decorator]
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        try:
            claims = jwt.decode(
                auth["token"], secret, algorithms=["HS256"], audience="wayguard", issuer="wayguard"
            )
        except (jwt.PyJWTError, KeyError, TypeError):
            raise socketio.exceptions.ConnectionRefusedError("unauthenticated") from None
        await sio.save_session(sid, {"driver": claims["driver"]}, namespace=NAMESPACE)

    @sio.on("journey:start", namespace=NAMESPACE)  # type: ignore[untyped-decorator]
    async def start(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        session = await sio.get_session(sid, namespace=NAMESPACE)
        journey_id = uuid.uuid4()
        await pool.execute("INSERT INTO journeys VALUES ($1, $2)", journey_id, session["driver"])
        return {"ok": True, "journey_id": str(journey_id), "next_seq": 1}

    @sio.on("positions", namespace=NAMESPACE)  # type: ignore[untyped-decorator]
    async def positions(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        journey_id, received_ms = uuid.UUID(data["journey_id"]), time.time_ns() // 1_000_000
        rows = []
        for seq, t_ms, lat, lon, *more in data["points"]:
            if not (-90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0):
                return {"ok": False, "error": {"code": "invalid"}}
            rows.append((journey_id, seq, t_ms, received_ms, lat, lon, *more))
        if len(rows) == 1:
            await pool.execute(INSERT, *rows[0])
        else:
            await pool.executemany(INSERT, rows)
        return {"ok": True, "through": rows[-1][1]}

    @sio.on("sos", namespace=NAMESPACE)  # type: ignore[untyped-decorator]
    async def sos(sid: str, data: dict[str, Any]) -> dict[str, Any]:
        session = await sio.get_session(sid, namespace=NAMESPACE)
        await sio.emit("alert", ("sos", {"driver": session["driver"], **data}), namespace=NAMESPACE)
        return {"ok": True}


async def application() -> web.Application:
    """The server, with its pool and tables."""
    size = int(os.environ.get("POOL", "20"))
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=size, max_size=size)
    await pool.execute(SCHEMA)
    sio = socketio.AsyncServer(async_mode="aiohttp")
    serve_drivers(sio, pool, os.environ["AUTH_SECRET"])
    app = web.Application()
    sio.attach(app)
    app.router.add_get("/readyz", _ready)
    return app


async def _ready(request: web.Request) -> web.Response:
    return web.Response(text="ok")


def main() -> None:
    """Serve until SIGTERM."""
    web.run_app(
        application(),
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        access_log=None,
        print=None,
        shutdown_timeout=0.1,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
