"""The mirror, with real engines and a Firebase that can fail."""

import asyncio
import time
from uuid import UUID

import msgspec
import pytest

from alerts.alert import Kind, State
from realtime.live.redis_state import LiveState
from realtime.mirror.erasure import erase
from realtime.mirror.mirror import LEASE_S, RESYNC_S, Mirror
from realtime.mirror.remote import RealtimeDatabase, RemoteAway, RemoteRefused, open_remote
from realtime.outside.web import SimulatedFault, Trouble
from realtime.redis.client import client
from realtime.settings import Settings
from realtime.store.journeys import journeys, upkeep
from realtime.store.people import tenants
from tests.alerts.jobs import alert
from tests.fanout.kit import until
from tests.mirror.conftest import NOW_MS, World
from tests.rediscluster import RedisCluster


async def leading(world: World, holder: str = "w1") -> Mirror:
    """A mirror that has the lease and has written all there is."""
    mirror = world.mirror(holder)
    await mirror._renew()
    await mirror.tick()
    return mirror


async def pause(world: World, mirror: Mirror, seconds: float = 1.0) -> None:
    """Time passes, and the mirror has its turn."""
    world.clock.now_s += seconds
    await mirror._renew()
    await mirror.tick()


# --- what it shows


async def test_positions_journeys_and_alerts_are_shown(world: World) -> None:
    await world.drive("d.1")
    journey_id = await world.journey("d.1")
    await world.alert(alert(driver="d.1"))
    await leading(world)
    assert world.live()["d=2E1"]["lat"] == 52.5
    assert world.live()["d=2E1"]["state"] == "online"
    assert world.server.at(f"journeys/acme/taxi/{journey_id}") == {
        "driver": "d.1",
        "started_ms": NOW_MS,
        "vehicle": "van",
    }
    shown = world.server.at(f"alerts/acme/taxi/{alert().alert_id}")
    assert (shown["state"], shown["kind"], shown["driver"]) == ("active", "sos", "d.1")
    assert world.server.at("mirror")["fence"] == 1


async def test_a_second_writes_once_and_only_what_changed(world: World) -> None:
    mirror = await leading(world)
    await world.drive("a", 1.0)
    await world.drive("b", 2.0)
    await pause(world, mirror, 5.0)
    before = len(world.server.updates)
    for lat in (3.0, 4.0, 5.0):
        await world.drive("a", lat)
    await pause(world, mirror)
    assert len(world.server.updates) == before + 1
    assert set(world.server.updates[-1]) == {"live/acme/taxi/a", "mirror"}
    assert world.live()["a"]["lat"] == 5.0


async def test_who_goes_offline_is_removed(world: World) -> None:
    mirror = await leading(world)
    await world.drive("a")
    await world.drive("b")
    await pause(world, mirror, 5.0)
    assert set(world.live()) == {"a", "b"}
    await world.presence("a", "offline")
    await pause(world, mirror)
    assert set(world.live()) == {"b"}
    await world.presence("b", "offline")
    await pause(world, mirror)
    assert world.live() == {}


async def test_what_is_over_is_removed(world: World) -> None:
    journey_id = await world.journey("a")
    await world.alert(alert(driver="a"))
    mirror = await leading(world)
    changed = alert(driver="a", state=State.ACKNOWLEDGED, version=4)
    await world.alert(changed)
    await pause(world, mirror)
    assert world.server.at(f"alerts/acme/taxi/{changed.alert_id}")["state"] == "acknowledged"
    await journeys.end(world.db, "acme", "a", journey_id, NOW_MS, 0)
    await world.alert(msgspec.structs.replace(changed, state=State.RESOLVED, closed_ms=NOW_MS))
    await pause(world, mirror, 5.0)
    assert world.server.at("journeys") is None
    assert world.server.at("alerts") is None


async def test_tenants_and_vendors_are_apart(world: World) -> None:
    await world.drive("d", 1.0, vendor="a.b", tenant="acme")
    await world.drive("d", 2.0, vendor="a", tenant="acme")
    await world.drive("d", 3.0, vendor="a", tenant="other")
    await leading(world)
    assert world.server.at("live/acme/a=2Eb/d")["lat"] == 1.0
    assert world.server.at("live/acme/a/d")["lat"] == 2.0
    assert world.server.at("live/other/a/d")["lat"] == 3.0


async def test_many_drivers_go_in_bounded_updates(world: World) -> None:
    for number in range(25):
        await world.drive(f"d{number}")
    mirror = world.mirror(max_chunk_paths=10)
    await mirror._renew()
    for left in (15, 5, 0):
        await mirror.tick()
        assert mirror.plan.waiting == left
    assert [len(update) for update in world.server.updates] == [11, 11, 6]
    assert len(world.live()) == 25


# --- one writer


async def test_one_of_two_writes_and_the_other_takes_over(world: World) -> None:
    await world.drive("a", 1.0)
    first = await leading(world)
    second = world.mirror("w2")
    await second._renew()
    before = len(world.server.updates)
    await second.tick()
    assert not second.is_leading and len(world.server.updates) == before
    await first.stop()
    await world.presence("a", "offline")
    await world.drive("b", 2.0)
    await pause(world, second)
    assert second.is_leading and not first.is_leading
    assert set(world.live()) == {"b"}
    assert world.server.at("mirror/fence") == 2
    await first.tick()
    assert world.server.at("mirror/fence") == 2


async def test_who_slept_past_the_lease_writes_nothing(world: World) -> None:
    await world.drive("a", 1.0)
    sleeper = await leading(world)
    world.clock.now_s += LEASE_S
    before = len(world.server.updates)
    await world.drive("a", 2.0)
    await sleeper.tick()
    assert len(world.server.updates) == before


async def test_the_new_writer_removes_what_is_no_longer_there(world: World) -> None:
    world.server.trees[world.server.namespace] = {
        "live": {"acme": {"taxi": {"ghost": {"lat": 1}}}, "gone": {"v": {"d": {"lat": 2}}}},
        "journeys": {"acme": {"taxi": {"old": {"driver": "x"}}}},
        "alerts": {"acme": {"taxi": {"old": {"driver": "x"}}}},
        "theirs": {"kept": True},
    }
    await world.drive("a")
    await leading(world)
    assert set(world.live()) == {"a"}
    assert world.server.at("live/gone") is None
    assert world.server.at("journeys") is None and world.server.at("alerts") is None
    assert world.server.at("theirs/kept") is True


async def test_a_new_writer_without_redis_takes_nobody_away(world: World) -> None:
    world.server.trees[world.server.namespace] = {
        "live": {"acme": {"taxi": {"a": {"lat": 1}, "ghost": {"lat": 2}}}},
        "alerts": {"acme": {"taxi": {"old": {"driver": "x"}}}},
    }
    world.redis_cut.cut()
    mirror = await leading(world)
    assert set(world.live()) == {"a", "ghost"}
    assert world.server.at("alerts") is None
    world.redis_cut.mend()
    await world.drive("a", 3.0)
    await pause(world, mirror, 5.0)
    assert set(world.live()) == {"a"} and world.live()["a"]["lat"] == 3.0


async def test_now_and_then_all_is_looked_at(world: World) -> None:
    await world.drive("a")
    mirror = await leading(world)
    world.server.trees[world.server.namespace]["live"]["acme"]["taxi"] = {"ghost": {"lat": 2}}
    for _ in range(4):
        await pause(world, mirror)
    assert set(world.live()) == {"ghost"}
    world.clock.now_s += RESYNC_S
    await pause(world, mirror)
    assert set(world.live()) == {"a"}


# --- troubles


@pytest.mark.parametrize(
    "fault",
    [
        *(SimulatedFault(Trouble.STATUS, status) for status in (401, 429, 500, 503)),
        *(SimulatedFault(trouble) for trouble in (Trouble.DROP, Trouble.LOSE_REPLY)),
    ],
    ids=str,
)
async def test_after_an_outage_everything_is_right_again(world: World, fault: SimulatedFault) -> None:
    await world.drive("a", 1.0)
    await world.drive("b", 1.0)
    mirror = await leading(world)
    world.server.fault = fault
    await world.presence("b", "offline")
    for lat in range(2, 9):
        await world.drive("a", float(lat))
        await pause(world, mirror)
    calls = len(world.server.calls)
    await pause(world, mirror, 0.1)
    assert len(world.server.calls) == calls, "the breaker is open"
    world.server.fault = None
    world.server.trees[world.server.namespace]["live"]["acme"]["taxi"]["ghost"] = {"lat": 0}
    await pause(world, mirror, 10.0)
    await pause(world, mirror, 10.0)
    assert set(world.live()) == {"a"}
    assert world.live()["a"]["lat"] == 8.0
    assert mirror.plan.waiting == 0


async def test_an_update_that_hangs_is_not_overtaken(world: World) -> None:
    await world.drive("a", 1.0)
    mirror = await leading(world)
    world.server.faults.append(SimulatedFault(Trouble.HANG))
    await world.drive("a", 2.0)
    await pause(world, mirror)
    assert world.live()["a"]["lat"] == 1.0
    await world.drive("a", 3.0)
    await until(lambda: not mirror._remote.is_updating)
    await pause(world, mirror)
    assert world.live()["a"]["lat"] == 3.0


@pytest.mark.parametrize("max_key_bytes", [40])
async def test_a_path_that_is_refused_holds_up_no_other(world: World) -> None:
    mirror = await leading(world)
    for number in range(8):
        await world.drive(f"d{number}")
    await world.drive("x" * 41)
    await pause(world, mirror, 5.0)
    for _ in range(12):
        await pause(world, mirror)
    assert len(world.live()) == 8
    assert mirror.plan.waiting == 0
    await world.drive("d1", 9.0)
    await pause(world, mirror)
    assert world.live()["d1"]["lat"] == 9.0


async def test_without_redis_nobody_is_taken_away_and_alerts_go_on(world: World) -> None:
    await world.drive("a")
    mirror = await leading(world)
    world.redis_cut.cut()
    await world.alert(alert(driver="a"))
    await pause(world, mirror)
    assert set(world.live()) == {"a"}
    assert world.server.at("alerts/acme/taxi") is not None


async def driven(world: World, driver: str) -> None:
    """``driver`` is at 48° north, and only Postgres knows."""
    today_ms = time.time_ns() // 1_000_000  # Postgres is only asked for journeys of the last two days
    await upkeep.run_once(world.settings, today_ms)
    journey_id = await world.journey(driver, now_ms=today_ms)
    async with world.db.writer() as connection:
        await connection.execute(
            "INSERT INTO journey_points (journey_id, tenant_id, seq, t_ms, lat, lon, received_ms) "
            "VALUES ($1, 'acme', 1, $2, 48.0, 11.0, $2)",
            journey_id,
            world.clock.ms(),
        )


async def test_an_emptied_redis_is_made_whole_again(world: World) -> None:
    await world.drive("a", 1.0)
    mirror = await leading(world)
    await driven(world, "b")
    await world.redis.flushall()
    await pause(world, mirror, 5.0)
    assert world.live()["b"]["lat"] == 48.0


@pytest.mark.parametrize("another", [(), ("b",)])
async def test_an_emptied_redis_takes_nobody_away(world: World, another: tuple[str, ...]) -> None:
    await world.drive("a", 48.0)
    mirror = await leading(world)
    await driven(world, "a")
    await world.redis.flushall()
    for driver in another:  # who drives on is in Redis again before anybody has asked Postgres
        await world.drive(driver, built=False)
    for _ in range(8):
        await pause(world, mirror)
        assert set(world.live()) == {"a", *another}


async def test_without_postgres_the_writer_goes_on_unless_another_has_written(world: World) -> None:
    await world.drive("a", 1.0)
    mirror = await leading(world)
    world.postgres.cut()
    for lat in range(2, 30):
        await world.drive("a", float(lat))
        await pause(world, mirror)
    assert world.live()["a"]["lat"] == 29.0
    world.server.trees[world.server.namespace]["mirror"]["fence"] = 7
    await pause(world, mirror, LEASE_S)
    assert not mirror.is_leading


async def test_it_runs_by_itself_and_stops_at_once(world: World) -> None:
    await world.drive("a")
    remote = RealtimeDatabase(world.server.database_url, None)
    mirror = Mirror(
        world.db, world.redis, remote, holder="w9", redis_timeout_s=2.0, now_ms=world.clock.ms, tick_s=0.02
    )
    mirror._renew_s = 0.02
    mirror.start()
    await until(lambda: set(world.live()) == {"a"})
    await world.presence("a", "offline")
    await until(lambda: world.live() == {})
    await mirror.stop()
    await mirror.stop()
    await remote.close()
    assert not mirror.is_leading


# --- erasure


async def test_an_erased_driver_leaves_nothing(world: World) -> None:
    await world.drive("d.1")
    await world.drive("d.2")
    await world.journey("d.1", 1)
    await world.journey("d.2", 2)
    await world.alert(alert(driver="d.1"))
    await world.alert(alert(driver="d.2", alert_id=UUID(int=50), kind=Kind.FALL))
    mirror = await leading(world)
    remote = mirror._remote
    await world.redis.hdel("wg:{acme/taxi}:latest", "d.1")
    async with world.db.writer() as connection:
        await connection.execute("DELETE FROM journeys WHERE driver_id = 'd.1'")
        await connection.execute("DELETE FROM alerts WHERE driver_id = 'd.1'")
    erased = await erase(remote, "acme", None, "d.1", pause_s=0.01)
    assert len(erased.removed) == 3 and erased.left == ()
    assert "d.1" not in str(world.server.tree) and "d=2E1" not in str(world.server.tree)
    assert set(world.live()) == {"d=2E2"}
    assert len(world.server.at("journeys/acme/taxi")) == len(world.server.at("alerts/acme/taxi")) == 1
    await pause(world, mirror)
    assert "d=2E1" not in str(world.server.tree)
    again = await erase(remote, "acme", "taxi", "d.1", pause_s=0.01)
    assert again.removed == () and again.left == ()


async def test_an_erasure_that_is_written_over_says_so(world: World) -> None:
    await world.drive("a")
    mirror = await leading(world)

    async def write_again() -> None:
        while True:
            world.server.trees[world.server.namespace]["live"] = {"acme": {"taxi": {"a": {"lat": 1}}}}
            await asyncio.sleep(0.001)

    writer = asyncio.ensure_future(write_again())
    erased = await erase(mirror._remote, "acme", "taxi", "a", pause_s=0.05)
    writer.cancel()
    assert erased.left == ("live/acme/taxi/a",)


async def test_an_erasure_without_firebase_is_to_be_tried_again(world: World) -> None:
    mirror = await leading(world)
    world.server.fault = SimulatedFault(Trouble.STATUS, 503)
    with pytest.raises(RemoteAway):
        await erase(mirror._remote, "acme", None, "a", pause_s=0.01)


# --- the client


async def test_the_client_retries_nothing_by_itself(world: World) -> None:
    remote = RealtimeDatabase(world.server.database_url, None)
    world.server.fault = SimulatedFault(Trouble.STATUS, 503)
    with pytest.raises(RemoteAway):
        await remote.update({"a": 1})
    assert len(world.server.calls) == 1
    world.server.fault = None
    with pytest.raises(RemoteRefused):
        await remote.update({"a.b": 1})
    await remote.close()
    with pytest.raises(RemoteAway):
        await remote.keys("live")


@pytest.mark.parametrize(
    ("url", "credentials", "named"),
    [
        ("https://x.firebaseio.com", "", "FIREBASE_CREDENTIALS"),
        ("https://x.firebaseio.com", "{}", "FIREBASE_CREDENTIALS"),
    ],
)
def test_half_a_setting_is_refused_by_name(url: str, credentials: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        open_remote(Settings(firebase_database_url=url, firebase_credentials=credentials))


def test_no_database_no_mirror() -> None:
    assert open_remote(Settings()) is None


async def test_an_unknown_tenant_has_nothing_to_erase(world: World) -> None:
    await tenants.ensure_vendors(world.db, "acme", ["taxi"])
    mirror = await leading(world)
    erased = await erase(mirror._remote, "nobody", None, "a", pause_s=0.01)
    assert erased.removed == () and erased.left == ()


async def test_on_a_cluster_all_vendors_are_found(world: World, redis_cluster_of_three: RedisCluster) -> None:
    world.redis = client(redis_cluster_of_three.url, timeout_s=5.0, max_connections=20)
    world.state = LiveState(world.redis, 5.0)
    for number in range(12):
        await world.drive(f"d{number}", vendor=f"v{number}")
    await leading(world)
    assert len(world.server.at("live/acme")) == 12
    await world.redis.aclose()
