"""Processes that keep cases and see each other through a real Redis, on a clock that a test moves."""

from pathlib import Path
from uuid import UUID, uuid4

import pytest

from alerts import case as cases
from alerts.alert import Acknowledged
from alerts.journal.ledger import LocalLedger
from alerts.ports import Taken
from realtime.alerting.failover.cluster import Cluster
from realtime.alerting.failover.replicas import MAX_BYTES
from realtime.redis.client import Client, client
from tests.alerts.ledger_contract import ALL, CIRCUMSTANCES, LEASE_S, OPERATOR, a_press
from tests.alerts.slots import UpTo

KEY = b"k" * 32
on_each_redis = pytest.mark.parametrize("scene", ["valkey", "cluster"], indirect=True)
"""For a test of what differs on a Cluster: keys of several slots in one pipeline, keys that need one slot, a
node that comes back empty.
"""
START_MS = 1_764_000_000_000


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def now_ms(self) -> int:
        return START_MS + int(self.s * 1000)


class Process:
    """A journal and its peers. ``stored``: what it believes of Postgres."""

    def __init__(self, name: str, local: LocalLedger, peers: Cluster, redis: Client) -> None:
        self.name = name
        self.local = local
        self.peers = peers
        self.redis = redis
        self.stored = False

    async def press(self, sos_id: UUID | None = None, driver: str = "d1") -> Taken:
        """As the intake does."""
        press = a_press(START_MS, driver=driver, sos_id=sos_id or uuid4())
        copy = self.peers.find("t1", driver, press.sos_id) or self.peers.open_of("t1", driver, False)
        if copy is not None:
            await self.local.adopt(copy.case, copy.presses, copy.audit)
        taken = await self.local.press(press, CIRCUMSTANCES, acting=False)
        kept = self.local.get(taken.alert.alert_id)
        assert kept is not None
        await self.peers.share(kept)
        await self.peers.turn(taken.alert.alert_id)
        return taken

    def acts_on(self, alert_id: UUID) -> bool:
        kept = self.local.get(alert_id)
        return kept is not None and kept.acting

    async def claimed(self) -> int:
        return len(await self.local.claim(self.name, UpTo(ALL, 10), LEASE_S))


class Scene:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.clock = Clock()
        self.made: list[Process] = []

    async def process(
        self,
        name: str,
        key: bytes = KEY,
        url: str | None = None,
        *,
        delivers: bool = False,
        max_replica_bytes: int = MAX_BYTES,
    ) -> Process:
        redis = client(url or self.url, timeout_s=2.0, max_connections=4)
        if url is None:
            await redis.ping()  # a first connection may take a busy machine longer than a press waits
        local = await LocalLedger.open(self.folder / name, KEY, now_ms=self.clock.now_ms)
        peers = Cluster(
            redis,
            local,
            process=name,
            key=key,
            clock=lambda: self.clock.s,
            is_stored=lambda: made.stored,
            delivers=delivers,
            max_replica_bytes=max_replica_bytes,
        )
        local.sight.may_send = peers.may_send
        local.sight.unseen = peers.unseen
        made = Process(name, local, peers, redis)
        self.made.append(made)
        return made

    async def beats(self, *processes: Process, times: int = 1, of_s: float = 1.0) -> None:
        for _ in range(times):
            self.clock.s += of_s
            for process in processes:
                await process.peers.beat()

    async def close(self) -> None:
        for process in self.made:
            await process.local.close()
            await process.redis.aclose()


async def adopted(*processes: Process) -> UUID:
    """An alert that Postgres had, as each process has read it; its first message was sent."""
    case = cases.opened(a_press(START_MS), CIRCUMSTANCES, START_MS).case
    for process in processes:
        await process.local.adopt(case)
    return case.alert.alert_id


async def answered_elsewhere(scene: "Scene") -> tuple[Process, Process, UUID]:
    """Two processes: the first acts on an alert, the second has taken an answer to it. The alert's id."""
    one, two = await scene.process("w1"), await scene.process("w2")
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two)
    copy = two.peers.copy_of(alert_id)
    assert copy is not None
    await two.local.adopt(copy.case, copy.presses, copy.audit)
    await two.local.apply(alert_id, Acknowledged(OPERATOR, "link"))
    return one, two, alert_id
