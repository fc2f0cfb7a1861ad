"""What else lives in Redis than the bus, on each kind of it: what is embedded, Redis itself, a Cluster."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from geo.position import Point
from realtime.auth.tokens import Principal
from realtime.bus.bus import BusItem, Message, RedisBus
from realtime.engines.embedded import free_port
from realtime.fanout.feeds.latest import LatestState
from realtime.live import limiter as limiter_module
from realtime.live.limiter import RedisLimiter
from realtime.live.precedence import order_of, supersedes
from realtime.live.presence_sweeper import PresenceSweeper
from realtime.live.presence_tracker import INSTANCES_KEY, PresenceTracker, lease_key, mark_key
from realtime.live.publisher import LivePublisher
from realtime.live.redis_state import CALL_VALUES, LiveState, StoredValue
from realtime.live.topics import POSITIONS, PRESENCE, position_item, state_key
from realtime.protocol import Code, Refused
from realtime.redis.client import Client, client
from tests.fanout.kit import until

NOW_MS = 1_790_000_000_000


class Place:
    """One kind of Redis, emptied."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.client: Client = client(url, timeout_s=5.0, max_connections=20)
        self.state = LiveState(self.client, 5.0)

    async def forget_scripts(self) -> None:
        await cast(Any, self.client).script_flush()


@pytest.fixture
async def place(redis_url_of_kind: str) -> AsyncIterator[Place]:
    made = Place(redis_url_of_kind)
    yield made
    await made.client.aclose()


def spot(driver: str, order: int) -> StoredValue:
    return StoredValue(BusItem(driver, order, b'["%s|\xc3\xa9",%d]' % (driver.encode(), order)), f"o{order}")


def as_dict(values: Sequence[StoredValue]) -> dict[str, StoredValue]:
    return {stored.item.key: stored for stored in values}


@pytest.mark.every_redis
async def test_the_newer_stays_whoever_writes_last(place: Place) -> None:
    big = 2**62
    for values in ([spot("a", 9), spot("b", big)], [spot("a", 10), spot("b", big - 1)], [spot("a", 2)]):
        await place.state.write("t1", "v1", "positions", values)
    assert as_dict(await place.state.read("t1", "v1", "positions")) == {
        "a": spot("a", 10),
        "b": spot("b", big),
    }
    assert await place.state.read("t1", "v2", "positions") == []


@pytest.mark.every_redis
async def test_redis_keeps_the_position_that_a_board_keeps(place: Place) -> None:
    """The rule stands twice, in Python and in Lua: whatever comes, both end with the same position."""
    rng = random.Random(7)
    journeys = [f"0190a5b0-0000-7000-8000-00000000000{n}" for n in range(3)]
    board = LatestState({POSITIONS: supersedes})
    for _ in range(40):
        offered = [
            position_item(
                f"d{rng.randrange(4)}",
                rng.choice(journeys),
                Point(
                    rng.choice([1, 2, 9, 10, 11, 99, 100, 2**20, 2**20 + 9, 2**20 + 10, 2**31 - 1]),
                    NOW_MS,
                    rng.choice([53.4, 1.5]),
                    -2.9,
                ),
                order_of(NOW_MS + rng.randrange(9), ended=rng.random() < 0.3),
            )
            for _ in range(20)
        ]
        board.apply(POSITIONS, offered)
        await place.state.write("t1", "v1", POSITIONS, [StoredValue(item, "7") for item in offered])
        known = as_dict(await place.state.read("t1", "v1", POSITIONS))
        slots = board.slots(POSITIONS)
        assert {driver: (s.item.order, s.item.fragment) for driver, s in known.items()} == {
            driver: (order, fragment) for driver, (order, _, fragment) in slots.items()
        }


@pytest.mark.every_redis
async def test_many_vendors_and_many_drivers_go_in_one_round_trip(place: Place) -> None:
    writes = [
        ("t1", f"v{v}", kind, [spot(f"d{v}", v + 1)]) for v in range(50) for kind in ("positions", PRESENCE)
    ]
    crowd = [spot(f"c{n}", n) for n in range(2 * CALL_VALUES + 7)]
    await place.state.write_many(
        [*writes, ("t1", "crowd", "positions", crowd), ("t1", "none", "positions", [])]
    )
    for tenant, vendor, kind, values in writes:
        assert await place.state.read(tenant, vendor, kind) == values
    assert as_dict(await place.state.read("t1", "crowd", "positions")) == as_dict(crowd)


@pytest.mark.every_redis
async def test_a_redis_that_has_forgotten_its_scripts_is_given_them_again(place: Place) -> None:
    await place.state.write("t1", "v1", "positions", [spot("a", 1)])
    await place.forget_scripts()
    await place.state.write("t1", "v1", "positions", [spot("a", 2)])
    bus = RedisBus(place.url)
    await bus.publish([Message("c", "k", [BusItem("a", 1, b"1")], 7)])
    await place.forget_scripts()
    await bus.publish([Message("c", "k", [BusItem("a", 1, b"1")], 7)])
    await bus.stop()
    assert as_dict(await place.state.read("t1", "v1", "positions")) == {"a": spot("a", 2)}


async def test_whether_a_vendor_is_built_is_remembered(place: Place) -> None:
    assert not await place.state.is_built("t1", "v1")
    await place.state.mark_built("t1", "v1")
    assert await place.state.is_built("t1", "v1")
    assert not await place.state.is_built("t1", "v2")


@pytest.mark.every_redis
async def test_the_limit_is_counted_by_principal_and_operation(place: Place) -> None:
    limiter = RedisLimiter(place.client, 5.0, per_window={"watch": 3}, default=1_000)
    here = cast(Principal, SimpleNamespace(tenant="t1", sub="here"))
    other = cast(Principal, SimpleNamespace(tenant="t1", sub="other"))
    refusals: list[Refused] = []
    for _ in range(8):  # the window may turn once meanwhile
        try:
            await limiter.check(here, "watch")
        except Refused as refused:
            refusals.append(refused)
    assert refusals and all(refused.code == Code.RATE_LIMITED for refused in refusals)
    await limiter.check(here, "journey:end")
    await limiter.check(other, "watch")


async def test_the_limit_of_who_is_nobody_yet_is_counted_by_where_they_are(place: Place) -> None:
    limiter = RedisLimiter(place.client, 5.0, per_window={"redeem": 3}, default=1_000)

    async def refused(addresses: Sequence[str]) -> bool:
        found = False
        for address in addresses * 4:  # the window may turn once meanwhile
            try:
                await limiter.check_address(address, "redeem")
            except Refused as refusal:
                found = found or refusal.code == Code.RATE_LIMITED
        return found

    assert await refused(["192.0.2.1", "::ffff:192.0.2.1"]), "the same address"
    assert await refused(["2001:db8:0:1::1", "2001:db8:0:1:ffff::2"]), "the same network"
    assert await refused(["_hidden1"])
    for address in ("192.0.2.2", "2001:db8:0:2::1", "_hidden2", "{slot}", ""):
        await limiter.check_address(address, "redeem")


@pytest.mark.every_redis
async def test_the_drivers_of_an_instance_without_a_lease_are_told_offline(place: Place) -> None:
    now_ms = 1_780_000_000_000
    bus = RedisBus(place.url)
    publisher = LivePublisher(None, bus, place.state, lambda: now_ms)

    def keeper(name: str) -> PresenceTracker:
        return PresenceTracker(
            publisher, place.client, instance=name, stale_after_s=60, timeout_s=5.0, now_ms=lambda: now_ms
        )

    dead, alive = keeper("dead"), keeper("alive")
    for one in (dead, alive):
        one.start()
        await until(lambda one=one: one.redis_is_up, "the lease")  # type: ignore[misc]
    dead.connected("t1", "v1", "lost", 1)
    alive.connected("t1", "v2", "kept", 1)
    assert await publisher.flush()
    sweeper = PresenceSweeper(place.client, place.state, bus, lambda: now_ms + 1)
    assert await sweeper.sweep() == 0
    await dead.stop()  # gives its lease up; what it said of its drivers stands
    assert await sweeper.sweep() == 1
    (lost,) = await place.state.read("t1", "v1", PRESENCE)
    (kept,) = await place.state.read("t1", "v2", PRESENCE)
    assert b'"offline"' in lost.item.fragment and b'"online"' in kept.item.fragment
    names = await cast(Any, place.client).smembers(INSTANCES_KEY)
    assert names == {b"alive"}
    assert await cast(Any, place.client).exists(lease_key("alive"))
    await alive.stop()
    await bus.stop()


@pytest.mark.every_redis
async def test_those_who_ask_at_once_share_round_trips_and_are_counted_one_by_one(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter_module, "time", SimpleNamespace(time=lambda: 1_780_000_000.0))
    limiter = RedisLimiter(place.client, 5.0, per_window={"watch": 30})
    trips = 0
    counted = limiter._counted

    async def count(times: Any) -> dict[str, int]:
        nonlocal trips
        trips += 1
        return await counted(times)

    limiter._counted = count  # type: ignore[method-assign]
    here = cast(Principal, SimpleNamespace(tenant="t1", sub="here"))
    other = cast(Principal, SimpleNamespace(tenant="t1", sub="other"))
    outcomes = await asyncio.gather(
        *(limiter.check(who, "watch") for _ in range(50) for who in (here, other)), return_exceptions=True
    )
    for mine in (outcomes[::2], outcomes[1::2]):
        assert [outcome is None for outcome in mine] == [True] * 30 + [False] * 20
    assert trips <= 2


async def test_a_fault_while_counting_leaves_nobody_waiting(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiter_module, "time", SimpleNamespace(time=lambda: 1_780_000_000.0))
    limiter = RedisLimiter(place.client, 5.0, per_window={"watch": 1})
    counted = limiter._counted

    async def fail(times: Any) -> Any:
        raise ValueError("not of Redis")

    limiter._counted = fail  # type: ignore[method-assign]
    who = cast(Principal, SimpleNamespace(tenant="t1", sub="here"))
    checks = (limiter.check(who, "watch") for _ in range(3))
    assert await asyncio.wait_for(asyncio.gather(*checks), 10.0) == [None] * 3
    limiter._counted = counted  # type: ignore[method-assign]
    await limiter.check(who, "watch")
    with pytest.raises(Refused):
        await limiter.check(who, "watch")


async def test_a_cluster_of_which_no_node_answers_is_away_like_any_redis() -> None:
    url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    place = Place(url)
    with pytest.raises(Refused) as refused:
        await place.state.read("t1", "v1", "positions")
    assert refused.value.code is Code.UNAVAILABLE
    limiter = RedisLimiter(place.client, 5.0, per_window={"watch": 0})
    who = cast(Principal, SimpleNamespace(tenant="t1", sub="here"))
    await asyncio.wait_for(limiter.check(who, "watch"), 10.0)
    await place.client.aclose()


@pytest.mark.every_redis
async def test_presence_that_is_lost_while_the_lease_is_not_is_told_again(place: Place) -> None:
    redis = cast(Any, place.client)
    bus = RedisBus(place.url)
    publisher = LivePublisher(None, bus, place.state, lambda: 1_000_000)
    keeper = PresenceTracker(
        publisher,
        place.client,
        instance="here",
        stale_after_s=60,
        timeout_s=5.0,
        now_ms=lambda: 1_000_000,
        renew_s=0.1,
    )
    for vendor in ("v1", "v2"):
        keeper.connected("t1", vendor, f"of {vendor}", 1)
    assert await publisher.flush()
    keeper.start()
    mark, hash_key = mark_key("t1", "v1", "here"), state_key("t1", "v1", "presence")
    try:
        for _ in range(2):
            while not await redis.exists(mark):
                await asyncio.sleep(0.01)
            # What a node does that owns the slots of one vendor and comes back empty.
            assert await publisher.flush()
            await redis.delete(hash_key, mark)
            while not await redis.exists(hash_key):
                assert await publisher.flush()
                await asyncio.sleep(0.01)
        assert [kept.item.key for kept in await place.state.read("t1", "v1", PRESENCE)] == ["of v1"]
        assert await redis.exists(lease_key("here"))
    finally:
        await keeper.stop()
        await publisher.stop()
        await bus.stop()
