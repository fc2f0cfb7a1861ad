"""What the fan-out builds on inside python-engineio and python-socketio.

When one of these fails after an upgrade, read what changed there before changing it here:
`realtime/fanout/engine.py` and `server.py` lean on each of them.
"""

import inspect
from typing import Any

import engineio
import pytest
import socketio
from aiohttp import web
from engineio import exceptions, packet
from engineio.async_drivers import aiohttp as driver
from engineio.async_socket import AsyncSocket
from socketio import packet as sio_packet
from socketio.base_manager import BaseManager

from realtime.fanout.engine import EngineSocket
from realtime.fanout.engineserver import EngineServer
from realtime.fanout.server import FanoutServer
from realtime.fanout.websocket import DirectWebSocket

SIGNATURES: list[tuple[Any, str, str]] = [
    # Overridden: ours must be called as theirs was.
    (AsyncSocket, "poll", "(self)"),
    (AsyncSocket, "send", "(self, pkt)"),
    (AsyncSocket, "close", "(self, wait=True, abort=False, reason=None)"),
    (AsyncSocket, "schedule_ping", "(self)"),
    (AsyncSocket, "check_ping_timeout", "(self)"),
    (AsyncSocket, "handle_post_request", "(self, environ)"),
    (AsyncSocket, "_websocket_handler", "(self, ws)"),
    (engineio.AsyncServer, "generate_id", "(self)"),
    (engineio.AsyncServer, "handle_request", "(self, *args, **kwargs)"),
    (engineio.AsyncServer, "_handle_connect", "(self, environ, transport, jsonp_index=None)"),
    (socketio.AsyncServer, "_engineio_server_class", "(self)"),
    (socketio.AsyncServer, "_handle_eio_connect", "(self, eio_sid, environ)"),
    (socketio.AsyncServer, "_handle_eio_message", "(self, eio_sid, data)"),
    (socketio.AsyncServer, "_handle_eio_disconnect", "(self, eio_sid, reason)"),
    (socketio.AsyncServer, "_handle_connect", "(self, eio_sid, namespace, data)"),
    # Called.
    (AsyncSocket, "handle_get_request", "(self, environ)"),
    (AsyncSocket, "_upgrade_websocket", "(self, environ)"),
    (engineio.AsyncServer, "_trigger_event", "(self, event, *args, **kwargs)"),
    (engineio.AsyncServer, "_upgrades", "(self, sid, transport)"),
    (engineio.AsyncServer, "_unauthorized", "(self, message=None)"),
    (engineio.AsyncServer, "_bad_request", "(self, message=None)"),
    (engineio.AsyncServer, "_ok", "(self, packets=None, headers=None, jsonp_index=None)"),
    (engineio.AsyncServer, "_cors_allowed_origins", "(self, environ)"),
    (socketio.AsyncServer, "_send_packet", "(self, eio_sid, pkt)"),
    (BaseManager, "sid_from_eio_sid", "(self, eio_sid, namespace)"),
    (BaseManager, "eio_sid_from_sid", "(self, sid, namespace)"),
    (driver, "translate_request", "(request)"),
]


@pytest.mark.parametrize(("owner", "name", "signature"), SIGNATURES)
def test_what_is_leaned_on_is_where_it_was(owner: Any, name: str, signature: str) -> None:
    assert hasattr(owner, name), f"{owner.__name__}.{name} has gone"
    assert str(inspect.signature(getattr(owner, name))) == signature


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(EngineSocket, AsyncSocket), (EngineServer, engineio.AsyncServer), (FanoutServer, socketio.AsyncServer)],
)
def test_an_override_takes_what_the_overridden_takes(ours: Any, theirs: Any) -> None:
    for name, made in vars(ours).items():
        if not inspect.isfunction(made) or name == "__init__" or not hasattr(theirs, name):
            continue
        mine = list(inspect.signature(made).parameters.values())
        stock = inspect.signature(getattr(theirs, name)).parameters
        if any(p.kind is p.VAR_POSITIONAL for p in stock.values()):
            continue
        assert [p.name for p in mine] == list(stock), name
        assert [p.default for p in mine] == [p.default for p in stock.values()], name
        assert inspect.iscoroutinefunction(made) == inspect.iscoroutinefunction(getattr(theirs, name)), name


def test_the_drivers_table_has_what_is_replaced_in_it() -> None:
    assert set(driver._async) == {
        "asyncio",
        "create_route",
        "translate_request",
        "make_response",
        "websocket",
    }
    assert callable(DirectWebSocket.__call__)


async def test_a_socket_has_the_state_that_is_used() -> None:
    server = EngineServer(async_mode="aiohttp")
    state = vars(AsyncSocket(server, "s"))
    assert {
        "server",
        "sid",
        "queue",
        "last_ping",
        "connected",
        "upgrading",
        "upgraded",
        "closing",
        "closed",
    } <= set(state)
    assert state["closed"] is False
    assert server.sockets == {}
    assert server._async["websocket"] is DirectWebSocket


async def test_the_servers_ask_for_the_classes_given_to_them() -> None:
    class Nobody:
        def on_event(self, *_: Any) -> None: ...

        def on_fault(self, *_: Any) -> None: ...

    server = FanoutServer(router=Nobody())
    assert type(server.eio) is EngineServer
    assert server.handlers == {}
    assert server.eio.generate_id().startswith("w1.")
    app = web.Application()
    server.attach(app)
    assert {route.method for route in app.router.routes()} >= {"GET", "POST", "OPTIONS"}


def test_reasons_and_packet_types_are_what_they_were() -> None:
    reasons = {"PING_TIMEOUT", "TRANSPORT_ERROR", "TRANSPORT_CLOSE", "SERVER_DISCONNECT", "CLIENT_DISCONNECT"}
    assert reasons <= set(vars(engineio.AsyncServer.reason))
    assert socketio.AsyncServer.reason is engineio.AsyncServer.reason
    engine_types = [packet.OPEN, packet.CLOSE, packet.PING, packet.PONG, packet.MESSAGE, packet.UPGRADE]
    assert [*engine_types, packet.NOOP] == list(range(7))
    assert (sio_packet.CONNECT, sio_packet.DISCONNECT, sio_packet.EVENT, sio_packet.ACK) == (0, 1, 2, 3)
    assert (sio_packet.CONNECT_ERROR, sio_packet.BINARY_EVENT, sio_packet.BINARY_ACK) == (4, 5, 6)
    for name in ("ContentTooLongError", "UnknownPacketError", "QueueEmpty", "SocketIsClosedError"):
        assert issubclass(getattr(exceptions, name), exceptions.EngineIOError)
