"""The official socket.io-client under Node, over polling, websocket, and an upgrade between them."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from socketio.exceptions import ConnectionRefusedError as SocketRefused

from realtime.fanout.socketio.server import FanoutServer
from tests.fanout.socketio.kit import plain, serving, settled

pytestmark = pytest.mark.asyncio(loop_scope="module")

PEER = Path(__file__).with_name("official.mjs")


def application() -> FanoutServer:
    server = plain()

    @server.event
    async def connect(sid: str, environ: dict[str, Any], auth: Any) -> None:
        await server.emit("auth", auth, to=sid)

    @server.on("connect", namespace="/refused")
    async def refuse(sid: str, environ: dict[str, Any]) -> None:
        raise SocketRefused("not you", {"code": 7})

    @server.event
    async def echo(sid: str, *args: Any) -> list[Any]:
        return list(args)

    @server.event
    async def flood(sid: str, many: int) -> int:
        for number in range(many):
            await server.emit("n", number, to=sid)
        return many

    @server.on("ask me")
    async def ask(sid: str) -> Any:
        word, data = await server.call("question", b"\x07", to=sid)
        return [word, list(data)]

    @server.on("kick me")
    async def kick(sid: str) -> None:
        await server.disconnect(sid)

    return server


@pytest.mark.parametrize("transports", ["websocket", "polling", "polling,websocket"])
async def test_the_official_client_finds_everything_where_it_expects_it(transports: str) -> None:
    node = shutil.which("node")
    assert node, "run `npm ci` in tests/node"
    async with serving(application()) as here:
        process = await asyncio.create_subprocess_exec(
            node, str(PEER), here.url, transports, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(60):
                out, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert json.loads(out) == {
            "auth": {"token": "t"},
            "refusal": ["not you", {"code": 7}],
            "missing": "Invalid namespace",
            "ack": [1, [1, 2]],
            "count": 300,
            "asked": ["got", [7]],
            "transport": transports.split(",")[-1],
            "reason": "io server disconnect",
            "ordered": True,
        }
        await settled(here.server)
