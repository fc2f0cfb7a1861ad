"""What the fan-out builds on inside python-engineio, python-socketio and aiohttp.

When one of these fails after an upgrade, read what changed there before changing it here: `realtime/fanout/`
leans on each of them.
"""

import inspect
from typing import Any

import engineio
import pytest
import socketio
from aiohttp import web, web_protocol
from aiohttp._websocket import reader
from aiohttp._websocket.models import WebSocketError
from engineio import exceptions, packet
from engineio.async_drivers import aiohttp as driver
from engineio.async_socket import AsyncSocket
from socketio import packet as sio_packet
from socketio.base_manager import BaseManager

from realtime.fanout.engineio.server import EngineServer
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.socketio.server import FanoutServer

SIGNATURES: list[tuple[Any, str, str]] = [
    # Overridden, or ours stands in for theirs: it must be called as theirs was.
    (AsyncSocket, "send", "(self, pkt)"),
    (AsyncSocket, "close", "(self, wait=True, abort=False, reason=None)"),
    (AsyncSocket, "schedule_ping", "(self)"),
    (engineio.AsyncServer, "attach", "(self, app, engineio_path='engine.io')"),
    (engineio.AsyncServer, "generate_id", "(self)"),
    (engineio.AsyncServer, "handle_request", "(self, *args, **kwargs)"),
    (socketio.AsyncServer, "_engineio_server_class", "(self)"),
    (socketio.AsyncServer, "_handle_eio_connect", "(self, eio_sid, environ)"),
    (socketio.AsyncServer, "_handle_eio_message", "(self, eio_sid, data)"),
    (socketio.AsyncServer, "_handle_eio_disconnect", "(self, eio_sid, reason)"),
    (socketio.AsyncServer, "_handle_connect", "(self, eio_sid, namespace, data)"),
    # Called.
    (engineio.AsyncServer, "_trigger_event", "(self, event, *args, **kwargs)"),
    (engineio.AsyncServer, "_cors_allowed_origins", "(self, environ)"),
    (engineio.AsyncServer, "_cors_headers", "(self, environ)"),
    (engineio.AsyncServer, "_generate_sid_cookie", "(self, sid, attributes)"),
    (socketio.AsyncServer, "_send_packet", "(self, eio_sid, pkt)"),
    (BaseManager, "sid_from_eio_sid", "(self, eio_sid, namespace)"),
    (BaseManager, "eio_sid_from_sid", "(self, sid, namespace)"),
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


async def test_our_socket_has_all_that_the_stock_server_asks_of_one() -> None:
    asked = ["sid", "closed", "closing", "upgraded", "connected", "session"]
    server = EngineServer(async_mode="aiohttp")
    stock, ours = AsyncSocket(server, "s"), EngineSocket(server, "s")
    for name in asked:
        assert type(getattr(stock, name)) is type(getattr(ours, name)), name
    source = inspect.getsource(engineio.AsyncServer)
    for name in ("socket.send(", "socket.close(", "socket.session", "self.sockets[sid]"):
        assert name in source, name
    assert server.sockets == {}


def test_the_route_of_the_driver_is_attached() -> None:
    assert callable(driver._async["create_route"])


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
    assert issubclass(exceptions.SocketIsClosedError, exceptions.EngineIOError)


async def test_options_of_the_engine_are_kept_under_their_names() -> None:
    kept = vars(EngineServer(async_mode="aiohttp"))
    names = {
        "allow_upgrades", "async_handlers", "compression_threshold", "cookie", "cors_allowed_origins",
        "handlers", "http_compression", "max_http_buffer_size", "ping_interval", "ping_interval_grace_period",
        "ping_timeout", "sockets", "transports",
    }  # fmt: skip
    assert names <= set(kept)


# --- aiohttp: the reader, and a connection that changes hands


class _Heard(reader.WebSocketDataQueue):  # type: ignore[misc]
    """A queue without its own set-up, as ours."""

    def __init__(self) -> None:
        self.messages: list[tuple[Any, int]] = []
        self.errors: list[BaseException] = []

    def feed_data(self, data: Any, size: int) -> None:
        self.messages.append((data[1], size))

    def set_exception(self, exc: BaseException, exc_cause: Any = None) -> None:
        self.errors.append(exc)


def test_the_reader_calls_the_queue_it_was_given_and_stops_at_an_error() -> None:
    queue = _Heard()
    made = reader.WebSocketReader(queue, 10, compress=False, decode_text=True)
    assert made.feed_data(b"\x81\x82\x00\x00\x00\x00hi\x82\x01") == (False, b"")
    made.feed_data(b"!\x89\x01p")
    assert queue.messages == [("hi", 2), (b"!", 1), (b"p", 1)]
    made.feed_data(b"\x81\x0a")
    made.feed_data(b"\x81\x01x")
    assert len(queue.messages) == 3
    (error,) = queue.errors
    assert isinstance(error, WebSocketError)
    assert error.code == 1009


def test_the_reader_is_the_compiled_one() -> None:
    assert reader.WebSocketReader.__module__ == "aiohttp._websocket.reader_c"
    assert "cython" in type(reader.WebSocketReader.feed_data).__name__ or not inspect.isfunction(
        reader.WebSocketReader.feed_data
    )


def test_what_the_handover_touches_of_aiohttps_handler_is_there() -> None:
    names = {*web_protocol.RequestHandler.__slots__, *web_protocol.RequestHandler.__mro__[1].__slots__}
    assert {"_message_tail", "_buffer_paused", "_reading_paused", "transport", "_current_request"} <= names
    lost = inspect.getsource(web_protocol.RequestHandler.connection_lost)
    assert "self._manager.connection_lost(self, exc)" in lost
    assert "self._current_request._cancel(exc)" in lost
    assert "if self.transport is not None:" in inspect.getsource(web_protocol.RequestHandler.force_close)
    assert str(inspect.signature(web.BaseRequest._cancel)) == "(self, exc: BaseException) -> None"
    source = inspect.getsource(web.BaseRequest.__init__)
    for name in ("self._protocol", "self._payload_writer"):
        assert name in source, name
