"""``RedisManager``: rooms that span processes, over Redis pub/sub.

A room has a channel, and a process subscribes to it only while it has members of its own. A message to one
client goes to the process that its sid names. What travels is the ready JSON of the event: a receiver checks
it, frames it once, and writes the same bytes to its members.
"""

import asyncio
import inspect
import logging
import re
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from realtime.aio import end
from realtime.bus.bus import RedisBus
from realtime.bus.envelope import BusItem, Message
from realtime.fanout.socketio import packets
from realtime.fanout.socketio.members import MemberState
from realtime.fanout.socketio.packets import Assembly, Body, Json, MalformedPacket, NativeCodec, Packet
from realtime.fanout.socketio.rooms import FanoutManager, arguments, skips
from realtime.redis.topology import REDIS_FAULTS

log = logging.getLogger(__name__)

PUBLISH_PAUSES_S: Final = (0.05, 0.2)
"""How long to wait before a publish that failed is tried again; then the emitter is told."""
SUBSCRIBE_TIMEOUT_S: Final = 1.0
RECENT: Final = 4_096
"""Messages remembered so that one that comes twice (by several rooms, or tried again) is taken once."""
MAX_AWAITED: Final = 4_096
"""Answers awaited from clients of other processes. The oldest is forgotten beyond it."""
MAX_ATTACHMENTS: Final = 1_024

_SID: Final = re.compile(r".+\.[A-Za-z0-9_-]{24}")
_ARGS: Final = msgspec.json.Decoder(list[msgspec.Raw])


class BusUnavailable(ConnectionError):
    """What was asked could not be passed to the other processes; this one has done its part."""


class Order(msgspec.Struct, array_like=True, frozen=True):
    """What stands at the head of a message. ``reply`` is where an answer goes: a host and its number."""

    id: str
    rooms: list[str | int] | None = None
    skip: list[str] = []
    sid: str = ""
    reply: tuple[str, int] | None = None


_ORDER: Final = msgspec.msgpack.Decoder(Order)


class RedisManager(FanoutManager):
    """A FanoutManager whose rooms span every process on the same bus. The bus is its own from here on.

    A publish that fails is tried again and then raised as BusUnavailable: nothing is dropped in silence.
    ``dropped`` counts what came over the bus and was refused, ``doubts`` when something may have been missed.
    """

    def __init__(self, bus: RedisBus) -> None:
        super().__init__()
        self.bus = bus
        self.dropped: Counter[str] = Counter()
        self.doubts: Counter[str] = Counter()
        self._host = secrets.token_hex(8)
        self._wanted: set[str] = set()
        self._dirty: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._recent: dict[str, None] = {}
        self._awaited: dict[int, Callable[..., Any]] = {}
        self._last_id = 0

    def initialize(self) -> None:
        """Begin to listen. Idempotent."""
        if self._worker is None:
            self.bus.start(self)
            self._want(f"host:{self._host}")
            self._want(f"server:{self.server.eio.server_name}")
            self._worker = asyncio.ensure_future(self._settle())

    async def stop(self) -> None:
        """Leave the bus for good."""
        if self._worker is not None:
            await end([self._worker])
        await self.bus.stop()

    # --- interest: a channel is subscribed to while somebody here is in its room

    def _want(self, channel: str) -> None:
        self._wanted.add(channel)
        self._dirty[channel] = None
        self._wake.set()

    def _unwant(self, channel: str) -> None:
        self._wanted.discard(channel)
        self._dirty[channel] = None
        self._wake.set()

    async def _settle(self) -> None:
        """One change after the other, so that a leaving never overtakes the next entering."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._dirty:
                channel = next(iter(self._dirty))
                del self._dirty[channel]
                if channel in self._wanted:
                    await self.bus.subscribe(channel, 0)
                else:
                    await self.bus.unsubscribe(channel)

    async def _confirmed(self, channel: str) -> None:
        """Wait until Redis has taken the subscription, unless Redis is away: then it follows by itself."""
        if self.bus.is_up and channel in self._wanted:
            await self.bus.subscribe(channel, SUBSCRIBE_TIMEOUT_S)

    async def pre_connect(self, eio_sid: str, namespace: str) -> str | None:
        sid = await super().pre_connect(eio_sid, namespace)
        if sid is not None:
            self._want(_everybody(namespace))
            await self._confirmed(_everybody(namespace))
        return sid

    def basic_enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        channel = _channel(namespace, room) if room != sid else None
        if channel is not None and _looks_like_a_sid(room):
            raise ValueError("room looks like a sid")
        super().basic_enter_room(sid, namespace, room, eio_sid)
        if channel is not None and channel not in self._wanted:
            self._want(channel)

    def basic_leave_room(self, sid: str, namespace: str, room: Any) -> None:
        super().basic_leave_room(sid, namespace, room)
        if room != sid and room not in self.rooms.get(namespace, {}):
            channel = _everybody(namespace) if room is None else _channel(namespace, room)
            if channel in self._wanted:
                self._unwant(channel)

    # --- out

    async def emit(
        self,
        event: str,
        data: Any,
        namespace: str | None = None,
        room: Any = None,
        skip_sid: Any = None,
        callback: Callable[..., Any] | None = None,
        to: Any = None,
        **kwargs: Any,
    ) -> None:
        """Send an event to a client, rooms, or everybody in the namespace, in every process.

        Raises BusUnavailable when the others could not be told; the clients of this process have been.
        """
        namespace, room = namespace or "/", to or room
        if callback is not None and room is None:
            raise ValueError("callback needs a client or a room")
        self.emit_here(event, data, namespace, room, skip_sid, callback)
        if kwargs.get("ignore_queue") or (isinstance(room, str) and self.is_sid_room(namespace, room)):
            return
        rooms = None if room is None else [room] if isinstance(room, (str, int)) else list(room)
        body = packets.pack([event, *arguments(data)], self._json)
        reply = None if callback is None else (self._host, self._await(callback))
        order = Order(secrets.token_hex(8), rooms, list(skips(skip_sid)), reply=reply)
        channels = [_everybody(namespace)] if rooms is None else [_address(namespace, one) for one in rooms]
        await self._publish("emit", dict.fromkeys(channels), namespace, order, body)

    async def can_disconnect(self, sid: str, namespace: str) -> bool:
        if self.member(sid, namespace) is not None:
            return self.is_connected(sid, namespace)
        await self._ask("disconnect", namespace, sid)
        return False

    async def enter_room(self, sid: str, namespace: str, room: Any, eio_sid: str | None = None) -> None:
        if self.member(sid, namespace) is None:
            await self._ask("enter", namespace, sid, room)
        else:
            self.basic_enter_room(sid, namespace, room, eio_sid)
            await self._confirmed(_channel(namespace, room))

    async def leave_room(self, sid: str, namespace: str, room: Any) -> None:
        if self.member(sid, namespace) is None:
            await self._ask("leave", namespace, sid, room)
        else:
            self.basic_leave_room(sid, namespace, room)

    async def close_room(self, room: Any, namespace: str) -> None:
        self.basic_close_room(room, namespace)
        order = Order(secrets.token_hex(8), [room])
        await self._publish("close", [_channel(namespace, room)], namespace, order)

    @property
    def _json(self) -> Json:
        codec = self.server.codec
        if not isinstance(codec, NativeCodec):
            raise ValueError("a bus needs the default serializer")
        return codec.json

    async def _ask(self, kind: str, namespace: str, sid: str, room: Any = None) -> None:
        """Ask the process that ``sid`` names; a sid that names none is nobody's."""
        if _looks_like_a_sid(sid):
            order = Order(secrets.token_hex(8), None if room is None else [room], sid=sid)
            await self._publish(kind, [_address(namespace, sid)], namespace, order)

    async def _publish(
        self, kind: str, channels: Any, namespace: str, order: Order, body: Body | None = None
    ) -> None:
        items = [BusItem(namespace, 0, msgspec.msgpack.encode(order))]
        if body is not None:
            items += [BusItem("", 0, part) for part in (body.json, *body.attachments)]
        messages = [Message(channel, kind, items, 0) for channel in channels]
        for pause_s in (*PUBLISH_PAUSES_S, None):
            try:
                await self.bus.publish(messages)
                return
            except REDIS_FAULTS as error:
                if pause_s is None:
                    why = f"other processes were not told: {type(error).__name__}"
                    raise BusUnavailable(why) from error
                await asyncio.sleep(pause_s)

    def _await(self, callback: Callable[..., Any]) -> int:
        if len(self._awaited) >= MAX_AWAITED:
            del self._awaited[next(iter(self._awaited))]
        self._last_id += 1
        self._awaited[self._last_id] = callback
        return self._last_id

    # --- in (Listener)

    def on_message(self, channel: str, kind: str, items: Sequence[BusItem], at_ms: int) -> None:
        """Take a message of another process; what is not sound is dropped and counted."""
        try:
            order = _ORDER.decode(items[0].fragment)
            take = _TAKERS[kind]
            if order.id not in self._recent:
                take(self, items[0].key, order, [item.fragment for item in items[1:]])
                self._recent[order.id] = None
        except (msgspec.MsgspecError, ValueError, LookupError, TypeError, RecursionError):
            self.on_dropped("malformed")
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]

    def on_doubt(self, channels: Sequence[str], reason: str) -> None:
        """Something may have been missed. Socket.IO has no replay; it is counted."""
        self.doubts[reason] += len(channels)

    def on_dropped(self, reason: str) -> None:
        """A message was not taken."""
        self.dropped[reason] += 1

    def _take_emit(self, namespace: str, order: Order, parts: list[bytes]) -> None:
        body = Body(parts[0], tuple(parts[1:]))
        body.json.decode()
        if not _ARGS.decode(body.json):
            raise ValueError("an event without a name")
        members = self.members_in(namespace, order.rooms)
        if order.reply is None:
            frames = packets.framed(packets.EVENT, namespace, body)
            self.deliver(frames, members, order.skip, to_all=order.rooms is None)
            return
        for member in members:
            if member.sid not in order.skip:
                ack_id = member.owe(partial(self._answer, namespace, order.reply))
                member.write(packets.framed(packets.EVENT, namespace, body, ack_id))

    def _answer(self, namespace: str, reply: tuple[str, int], *args: Any) -> Any:
        """A client here has answered a process elsewhere."""
        body = packets.pack([reply[1], *args], self._json)
        return self._publish("answer", [f"host:{reply[0]}"], namespace, Order(secrets.token_hex(8)), body)

    def _take_answer(self, namespace: str, order: Order, parts: list[bytes]) -> None:
        packet = Packet(packets.ACK, namespace, None, len(parts) - 1, self._json.loads(parts[0].decode()))
        if parts[1:]:
            packet = _whole(packet, parts[1:])
        number, *args = packet.data
        callback = self._awaited.pop(number, None)
        outcome = callback(*args) if callback is not None else None
        if inspect.isawaitable(outcome):
            self.server.eio.background(outcome)

    def _take_disconnect(self, namespace: str, order: Order, parts: list[bytes]) -> None:
        self.server.eio.background(self.server.disconnect(order.sid, namespace, ignore_queue=True))

    def _take_enter(self, namespace: str, order: Order, parts: list[bytes]) -> None:
        member = self.member(order.sid, namespace)
        if member is not None and member.state in (MemberState.PENDING, MemberState.JOINED):
            self.basic_enter_room(order.sid, namespace, (order.rooms or [])[0])

    def _take_leave(self, namespace: str, order: Order, parts: list[bytes]) -> None:
        if self.member(order.sid, namespace) is not None:
            self.basic_leave_room(order.sid, namespace, (order.rooms or [])[0])

    def _take_close(self, namespace: str, order: Order, parts: list[bytes]) -> None:
        self.basic_close_room((order.rooms or [])[0], namespace)


_TAKERS: Final = {
    "emit": RedisManager._take_emit,
    "answer": RedisManager._take_answer,
    "disconnect": RedisManager._take_disconnect,
    "enter": RedisManager._take_enter,
    "leave": RedisManager._take_leave,
    "close": RedisManager._take_close,
}


def _whole(packet: Packet, parts: Sequence[bytes]) -> Packet:
    assembly = Assembly(packet, max_attachments=MAX_ATTACHMENTS, max_bytes=sum(map(len, parts)))
    for part in parts:
        made = assembly.add(part)
    if made is None:
        raise MalformedPacket("an attachment is missing")
    return made


def _looks_like_a_sid(room: Any) -> bool:
    return isinstance(room, str) and _SID.fullmatch(room) is not None


def _everybody(namespace: str) -> str:
    return f"all:{namespace}"


def _channel(namespace: str, room: Any) -> str:
    """The channel of a room. Raises ValueError for a room that is no text and no number."""
    if isinstance(room, str):
        return f"room:{namespace},{room}"
    if type(room) is int:
        return f"number:{namespace},{room}"
    raise ValueError(f"room is a {type(room).__name__}, not text or a number")


def _address(namespace: str, room: Any) -> str:
    """Where to publish what is for ``room``: a client's own process, or all that have members."""
    return f"server:{room.rpartition('.')[0]}" if _looks_like_a_sid(room) else _channel(namespace, room)
