"""Feeds: what viewers watch, who they are, and how far each one is.

A feed writes to its members only what they can take: a member whose unread bytes are above the limit is
skipped and owed the difference. Writing never waits and never queues.
"""

from typing import Final

from realtime.fanout import frames
from realtime.fanout.board import Board
from realtime.fanout.bus import Item
from realtime.fanout.engine import EngineSocket
from realtime.fanout.frames import Frame
from realtime.fanout.log import LogState

LOG_PAGE: Final = 500
"""Entries in one frame of a log at most."""


class ConflatedFeed:
    """Members that want the newest a key of a board: every key, or one.

    ``ticked`` is the kind that is gathered until the next tick; every other kind goes out at once.
    """

    def __init__(self, namespace: str, label: str, board: Board, key: str | None, ticked: str) -> None:
        self.label = label
        self.board = board
        self.key = key
        self.members: set[EngineSocket] = set()
        self.owed: dict[EngineSocket, int] = {}
        self._namespace = namespace
        self._name = frames.json_bytes(label)
        self._ticked = ticked
        self._gathered: dict[str, bytes] = {}
        self._oldest_ms: int | None = None
        self._ticked_at = board.version

    def take(self, kind: str, items: list[Item], limit_bytes: int, at_ms: int) -> None:
        """Items that the board has just accepted; the oldest arrived at ``at_ms``."""
        mine = items if self.key is None else [item for item in items if item.key == self.key]
        if kind == self._ticked:
            if mine:
                self._gathered.update((item.key, item.fragment) for item in mine)
                self._oldest_ms = at_ms if self._oldest_ms is None else min(at_ms, self._oldest_ms)
            return
        # Who falls behind now is owed what has been gathered too, not only this.
        before = self._ticked_at if self._gathered else self.board.version - len(items)
        for item in mine:
            self._write(self._event(kind, item.fragment), limit_bytes, before)

    def tick(self, limit_bytes: int) -> int | None:
        """Write what has gathered as one frame. Returns when the oldest of it arrived, if there was any."""
        oldest_ms, self._oldest_ms = self._oldest_ms, None
        if self._gathered:
            fragments = frames.listed(self._gathered.values())
            self._gathered.clear()
            if self.members:
                self._write(self._event(self._ticked, fragments), limit_bytes, self._ticked_at)
        self._ticked_at = self.board.version
        return oldest_ms

    def _write(self, frame: Frame, limit_bytes: int, seen_version: int) -> None:
        for member in self.members:
            if member in self.owed:
                continue
            if member.buffered_bytes > limit_bytes:
                self.owed[member] = seen_version
            else:
                member.write(frame)

    def pay(self, member: EngineSocket) -> None:
        """Write what changed while ``member`` was behind."""
        self.tick(member.server.buffer_limit_bytes)
        for kind, fragments in self.board.since(self.owed.pop(member), self.key):
            if kind == self._ticked:
                member.write(self._event(kind, frames.listed(fragments)))
            else:
                for fragment in fragments:
                    member.write(self._event(kind, fragment))

    def leave(self, member: EngineSocket) -> None:
        """Forget ``member``."""
        self.members.discard(member)
        self.owed.pop(member, None)

    def _event(self, kind: str, argument: bytes) -> Frame:
        return frames.event(self._namespace, kind, self._name, argument)


class LogFeed:
    """Members that want every entry of a log once and in order, each from where it is.

    ``members`` maps each to the last entry written to it; ``flushed`` is the last entry that was written
    to those who are up to date.
    """

    def __init__(self, namespace: str, label: str, state: LogState, kind: str) -> None:
        self.label = label
        self.state = state
        self.flushed = state.through
        self.oldest_ms: int | None = None
        self.members: dict[EngineSocket, int] = {}
        self._later: dict[EngineSocket, list[Frame]] = {}
        self._namespace = namespace
        self._name = frames.json_bytes(label)
        self._kind = kind

    def tick(self, limit_bytes: int) -> int | None:
        """Write what came since the last tick to the members that are up to date and can take it.

        Returns when the oldest of it arrived, if that is known.
        """
        oldest_ms, self.oldest_ms = self.oldest_ms, None
        while self.flushed < self.state.through:
            fragments = self.state.after(self.flushed, LOG_PAGE)
            if fragments is None:  # a refill longer than the tail: each member pages through it by itself
                self.flushed = self.state.through
                break
            start, self.flushed = self.flushed, self.flushed + len(fragments)
            frame = self.frame(fragments)
            for member, written in self.members.items():
                if written == start and member.buffered_bytes <= limit_bytes:
                    member.write(frame)
                    self.members[member] = self.flushed
        return oldest_ms

    def note(self, kind: str, fragment: bytes) -> None:
        """Write a rare event about the log itself to everybody, after the entries before it."""
        frame = frames.event(self._namespace, kind, self._name, fragment)
        for member, written in self.members.items():
            if written < self.flushed:
                self._later.setdefault(member, []).append(frame)
            else:
                member.write(frame)

    def behind(self) -> list[EngineSocket]:
        """Members that have not been given all that was flushed."""
        return [member for member, written in self.members.items() if written < self.flushed]

    def page(self, member: EngineSocket, fragments: list[bytes]) -> None:
        """Write the entries that follow what ``member`` has."""
        member.write(self.frame(fragments))
        self.members[member] += len(fragments)
        if self.members[member] >= self.flushed:
            for frame in self._later.pop(member, ()):
                member.write(frame)

    def leave(self, member: EngineSocket) -> None:
        """Forget ``member``."""
        self.members.pop(member, None)
        self._later.pop(member, None)

    def frame(self, fragments: list[bytes]) -> Frame:
        """Entries as one event."""
        return frames.event(self._namespace, self._kind, self._name, frames.listed(fragments))


Feed = ConflatedFeed | LogFeed
