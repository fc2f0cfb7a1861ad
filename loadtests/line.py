"""One Socket.IO connection on gevent, kept up with the protocol's jitter: the client's link for Locust."""

import contextlib
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Any

import gevent
import socketio
from gevent.event import AsyncResult, Event

from realtime.client.backoff import Backoff

CONNECT_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 15.0
Record = Callable[[str, str, float, str | None], None]
"""Takes a kind, a name, milliseconds, and what went wrong."""


class Line:
    """Connects to ``namespace`` and runs ``session`` each time it is up, until `close`.

    ``session`` returns when ``is_up`` is false. ``on_event`` gets every event but ``drain`` and ``closing``,
    in order as long as it does not wait.
    """

    def __init__(
        self,
        url: str,
        namespace: str,
        auth: Callable[[], Mapping[str, Any]],
        *,
        session: Callable[[], None],
        on_event: Callable[[str, tuple[Any, ...]], None],
        rng: Random,
        record: Record,
    ) -> None:
        self.connects = 0
        self.refusals: list[str] = []
        self._url, self._namespace, self._auth = url, namespace, auth
        self._session, self._on_event, self._rng, self._record = session, on_event, rng, record
        self._backoff = Backoff(rng)
        self._changed = Event()
        self._client: Any = None
        self._asked: set[AsyncResult] = set()
        self._is_up = self._closed = False
        self._retry_after_s: float | None = None
        self._leave_at_s = float("inf")
        self._greenlet = gevent.spawn(self._run)

    @property
    def is_up(self) -> bool:
        """Connected, and not asked to leave."""
        return self._is_up and not self._closed and time.monotonic() < self._leave_at_s

    def drop(self) -> None:
        """Cut the TCP connection with no word said, as a lost network does."""
        if self._client is not None and (websocket := self._client.eio.ws) is not None:
            with contextlib.suppress(OSError, AttributeError):
                websocket.sock.shutdown(socket.SHUT_RDWR)
        self._went_down()

    def close(self) -> None:
        """Hang up for good."""
        self._closed = True
        self._went_down()
        self._greenlet.join(timeout=5.0)
        self._greenlet.kill()

    def wake(self) -> None:
        """Make `wait` return."""
        self._changed.set()

    def wait(self, until_s: float | None = None) -> None:
        """Return at `wake`, when the connection goes down, or at ``until_s`` of the monotonic clock."""
        ends_s = min(self._leave_at_s, float("inf") if until_s is None else until_s)
        timeout_s = None if ends_s == float("inf") else max(0.0, ends_s - time.monotonic())
        if self.is_up:
            self._changed.wait(timeout_s)
        self._changed.clear()

    def ask(self, event: str, payload: object, on_answer: Callable[[Any], None] | None = None) -> Any:
        """Emit ``event``; its answer, or None when none came. ``on_answer`` gets it before later events."""
        if not self.is_up:
            return None
        answered = AsyncResult()
        started_s = time.perf_counter()

        def take(answer: Any = None, *_: Any) -> None:
            if not answered.ready():
                if on_answer is not None:
                    on_answer(answer)
                answered.set(answer)

        self._asked.add(answered)
        try:
            self._client.emit(event, payload, namespace=self._namespace, callback=take)
            answer = answered.get(timeout=ANSWER_TIMEOUT_S)
        except (gevent.Timeout, socketio.exceptions.SocketIOError):
            self.drop()
            answer = None
        finally:
            self._asked.discard(answered)
        self._record("ack", event, (time.perf_counter() - started_s) * 1000, _trouble(answer))
        if isinstance(answer, Mapping) and answer.get("ok") is True:
            self._backoff.succeeded()
        return answer

    # --- one connection after the other

    def _run(self) -> None:
        while not self._closed:
            moving = False
            if self._connect():
                self._session()
                moving = time.monotonic() >= self._leave_at_s
            self._hang_up()
            if not moving and not self._closed:
                gevent.sleep(self._backoff.failed(self._retry_after_s))

    def _connect(self) -> bool:
        self._retry_after_s, self._leave_at_s = None, float("inf")
        client = self._client = socketio.Client(
            reconnection=False, handle_sigint=False, request_timeout=CONNECT_TIMEOUT_S
        )
        client.on("connect_error", self._refused, namespace=self._namespace)
        client.on("disconnect", self._went_down, namespace=self._namespace)
        client.on("*", partial(self._event, client), namespace=self._namespace)
        started_s, trouble = time.perf_counter(), None
        try:
            client.connect(
                self._url,
                auth=dict(self._auth()),
                namespaces=[self._namespace],
                transports=["websocket"],
                wait_timeout=CONNECT_TIMEOUT_S,
            )
            self.connects += 1
            self._is_up = client.eio.state == "connected"
        except (socketio.exceptions.SocketIOError, OSError, ValueError) as error:
            trouble = type(error).__name__
        self._record("connect", self._namespace, (time.perf_counter() - started_s) * 1000, trouble)
        return self._is_up

    def _hang_up(self) -> None:
        self._went_down()
        with contextlib.suppress(Exception), gevent.Timeout(3.0, False):
            self._client.disconnect()

    def _refused(self, reason: object = None) -> None:
        data = reason.get("data") if isinstance(reason, Mapping) else None
        if isinstance(data, Mapping):
            self._told(data)

    def _told(self, error: Mapping[str, Any]) -> None:
        self.refusals.append(str(error.get("code")))
        self._retry_after_s = error.get("retry_after_s")

    def _event(self, client: Any, event: str, *args: Any) -> None:
        if client is not self._client or not self._is_up:
            return  # what a connection that was cut still had in its buffer
        first = args[0] if args and isinstance(args[0], Mapping) else {}
        if event == "drain":
            delay_ms = first.get("after_ms", 0) + self._rng.uniform(0.0, first.get("spread_ms", 0))
            self._leave_at_s = time.monotonic() + delay_ms / 1000.0
            self.wake()
        elif event == "closing":
            self._told(first)
        else:
            self._on_event(event, args)

    def _went_down(self, reason: object = None) -> None:
        self._is_up = False
        for answered in list(self._asked):
            if not answered.ready():
                answered.set(None)
        self.wake()


def _trouble(answer: Any) -> str | None:
    if not isinstance(answer, Mapping):
        return "no answer"
    if answer.get("ok") is True:
        return None
    error = answer.get("error")
    return str(error.get("code")) if isinstance(error, Mapping) else "malformed answer"
