"""One Socket.IO connection kept open: connects, waits its turn, comes back, moves when the server drains.

Two tasks of python-engineio and the one that runs `ClientConnection.run` serve a connection. Handlers are
plain functions, so that events and answers are taken in the order in which they arrived.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, Final

import aiohttp
import msgspec
import socketio
from socketio.packet import Packet

from realtime.client.backoff import Backoff

Auth = Callable[[], Awaitable[Mapping[str, Any]]]
TokenSource = str | Callable[[], Awaitable[str]]
OnEvent = Callable[[str, tuple[Any, ...]], None]

_NEW_TOKEN: Final = frozenset({"token_expired", "unauthenticated"})


class Stopped(Exception):
    """The server will not have this client again: ``code`` and ``message`` are its reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class _Json:
    """msgspec in the shape of the ``json`` module: this client's packets only, not the process's."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str, **_: Any) -> Any:
        return msgspec.json.decode(text)


class _Packet(Packet):  # type: ignore[misc]
    json = _Json


class ClientConnection:
    """A connection to ``namespace``; ``run`` holds it until `close`.

    ``auth`` is asked before every connect. ``on_event`` gets every event but ``drain`` and ``closing``.
    With an ``http`` session many links share one; without, each brings its own. ``renews`` says whether
    asking ``auth`` again can cure a refused token.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        auth: Auth,
        *,
        on_event: OnEvent,
        rng: Random,
        http: aiohttp.ClientSession | None = None,
        renews: bool = False,
        path: str = "socket.io",
        transports: tuple[str, ...] = ("websocket",),
        connect_timeout_s: float = 10.0,
        answer_timeout_s: float = 15.0,
    ) -> None:
        self.url, self.namespace = url, namespace
        self.connects = 0
        self.last_error: tuple[str, str] | None = None
        self._auth, self._on_event, self._rng, self._http, self._renews = auth, on_event, rng, http, renews
        self._path, self._transports = path, list(transports)
        self._connect_timeout_s, self._answer_timeout_s = connect_timeout_s, answer_timeout_s
        self._backoff = Backoff(rng)
        self._changed = asyncio.Event()
        self._sio: Any = None
        self._asked: dict[asyncio.Future[Any], None] = {}
        self._task: asyncio.Task[None] | None = None
        self._is_up = False
        self._is_lost = False
        self._closed = False
        self._leave_at_s: float | None = None
        self._retry_after_s: float | None = None
        self.stopped: Stopped | None = None
        self._fault: Exception | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "up" if self._is_up else "down"
        return f"Link({self.namespace}, {state}, connects={self.connects}, last_error={self.last_error})"

    # --- for the owner

    @property
    def is_up(self) -> bool:
        """Connected, and not asked to leave."""
        return self._is_up and not self._closed and not self._must_leave()

    async def run(self, session: Callable[[], Awaitable[None]]) -> None:
        """Hold the connection and run ``session`` on it each time it is up, until `close`.

        ``session`` returns when ``is_up`` is false, or earlier to connect again. Raises Stopped when the
        server refuses for good.
        """
        while not self._closed:
            moving = False
            try:
                if await self._connect():
                    await session()
                    moving = self._must_leave()
            finally:
                await self._hang_up()
            if self._fault is not None:
                raise self._fault
            if self.stopped is not None:
                raise self.stopped
            if not moving and not self._closed:
                await self._pause(self._backoff.failed(self._retry_after_s))

    async def ask(
        self, event: str, payload: object = None, on_answer: Callable[[Any], None] | None = None
    ) -> Any:
        """Emit ``event`` and return its answer, or None when the connection went down or was silent too long.

        ``on_answer`` gets the answer before any event that follows it. A silent connection is left at once:
        over a phone network silence is how a dead connection looks.
        """
        if not self.is_up:
            return None
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def take(answer: Any = None, *_: Any) -> None:
            if not future.done():
                if on_answer is not None:
                    self._guarded(on_answer, answer)
                future.set_result(answer)

        self._asked[future] = None
        try:
            async with asyncio.timeout(self._answer_timeout_s):
                await self._sio.emit(event, payload, namespace=self.namespace, callback=take)
                answer = await future
        except TimeoutError:
            self.last_error = ("no_answer", f"no answer to {event} within {self._answer_timeout_s} s")
            self._went_down()
            return None
        except socketio.exceptions.SocketIOError:
            self._went_down()
            return None
        finally:
            self._asked.pop(future, None)
        if isinstance(answer, Mapping) and answer.get("ok") is True:
            self._backoff.succeeded()
        return answer

    async def wait(self, until_s: float | None = None) -> None:
        """Return at `wake`, when the connection goes down or is to be left, or at loop time ``until_s``."""
        times_s = [t for t in (until_s, self._leave_at_s) if t is not None]
        if self.is_up:
            await self._wait_changed(min(times_s, default=None))

    def wake(self) -> None:
        """Make `wait` return."""
        self._changed.set()

    def open(self, session: Callable[[], Awaitable[None]], on_end: Callable[[], None]) -> None:
        """`run` in a task of its own; ``on_end`` is called when it is over."""
        self._task = asyncio.create_task(self.run(session))
        self._task.add_done_callback(lambda _: on_end())

    async def close(self) -> None:
        """Hang up. Idempotent; does not raise what ended the link."""
        self._closed = True
        self.wake()
        if self._task is not None:
            # Long enough to say goodbye; a connection that is only being made is dropped at once.
            await asyncio.wait([self._task], timeout=5.0 if self._is_up else 0.1)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def check(self) -> None:
        """Raise what ended the link, if it is over: Stopped, or the fault of a handler."""
        if self._task is not None and self._task.done():
            if not self._task.cancelled():
                self._task.result()
            raise Stopped("closed", "the link is closed")

    # --- one connection

    async def _connect(self) -> bool:
        self._leave_at_s = self._retry_after_s = None
        self._is_lost = False
        sio = self._sio = socketio.AsyncClient(
            reconnection=False,
            handle_sigint=False,
            serializer=_Packet,
            http_session=self._http,
            request_timeout=self._connect_timeout_s,
            websocket_extra_options={"compress": 0, "timeout": aiohttp.ClientWSTimeout(ws_close=1.0)},
        )
        sio.on("connect_error", self._refused, namespace=self.namespace)
        sio.on("disconnect", self._disconnected, namespace=self.namespace)
        sio.on("*", self._event, namespace=self.namespace)
        try:
            auth = dict(await self._auth())
            async with asyncio.timeout(self._connect_timeout_s):
                await sio.connect(
                    self.url,
                    auth=auth,
                    namespaces=[self.namespace],
                    transports=self._transports,
                    socketio_path=self._path,
                    wait_timeout=self._connect_timeout_s,
                )
        except Exception as error:  # python-engineio lets through whatever it meets on a broken handshake
            if self.stopped is None and not isinstance(error, socketio.exceptions.ConnectionError):
                self.last_error = ("connect", type(error).__name__)
            return False
        self.connects += 1
        self._is_up = not self._is_lost and sio.eio.state == "connected"
        return self._is_up

    async def _hang_up(self) -> None:
        sio, self._sio = self._sio, None
        says_goodbye = self._is_up
        self._went_down()
        try:
            async with asyncio.timeout(3.0):
                if says_goodbye:
                    # The library closes the websocket before its writer has run: the server would then
                    # see a connection that was lost, not one that was left.
                    await sio.eio.send(f"1{self.namespace},")
                    await sio.eio.queue.join()
                await sio.disconnect()
        except Exception as error:  # it is gone either way; the transport's own errors say nothing more
            self.last_error = ("disconnect", type(error).__name__)

    def _refused(self, reason: object = None) -> None:
        """CONNECT_ERROR: ``{message, data: {code, …}}``, or the transport's own string."""
        data = reason.get("data") if isinstance(reason, Mapping) else None
        if isinstance(data, Mapping):
            self._told(data)
        else:
            self.last_error = ("connect", str(reason)[:100])

    def _told(self, error: Mapping[str, Any]) -> None:
        """Take in the server's reason for refusing or closing."""
        code, message = str(error.get("code")), str(error.get("message"))
        self.last_error = (code, message)
        self._retry_after_s = error.get("retry_after_s")
        curable = self._renews and code in _NEW_TOKEN
        if not error.get("retryable") and not curable:
            self.stopped = Stopped(code, message)

    def _event(self, event: str, *args: Any) -> None:
        first = args[0] if args and isinstance(args[0], Mapping) else {}
        if event == "drain":
            after_ms, spread_ms = first.get("after_ms", 0), first.get("spread_ms", 0)
            delay_s = (after_ms + self._rng.uniform(0.0, spread_ms)) / 1000.0
            self._leave_at_s = asyncio.get_running_loop().time() + delay_s
            self.wake()
        elif event == "closing":
            self._told(first)
        else:
            self._guarded(self._on_event, event, args)

    def _guarded(self, handler: Callable[..., None], *args: Any) -> None:
        """A handler's own fault must end `run`, not vanish in a task of the library."""
        try:
            handler(*args)
        except Exception as error:
            self._fault = error
            self._went_down()

    def _disconnected(self, reason: object = None) -> None:
        self._went_down()

    def _went_down(self) -> None:
        self._is_up = False
        self._is_lost = True
        for future in self._asked:
            if not future.done():
                future.set_result(None)
        self.wake()

    def _must_leave(self) -> bool:
        return self._leave_at_s is not None and asyncio.get_running_loop().time() >= self._leave_at_s

    async def _pause(self, delay_s: float) -> None:
        until_s = asyncio.get_running_loop().time() + delay_s
        while not self._closed and asyncio.get_running_loop().time() < until_s:
            await self._wait_changed(until_s)

    async def _wait_changed(self, until_s: float | None) -> None:
        try:
            async with asyncio.timeout_at(until_s):
                await self._changed.wait()
        except TimeoutError:
            return
        finally:
            self._changed.clear()


def auth_of(token: TokenSource | None, share: str | None) -> Auth:
    """What goes into CONNECT: ``{"token"}``, asked anew where ``token`` is a function, or ``{"share"}``."""

    async def auth() -> Mapping[str, Any]:
        if share is not None:
            return {"share": share}
        assert token is not None
        return {"token": token if isinstance(token, str) else await token()}

    return auth
