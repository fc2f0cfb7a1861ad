"""The official socket.io-client through HAProxy: drivers on one instance, viewers on the other."""

from typing import Any
from uuid import uuid4

import pytest

from realtime.client import JourneyView
from tests.e2e.peer import Peer, peers
from tests.e2e.world import World, assert_complete, now_ms

TRANSPORTS = {
    "websocket": ["websocket"],
    "polling": ["polling"],
    "upgrade": ["polling", "websocket"],
}
LIVE = 60
BACKLOG = 2_000
BATCH = 400


def seen_by(peer: Peer, snapshot: dict[str, Any], feed: str) -> JourneyView:
    """The judgement on what a journey's viewer was told: its snapshot, then each event."""
    view = JourneyView({})
    view.take_snapshot(snapshot)
    for positions in peer.events("positions", feed):
        view.take_positions(positions)
    return view


def dots(peer: Peer, driver: str, feed: str) -> list[int]:
    """The seqs of the driver's live dot, in the order in which it moved."""
    return [
        point[0]
        for positions in peer.events("positions", feed)
        for name, _, point in positions
        if name == driver
    ]


class Drive:
    """A driver's journey by the official client."""

    def __init__(self, world: World, peer: Peer) -> None:
        self.world, self.peer = world, peer
        self.began_ms = now_ms() - 3_600_000
        self.journey_id = ""

    def point(self, seq: int) -> list[float]:
        return [seq, self.began_ms + seq * 1_000, 53.4 + seq * 1e-5, -2.9, 8.0, 90.0]

    async def start(self) -> None:
        payload = {"client_journey_id": str(uuid4()), "started_at": self.began_ms}
        answer = await self.peer.ask("journey:start", payload)
        assert answer["ok"] and answer["next_seq"] == 1
        self.journey_id = answer["journey_id"]

    async def send(self, first: int, last: int, **more: Any) -> None:
        points = [self.point(seq) for seq in range(first, last + 1)]
        answer = await self.peer.ask("positions", {"journey_id": self.journey_id, "points": points, **more})
        assert answer == {"ok": True, "through": last, "voided": []}


@pytest.mark.parametrize("by", TRANSPORTS)
async def test_snapshot_then_live_then_a_backlog_in_order_while_the_dot_moves(world: World, by: str) -> None:
    url, transports = world.cluster.url, TRANSPORTS[by]
    async with peers(3) as (app, journey_viewer, vendor_viewer):
        here = await app.connect(url, "/driver", world.token("driver", "d1"), transports)
        there = next(name for name in world.cluster.instances if name != here)
        for viewer in (journey_viewer, vendor_viewer):
            assert await viewer.connect(url, "/watch", world.token(), transports, there) == there
        if by == "upgrade":
            for peer in (app, journey_viewer, vendor_viewer):
                await peer.until(lambda peer=peer: peer.first("upgraded"), "it upgrades")
        drive = Drive(world, app)
        await drive.start()
        feed, dot_feed = f"journey:{drive.journey_id}", f"vendor:{world.vendor}"
        for seq in range(1, LIVE // 2 + 1):
            await drive.send(seq, seq)
        snapshot = await journey_viewer.ask("watch", {"feed": {"journey": drive.journey_id}})
        map_ = await vendor_viewer.ask("watch", {"feed": {"vendor": world.vendor}})
        assert snapshot["through"] == len(snapshot["snapshot"]["positions"]) == LIVE // 2
        assert map_["snapshot"]["positions"] == [["d1", drive.journey_id, padded(drive.point(LIVE // 2))]]
        assert map_["snapshot"]["presence"]["d1"]["state"] == "online"
        for seq in range(LIVE // 2 + 1, LIVE + 1):
            await drive.send(seq, seq)
        await journey_viewer.until(
            lambda: seen_by(journey_viewer, snapshot, feed).through == LIVE, "the live points"
        )

        last = LIVE + BACKLOG
        for first in range(LIVE + 1, last + 1, BATCH):
            await drive.send(first, first + BATCH - 1, latest=drive.point(last))
            # The dot is at the newest place from the first batch on, the log only as far as it was sent.
            await vendor_viewer.until(
                lambda: dots(vendor_viewer, "d1", dot_feed)[-1:] == [last], "the dot moves"
            )
            assert seen_by(journey_viewer, snapshot, feed).through <= first + BATCH - 1
        await journey_viewer.until(
            lambda: seen_by(journey_viewer, snapshot, feed).through == last, "the backlog"
        )
        assert_complete(seen_by(journey_viewer, snapshot, feed), await world.stored(drive.journey_id))
        moved = dots(vendor_viewer, "d1", dot_feed)
        assert moved == sorted(set(moved)) and moved[-1] == last
        assert len(await world.stored(drive.journey_id)) == last

        assert (await app.ask("journey:end", end_of(drive, last)))["ok"]
        await journey_viewer.until(lambda: journey_viewer.events("journey", feed), "the end")
        assert journey_viewer.events("journey", feed)[-1]["state"] == "ended"


def end_of(drive: Drive, last: int) -> dict[str, Any]:
    return {"journey_id": drive.journey_id, "ended_at": now_ms(), "last_seq": last}


def padded(point: list[float]) -> list[float | None]:
    """A point as the server says it: every field there."""
    return [*point, *[None] * (9 - len(point))]
