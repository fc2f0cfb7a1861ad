"""A websocket whose data frames go straight to the transport; aiohttp reads, answers pings and closes."""

from typing import Any, Final, Protocol, cast

from aiohttp import WSMsgType, web

CLOSE_GRACE_S: Final = 2.0


class Wire(Protocol):
    """The part of ``asyncio.Transport`` that is used."""

    def write(self, data: bytes) -> None: ...
    def is_closing(self) -> bool: ...
    def get_write_buffer_size(self) -> int: ...
    def close(self) -> None: ...
    def abort(self) -> None: ...


def put(wire: Wire, data: bytes) -> None:
    """Write, unless the connection is gone: uvloop raises then, and whoever writes to many must not be hurt
    by one that left. Its session ends by itself, when its reader notices.
    """
    if not wire.is_closing():
        wire.write(data)


class DirectWebSocket:
    """aiohttp's websocket for reading, pongs and the closing handshake; data frames go past it."""

    def __init__(self, handler: Any, server: Any) -> None:
        self._handler = handler
        self._server = server
        self._ws: web.WebSocketResponse | None = None
        self._transport: Wire | None = None

    async def __call__(self, environ: dict[str, Any]) -> web.WebSocketResponse:
        request: web.Request = environ["aiohttp.request"]
        self._ws = web.WebSocketResponse(
            max_msg_size=self._server.max_http_buffer_size, compress=False, timeout=CLOSE_GRACE_S
        )
        await self._ws.prepare(request)
        self._transport = cast(Wire, request.transport)
        if self._transport is not None:
            await self._handler(self)
        return self._ws

    @property
    def transport(self) -> Wire:
        assert self._transport is not None
        return self._transport

    async def send(self, text: str) -> None:
        assert self._ws is not None
        await self._ws.send_str(text)

    async def wait(self) -> Any:
        """The next text or binary message. Raises OSError when the websocket has ended."""
        assert self._ws is not None
        message = await self._ws.receive()
        if message.type is WSMsgType.TEXT or message.type is WSMsgType.BINARY:
            return message.data
        raise OSError("websocket has ended")
