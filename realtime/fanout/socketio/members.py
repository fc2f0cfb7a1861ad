"""One client in one namespace: whether it has been let in, its rooms, the callbacks it owes."""

import enum
from collections.abc import Callable, Sequence
from typing import Any, Final

from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.session import EngineSocket

MAX_CALLBACKS: Final = 4_096
"""Answers one client may owe. The oldest is forgotten beyond it: its ``call()`` then times out."""


class MemberState(enum.Enum):
    """Where a member is on its way through a namespace."""

    PENDING = "its connect handler has not accepted it"
    JOINED = "it is in"
    LEAVING = "its disconnect handler runs"
    GONE = "it has left"


class Member:
    """A client in a namespace. What is sent to it before it is let in is held until it is."""

    __slots__ = (
        "_callbacks",
        "_held",
        "_held_bytes",
        "_last_id",
        "farewell",
        "namespace",
        "rooms",
        "session",
        "sid",
        "state",
    )

    def __init__(self, sid: str, namespace: str, session: EngineSocket) -> None:
        self.sid = sid
        self.namespace = namespace
        self.session = session
        self.state = MemberState.PENDING
        self.rooms: set[Any] = set()
        self.farewell: str | None = None
        """Why it went, when it went before it was let in."""
        self._callbacks: dict[int, Callable[..., Any]] | None = None
        self._last_id = 0
        self._held: list[Sequence[Frame]] | None = None
        self._held_bytes = 0

    def __repr__(self) -> str:
        return f"<Member {self.namespace} {self.state.name} {len(self.rooms)} rooms>"

    def write(self, frames: Sequence[Frame]) -> None:
        """Send one packet, or hold it. A client that is let in too slowly for what it is sent is cut off."""
        if self.state is MemberState.JOINED:
            if len(frames) == 1:
                self.session.write(frames[0])
            else:
                self.session.write_together(frames)
        elif self.state is MemberState.PENDING:
            self._hold(frames)

    def _hold(self, frames: Sequence[Frame]) -> None:
        self._held_bytes += sum(len(frame.packet) for frame in frames)
        if self._held_bytes > self.session.server.buffer_limit_bytes:
            self._held = None
            self.session.abort()
            return
        self._held = self._held or []
        self._held.append(frames)

    def let_in(self, greeting: Sequence[Frame]) -> None:
        """The client has been accepted: it hears ``greeting``, and by a later write what was held."""
        self.state = MemberState.JOINED
        held, self._held, self._held_bytes = self._held or (), None, 0
        if greeting:
            self.write(greeting)
        for frames in held:
            if greeting:
                self.session.write_later(frames)
            else:
                self.write(frames)

    def owe(self, callback: Callable[..., Any]) -> int:
        """Expect an ack; the id to ask for it with."""
        if self._callbacks is None:
            self._callbacks = {}
        elif len(self._callbacks) >= MAX_CALLBACKS:
            del self._callbacks[next(iter(self._callbacks))]
        self._last_id += 1
        self._callbacks[self._last_id] = callback
        return self._last_id

    def answered(self, ack_id: int) -> Callable[..., Any] | None:
        """The callback that waits for this ack, once."""
        return None if self._callbacks is None else self._callbacks.pop(ack_id, None)
