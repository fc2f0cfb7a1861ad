"""A recorded afternoon in Liverpool, replayed while everything is broken once, at moments drawn by a seed."""

import time
from random import Random

import pytest

from tests.e2e.cluster import WHOLE_S, Cluster, until
from tests.e2e.proxy import Pair, Proxy
from tests.e2e.replaying import Replay
from tests.e2e.world import new_world

SPEED = 300.0
PATIENCE_S = 60.0
"""What this machine may take for what is promised without a time: processes start slowly under load."""
PROXIED = "4842"
"""A vehicle that is on the road for most of the recording."""


class Broken:
    """The faults, by name. Each breaks one thing, mends it, and waits until nobody could tell.

    Each gives the seconds that took: since the engine was back, or since what has no mending but time.
    """

    def __init__(self, replay: Replay, proxy: Proxy, rng: Random) -> None:
        self.replay, self.proxy, self.rng = replay, proxy, rng
        self.cluster = replay.world.cluster

    async def _busy_instance(self) -> str:
        """One that drivers are on: after an earlier fault they may all have gone to the other."""
        on = {
            name: await self.cluster.metric(name, "wayguard_connections", namespace="/driver")
            for name in self.cluster.instances
        }
        return self.rng.choice([name for name in on if on[name] > 1] or [max(on, key=on.__getitem__)])

    async def instance_killed(self) -> float:
        name = await self._busy_instance()
        await self.cluster.kill(name)
        begun_s = time.monotonic()
        await self.cluster.until_up(name)
        await self.replay.until_seen(self.replay.promised, PATIENCE_S)
        return time.monotonic() - begun_s

    async def redis_emptied(self) -> float:
        await self.cluster.empty_redis()
        return await self.replay.until_seen(self.replay.promised, WHOLE_S)

    async def postgres_stopped(self) -> float:
        await self.cluster.postgres.stop()
        promised = self.replay.promised
        await until(self._somebody_refused, "a driver is told that storage is away")
        assert self.replay.promised == promised
        await self.cluster.postgres.start()
        begun_s = time.monotonic()
        await self.replay.until_acknowledged(self.replay.acknowledged + 1)
        await self.replay.until_seen(self.replay.promised, PATIENCE_S)
        return time.monotonic() - begun_s

    def _somebody_refused(self) -> bool:
        return any(ledger.stats.errors["unavailable"] for ledger in self.replay.ledgers)

    async def driver_half_open(self) -> float:
        """The old connection lingers on one instance while the driver lives on the other."""
        while True:
            old, lingering, took_s = await self._moved()
            if not any(pair.server_gone.is_set() for pair in lingering):
                break
        for pair in lingering:
            await until(pair.server_gone.is_set, "the old instance notices", PATIENCE_S)
        # That notice must not hide a driver who lives elsewhere. What the old instance says of somebody
        # later shows that the notice has arrived.
        witness = f"http://127.0.0.1:{old}"
        async with self.replay.world.driver("witness", witness):
            await self.replay.until_presence_right(PATIENCE_S, witness="online")
        return took_s

    async def _moved(self) -> tuple[int, list[Pair], float]:
        """Let the phone change its network: where it was, what lingers there, the seconds to be back."""
        link = self.replay.drivers[PROXIED].link
        await until(lambda: link.is_up and self.proxy.pairs, "the driver is connected", PATIENCE_S)
        connects, old = link.connects, self.proxy.target
        self.proxy.target = next(web.port for web in self.cluster.plan.webs if web.port != old)
        begun_s = time.monotonic()
        lingering = self.proxy.half_open(client_knows=True)
        await until(lambda: link.is_up and link.connects > connects, "the driver comes back", PATIENCE_S)
        await self.replay.until_presence_right(PATIENCE_S)
        return old, lingering, time.monotonic() - begun_s

    async def killed_between_commit_and_publish(self) -> float:
        name = await self._busy_instance()
        pid = self.cluster.pid(name)
        self.cluster.arm(name)
        await until(lambda: self.cluster.pid(name) != pid, f"{name} commits and dies", PATIENCE_S)
        begun_s, stored = time.monotonic(), await self._stored()
        await self.cluster.until_up(name)
        await self.replay.until_seen(stored, PATIENCE_S)
        return time.monotonic() - begun_s

    async def _stored(self) -> dict[str, int]:
        """What was committed, acknowledged or not."""
        return {key: last for key, (_, last) in (await self.replay.world.ends()).items()}


FAULTS = (
    Broken.instance_killed,
    Broken.redis_emptied,
    Broken.postgres_stopped,
    Broken.driver_half_open,
    Broken.killed_between_commit_and_publish,
)
MORE = [pytest.param(seed, marks=[pytest.mark.long, pytest.mark.timeout(300)]) for seed in range(2, 21)]


@pytest.mark.parametrize("seed", [1, *MORE])
async def test_nothing_acknowledged_is_lost_whatever_breaks(cluster: Cluster, seed: int) -> None:
    await cluster.whole()
    rng = Random(seed)
    faults = rng.sample(FAULTS, len(FAULTS))
    async with new_world(cluster, seed) as world, Proxy(cluster.plan.webs[seed % 2].port) as proxy:
        replay = Replay(world, SPEED, proxy, PROXIED)
        total = replay.playback.total
        async with replay.running():
            broken = Broken(replay, proxy, rng)
            for number, fault in enumerate(faults):
                # In the first two thirds: the proxied driver is still to be on its way at the last one.
                share = 0.66 * (number + rng.random()) / len(faults)
                replay.quick_until(0.66 * (number + 1) / len(faults) + 0.03)
                await replay.until_acknowledged(round(total * share))
                took_s = await fault(broken)
                print(f"{fault.__name__}: whole again after {took_s:.1f} s")
                await world.check_promises(replay.ledgers)
                replay.check_views()
                await replay.until_presence_right(PATIENCE_S)
            await replay.finish()
            await replay.until_seen({key: n for key, (_, n) in (await world.ends()).items()}, PATIENCE_S)
            await replay.check_everything()
            await replay.until_presence_right(PATIENCE_S)
