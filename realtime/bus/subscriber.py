"""One server's part of the bus: a connection that listens, another that publishes, and a heartbeat over both.

Half-open pub/sub goes quiet without an error; a message to oneself every second proves it alive.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from redis.crc import key_slot
from redis.exceptions import MovedError

from realtime.aio import end
from realtime.bus.envelope import SequenceTracker
from realtime.bus.publisher import BusPublisher
from realtime.redis.client import server_client
from realtime.redis.topology import REDIS_FAULTS

log = logging.getLogger(__name__)

_MESSAGE: Final = (b"message", b"smessage")
_SUBSCRIBED: Final = (b"subscribe", b"ssubscribe")


@dataclass(frozen=True, slots=True, kw_only=True)
class BusTimings:
    """How often the bus checks its connections, in seconds."""

    heartbeat_s: float = 1.0
    """Between two heartbeats: 100 instances cost Redis 100 messages a second."""
    heartbeat_lost_s: float = 3.0
    """Without a heartbeat for so long the connection is broken: three in a row are not late by chance."""
    reconnect_s: float = 0.5
    """Between two attempts to connect: a Redis that restarts is not flooded."""


BUS_TIMINGS: Final = BusTimings()


@dataclass(slots=True)
class Subscription:
    """A channel somebody here watches. ``stale``: its owner went on without a confirmation."""

    confirmed: asyncio.Future[None]
    stale: bool = False
    seen: SequenceTracker = field(default_factory=SequenceTracker)

    def interrupt(self) -> None:
        """From now on something may be missed, until there is a new confirmation."""
        self.stale = self.stale or self.confirmed.done()
        self.seen.clear()


class ConnectionOwner(Protocol):
    """Who is told what a link learns."""

    def on_data(self, channel: str, data: bytes) -> None:
        """A message."""

    def on_resubscribed(self, channel: str) -> None:
        """``channel`` is heard again; something may have been missed."""

    def on_misplaced(self) -> None:
        """The server does not have a channel that it was thought to have."""


class BusConnection:
    """``start`` before anything else but `add`; ``stop`` is for good."""

    def __init__(
        self,
        url: str,
        owner: ConnectionOwner,
        writer: BusPublisher,
        *,
        prefix: str,
        heartbeat: str,
        sharded: bool,
        timings: BusTimings,
        timeout_s: float,
    ) -> None:
        self._owner = owner
        self._writer = writer
        self._prefix = prefix
        self.heartbeat = heartbeat
        self._sharded = sharded
        self._timings = timings
        self._timeout_s = timeout_s
        self._reading = server_client(url, timeout_s=timeout_s, reads_forever=True)
        self._pubsub: Any = None
        self._wishes: dict[str, Subscription] = {}
        self._unconfirmed: dict[str, int] = {}
        self._lost: set[str] = set()
        self._heartbeat_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self.is_up = False

    def start(self) -> None:
        """Begin to connect; subscriptions wait until that succeeds."""
        self._tasks = [asyncio.ensure_future(self._run()), asyncio.ensure_future(self._send_heartbeats())]

    async def stop(self) -> None:
        """Close the connection that listens."""
        await end(self._tasks)
        self._tasks = []
        self.is_up = False
        await self._hang_up()
        with contextlib.suppress(*REDIS_FAULTS):
            await self._reading.aclose()

    # --- wishes

    async def add(self, channel: str, wish: Subscription) -> None:
        """Subscribe to ``channel``, now or as soon as there is a connection."""
        self._wishes[channel] = wish
        await self._ask_for(channel)

    async def remove(self, channel: str) -> None:
        """Stop receiving ``channel``."""
        self._lost.discard(channel)
        if self._wishes.pop(channel, None) is not None:
            await self._send("unsubscribe", channel)

    async def ask_again(self) -> None:
        """Subscribe once more to what the server said it does not have."""
        lost, self._lost = self._lost, set()
        for channel in lost & self._wishes.keys():
            self._wishes[channel].interrupt()
            await self._ask_for(channel)

    async def _ask_for(self, channel: str) -> None:
        if self._pubsub is not None:  # else the next connection subscribes to all that is wished for
            self._unconfirmed[channel] = self._unconfirmed.get(channel, 0) + 1
            await self._send("subscribe", channel)

    async def _send(self, what: str, channel: str) -> None:
        if self._pubsub is None:
            return
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._command(what)(self._prefix + channel)
        except REDIS_FAULTS:
            self._heartbeat_at = 0.0  # the watchdog makes a new connection

    def _command(self, what: str) -> Any:
        return getattr(self._pubsub, f"s{what}" if self._sharded else what)

    # --- the connection that listens

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
            self._owner.on_misplaced()  # a server that breaks may have lost its channels to another
            await asyncio.sleep(self._timings.reconnect_s)

    async def _connect(self) -> asyncio.Task[None]:
        for wish in self._wishes.values():
            wish.interrupt()
        self._lost.clear()
        asked = set(self._wishes)
        self._unconfirmed = dict.fromkeys(asked, 1)
        pubsub: Any = self._reading.pubsub()
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._subscribe_all(pubsub, [self.heartbeat, *(self._prefix + name for name in asked)])
        except BaseException:
            with contextlib.suppress(*REDIS_FAULTS):
                await pubsub.aclose()
            raise
        self._pubsub = pubsub
        self._heartbeat_at = asyncio.get_running_loop().time()
        for channel in self._wishes.keys() - asked:  # wished for while we connected
            await self._ask_for(channel)
        for channel in asked - self._wishes.keys():  # and not wished for any more
            await self._send("unsubscribe", channel)
        return asyncio.ensure_future(self._read(pubsub))

    async def _subscribe_all(self, pubsub: Any, names: list[str]) -> None:
        if not self._sharded:
            await pubsub.subscribe(*names)
            return
        for name in names:  # channels of one command must be of one slot
            await pubsub.ssubscribe(name)

    async def _watch(self, reader: asyncio.Task[None]) -> None:
        """Wait until the reader ends or a heartbeat is overdue."""
        loop = asyncio.get_running_loop()
        while not reader.done():
            await asyncio.wait([reader], timeout=self._timings.heartbeat_s / 2)
            if loop.time() - self._heartbeat_at > self._timings.heartbeat_lost_s:
                raise TimeoutError("heartbeat is overdue")
        reader.result()

    async def _read(self, pubsub: Any) -> None:
        while True:
            try:
                said = await pubsub.parse_response(block=True)
            except MovedError as error:
                self._lose(
                    {
                        name
                        for name in {*self._wishes, *self._unconfirmed}
                        if self._slot(name) == error.slot_id
                    }
                )
                continue
            if not said:
                continue
            if said[0] in _MESSAGE:  # by far the most; the library's own handling is for the others
                self._take(said[1].decode(), said[2])
                continue
            message = await pubsub.handle_message(said)
            if message is not None and message["channel"] is not None:
                channel = message["channel"].decode().removeprefix(self._prefix)
                if said[0] in _SUBSCRIBED:
                    self._confirm(channel)
                elif channel in self._wishes and channel not in self._unconfirmed:
                    self._lose({channel})  # unasked: the slot is another node's now

    def _slot(self, channel: str) -> int:
        return key_slot((self._prefix + channel).encode())

    def _take(self, name: str, data: bytes) -> None:
        if name == self.heartbeat:
            self._heartbeat_at = asyncio.get_running_loop().time()
            self.is_up = True
            return
        self._owner.on_data(name.removeprefix(self._prefix), data)

    def _lose(self, channels: set[str]) -> None:
        for channel in channels:
            self._unconfirmed.pop(channel, None)
        self._lost |= channels
        self._owner.on_misplaced()

    def _confirm(self, channel: str) -> None:
        """Redis has taken a subscription. Only the answer to our newest request counts."""
        left = self._unconfirmed[channel] = self._unconfirmed.get(channel, 1) - 1
        if left > 0:
            return
        self._unconfirmed.pop(channel)
        wish = self._wishes.get(channel)
        if wish is None:
            return
        if not wish.confirmed.done():
            wish.confirmed.set_result(None)
        if wish.stale:
            wish.stale = False
            self._owner.on_resubscribed(channel)

    async def _send_heartbeats(self) -> None:
        while True:
            with contextlib.suppress(*REDIS_FAULTS):
                if await self._writer.publish([(self.heartbeat.encode(), b"")]):
                    self._owner.on_misplaced()
            await asyncio.sleep(self._timings.heartbeat_s)

    async def _hang_up(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(*REDIS_FAULTS):
                async with asyncio.timeout(self._timeout_s):
                    await pubsub.aclose()
