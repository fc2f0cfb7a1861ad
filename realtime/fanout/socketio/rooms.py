"""``FanoutManager``: who is in which room, and one frame for all of them.

Each member knows its rooms, so a leaver costs its own rooms and nothing that grows with all of them. An emit
is encoded once and the same bytes are written to every member: no task, no queue, no copy a client.
"""

import inspect
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

import socketio

from realtime.fanout.engineio.frames import Frame
from realtime.fanout.socketio import packets
from realtime.fanout.socketio.members import Member, MemberState

log = logging.getLogger(__name__)

NOBODY: Final[frozenset[str]] = frozenset()


class FanoutManager(socketio.AsyncManager):
    """The clients of this process. ``rooms`` maps namespace → room → sid → member; room None is everybody."""

    def __init__(self) -> None:
        super().__init__()
        self.rooms: dict[str, dict[Any, dict[str, Member]]] = {}
        self._sessions: dict[str, dict[str, Member]] = {}

    async def stop(self) -> None:
        """Let go of what `initialize` took: nothing, without a bus."""

    # --- who is there

    def member(self, sid: str | None, namespace: str) -> Member | None:
        """The client with this sid, let in or not."""
        return self.rooms.get(namespace, {}).get(None, {}).get(sid or "")

    def member_of(self, eio_sid: str, namespace: str) -> Member | None:
        """A session's client in a namespace, let in or not."""
        return self._sessions.get(eio_sid, {}).get(namespace)

    def members_of(self, eio_sid: str) -> list[Member]:
        """A session's clients in all namespaces."""
        return list(self._sessions.get(eio_sid, {}).values())

    def is_connected(self, sid: str | None, namespace: str) -> bool:
        member = self.member(sid, namespace)
        return member is not None and member.state is MemberState.JOINED

    def is_pre_connected(self, sid: str | None, namespace: str) -> bool:
        member = self.member(sid, namespace)
        return member is not None and member.state is MemberState.PENDING

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        member = self.member_of(eio_sid, namespace)
        return None if member is None else member.sid

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        member = self.member(sid, namespace)
        return None if member is None else member.session.sid

    def get_participants(self, namespace: str, room: Any) -> Iterator[tuple[str, str]]:
        for member in self.members_in(namespace, room):
            yield member.sid, member.session.sid

    def members_in(self, namespace: str, room: Any) -> list[Member]:
        """The members of a room, or of any of a list of rooms, each once."""
        rooms = self.rooms.get(namespace, {})
        if hasattr(room, "__len__") and not isinstance(room, str):
            found: dict[str, Member] = {}
            for one in room:
                found.update(rooms.get(one, {}))
            return list(found.values())
        return list(rooms.get(room, {}).values())

    def get_rooms(self, sid: str, namespace: str) -> list[Any]:
        member = self.member(sid, namespace)
        return [] if member is None else [room for room in member.rooms if room is not None]

    # --- coming and going

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        """A client asks to be let in: its new sid, or None when it is there already or has gone."""
        session = self.server.eio.sockets.get(eio_sid)
        if session is None or self.member_of(eio_sid, namespace) is not None:
            return None
        member = Member(self.server.eio.generate_id(), namespace, session)
        self._sessions.setdefault(eio_sid, {})[namespace] = member
        self.rooms.setdefault(namespace, {}).setdefault(None, {})[member.sid] = member
        member.rooms.add(None)
        self.basic_enter_room(member.sid, namespace, member.sid, eio_sid)
        return member.sid

    async def connect(self, sid: str, namespace: str) -> str | None:
        """The client may stay. Its CONNECT has been written by whoever calls this."""
        known = sid if self.member(sid, namespace) else await self.pre_connect(sid, namespace)
        member = self.member(known, namespace)
        if member is not None and member.state is MemberState.PENDING:
            member.let_in(())
        return known

    def pre_disconnect(self, sid: str, namespace: str) -> str | None:
        member = self.member(sid, namespace)
        if member is None:
            return None
        member.state = MemberState.LEAVING
        return str(member.session.sid)

    def basic_disconnect(self, sid: str, namespace: str, **kwargs: Any) -> None:
        member = self.member(sid, namespace)
        if member is None:
            return
        for room in list(member.rooms):
            if room is not None:
                self.basic_leave_room(sid, namespace, room)
        self.basic_leave_room(sid, namespace, None)
        member.state = MemberState.GONE
        eio_sid = member.session.sid
        of_session = self._sessions.get(eio_sid, {})
        of_session.pop(namespace, None)
        if not of_session:
            self._sessions.pop(eio_sid, None)
            self.server.expect(eio_sid)

    # --- rooms

    def is_sid_room(self, namespace: str, room: Any) -> bool:
        return room in self.rooms.get(namespace, {}).get(None, {})

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        member = self.member(sid, namespace)
        if member is None:
            raise ValueError("sid is not connected to requested namespace")
        if sid != room and self.is_sid_room(namespace, room):
            raise ValueError("cannot enter a sid room")
        self.rooms[namespace].setdefault(room, {})[sid] = member
        member.rooms.add(room)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        rooms = self.rooms.get(namespace, {})
        members = rooms.get(room, {})
        member = members.pop(sid, None)
        if member is None:
            return
        member.rooms.discard(room)
        if not members:
            del rooms[room]
        if not rooms:
            del self.rooms[namespace]

    def basic_close_room(self, room: Any, namespace: str) -> None:
        if self.is_sid_room(namespace, room):
            raise ValueError("cannot close a sid room")
        for member in self.members_in(namespace, room):
            self.basic_leave_room(member.sid, namespace, room)

    # --- out

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any = None,
        skip_sid: Any = None,
        callback: Callable[..., Any] | None = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        """Send an event to a client, a room, several rooms, or everybody in the namespace."""
        self.emit_here(event, data, namespace, to or room, skip_sid, callback)

    def emit_here(
        self,
        event: str,
        data: Any,
        namespace: str,
        room: Any,
        skip_sid: Any = None,
        callback: Callable[..., Any] | None = None,
    ) -> None:
        """Emit to this process's own clients, at once."""
        members = self.members_in(namespace, room)
        if not members:
            return
        codec, args = self.server.codec, [event, *arguments(data)]
        if callback is None:
            frames = codec.encode(packets.EVENT, namespace, args)
            self.deliver(frames, members, skips(skip_sid), to_all=room is None)
            return
        skipped = skips(skip_sid)
        for member in members:
            if member.sid not in skipped:
                member.write(codec.encode(packets.EVENT, namespace, args, member.owe(callback)))

    def deliver(
        self, frames: Sequence[Frame], members: Sequence[Member], skipped: Collection[str], *, to_all: bool
    ) -> None:
        """Write one packet to all of ``members`` but ``skipped``. What is said to everybody is not held for
        those who are still being let in: who may not stay must not cost memory.
        """
        joined, pending = MemberState.JOINED, MemberState.PENDING
        alone = frames[0] if len(frames) == 1 else None
        for member in members:
            if member.sid in skipped:
                continue
            if member.state is joined and alone is not None:
                member.session.write(alone)
            elif member.state is not pending or not to_all:
                member.write(frames)

    # --- acks

    def _generate_ack_id(self, sid: str, callback: Callable[..., Any]) -> int:
        for namespace in self.rooms:
            if (member := self.member(sid, namespace)) is not None:
                return member.owe(callback)
        raise ValueError("callback needs a connected client")

    async def trigger_callback(self, sid: str, id: int, data: list[Any]) -> None:  # noqa: A002
        """Run the callback that waits for this ack; unknown ones are ignored."""
        for namespace in self.rooms:
            if (member := self.member(sid, namespace)) is not None:
                callback = member.answered(id)
                outcome = callback(*data) if callback else None
                if inspect.isawaitable(outcome):
                    await outcome


def arguments(data: Any) -> list[Any]:
    """What an emit's ``data`` means: a tuple is several arguments, None is none."""
    if isinstance(data, tuple):
        return list(data)
    return [] if data is None else [data]


def skips(skip_sid: Any) -> Collection[str]:
    """Whom an emit leaves out."""
    if skip_sid is None:
        return NOBODY
    return skip_sid if isinstance(skip_sid, (list, tuple, set, frozenset)) else (skip_sid,)
