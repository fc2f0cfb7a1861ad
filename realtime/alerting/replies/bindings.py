"""Which alert each text message is for: stored before the text is applied, in Redis and on the disk.

A provider repeats a text that was not answered in time, to any worker. The alert of a text is chosen among
the open alerts of its phone, and the first delivery changes that choice. So the choice is stored under the id
of the text before it is applied, and a repeat reads it instead of choosing again. Redis serves the other
workers; the file serves a restart of this worker while Redis is unavailable. Neither needs Postgres.
"""

import asyncio
import hashlib
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from redis.exceptions import RedisError

from realtime.alerting.failover.keys import Broken, seal, unseal, write_whole
from realtime.redis.client import Client
from realtime.store.people.replies import LastMessage

log = logging.getLogger(__name__)

PURPOSE: Final = "replies"
BINDINGS: Final = "{sos:replies}:text:"
LOCKS: Final = "{sos:replies}:lock:"
KEPT_S: Final = 86_400
"""Providers repeat a text for minutes; Postgres knows it by then, or was unavailable for a day."""
MAX_BINDINGS: Final = 1_000
"""Texts in the file and in memory; the oldest is deleted first. The file is written whole (150 KB)."""
REDIS_S: Final = 0.5
"""How long Redis may take for one command; then the text goes on without it."""
_FILE: Final = "replies"
_UNLOCK: Final = (
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end"
)
_UNAVAILABLE: Final = (RedisError, OSError, TimeoutError)


class Binding(Struct, frozen=True):
    """The alert of a text; None for a text of no alert (STOP, START). ``applied``: it has taken effect."""

    asked: LastMessage | None
    at_ms: int
    applied: bool = False


class ReplyFile:
    """The bindings of the texts that this process received, on its disk. `open` reads the file."""

    def __init__(self, folder: Path, key: bytes, now_ms: Callable[[], int]) -> None:
        self._file: Final = folder / _FILE
        self._key: Final = key
        self._now_ms: Final = now_ms
        self._known: dict[str, Binding] = {}
        self._writing: Final = asyncio.Lock()

    async def open(self) -> None:
        """Read the file. One that cannot be read counts as none."""
        try:
            sealed = await asyncio.to_thread(self._file.read_bytes)
            content = unseal(self._key, _FILE, sealed)
            self._known = msgspec.msgpack.decode(content, type=dict[str, Binding])
        except FileNotFoundError:
            return
        except (OSError, Broken, msgspec.MsgspecError) as error:
            log.error("the file of bound texts cannot be read and is ignored: %s", type(error).__name__)

    def get(self, message_id: str) -> Binding | None:
        """The binding of a text."""
        return self._known.get(message_id)

    async def put(self, message_id: str, binding: Binding) -> None:
        """Store the binding of a text durably. A disk that fails is logged; memory has it all the same."""
        async with self._writing:
            self._known.pop(message_id, None)
            self._known[message_id] = binding
            over_ms = self._now_ms() - KEPT_S * 1000
            newest = list(self._known.items())[-MAX_BINDINGS:]
            self._known = {one: found for one, found in newest if found.at_ms > over_ms}
            try:
                sealed = seal(self._key, _FILE, msgspec.msgpack.encode(self._known))
                await asyncio.to_thread(write_whole, self._file, sealed)
            except OSError as error:
                log.error("the alert of a text is not on the disk: %s", type(error).__name__)


class ReplyBindings:
    """The bindings of all workers. A failure of Redis is logged and never raised."""

    def __init__(self, client: Client, file: ReplyFile, key: bytes, now_ms: Callable[[], int]) -> None:
        self._client: Final = client
        self._file: Final = file
        self._key: Final = key
        self._now_ms: Final = now_ms

    async def find(self, message_id: str) -> Binding | None:
        """The binding of a text: of this worker, else of any other that Redis has."""
        here = self._file.get(message_id)
        if here is not None and here.applied:
            return here
        return await self._read(message_id) or here

    async def bind(self, message_id: str, asked: LastMessage) -> LastMessage:
        """Store that the text is for the alert of ``asked``; what to apply it to. That is the alert of an
        earlier binding if there is one, also of another worker that binds the same text at this moment.
        """
        binding = Binding(asked, self._now_ms())
        found = await self._write(message_id, binding, only_first=True)
        await self._file.put(message_id, found)
        return found.asked or asked

    async def applied(self, message_id: str) -> None:
        """Store that the text has taken effect: a repeat of it changes nothing."""
        known = self._file.get(message_id) or Binding(None, self._now_ms())
        binding = replace(known, applied=True)
        await asyncio.gather(
            self._file.put(message_id, binding), self._write(message_id, binding, only_first=False)
        )

    async def lock(self, phone: str, holder: str, lease_s: float) -> bool:
        """Acquire the lock of a phone's texts in Redis; False while another worker has it.

        True without Redis, which cannot order anything then.
        """
        try:
            async with asyncio.timeout(REDIS_S):
                return bool(await self._client.set(_lock_key(phone), holder, nx=True, px=int(lease_s * 1000)))
        except _UNAVAILABLE as error:
            log.warning("texts of one phone are not ordered by redis: %s", type(error).__name__)
            return True

    async def unlock(self, phone: str, holder: str) -> None:
        """Release the lock, if ``holder`` still has it."""
        try:
            async with asyncio.timeout(REDIS_S):
                await self._client.eval(_UNLOCK, 1, _lock_key(phone), holder)
        except _UNAVAILABLE as error:
            log.warning("the lock of a phone expires by itself: %s", type(error).__name__)

    async def _read(self, message_id: str) -> Binding | None:
        name = _key_of(message_id)
        try:
            async with asyncio.timeout(REDIS_S):
                sealed: Any = await self._client.get(name)
            return None if sealed is None else self._opened(name, sealed)
        except _UNAVAILABLE as error:
            log.warning("the alert of a text cannot be read in redis: %s", type(error).__name__)
        except (Broken, msgspec.MsgspecError) as error:
            log.error("the alert of a text in redis is not ours: %s", type(error).__name__)
        return None

    async def _write(self, message_id: str, binding: Binding, *, only_first: bool) -> Binding:
        """Write to Redis; what Redis has then, and ``binding`` without Redis."""
        name = _key_of(message_id)
        sealed = seal(self._key, name, msgspec.msgpack.encode(binding))
        try:
            async with asyncio.timeout(REDIS_S):
                is_first = await self._client.set(name, sealed, nx=only_first, ex=KEPT_S)
        except _UNAVAILABLE as error:
            log.warning("the alert of a text is not in redis: %s", type(error).__name__)
            return binding
        return binding if is_first else await self._read(message_id) or binding

    def _opened(self, name: str, sealed: bytes) -> Binding:
        return msgspec.msgpack.decode(unseal(self._key, name, sealed), type=Binding)


def new_holder() -> str:
    """The holder of one lock of one text."""
    return secrets.token_hex(8)


def lock_name(phone: str) -> str:
    """The name of a phone's lock, which does not show the number."""
    return hashlib.sha256(f"lock of {phone}".encode()).hexdigest()[:32]


def _lock_key(phone: str) -> str:
    return LOCKS + lock_name(phone)


def _key_of(message_id: str) -> str:
    return BINDINGS + message_id
