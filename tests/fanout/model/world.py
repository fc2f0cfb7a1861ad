"""Two instances of the fan-out on a real Redis, and the truth behind them, which is also the model."""

import asyncio
import contextlib
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import redis.asyncio as redis
from aiohttp import web
from msgspec import Raw

from realtime.bus.bus import BusItem, BusTimings, Message, RedisBus
from realtime.fanout.engineio import frames
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.hub.channel import LogEnd
from realtime.fanout.hub.hub import Hub, HubTimings
from realtime.fanout.socketio.server import FanoutServer, Reply
from tests.fanout.kit import until
from tests.fanout.model.client import NAMESPACE, PATIENCE_S, Viewer

BUFFER_LIMIT_BYTES = 16 * 1024
SEND_BUFFER_BYTES = 8 * 1024
PADDING = "." * 500
LOGS = ("journey:one", "journey:two")
BOARDS = ("vendor:one", "driver:a")
"""The second is one key of the first's board."""
BOARD_CHANNEL = "v:one"
BUS_TIMINGS = BusTimings(heartbeat_s=0.1, heartbeat_lost_s=3.0, reconnect_s=0.05)
HUB_TIMINGS = HubTimings(retry_s=0.1)
"""A loss of the bus is over soon; how it is found out stays as it is."""


@dataclass
class Truth:
    """What is so: the model, and the origin every instance reads after a doubt."""

    logs: dict[str, list[bytes]] = field(default_factory=lambda: {label: [] for label in LOGS})
    board: dict[str, BusItem] = field(default_factory=dict)

    def append(self, label: str) -> BusItem:
        """The next entry of a log."""
        entries = self.logs[label]
        entries.append(frames.json_bytes([len(entries) + 1, PADDING]))
        return BusItem("", len(entries), entries[-1])

    def move(self, key: str, order: int) -> BusItem:
        """A spot of a board; it counts unless something newer is known."""
        item = BusItem(key, order, frames.json_bytes([key, order, PADDING]))
        if key not in self.board or self.board[key].order < order:
            self.board[key] = item
        return item

    async def load_board(self, channel: str) -> Sequence[tuple[str, Sequence[BusItem]]]:
        items = list(self.board.values())
        await asyncio.sleep(0)
        return [("positions", items)]

    async def read_log(self, channel: str, since: int, limit: int) -> list[BusItem]:
        entries = self.logs[channel][since : since + limit]
        await asyncio.sleep(0)
        return [BusItem("", since + n, entry) for n, entry in enumerate(entries, 1)]

    async def log_ends(self, channels: Sequence[str]) -> dict[str, LogEnd]:
        ends = {channel: LogEnd(len(self.logs[channel])) for channel in channels if channel in self.logs}
        await asyncio.sleep(0)
        return ends


class Silent:
    """An observer with nothing to say."""

    def refilled(self, reason: str) -> None: ...
    def dropped(self, reason: str) -> None: ...
    def received(self, kind: str, items: int) -> None: ...
    def stalled(self) -> None: ...
    def delivered(self, kind: str, age_ms: int) -> None: ...


class Instance:
    """One server with its hub and its end of the bus; the router of its events."""

    def __init__(self, truth: Truth, redis_url: str, prefix: str) -> None:
        self.bus = RedisBus(redis_url, prefix=prefix, timeout_s=2.0, timings=BUS_TIMINGS)
        self.hub = Hub(
            self.bus,
            truth,
            Silent(),
            namespace=NAMESPACE,
            tick_s=0.01,
            buffer_limit_bytes=BUFFER_LIMIT_BYTES,
            stall_s=60.0,
            on_stalled=lambda member: member.abort(),
            now_ms=lambda: 0,
            timings=HUB_TIMINGS,
        )
        self.server = FanoutServer(
            router=self,
            buffer_limit_bytes=BUFFER_LIMIT_BYTES,
            cors_allowed_origins="*",
            logger=False,
            engineio_logger=False,
        )
        self.server.on("connect", self._connected, namespace=NAMESPACE)
        self.server.on("disconnect", self._gone, namespace=NAMESPACE)
        self.sessions: list[weakref.ref[EngineSocket]] = []
        self.port = 0
        self._sockets: dict[str, EngineSocket] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def _connected(self, sid: str, environ: dict[str, Any], auth: Any) -> None:
        eio_sid = self.server.manager.eio_sid_from_sid(sid, NAMESPACE)
        member = self.server.socket_of(eio_sid or "")
        assert member is not None
        self.server.admitted(member.sid)
        self.sessions.append(weakref.ref(member))
        self._sockets[sid] = member

    def _gone(self, sid: str, reason: str) -> None:
        self.hub.drop(self._sockets.pop(sid))

    def on_event(
        self, member: EngineSocket, namespace: str, name: str, args: list[Raw], reply: Reply
    ) -> None:
        label, since = msgspec.json.decode(args[0]), msgspec.json.decode(args[1])
        if name == "leave":
            self.hub.leave(label, member)
            reply(b'"ok"')
            return
        task = asyncio.ensure_future(self._join(member, label, since, reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _join(self, member: EngineSocket, label: str, since: int | None, reply: Reply) -> None:
        if label in LOGS:
            joined = await self.hub.join.log(label, label, member, since)
            first = joined.through - len(joined.fragments)
            fragments = joined.fragments
        else:
            key = None if label == BOARDS[0] else label.partition(":")[2]
            snapshot = await self.hub.join.board(BOARD_CHANNEL, label, key, member)
            first, fragments = None, snapshot.get("positions", [])
        head = frames.json_bytes({"feed": label, "since": first})
        reply(head[:-1] + b',"snapshot":' + frames.listed(fragments) + b"}")

    def on_fault(
        self, member: EngineSocket, namespace: str, fault: str, reply: Reply, body: str = ""
    ) -> None:
        raise AssertionError(f"fault {fault}")

    async def serve(self) -> web.AppRunner:
        """Listen, with little room for what a client does not read."""
        self.hub.start()
        app = web.Application()
        self.server.attach(app)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        listener.bind(("127.0.0.1", 0))
        await web.SockSite(runner, listener).start()
        self.port = listener.getsockname()[1]
        return runner


@dataclass
class World:
    """Everything there is. Slots hold the viewers."""

    truth: Truth
    instances: list[Instance]
    mischief: "redis.Redis"
    prefix: str
    slots: dict[int, Viewer] = field(default_factory=dict)

    async def publish(self, instance: int, label: str, items: list[BusItem], *, lost: bool) -> None:
        """Tell the viewers of ``instance``, and the others over the bus unless that is ``lost``."""
        channel = label if label in LOGS else BOARD_CHANNEL
        at = self.instances[instance]
        at.hub.publish(channel, "positions", items, 0)
        if not lost:
            await at.bus.publish([Message(channel, "positions", items, 0)])

    async def lose_bus(self) -> None:
        """Every subscription breaks off."""
        await self.mischief.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

    async def settle(self) -> None:
        """Wait until every viewer that reads has what the model says."""
        reading = [viewer for viewer in self.slots.values() if not viewer.stalled]
        for viewer in reading:
            await viewer.settled()
        await until(lambda: all(one.bus.is_up for one in self.instances), "the bus")
        for one in self.instances:
            await one.hub.audit()
        for viewer in reading:
            await until(lambda viewer=viewer: viewer.faults or self._is_current(viewer), "what is true")  # type: ignore[misc]
            assert viewer.faults == []

    def _is_current(self, viewer: Viewer) -> bool:
        for label, membership in viewer.memberships.items():
            if label in LOGS:
                last = membership.entries[-1] if membership.entries else membership.since
                if last != len(self.truth.logs[label]):
                    return False
            else:
                only = None if label == BOARDS[0] else label.partition(":")[2]
                spots = {k: item.order for k, item in self.truth.board.items() if only in (None, k)}
                if membership.newest != spots:
                    return False
        return True

    async def emptied(self) -> None:
        """Everybody goes; nothing is left of them."""
        for viewer in self.slots.values():
            await viewer.close(politely=True)
        self.slots.clear()
        for one in self.instances:
            await until(lambda one=one: not one.server.eio.sockets, "the sessions' end")  # type: ignore[misc]
            await until(lambda one=one: one.hub.counts().channels == 0, "the channels' end")  # type: ignore[misc]
            await until(lambda one=one: not one.bus.subscriptions, "the subscriptions' end")  # type: ignore[misc]
            assert one.hub.counts().behind == 0
            await until(lambda one=one: not _alive(one), "the sessions' memory")  # type: ignore[misc]
        async with asyncio.timeout(PATIENCE_S):
            while await self._subscribed():
                await asyncio.sleep(0.01)

    async def _subscribed(self) -> list[bytes]:
        """What Redis knows of subscriptions beside the canaries."""
        channels: list[bytes] = await self.mischief.pubsub_channels(f"{self.prefix}*")
        return [name for name in channels if b"canary" not in name]


def _alive(instance: Instance) -> list[EngineSocket]:
    gc.collect()
    return [session for ref in instance.sessions if (session := ref()) is not None]


@contextlib.asynccontextmanager
async def world(redis_url: str, prefix: str) -> AsyncIterator[World]:
    """Two instances; at the end they are stopped, and have no task left that they did not begin with."""
    truth = Truth()
    instances = [Instance(truth, redis_url, prefix) for _ in range(2)]
    mischief = redis.Redis.from_url(redis_url, socket_timeout=10)
    before = len(asyncio.all_tasks())
    runners = [await one.serve() for one in instances]
    made = World(truth, instances, mischief, prefix)
    try:
        await until(lambda: all(one.bus.is_up for one in instances), "the bus")
        yield made
    finally:
        for viewer in made.slots.values():
            await viewer.close(politely=False)
        for runner, one in zip(runners, instances, strict=True):
            for session in list(one.server.eio.sockets.values()):
                await session.close(wait=False, abort=True)
            await runner.cleanup()
            await one.hub.stop()
        await mischief.aclose()
    await until(lambda: len(asyncio.all_tasks()) <= before, "the tasks' end")
