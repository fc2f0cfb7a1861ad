"""Room that a journal owns on its disk beyond its end, so that a full disk still takes presses.

Postgres may fill the disk that it shares with a journal. The journal therefore has the blocks of its next
writes allocated beforehand. ``fallocate(2)`` with ``FALLOC_FL_KEEP_SIZE`` allocates them and leaves the size
of the file as it is, so that a reader of the file sees no difference.
"""

import ctypes
import errno
import logging
import os
import time
from collections.abc import Callable
from typing import Final

log = logging.getLogger(__name__)

STEP_BYTES: Final = 4_096
RETRY_S: Final = 1.0
"""A full disk is asked again after this."""
_KEEP_SIZE: Final = 1
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

Allocate = Callable[[int, int, int], None]
"""Allocates (descriptor, offset in bytes, length in bytes). Raises OSError."""


def _fallocate() -> Allocate:
    try:
        call = ctypes.CDLL(None, use_errno=True).fallocate64
    except (AttributeError, OSError):  # no Linux with glibc

        def unsupported(descriptor: int, at: int, length: int) -> None:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

        return unsupported
    call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]

    def allocate(descriptor: int, at: int, length: int) -> None:
        if call(descriptor, _KEEP_SIZE, at, length) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    return allocate


allocate_blocks: Final = _fallocate()
"""``fallocate`` with KEEP_SIZE; an OSError EOPNOTSUPP where there is none."""


class DiskReserve:
    """`top_up` after each write, in the thread that writes. Some file systems have no support for it."""

    def __init__(
        self,
        reserve_bytes: int,
        allocate: Allocate = allocate_blocks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bytes: Final = reserve_bytes
        self._allocate: Final = allocate
        self._clock: Final = clock
        self._end = 0
        self._is_full = False
        self._is_supported = reserve_bytes > 0
        self._next_s = 0.0

    @property
    def is_disk_full(self) -> bool:
        """Whether the disk had no room left when it was last asked."""
        return self._is_full

    def left(self, size_bytes: int) -> int:
        """How many bytes can still be written after ``size_bytes`` although the disk is full."""
        return max(0, self._end - size_bytes)

    def begin(self, descriptor: int, size_bytes: int) -> None:
        """Allocate for a file that was just opened, written anew or cut: no block beyond its end is known.

        On a full disk the blocks are found that the file has from before.
        """
        self._end = size_bytes
        self._next_s = 0.0
        self.top_up(descriptor, size_bytes)
        if self._is_full:
            self._end = size_bytes + self._owned_bytes(descriptor, size_bytes)

    def _owned_bytes(self, descriptor: int, size_bytes: int) -> int:
        """How many bytes beyond ``size_bytes`` are allocated: to allocate those again needs no room."""
        low, high = 0, self._bytes
        while high - low > STEP_BYTES:
            middle = (low + high) // 2
            try:
                self._allocate(descriptor, size_bytes, middle)
            except OSError:
                high = middle
            else:
                low = middle
        return low

    def top_up(self, descriptor: int, size_bytes: int) -> None:
        """Have all but a sixteenth of the reserve. A full disk is noted, and asked again every `RETRY_S`."""
        is_enough = self._end - size_bytes >= self._bytes - self._bytes // 16
        if not self._is_supported or (is_enough and not self._is_full):
            return
        now_s = self._clock()
        if self._is_full and now_s < self._next_s:
            return
        try:
            self._allocate(descriptor, size_bytes, self._bytes)
        except OSError as error:
            if error.errno not in _FULL:
                log.warning("the journal has no reserve on its disk: %s", os.strerror(error.errno or 0))
                self._is_supported = self._is_full = False
                return
            self._next_s = now_s + RETRY_S
            if not self._is_full:
                log.error("the disk of the journal is full: its reserve takes presses and deliveries")
            self._is_full = True
        else:
            if self._is_full:
                log.info("the disk of the journal has room again")
            self._is_full = False
            self._end = size_bytes + self._bytes
