"""The bus between instances: Redis pub/sub, subscribed only to what local viewers watch.

Every message carries its publisher and a running number a channel, so a missing one is a gap. A canary a
second, sent to oneself over the same connection, proves the subscription alive: half-open pub/sub goes quiet
without an error. After any doubt the owner is told which channels to refill; nothing is replayed here.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import redis.asyncio as redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from realtime.fanout.endings import end
from realtime.fanout.envelopes import (
    MAX_MESSAGE_BYTES,
    Continuity,
    Envelope,
    Item,
    Message,
    Numbering,
    Refusal,
    read,
)
from realtime.fanout.writer import Writer

__all__ = ["MAX_MESSAGE_BYTES", "REDIS_FAULTS", "Envelope", "Item", "Listener", "Message", "RedisBus"]

log = logging.getLogger(__name__)

CANARY_S: Final = 1.0
CANARY_LOST_S: Final = 3.0
RECONNECT_S: Final = 0.5
REDIS_FAULTS: Final = (RedisError, OSError, TimeoutError)


class Listener(Protocol):
    """Who is told what the bus brings. Called on the event loop; must not block."""

    def on_message(self, channel: str, kind: str, items: Sequence[Item], at_ms: int) -> None:
        """A message of another instance, in its publisher's order."""

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        """Something on ``channels`` may have been missed: refill them."""

    def on_dropped(self, reason: str) -> None:
        """A message was ``malformed`` or ``oversize`` and was not delivered."""


@dataclass(slots=True)
class _Wish:
    """A channel somebody here watches. ``stale``: its owner went on without a confirmation."""

    confirmed: asyncio.Future[None]
    stale: bool = False
    seen: Continuity = field(default_factory=Continuity)


class RedisBus:
    """Pub/sub on a standalone Redis. ``start`` before anything else; ``stop`` is idempotent."""

    def __init__(self, url: str, *, prefix: str = "wg:", timeout_s: float = 2.0) -> None:
        self.publisher = secrets.token_hex(6)
        self._prefix = prefix
        self._canary_channel = f"{prefix}canary:{self.publisher}"
        self._timeout_s = timeout_s
        self._reading = _client(url, socket_timeout=None, connect_timeout_s=timeout_s)
        writing = _client(url, socket_timeout=timeout_s, connect_timeout_s=timeout_s)
        self._writer = Writer(writing, sharded=False, timeout_s=timeout_s)
        self._numbers = Numbering(self.publisher)
        self._pubsub: Any = None
        self._listener: Listener | None = None
        self._wishes: dict[str, _Wish] = {}
        self._unconfirmed: dict[str, int] = {}
        self._canary_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.is_up = False

    def start(self, listener: Listener) -> None:
        """Begin to connect; subscriptions wait until that succeeds."""
        self._listener = listener
        self._tasks = [asyncio.ensure_future(self._run()), asyncio.ensure_future(self._chirp())]

    async def stop(self) -> None:
        """Close both connections."""
        await end(self._tasks)
        self._tasks = []
        await self._hang_up()
        for client in (self._reading, self._writer):
            with contextlib.suppress(*REDIS_FAULTS):
                await client.aclose()

    # --- out

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish in order, in one round trip.

        Raises RedisError, OSError or TimeoutError; what was sent is then unknown, and the numbers used are
        not used again, so that receivers see a gap.
        """
        packed = [((self._prefix + m.channel).encode(), self._numbers.pack(m)) for m in messages]
        if refused := await self._writer.publish(packed):
            raise RedisError(f"{len(refused)} messages were refused")

    # --- in

    async def subscribe(self, channel: str, timeout_s: float) -> bool:
        """Ask for ``channel``; True once Redis has confirmed, False when it has not in ``timeout_s``.

        The wish stands either way, and a later confirmation is told as a doubt.
        """
        wish = self._wishes.get(channel)
        if wish is None:
            wish = self._wishes[channel] = _Wish(asyncio.get_running_loop().create_future())
            await self._send("SUBSCRIBE", channel)
        await asyncio.wait([wish.confirmed], timeout=timeout_s)  # raises nothing when the wish is taken back
        if wish.confirmed.done() and not wish.confirmed.cancelled():
            return True
        wish.stale = True
        return False

    async def unsubscribe(self, channel: str) -> None:
        """Stop receiving ``channel``."""
        if (wish := self._wishes.pop(channel, None)) is not None:
            wish.confirmed.cancel()
            await self._send("UNSUBSCRIBE", channel)

    @property
    def subscriptions(self) -> list[str]:
        """The channels asked for."""
        return list(self._wishes)

    async def _send(self, command: str, channel: str) -> None:
        if self._pubsub is None:
            return  # the next connection subscribes to all that is wished for
        try:
            async with asyncio.timeout(self._timeout_s):
                if command == "SUBSCRIBE":
                    self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
                    await self._pubsub.subscribe(self._prefix + channel)
                else:
                    await self._pubsub.unsubscribe(self._prefix + channel)
        except REDIS_FAULTS:
            self._canary_at = 0.0  # the watchdog makes a new connection

    async def _run(self) -> None:
        """Connect, read until it breaks, and again."""
        while True:
            reader = None
            try:
                reader = await self._connect()
                await self._watch(reader)
            except REDIS_FAULTS as error:
                log.warning("bus: %s", type(error).__name__)
            except Exception:
                log.exception("bus: a new connection is made")
            finally:
                if reader is not None:
                    await end([reader])
            self.is_up = False
            await self._hang_up()
            await asyncio.sleep(RECONNECT_S)

    async def _connect(self) -> asyncio.Task[None]:
        for wish in self._wishes.values():
            wish.stale = wish.stale or wish.confirmed.done()
            wish.seen.clear()
        self._unconfirmed = dict.fromkeys(self._wishes, 1)
        pubsub: Any = self._reading.pubsub()
        channels = [self._canary_channel, *(self._prefix + channel for channel in self._wishes)]
        try:
            async with asyncio.timeout(self._timeout_s):
                await pubsub.subscribe(*channels)
        except BaseException:
            with contextlib.suppress(*REDIS_FAULTS):
                await pubsub.aclose()
            raise
        self._pubsub = pubsub
        self._canary_at = asyncio.get_running_loop().time()
        asked = {channel.removeprefix(self._prefix) for channel in channels[1:]}
        for channel in self._wishes.keys() - asked:  # wished for while we connected
            await self._send("SUBSCRIBE", channel)
        for channel in asked - self._wishes.keys():  # and not wished for any more
            await self._send("UNSUBSCRIBE", channel)
        return asyncio.ensure_future(self._read(pubsub))

    def _confirm(self, channel: str) -> None:
        """Redis has taken a subscription. Only the answer to our newest request counts."""
        left = self._unconfirmed[channel] = self._unconfirmed.get(channel, 1) - 1
        wish = self._wishes.get(channel)
        if left > 0:
            return
        self._unconfirmed.pop(channel)
        if wish is None:
            return
        if not wish.confirmed.done():
            wish.confirmed.set_result(None)
        if wish.stale and self._listener is not None:
            wish.stale = False
            self._listener.on_doubt([channel], "resubscribed")

    async def _watch(self, reader: asyncio.Task[None]) -> None:
        """Wait until the reader ends or the canary has been silent too long."""
        loop = asyncio.get_running_loop()
        while not reader.done():
            await asyncio.wait([reader], timeout=CANARY_S / 2)
            if loop.time() - self._canary_at > CANARY_LOST_S:
                raise TimeoutError("canary is silent")
        reader.result()

    async def _read(self, pubsub: Any) -> None:
        while True:
            message = await pubsub.get_message(timeout=None)
            if message is None:
                continue
            channel = message["channel"].decode().removeprefix(self._prefix)
            if message["type"] == "message":
                self._receive(channel, message["data"])
            elif message["type"] == "subscribe":
                self._confirm(channel)

    def _receive(self, channel: str, data: bytes) -> None:
        if channel.startswith("canary:"):
            self._canary_at = asyncio.get_running_loop().time()
            self.is_up = True
            return
        wish = self._wishes.get(channel)
        if wish is None or self._listener is None:
            return
        try:
            envelope = read(data)
        except Refusal as refusal:
            self._listener.on_dropped(str(refusal))
            return
        if envelope.publisher == self.publisher:
            return
        doubt = wish.seen.heard(envelope.publisher, envelope.number)
        try:
            self._listener.on_message(channel, envelope.kind, envelope.items, envelope.at_ms)
        except Exception:
            log.exception("bus: a message could not be taken")
            self._listener.on_dropped("malformed")
        if doubt is not None:
            self._listener.on_doubt([channel], doubt)

    async def _chirp(self) -> None:
        while True:
            with contextlib.suppress(*REDIS_FAULTS):
                await self._writer.publish([(self._canary_channel.encode(), b"")])
            await asyncio.sleep(CANARY_S)

    async def _hang_up(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(*REDIS_FAULTS):
                async with asyncio.timeout(self._timeout_s):
                    await pubsub.aclose()


def _client(url: str, *, socket_timeout: float | None, connect_timeout_s: float) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_timeout=socket_timeout,
        socket_connect_timeout=connect_timeout_s,
        retry=Retry(NoBackoff(), 0),
        health_check_interval=0,
    )
