"""Feeds: what viewers watch, who they are, and how far each one is.

A feed writes to its members only what they can take: a member whose unread bytes are above the limit is
skipped and owed the difference. Writing never waits and never queues.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from realtime.bus.bus import BusItem
from realtime.fanout.engineio import frames
from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.session import EngineSocket, broadcast
from realtime.fanout.feeds.latest import LatestState
from realtime.fanout.feeds.log import LogState

LOG_PAGE: Final = 500
"""Entries in one frame of a log at most."""


def kind_of(label: str) -> str:
    """The kind of a feed: what stands before the colon of its label."""
    return label.partition(":")[0]


class FeedEvents:
    """The events of one feed: what precedes their last argument is made once a kind."""

    def __init__(self, namespace: str, label: str) -> None:
        self._namespace = namespace
        self._label = frames.json_bytes(label)
        self._heads: dict[str, bytes] = {}

    def of(self, kind: str, argument: bytes) -> Frame:
        """``kind`` with the feed's name and ``argument``, ready JSON."""
        return Frame(b"%b%b]" % (self._head(kind), argument))

    def listing(self, kind: str, fragments: Iterable[bytes]) -> Frame:
        """``kind`` with the feed's name and ready fragments as one array."""
        return Frame(b"%b[%b]]" % (self._head(kind), b",".join(fragments)))

    def _head(self, kind: str) -> bytes:
        head = self._heads.get(kind)
        if head is None:
            head = self._heads[kind] = frames.event_head(self._namespace, kind) + self._label + b","
        return head


Choice = Callable[[EngineSocket], bytes | None]
"""What of an announcement a member may know, as ready JSON; None when that is nothing."""


def announce(events: FeedEvents, kind: str, members: Iterable[EngineSocket], choose: Choice) -> None:
    """Write ``kind`` to each member at once, whatever else waits for it. A client that has left the most
    that is kept for anybody unread is cut off by that.
    """
    frames_of: dict[bytes, Frame] = {}
    for member in list(members):
        argument = choose(member)
        if argument is None:
            continue
        frame = frames_of.get(argument)
        if frame is None:
            frame = frames_of[argument] = events.of(kind, argument)
        member.write(frame)


class LatestFeed:
    """Members that want the newest a key of a board: every key, or one.

    ``ticked`` is the kind that is gathered until the next tick; every other kind goes out at once.
    """

    def __init__(self, namespace: str, label: str, board: LatestState, key: str | None, ticked: str) -> None:
        self.label = label
        self.kind = kind_of(label)
        self.board = board
        self.key = key
        self.members: set[EngineSocket] = set()
        self.owed: dict[EngineSocket, int] = {}
        self._events = FeedEvents(namespace, label)
        self._ticked = ticked
        self._gathered: dict[str, bytes] = {}
        self._oldest_ms: int | None = None
        self._seen_version = board.version

    def take(self, kind: str, items: Sequence[BusItem], limit_bytes: int, at_ms: int) -> None:
        """Items that the board has just accepted; the oldest arrived at ``at_ms``."""
        gathered = self._gathered
        if not gathered:  # who falls behind later is owed what begins to gather now
            self._seen_version = self.board.version - len(items)
        if self.key is not None:
            items = [item for item in items if item.key == self.key]
        if kind != self._ticked:
            for item in items:
                self._write(self._events.of(kind, item.fragment), limit_bytes)
        elif items:
            for key, _, fragment in items:
                gathered[key] = fragment
            if self._oldest_ms is None or at_ms < self._oldest_ms:
                self._oldest_ms = at_ms

    def tick(self, limit_bytes: int) -> int | None:
        """Write what has gathered as one frame. Returns when the oldest of it arrived, if there was any."""
        if not self._gathered:
            return None
        oldest_ms, self._oldest_ms = self._oldest_ms, None
        gathered, self._gathered = self._gathered, {}
        if self.members:
            self._write(self._events.listing(self._ticked, gathered.values()), limit_bytes)
        return oldest_ms

    def _write(self, frame: Frame, limit_bytes: int) -> None:
        current = self.members - self.owed.keys() if self.owed else self.members
        for member in broadcast(frame, current, limit_bytes):
            self.owed[member] = self._seen_version

    def announce(self, kind: str, choose: Choice) -> None:
        """Write to every member, slow ones too."""
        announce(self._events, kind, self.members, choose)

    def behind(self) -> Collection[EngineSocket]:
        """Members that are owed something."""
        return self.owed

    def pay(self, member: EngineSocket) -> None:
        """Write what changed while ``member`` was behind."""
        self.tick(member.server.buffer_limit_bytes)
        for kind, fragments in self.board.since(self.owed.pop(member), self.key):
            if kind == self._ticked:
                member.write(self._events.listing(kind, fragments))
            else:
                for fragment in fragments:
                    member.write(self._events.of(kind, fragment))

    def leave(self, member: EngineSocket) -> None:
        """Forget ``member``."""
        self.members.discard(member)
        self.owed.pop(member, None)


class PresenceSideFeed(LatestFeed):
    """One kind of one key of a board, told to the members of another feed under its name, ``told_as``.

    ``is_over``: nothing is told any more.
    """

    def __init__(
        self,
        namespace: str,
        told_as: str,
        board: LatestState,
        key: str,
        kind: str,
        is_over: Callable[[], bool],
    ) -> None:
        super().__init__(namespace, told_as, board, key, "")
        self.label = beside(told_as)
        self.kind = kind_of(self.label)
        self._only = kind
        self._is_over = is_over

    def take(self, kind: str, items: Sequence[BusItem], limit_bytes: int, at_ms: int) -> None:
        if kind == self._only and not self._is_over():
            super().take(kind, items, limit_bytes, at_ms)

    def snapshot(self) -> list[bytes]:
        """What is true now."""
        return [] if self._is_over() else self._of_kind(0)

    def announce(self, kind: str, choose: Choice) -> None:
        """Its members hear of it by the feed that this one stands beside."""

    def pay(self, member: EngineSocket) -> None:
        owed = self.owed.pop(member)
        for fragment in [] if self._is_over() else self._of_kind(owed):
            member.write(self._events.of(self._only, fragment))

    def _of_kind(self, version: int) -> list[bytes]:
        return [
            part
            for kind, parts in self.board.since(version, self.key)
            if kind == self._only
            for part in parts
        ]


def beside(label: str) -> str:
    """The name of the feed that stands beside ``label``."""
    return f"beside:{label}"


class LogFeed:
    """Members that want every entry of a log once and in order, each from where it is.

    ``members`` maps each to the last entry written to it; ``flushed`` is the last entry that was written
    to those who are up to date.
    """

    def __init__(self, namespace: str, label: str, state: LogState, kind: str) -> None:
        self.label = label
        self.kind = kind_of(label)
        self.state = state
        self.flushed = state.through
        self.oldest_ms: int | None = None
        self.members: dict[EngineSocket, int] = {}
        self._behind: set[EngineSocket] = set()
        self._later: dict[EngineSocket, list[Frame]] = {}
        self._events = FeedEvents(namespace, label)
        self._entries = kind

    def admit(self, member: EngineSocket, through: int) -> None:
        """Make ``member``, who has all up to ``through``, a member."""
        self.members[member] = through
        if through < self.flushed:
            self._behind.add(member)

    def tick(self, limit_bytes: int) -> int | None:
        """Write what came since the last tick to the members that are up to date and can take it.

        Returns when the oldest of it arrived, if that is known.
        """
        oldest_ms, self.oldest_ms = self.oldest_ms, None
        while self.flushed < self.state.through:
            fragments = self.state.after(self.flushed, LOG_PAGE)
            if fragments is None:  # a refill longer than the tail: each member pages through it by itself
                self.flushed = self.state.through
                self._behind.update(m for m, written in self.members.items() if written < self.flushed)
                break
            start, self.flushed = self.flushed, self.flushed + len(fragments)
            frame = self.frame(fragments)
            for member, written in self.members.items():
                if written == start and member.buffered_bytes <= limit_bytes:
                    member.write(frame)
                    self.members[member] = self.flushed
                elif written < self.flushed:
                    self._behind.add(member)
        return oldest_ms

    def note(self, kind: str, fragment: bytes) -> None:
        """Write a rare event about the log itself to everybody, after the entries before it."""
        frame = self._events.of(kind, fragment)
        for member, written in self.members.items():
            if written < self.flushed:
                self._later.setdefault(member, []).append(frame)
            else:
                member.write(frame)

    def announce(self, kind: str, choose: Choice) -> None:
        """Write to every member, those too that have not been given every entry before it."""
        announce(self._events, kind, self.members, choose)

    def behind(self) -> list[EngineSocket]:
        """Members that have not been given all that was flushed."""
        return list(self._behind)

    def page(self, member: EngineSocket, fragments: list[bytes]) -> None:
        """Write the entries that follow what ``member`` has."""
        member.write(self.frame(fragments))
        self.members[member] += len(fragments)
        if self.members[member] >= self.flushed:
            self._behind.discard(member)
            for frame in self._later.pop(member, ()):
                member.write(frame)

    def leave(self, member: EngineSocket) -> None:
        """Forget ``member``."""
        self.members.pop(member, None)
        self._behind.discard(member)
        self._later.pop(member, None)

    def frame(self, fragments: list[bytes]) -> Frame:
        """Entries as one event."""
        return self._events.listing(self._entries, fragments)


Feed = LatestFeed | LogFeed
