"""An append-only file of sealed records, of which one process at a time is the owner.

A record is the length of what follows (4 bytes, big-endian) and the sealed content. It opens only under its
own place in its own file, so that none can be moved, repeated or brought in from elsewhere unseen. The head
is such a record too, of a file's own random name.

Records that are appended at the same time are written together and synced once. What is cut off at the end,
as by a crash, was promised to nobody and is removed; a record in the middle that does not open is passed
over. A file that was sealed by another key is put aside as it is.
"""

import asyncio
import fcntl
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Final

from alerts.journal.encryption import Broken, seal, sync_folder, unseal
from alerts.journal.reserve import DiskReserve
from alerts.ports import StorageUnavailable

log = logging.getLogger(__name__)

MAX_BYTES: Final = 512 * 1024 * 1024
"""Beyond it nothing is taken any more."""
RESERVED_BYTES: Final = MAX_BYTES // 4
"""The last of it is for presses and the delivery of their alerts, a quarter of that for presses alone."""
DISK_RESERVE_BYTES: Final = 16 * 1024 * 1024
"""Allocated beyond the end of the file for a full disk: some four thousand presses."""
COMPACT_BYTES: Final = 4 * 1024 * 1024
"""A smaller file is not worth rewriting."""
MAX_RECORD_BYTES: Final = 64 * 1024 * 1024


class Need(IntEnum):
    """How much a record is needed: the less room is left, the more it must be."""

    ROUTINE = 0
    """What providers report of messages that are unknown here."""
    DELIVERY = 1
    """What happens to an alert that this process keeps: its answers, its escalation, its messages."""
    PRESS = 2
    """An SOS, and that this process acts on it."""


_HEAD: Final = b"wayguard journal 1"
_SEAL_BYTES: Final = 12 + 16
_Seen = Callable[[], None]


@dataclass(frozen=True, slots=True)
class JournalLimits:
    """The sizes of a journal's file."""

    max_bytes: int = MAX_BYTES
    """A record that would make the file larger is refused."""
    reserved_bytes: int = RESERVED_BYTES
    """The part of ``max_bytes`` at its end that is not for `Need.ROUTINE`; a quarter of it is for presses."""
    disk_reserve_bytes: int = DISK_RESERVE_BYTES
    """Allocated on the disk beforehand, and shared out in the same way while the disk is full."""
    compact_bytes: int = COMPACT_BYTES
    """The file is not rewritten while it is smaller."""


JOURNAL_LIMITS: Final = JournalLimits()
"""Those of production."""


class InUse(OSError):
    """Another process owns the folder."""


class AppendLog:
    """`open` first. ``whole()`` gives the contents that a rewritten file begins with; ``lost`` is told when
    what was appended and not yet seen will never be.
    """

    def __init__(
        self,
        folder: Path,
        key: bytes,
        whole: Callable[[], Sequence[bytes]],
        lost: Callable[[], None],
        limits: JournalLimits = JOURNAL_LIMITS,
        reserve: DiskReserve | None = None,
    ) -> None:
        self._reserve: Final = reserve or DiskReserve(limits.disk_reserve_bytes)
        self._folder: Final = folder
        self._path: Final = folder / "journal"
        self._key: Final = key
        self._whole: Final = whole
        self._lost: Final = lost
        self._limits: Final = limits
        self._thread: Final = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._lock = -1
        self._file = -1
        self._name = ""
        self._count = 0
        self._size = 0
        self._waiting: list[tuple[bytes, _Seen, asyncio.Future[None]]] = []
        self._waiting_bytes = 0
        self._rewritten_bytes = 0
        self._writer: asyncio.Task[None] | None = None
        self._last: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def size_bytes(self) -> int:
        """How large it is, with what waits to be written."""
        return self._size + self._waiting_bytes

    async def open(self) -> list[bytes]:
        """The contents of all records, in their order. Raises InUse, OSError."""
        return await self._do(self._open)

    async def close(self) -> None:
        """Write what waits, and let go of the folder. Is idempotent."""
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._do(self._close)
        self._thread.shutdown(wait=False)

    def objection(self, content: bytes, need: Need) -> str | None:
        """Why ``content`` cannot be appended. The last of the room is for what is needed most."""
        if self._lock < 0:
            return "the journal is closed"
        limits, record_bytes = self._limits, _room_of(content)
        kept_free = _kept_free(need, limits.reserved_bytes)
        if len(content) > MAX_RECORD_BYTES or self.size_bytes + record_bytes > limits.max_bytes - kept_free:
            return "the journal is full"
        if self._reserve.is_disk_full:
            left = self._reserve.left(self.size_bytes) - record_bytes
            if left < _kept_free(need, limits.disk_reserve_bytes):
                return "the disk of the journal is full"
        return None

    def append(self, content: bytes, seen: _Seen) -> "asyncio.Future[None]":
        """Begin to keep what there was no `objection` to.

        When the future is done it is on the disk; ``seen`` was called right before. The future raises
        StorageFailure when it is not kept, or when that is unknown; then nothing that was appended since is
        kept either. A waiter may be cancelled: what others wait for goes on.
        """
        self._last = asyncio.get_running_loop().create_future()
        self._waiting.append((content, seen, self._last))
        self._waiting_bytes += _room_of(content)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.ensure_future(self._write_all())
        kept = asyncio.shield(self._last)
        kept.add_done_callback(_retrieved)
        return kept

    async def flushed(self) -> None:
        """Wait until all that was appended so far is on the disk. Raises StorageFailure when it is not."""
        if self._waiting or (self._writer is not None and not self._writer.done()):
            await asyncio.shield(self._last)

    def is_full(self) -> bool:
        """Whether no `Need.ROUTINE` is taken any more."""
        is_long = self.size_bytes > self._limits.max_bytes - self._limits.reserved_bytes
        return is_long or self._reserve.is_disk_full

    # --- writing

    async def _write_all(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self._make_ready()
                await self._do(lambda batch=batch: self._append([one[0] for one in batch]))  # type: ignore[misc]
            except Exception as error:
                log.error("the journal cannot be written: %s", type(error).__name__)
                self._fail(batch)
                continue
            self._waiting_bytes -= sum(_room_of(one[0]) for one in batch)
            for _, seen, future in batch:
                seen()
                if not future.done():
                    future.set_result(None)

    async def _make_ready(self) -> None:
        """Have a file, and one that is not much longer than what it says. A full disk has no room for two."""
        is_lost = self._file < 0
        if not is_lost and self._reserve.is_disk_full:
            return
        if not is_lost and self._size <= max(self._limits.compact_bytes, 4 * self._rewritten_bytes):
            return
        contents = list(self._whole())  # nothing that is not on the disk is in it
        try:
            await self._do(lambda: self._rewrite(contents))
        except OSError as error:
            if is_lost:
                raise
            log.warning("the journal is not rewritten: %s", type(error).__name__)
            self._rewritten_bytes = self._size  # as long as it is; the next time it is much longer

    def _fail(self, batch: Sequence[tuple[bytes, _Seen, "asyncio.Future[None]"]]) -> None:
        """Neither this is kept, nor what was decided upon it since."""
        failed, self._waiting = [*batch, *self._waiting], []
        self._waiting_bytes = 0
        self._lost()
        for _, _, future in failed:
            if not future.done():
                future.set_exception(StorageUnavailable("the journal cannot be written"))
                _retrieved(future)

    async def _do(self, work: Callable[[], "list[bytes]"]) -> list[bytes]:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    # --- in the thread

    def _append(self, contents: Sequence[bytes]) -> list[bytes]:
        records = [self._record(self._count + number, content) for number, content in enumerate(contents)]
        raw = b"".join(records)
        try:
            _write(self._file, raw)
            os.fsync(self._file)
        except OSError:
            self._cut_back()
            raise
        self._count += len(contents)
        self._size += len(raw)
        self._reserve.top_up(self._file, self._size)
        return []

    def _cut_back(self) -> None:
        """Have nothing in the file but what was synced; when that fails, a file is written anew."""
        try:
            os.ftruncate(self._file, self._size)  # which gives the reserve back
            os.lseek(self._file, 0, os.SEEK_END)
            os.fsync(self._file)
            self._reserve.begin(self._file, self._size)
        except OSError:
            os.close(self._file)
            self._file = -1

    def _rewrite(self, contents: Sequence[bytes]) -> list[bytes]:
        """A file of ``contents`` alone in the place of the one that is there."""
        self._begin(contents)
        self._rewritten_bytes = self._size
        return []

    def _begin(self, contents: Sequence[bytes]) -> None:
        name = secrets.token_hex(16)
        draft = self._folder / ".journal-draft"
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            head = name.encode() + seal(self._key, f"{name}/head", _HEAD)
            records = [
                _sized(head),
                *(_sized(seal(self._key, f"{name}/{n}", c)) for n, c in enumerate(contents)),
            ]
            raw = b"".join(records)
            _write(descriptor, raw)
            os.fsync(descriptor)
            os.replace(draft, self._path)
            sync_folder(self._folder)
        except BaseException:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        if self._file >= 0:
            os.close(self._file)
        self._file, self._name, self._count, self._size = descriptor, name, len(contents), len(raw)
        self._reserve.begin(descriptor, self._size)

    def _record(self, number: int, content: bytes) -> bytes:
        return _sized(seal(self._key, f"{self._name}/{number}", content))

    def _open(self) -> list[bytes]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise InUse(f"the journal of {self._folder.name} is in use by another process") from error
        self._lock = lock
        try:
            raw = self._path.read_bytes()
        except FileNotFoundError:
            raw = b""
        if not raw or not self._knows(raw):
            self._put_aside(raw)
            self._begin([])
            return []
        contents, end = self._records(raw)
        self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        if end < len(raw):
            log.warning("the journal's last %d bytes are no whole record and are cut off", len(raw) - end)
            os.ftruncate(self._file, end)
            os.fsync(self._file)
        os.lseek(self._file, 0, os.SEEK_END)
        self._size = end
        self._reserve.begin(self._file, end)
        return contents

    def _knows(self, raw: bytes) -> bool:
        """Whether the head is ours; remembers its name."""
        head = _content(raw, 0)
        if head is None or len(head) < 32:
            return False
        name = head[:32].decode("ascii", "replace")
        try:
            known = unseal(self._key, f"{name}/head", head[32:]) == _HEAD
        except Broken:
            return False
        self._name = name
        return known

    def _put_aside(self, raw: bytes) -> None:
        if raw:
            aside = self._folder / f"journal-unread-{secrets.token_hex(4)}"
            os.replace(self._path, aside)
            sync_folder(self._folder)
            log.error("a journal that this key does not open is put aside as %s", aside.name)

    def _records(self, raw: bytes) -> tuple[list[bytes], int]:
        """The contents, and where the last whole record ends."""
        contents: list[bytes] = []
        at = 4 + len(_content(raw, 0) or b"")
        self._count = 0
        while (sealed := _content(raw, at)) is not None:
            try:
                contents.append(unseal(self._key, f"{self._name}/{self._count}", sealed))
            except Broken:
                log.error("a record of the journal cannot be read and is passed over")
            self._count += 1
            at += 4 + len(sealed)
        return contents, at

    def _close(self) -> list[bytes]:
        for descriptor in (self._file, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._lock = -1
        return []


def _retrieved(done: "asyncio.Future[None]") -> None:
    """Whoever waited may be gone."""
    if not done.cancelled():
        done.exception()


def _kept_free(need: Need, reserved_bytes: int) -> int:
    """How much of ``reserved_bytes`` a record of this need leaves to what is needed more."""
    return {Need.ROUTINE: reserved_bytes, Need.DELIVERY: reserved_bytes // 4, Need.PRESS: 0}[need]


def _room_of(content: bytes) -> int:
    return len(content) + _SEAL_BYTES + 4


def _sized(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


def _content(raw: bytes, at: int) -> bytes | None:
    """The record that begins ``at``; None when it is not whole."""
    if len(raw) - at < 4:
        return None
    length = int.from_bytes(raw[at : at + 4])
    return raw[at + 4 : at + 4 + length] if _SEAL_BYTES <= length <= len(raw) - at - 4 else None


def _write(descriptor: int, raw: bytes) -> None:
    view = memoryview(raw)
    while view:
        view = view[os.write(descriptor, view) :]
