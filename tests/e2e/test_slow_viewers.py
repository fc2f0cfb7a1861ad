"""A viewer that reads nothing: its instance's memory is bounded, it is cut off, the others notice nothing."""

import asyncio
import base64
import os
import select
import socket
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from geo.position import Point
from realtime.bus.bus import Message, RedisBus
from realtime.client import LatestView
from realtime.live.topics import POSITIONS, position_item, vendor_channel
from tests.e2e.cluster import until
from tests.e2e.world import World, now_ms

DRIVERS = 2_000
WARM_UP = 8
MIB = 1024 * 1024
SOFT_LIMIT_BYTES = 256 * 1024
"""What a viewer may leave unread before it is skipped: VIEWER_BUFFER_BYTES by default."""
ALLOCATOR_SLACK_BYTES = 6 * MIB


class MuteViewer:
    """Watches a vendor over a raw websocket and, from the snapshot on, reads nothing. It still says pong."""

    def __init__(self, receive_buffer: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._socket.settimeout(20.0)

    def watch(self, url: str, token: str, vendor: str) -> None:
        place = urlsplit(url)
        self._socket.connect((place.hostname, place.port))
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            f"Host: {place.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._read_until(b"\r\n\r\n")
        self._say(f'40/watch,{{"token":"{token}"}}')
        self._read_until(b"40/watch,")
        self._say(f'42/watch,0["watch",{{"feed":{{"vendor":"{vendor}"}}}}]')
        self._read_until(b"43/watch,0[")

    def read(self) -> None:
        """Take what is there now."""
        while select.select([self._socket], [], [], 0)[0]:
            assert self._socket.recv(1 << 20), "closed"

    def pong(self) -> None:
        """Only what reads nothing is on trial, not what is silent."""
        try:
            self._say("3")
        except OSError:
            return  # cut off already

    def reads_to_the_end(self) -> int:
        """Read what is left until the server's end; the bytes. Raises TimeoutError when there is no end."""
        left = 0
        try:
            while more := self._socket.recv(1 << 20):
                left += len(more)
        except ConnectionError:
            return left
        return left

    def close(self) -> None:
        self._socket.close()

    def _say(self, text: str) -> None:
        # A mask of zeros is a mask.
        payload = text.encode()
        size = (
            bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        )
        self._socket.sendall(b"\x81" + size + b"\0\0\0\0" + payload)

    def _read_until(self, mark: bytes) -> None:
        seen = b""
        while mark not in seen:
            select.select([self._socket], [], [], 20.0)
            more = self._socket.recv(4096)
            assert more, f"closed after {seen[-200:]!r}"
            seen += more


class Flood:
    """Another instance with big fleets: a round moves every driver of every vendor.

    Who is mute watches a vendor of its own: the frames of one feed are shared, and would hide what is kept a
    viewer.
    """

    def __init__(self, world: World, bus: RedisBus, mute: int) -> None:
        self.vendors = [world.vendor, *(f"v{n}" for n in range(mute))]
        self._channels = [vendor_channel(world.tenant, vendor) for vendor in self.vendors]
        self._journey = str(uuid4())
        self._bus = bus
        self.rounds = 0
        self.bytes_a_round = 0

    async def move(self) -> None:
        self.rounds += 1
        t_ms = now_ms()
        items = [
            position_item(f"d{n}", self._journey, Point(self.rounds, t_ms, 53.4, -2.9, 8.5, 90.0), t_ms)
            for n in range(DRIVERS)
        ]
        self.bytes_a_round = sum(len(item.fragment) for item in items)
        for channel in self._channels:
            await self._bus.publish([Message(channel, POSITIONS, items, t_ms)])

    def seen_by(self, view: LatestView) -> bool:
        """Whether ``view`` has every driver where the last round put it."""
        return len(view.positions) == DRIVERS and all(
            point[0] == self.rounds for _, point in view.positions.values()
        )


def rss_bytes(pid: int) -> int:
    """The resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmRSS"))
    return int(kib) * 1024


@pytest.mark.parametrize(
    ("receive_buffer", "count"), [(4_096, 12), (8 * MIB, 4)], ids=["small buffer", "large buffer"]
)
async def test_who_reads_nothing_costs_little_and_nobody_else_notices(
    world: World, receive_buffer: int, count: int
) -> None:
    cluster = world.cluster
    name = cluster.instances[0]
    # A fresh process: memory that an earlier test used and freed would hide what this one uses.
    await cluster.kill(name)
    await cluster.until_up(name)
    url, pid = cluster.url_of(name), cluster.pid(name)
    assert pid is not None
    bus = RedisBus(cluster.redis_url, timeout_s=20.0)  # the flood itself may be slow
    flood = Flood(world, bus, count)
    mute = [MuteViewer(receive_buffer) for _ in range(count)]
    try:
        async with world.watcher(url) as near, world.watcher(cluster.url_of(cluster.instances[1])) as far:
            views = [await watcher.watch_vendor(world.vendor) for watcher in (near, far)]
            for viewer, vendor in zip(mute, flood.vendors[1:], strict=True):
                await asyncio.to_thread(viewer.watch, url, world.token(), vendor)

            async def move() -> None:
                await flood.move()
                await until(lambda: all(flood.seen_by(view) for view in views), "who reads sees each round")
                for viewer in mute:
                    viewer.pong()

            async def stalled() -> float:
                return await cluster.metric(name, "wayguard_viewers_stalled_total")

            for _ in range(WARM_UP):
                await move()
                for viewer in mute:
                    viewer.read()
            before, stalled_before, rounds_before = rss_bytes(pid), await stalled(), flood.rounds
            peak, begun_s = before, asyncio.get_running_loop().time()
            bound = count * (SOFT_LIMIT_BYTES + flood.bytes_a_round)
            while await stalled() < stalled_before + count:
                await move()
                peak = max(peak, rss_bytes(pid))
                assert peak - before <= bound + ALLOCATOR_SLACK_BYTES
                assert asyncio.get_running_loop().time() - begun_s < 60.0, "who reads nothing is not cut off"
            took_s = asyncio.get_running_loop().time() - begun_s
            growth, fed = peak - before, (flood.rounds - rounds_before) * flood.bytes_a_round
            print(
                f"{count} viewers read nothing of {fed / MIB:.1f} MiB each; the instance grew by "
                f"{growth / MIB:.1f} MiB; all were cut after {took_s:.1f} s"
            )
            assert (near.link.connects, far.link.connects) == (1, 1)
            assert all(view.snapshots == 1 and not view.went_back for view in views)
            for viewer in mute:
                assert await asyncio.to_thread(viewer.reads_to_the_end) < fed
    finally:
        for viewer in mute:
            viewer.close()
        await bus.stop()
