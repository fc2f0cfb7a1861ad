"""The bus between instances: Redis pub/sub, subscribed only to what local viewers watch.

On one server or on a Cluster, where every node that has slots has a link of its own. Every message carries
its publisher and a running number a channel, so a missing one is a gap. After any doubt the owner is told
which channels to refill; nothing is replayed here.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from typing import Final, Protocol

from redis.exceptions import RedisError

from realtime.aio import end
from realtime.bus.envelope import (
    MAX_MESSAGE_BYTES,
    BusItem,
    Envelope,
    MalformedEnvelope,
    Message,
    Sequencer,
    read,
)
from realtime.bus.publisher import BusPublisher, Packed
from realtime.bus.subscriber import BUS_TIMINGS, BusConnection, BusTimings, Subscription
from realtime.redis.client import server_client
from realtime.redis.topology import REDIS_FAULTS, heartbeat_on, placement

__all__ = [
    "MAX_MESSAGE_BYTES",
    "REDIS_FAULTS",
    "BusItem",
    "BusListener",
    "BusTimings",
    "Envelope",
    "Message",
    "RedisBus",
]

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
"""How often a Cluster is asked who has which slots; at once, too, when a node says that it lost one."""
LOOK_AGAIN_S: Final = 0.1


class BusListener(Protocol):
    """Who is told what the bus brings. Called on the event loop; must not block."""

    def on_message(self, channel: str, kind: str, items: Sequence[BusItem], at_ms: int) -> None:
        """A message of another instance, in its publisher's order."""

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        """Something on ``channels`` may have been missed: refill them."""

    def on_dropped(self, reason: str) -> None:
        """A message was ``malformed`` or ``oversize`` and was not delivered."""


class RedisBus:
    """Pub/sub on the Redis or the Cluster at ``url`` (see `realtime.redis.client`).

    ``publish`` may be used at once; ``start`` comes before anything is received; ``stop`` is idempotent.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "wg:",
        timeout_s: float = 2.0,
        timings: BusTimings = BUS_TIMINGS,
    ) -> None:
        self.publisher = secrets.token_hex(6)
        self._prefix = prefix
        self._timeout_s = timeout_s
        self._timings = timings
        self._placing = placement(url, timeout_s)
        self._numbers = Sequencer(self.publisher)
        self._writers: dict[str, BusPublisher] = {}
        self._links: dict[str, BusConnection] = {}
        self._listener: BusListener | None = None
        self._wishes: dict[str, Subscription] = {}
        self._placed: dict[str, str] = {}
        self._misplaced = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, listener: BusListener) -> None:
        """Begin to connect; subscriptions wait until that succeeds."""
        self._listener = listener
        self._tasks = [asyncio.ensure_future(self._follow())]

    async def stop(self) -> None:
        """Close every connection."""
        await end(self._tasks)
        self._tasks = []
        for link in self._links.values():
            await link.stop()
        self._links.clear()
        for close in (*(writer.aclose for writer in self._writers.values()), self._placing.aclose):
            with contextlib.suppress(*REDIS_FAULTS):
                await close()
        self._writers.clear()

    @property
    def is_up(self) -> bool:
        """Whether everything subscribed to is heard now, as far as a heartbeat can tell."""
        return bool(self._links) and all(link.is_up for link in self._links.values())

    # --- out

    async def publish(self, messages: Sequence[Message]) -> None:
        """Publish in order, in one round trip a server.

        Raises RedisError, OSError or TimeoutError; what was sent is then unknown, and the numbers used are
        not used again, so that receivers see a gap.
        """
        packed = [((self._prefix + m.channel).encode(), self._numbers.pack(m)) for m in messages]
        if not self._placing.servers():
            await self._placing.look()
        refused, faults = await self._send(packed)
        if self._placing.is_sharded and (refused or (faults and not self._tasks)):
            await self._placing.look()  # slots have moved
            refused, more = await self._send(refused)
            faults += more
        if faults:
            raise faults[0]
        if refused:
            raise RedisError(f"{len(refused)} messages were refused")

    async def _send(self, packed: Sequence[Packed]) -> tuple[list[Packed], list[BaseException]]:
        """What was refused by the servers that should have it, and what went wrong with them."""
        parts: dict[str, list[Packed]] = {}
        refused: list[Packed] = []
        for message in packed:
            server = self._placing.of(message[0])
            (refused if server is None else parts.setdefault(server, [])).append(message)
        sending = [self._writer(server).publish(part) for server, part in parts.items()]
        answers = await asyncio.gather(*sending, return_exceptions=True)
        faults: list[BaseException] = []
        for part, answer in zip(parts.values(), answers, strict=True):
            if isinstance(answer, BaseException):
                faults.append(answer)
            else:
                refused += [part[place] for place in answer]
        return refused, faults

    def _writer(self, server: str) -> BusPublisher:
        writer = self._writers.get(server)
        if writer is None:
            client = server_client(server, timeout_s=self._timeout_s)
            sharded = self._placing.is_sharded
            writer = self._writers[server] = BusPublisher(client, sharded=sharded, timeout_s=self._timeout_s)
        return writer

    # --- wishes

    async def subscribe(self, channel: str, timeout_s: float) -> bool:
        """Ask for ``channel``; True once Redis has confirmed, False when it has not in ``timeout_s``.

        The wish stands either way, and a later confirmation is told as a doubt.
        """
        wish = self._wishes.get(channel)
        if wish is None:
            wish = self._wishes[channel] = Subscription(asyncio.get_running_loop().create_future())
            await self._place(channel, wish)
        await asyncio.wait([wish.confirmed], timeout=timeout_s)  # raises nothing when the wish is taken back
        if wish.confirmed.done() and not wish.confirmed.cancelled():
            return True
        wish.stale = True
        return False

    async def unsubscribe(self, channel: str) -> None:
        """Stop receiving ``channel``."""
        if (wish := self._wishes.pop(channel, None)) is not None:
            wish.confirmed.cancel()
            link = self._links.get(self._placed.pop(channel, ""))
            if link is not None:
                await link.remove(channel)

    @property
    def subscriptions(self) -> list[str]:
        """The channels asked for."""
        return list(self._wishes)

    # --- where they belong

    async def _follow(self) -> None:
        """Keep a link to every server that has channels, and every wish at the server that has it."""
        while True:
            self._misplaced.clear()
            try:
                is_news = await self._placing.look()
                await self._settle(is_news)
            except REDIS_FAULTS as error:
                log.warning("bus: %s", type(error).__name__)
            except Exception:
                log.exception("bus: wishes are placed again")
            await asyncio.sleep(LOOK_AGAIN_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._misplaced.wait()

    async def _settle(self, is_news: bool) -> None:
        servers = self._placing.servers()
        for server, link in list(self._links.items()):
            if server not in servers or self._placing.of(link.heartbeat.encode()) != server:
                await self._unlink(server)
        for server in servers - self._links.keys():
            self._link(server)
        if is_news or len(self._placed) < len(self._wishes):
            for channel, wish in list(self._wishes.items()):
                await self._place(channel, wish)
        for link in list(self._links.values()):
            await link.ask_again()

    def _link(self, server: str) -> None:
        link = self._links[server] = BusConnection(
            server,
            self,
            self._writer(server),
            prefix=self._prefix,
            heartbeat=heartbeat_on(self._placing, server, f"{self._prefix}canary:{self.publisher}"),
            sharded=self._placing.is_sharded,
            timings=self._timings,
            timeout_s=self._timeout_s,
        )
        link.start()

    async def _unlink(self, server: str) -> None:
        """Give up a server that has nothing for us any more."""
        link = self._links.pop(server)
        for channel in [name for name, place in self._placed.items() if place == server]:
            del self._placed[channel]
            self._wishes[channel].interrupt()
        await link.stop()
        if server not in self._placing.servers():
            with contextlib.suppress(*REDIS_FAULTS):
                await self._writers.pop(server).aclose()

    async def _place(self, channel: str, wish: Subscription) -> None:
        """Give a wish to the link that can fulfil it. Without one it waits until there is."""
        server = self._placing.of((self._prefix + channel).encode())
        before = self._placed.get(channel)
        if server == before or server not in self._links:
            return
        self._placed[channel] = server
        if before is not None:
            wish.interrupt()
            await self._links[before].remove(channel)
        if self._wishes.get(channel) is wish:  # it may have been taken back meanwhile
            await self._links[server].add(channel, wish)

    # --- in

    def on_misplaced(self) -> None:
        """A link's server may have lost channels: look who has them."""
        self._misplaced.set()

    def on_resubscribed(self, channel: str) -> None:
        """A link hears ``channel`` again."""
        if self._listener is not None:
            self._listener.on_doubt([channel], "resubscribed")

    def on_data(self, channel: str, data: bytes) -> None:
        """A message came over a link."""
        wish = self._wishes.get(channel)
        if wish is None or self._listener is None:
            return
        try:
            envelope = read(data)
        except MalformedEnvelope as refusal:
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
