"""Areas over a fake bus, truth and space: every map shows what is there, whatever happened on the way."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import pytest

from realtime.bus.bus import BusItem, RedisBus
from realtime.fanout.engineio.frames import Frame
from realtime.fanout.engineio.session import EngineSocket
from realtime.fanout.feeds.areas import AreaJoin
from realtime.fanout.feeds.grid import Region
from realtime.fanout.hub.hub import Hub, HubBounds
from tests.fanout.hub.kit import QUICK, FakeBus, FakeOrigin, FakeServer, Observer
from tests.fanout.kit import until

LIMIT = 10_000
WIDTH = 64
"""The world is a line of so many places; a cell of level n holds 2^n of them."""


class Line:
    """The space: fragments are ``[key, place, order]``."""

    def place(self, fragment: bytes) -> int | None:
        place: int | None = json.loads(fragment)[1]
        return place

    def cell(self, place: int, level: int) -> int:
        return place >> level

    def label(self, cell: int) -> bytes:
        return b'"c%d"' % cell


def region(level: int, first: int, last: int) -> Region:
    """The cells of places ``first``…``last``."""
    return Region(level, frozenset(range(first >> level, (last >> level) + 1)))


@dataclass(eq=False)
class Map:
    """A viewer's page: it believes what the protocol says and nothing else."""

    server: FakeServer = field(default_factory=FakeServer)
    buffered_bytes: int = 0
    is_leaving: bool = False
    shown: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[Any] = field(default_factory=list)
    was_reset: bool = False
    writes: list[Sequence[Frame]] = field(default_factory=list)
    looks_at: Region | None = None
    counted: bool = False

    @property
    def socket(self) -> EngineSocket:
        return cast(EngineSocket, self)

    def write(self, frame: Frame) -> None:
        self.write_together([frame])

    def write_together(self, several: Sequence[Frame]) -> None:
        self.writes.append(several)
        for frame in several:
            name, *arguments = json.loads(frame.packet.partition(b",")[2])
            if name == "reset":
                self.was_reset = True
                continue
            assert arguments[0] == "area"
            if name == "positions":
                self.put(arguments[1])
                self.drop(*arguments[2:])
            elif name == "counts":
                self.count(arguments[1])
            else:
                self.notes.append((name, arguments[1]))

    def put(self, positions: Iterable[tuple[str, int, int]]) -> None:
        self.shown.update((key, place) for key, place, _ in positions)

    def drop(self, left: Iterable[str] = ()) -> None:
        for key in left:
            self.shown.pop(key, None)

    def count(self, entries: Iterable[tuple[str, int]]) -> None:
        for cell, number in entries:
            self.counts[cell] = number
            if not number:
                del self.counts[cell]

    def answered(self, told: AreaJoin) -> None:
        if told.fresh:
            self.shown, self.counts = {}, {}
        self.put(json.loads(fragment) for fragment in told.snapshot.get("positions", ()))
        self.drop(told.left)
        self.count(json.loads(entry) for entry in told.counts)


class World:
    """Boards, what is on them, and a hub."""

    def __init__(self, tick_s: float = 0.002, max_markers: int = 2_000) -> None:
        self.bus, self.origin = FakeBus(), FakeOrigin()
        self.observer = Observer()
        self.cut: list[EngineSocket] = []
        self.at: dict[str, dict[str, int]] = {"v:t/a": {}, "v:t/b": {}}
        self.order = 0
        self.origin.load_board = self._load  # type: ignore[method-assign]
        self.hub = Hub(
            cast(RedisBus, self.bus),
            self.origin,
            self.observer,
            namespace="/watch",
            tick_s=tick_s,
            buffer_limit_bytes=LIMIT,
            stall_s=60.0,
            on_stalled=self.cut.append,
            space=Line(),
            now_ms=lambda: 7,
            timings=QUICK,
            bounds=HubBounds(max_markers=max_markers),
        )
        self.hub.start()

    async def _load(self, channel: str) -> Sequence[tuple[str, Sequence[BusItem]]]:
        items = [self._item(key, place) for key, place in self.at[channel].items()]
        await self.origin._look()
        return [("positions", items)]

    def _item(self, key: str, place: int) -> BusItem:
        return BusItem(key, self.order, json.dumps([key, place, self.order]).encode())

    def move(self, key: str, place: int, channel: str = "v:t/a", published: bool = True) -> None:
        self.order += 1
        self.at[channel][key] = place
        if published:
            self.hub.publish(channel, "positions", [self._item(key, place)], 7)

    async def look(
        self,
        viewer: Map,
        markers: Region | None,
        counts: Region | None = None,
        channels: Sequence[str] = ("v:t/a", "v:t/b"),
    ) -> AreaJoin:
        shown = counts or markers
        assert shown is not None
        told = await self.hub.join.area(channels, "area", markers, shown, viewer.socket)
        viewer.answered(told)
        viewer.looks_at, viewer.counted = (shown if told.counted else markers), told.counted
        return told

    def truth(self, at: Region, channels: Iterable[str] = ("v:t/a", "v:t/b")) -> dict[str, int]:
        """What a map of ``at`` has to show."""
        return {
            key: place
            for channel in channels
            for key, place in self.at[channel].items()
            if place >> at.level in at.cells
        }

    def numbers(self, at: Region) -> dict[str, int]:
        """What a map that counts has to show."""
        found: dict[str, int] = {}
        for place in self.truth(at).values():
            cell = f"c{place >> at.level}"
            found[cell] = found.get(cell, 0) + 1
        return found

    def empty(self) -> bool:
        counts = self.hub.counts()
        held = self.hub._areas
        return (counts.channels, counts.feeds, self.bus.subscribed, held._on, held._moved) == (
            0,
            {},
            [],
            {},
            set(),
        )


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.hub.stop()


async def test_a_map_shows_who_is_there_who_comes_and_that_who_goes_has_gone(world: World) -> None:
    world.move("inside", 5)
    world.move("outside", 40)
    viewer, at = Map(), region(2, 0, 15)
    told = await world.look(viewer, at)
    assert told.fresh and viewer.shown == {"inside": 5}
    world.move("inside", 6)
    await until(lambda: viewer.shown == {"inside": 6}, "it moves")
    world.move("outside", 12, "v:t/b")
    world.at["v:t/a"].pop("outside")
    await until(lambda: viewer.shown == {"inside": 6, "outside": 12}, "it comes")
    world.move("inside", 16)
    await until(lambda: viewer.shown == {"outside": 12}, "it goes")


async def test_many_moves_of_one_tick_are_the_last_one(world: World) -> None:
    viewer = Map()
    world.move("d", 5)
    await world.look(viewer, region(2, 0, 15))
    for place in (20, 3, 50, 7):
        world.move("d", place)
    await until(lambda: viewer.shown == {"d": 7}, "where it is")
    for place in (8, 2, 60):
        world.move("d", place)
    await until(lambda: viewer.shown == {}, "it has gone")


async def test_the_same_view_is_framed_once_for_all_who_look_at_it(world: World) -> None:
    viewers = [Map() for _ in range(5)]
    elsewhere = Map()
    for viewer in viewers:
        await world.look(viewer, region(2, 0, 15))
    await world.look(elsewhere, region(2, 32, 47))
    assert world.hub.counts().feeds == {"area": 2}
    assert world.hub.counts().members == {"area": 6}
    world.move("d", 5)
    await until(lambda: all(viewer.shown == {"d": 5} for viewer in viewers), "all see it")
    assert len({id(viewer.writes[0][0]) for viewer in viewers}) == 1
    assert elsewhere.writes == []


async def test_a_map_that_moves_is_told_the_difference_alone(world: World) -> None:
    for place in range(0, 64, 4):
        world.move(f"d{place}", place)
    viewer = Map()
    await world.look(viewer, region(2, 0, 31))
    told = await world.look(viewer, region(2, 8, 39))
    assert not told.fresh
    assert sorted(json.loads(f)[0] for f in told.snapshot["positions"]) == ["d32", "d36"]
    assert told.left == ["d0", "d4"]
    assert viewer.shown == world.truth(region(2, 8, 39))
    told = await world.look(viewer, region(4, 0, 63))  # the zoom has changed, and with it the cells
    assert not told.fresh and told.left == []
    assert viewer.shown == world.truth(region(4, 0, 63))
    assert world.hub.counts().feeds == {"area": 1}
    world.hub.drop(viewer.socket)
    await until(world.empty, "nothing is left")


async def test_what_happens_to_a_driver_is_told_where_it_is_seen_and_when_it_comes_in(world: World) -> None:
    world.move("in", 3)
    world.move("out", 50)
    viewer = Map()
    await world.look(viewer, region(2, 0, 15))
    for key in ("in", "out", "unknown"):
        world.hub.publish("v:t/a", "presence", [BusItem(key, 1, json.dumps(key).encode())], 7)
    assert viewer.notes == [("presence", "in")]
    world.move("out", 7)
    await until(lambda: viewer.shown == {"in": 3, "out": 7}, "it comes in")
    assert viewer.notes == [("presence", "in"), ("presence", "out")]
    assert len(viewer.writes[-1]) == 2, "in one write"
    told = await world.look(Map(), region(2, 0, 15))
    assert sorted(told.snapshot["presence"]) == [b'"in"', b'"out"']


async def test_who_is_behind_is_skipped_and_then_shown_what_is_true(world: World) -> None:
    for n in range(6):
        world.move(f"d{n}", n)
    slow, fast, at = Map(), Map(), region(1, 0, 7)
    await world.look(slow, at)
    await world.look(fast, at)
    slow.buffered_bytes = LIMIT + 1
    world.move("d0", 1)
    await until(lambda: fast.shown["d0"] == 1, "the fast one")
    world.move("d1", 30)
    world.move("d9", 6)
    world.hub.publish("v:t/a", "presence", [BusItem("d2", 1, b'"d2"')], 7)
    await until(lambda: fast.shown == world.truth(at), "the fast one")
    assert slow.writes == [] and world.hub.counts().behind == 1
    slow.buffered_bytes = 0
    await until(lambda: slow.shown == world.truth(at), "the slow one")
    assert len(slow.writes) == 1 and slow.notes == [("presence", "d2")]
    assert sorted(slow.shown) == ["d0", "d2", "d3", "d4", "d5", "d9"]
    await until(lambda: world.hub.counts().behind == 0, "nobody is behind")


async def test_who_moves_the_map_while_behind_starts_over(world: World) -> None:
    world.move("d", 1)
    slow, fast = Map(), Map()
    await world.look(slow, region(2, 0, 15))
    await world.look(fast, region(2, 0, 15))
    slow.buffered_bytes = LIMIT + 1
    world.move("d", 20)
    await until(lambda: fast.shown == {}, "the fast one")
    slow.buffered_bytes = 0
    told = await world.look(slow, region(2, 4, 31))
    if told.fresh:  # else what was owed had been paid just before
        assert [json.loads(f)[0] for f in told.snapshot["positions"]] == ["d"]
    assert slow.shown == {"d": 20}


async def test_far_out_cells_are_counted_and_only_changes_are_told(world: World) -> None:
    for n in range(10):
        world.move(f"d{n}", n)
    viewer, at = Map(), region(3, 0, 63)
    told = await world.look(viewer, None, at)
    assert told.counted and viewer.counts == {"c0": 8, "c1": 2} and not told.snapshot
    world.move("d0", 1)  # inside its cell
    world.move("d9", 40, "v:t/a")
    await until(lambda: viewer.counts == {"c0": 8, "c1": 1, "c5": 1}, "the counts")
    assert len(viewer.writes) == 1
    world.move("d8", 41)
    await until(lambda: viewer.counts == {"c0": 8, "c5": 2}, "an empty cell is gone")
    told = await world.look(viewer, None, region(3, 8, 63))
    assert not told.fresh and told.counts == [b'["c0",0]']
    told = await world.look(viewer, region(2, 32, 47), at)
    assert told.fresh and not told.counted and viewer.shown == {"d8": 41, "d9": 40}
    world.hub.drop(viewer.socket)
    await until(world.empty, "nothing is left")


async def test_who_is_behind_with_counts_is_given_them_all(world: World) -> None:
    world.move("d", 1)
    slow, fast, at = Map(), Map(), region(3, 0, 63)
    await world.look(slow, None, at)
    await world.look(fast, None, at)
    slow.buffered_bytes = LIMIT + 1
    world.move("d", 20)
    await until(lambda: fast.counts == {"c2": 1}, "the fast one")
    world.move("d", 30)
    await until(lambda: fast.counts == {"c3": 1}, "the fast one")
    assert slow.writes == []
    slow.buffered_bytes = 0
    await until(lambda: slow.counts == {"c3": 1}, "the slow one")


async def test_too_many_markers_are_counted_and_a_map_that_fills_up_is_begun_anew() -> None:
    world = World(max_markers=4)
    for n in range(4):
        world.move(f"d{n}", n)
    viewer, at = Map(), region(2, 0, 15)
    assert not (await world.look(viewer, at)).counted
    for n in range(4, 6):
        world.move(f"d{n}", n)
    await until(lambda: viewer.was_reset, "it is told to watch again")
    assert world.hub.labels(viewer.socket) == []
    told = await world.look(viewer, at)
    assert told.counted and told.fresh and viewer.counts == {"c0": 4, "c1": 2}
    world.hub.drop(viewer.socket)
    await until(world.empty, "nothing is left")
    await world.hub.stop()


async def test_what_was_missed_is_made_whole_after_a_doubt(world: World) -> None:
    viewer, at = Map(), region(2, 0, 15)
    world.move("d", 1)
    await world.look(viewer, at)
    world.move("d", 50, published=False)
    world.move("e", 2, published=False)
    world.hub.on_doubt(["v:t/a"], "gap")
    await until(lambda: viewer.shown == {"e": 2}, "the truth")


async def test_what_has_no_place_is_nowhere(world: World) -> None:
    viewer = Map()
    await world.look(viewer, region(2, 0, 15))
    world.hub.on_message("v:t/a", "positions", [BusItem("x", 9, b'["x",null,9]')], 7)
    world.move("d", 1)
    await until(lambda: viewer.shown == {"d": 1}, "who has a place")


@pytest.mark.parametrize("failing", [1, 2])
async def test_a_board_that_cannot_be_read_fails_the_whole(world: World, failing: int) -> None:
    world.origin.failures = failing
    viewer = Map()
    with pytest.raises(OSError, match="away"):
        await world.look(viewer, region(2, 0, 15))
    await until(world.empty, "nothing is left")
    world.move("d", 1)
    await world.look(viewer, region(2, 0, 15))
    assert viewer.shown == {"d": 1}


async def test_leaving_while_an_area_opens_leaves_nothing(world: World) -> None:
    viewer = Map()

    def leave() -> None:
        viewer.is_leaving = True
        world.hub.drop(viewer.socket)

    world.origin.during = leave
    await world.look(viewer, region(2, 0, 15))
    await until(world.empty, "nothing is left")
    opening = asyncio.ensure_future(world.look(Map(), region(2, 0, 15)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await until(world.empty, "nothing is left")


async def test_each_position_is_on_the_map_at_once_without_a_tick() -> None:
    world = World(tick_s=0)
    viewer = Map()
    await world.look(viewer, region(2, 0, 15))
    for place in (1, 2, 3):
        world.move("d", place)
    assert [json.loads(w[0].packet.partition(b",")[2])[2][0][1] for w in viewer.writes] == [1, 2, 3]
    world.move("d", 30)
    assert viewer.shown == {}
    await world.hub.stop()


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_every_map_shows_the_truth_in_the_end(world: World, seed: int) -> None:
    """Random moves, views, slow readers, losses and refills, checked against what a fresh look would show."""
    rng = Random(seed)
    viewers = [Map() for _ in range(6)]

    def somewhere() -> Region:
        first = rng.randrange(WIDTH)
        return region(rng.choice([1, 2, 4]), first, min(WIDTH - 1, first + rng.randrange(32)))

    async def act() -> None:
        viewer = rng.choice(viewers)
        match rng.randrange(8):
            case 0:
                viewer.buffered_bytes = 0
                if rng.random() < 0.5:
                    await world.look(viewer, somewhere())
                else:
                    await world.look(viewer, None, somewhere())
            case 1:
                viewer.buffered_bytes = rng.choice([0, LIMIT // 2 + 1, LIMIT + 1])
            case 2 if rng.random() < 0.3:
                world.hub.drop(viewer.socket)
                viewer.looks_at = None
            case 3:
                world.hub.on_doubt(["v:t/a", "v:t/b"], "gap")
            case 4:
                await asyncio.sleep(rng.choice([0, 0.003]))
            case _:
                number = rng.randrange(20)
                channel = "v:t/a" if number < 10 else "v:t/b"
                world.move(f"d{number}", rng.randrange(WIDTH), channel, rng.random() < 0.8)

    for _ in range(400):
        await act()
    for viewer in viewers:
        viewer.buffered_bytes = 0
    world.hub.on_doubt(["v:t/a", "v:t/b"], "gap")

    def is_right(viewer: Map) -> bool:
        at = viewer.looks_at
        if at is None:
            return True
        return viewer.counts == world.numbers(at) if viewer.counted else viewer.shown == world.truth(at)

    await until(lambda: all(is_right(viewer) for viewer in viewers), "every map is right")
    for viewer in viewers:
        world.hub.drop(viewer.socket)
    await until(world.empty, "nothing is left")
