"""Workers as processes: what was being sent when one is killed or frozen is sent by another, and by nobody
twice over; with its own outcome told late, nothing moves back.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest

from alerts.alert import Alert
from alerts.attempt import Attempt, Channel, Status
from alerts.delivery.dispatcher import LEASE_S
from alerts.notifiers.webhook import webhook_secret
from alerts.policy import Policy, Step
from realtime.auth.tokens import mint
from realtime.engines.embedded import free_port
from realtime.engines.postgres import EmbeddedPostgres
from realtime.outside.sink import Sink
from realtime.outside.web import SimulatedFault, Trouble
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.db.database import Database
from tests.e2e.launcher import LEASE_VARIABLE
from tests.e2e.world import World
from tests.engines_fixtures import TEMPLATE, database

ROOT = Path(__file__).parents[2]
AUTH = "a secret of the tests that is long enough"
ANN = UUID("0b1f4c1e-0000-4000-8000-000000000001")
POLICY = Policy(steps=(Step((str(ANN),), (Channel.WEBHOOK,), 600),))
PATIENCE_S = 90.0
SHORT_LEASE_S = 15.0
"""Half of production's: a call then ends after 10 s, by itself or because its process is lost."""


class WorkerProcess:
    """`wayguard worker` as a process of this machine. ``lease_s``: for how long it leases a message."""

    def __init__(self, name: str, settings: Settings, folder: Path, lease_s: float = LEASE_S) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        environ = {key: os.environ[key] for key in ("PATH", "HOME", "PYTHONPATH") if key in os.environ}
        environ |= {
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": settings.database_url.get_secret_value(),
            "REDIS_URL": settings.redis_url.get_secret_value(),
            "AUTH_SECRET": AUTH,
            "DATA_DIR": str(folder / name),
            "INSTANCE_NAME": name,
            "OUTSIDE_ALLOW_PRIVATE": "true",
            "DELIVERY_TIMEOUT_S": "20",
            LEASE_VARIABLE: str(lease_s),
            "PORT": self.url.rsplit(":", 1)[1],
        }
        self._log = (folder / f"{name}.log").open("wb")
        command = [sys.executable, "-m", "tests.e2e.launcher", "worker"]
        self._process = subprocess.Popen(command, env=environ, stdout=self._log, stderr=self._log, cwd=ROOT)

    async def until_ready(self) -> None:
        """Wait until it takes traffic."""
        async with aiohttp.ClientSession() as session:

            async def ready() -> bool:
                try:
                    async with session.get(f"{self.url}/readyz") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    return False

            await until(ready, "the worker is ready")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def ended(self) -> int:
        """Wait for its end; the exit code."""
        return await asyncio.to_thread(self._process.wait, 60)

    def discard(self) -> None:
        """End it, frozen or not."""
        self._process.kill()
        self._process.wait()
        self._log.close()


class Scene:
    """A database with one contact, who is told by a webhook; workers that come and go."""

    def __init__(self, settings: Settings, db: Database, sink: Sink, folder: Path) -> None:
        self.settings = settings
        self.db = db
        self.sink = sink
        self._folder = folder
        self._workers: list[WorkerProcess] = []

    async def worker(self) -> WorkerProcess:
        """One more, ready."""
        name = f"worker{len(self._workers) + 1}"
        one = WorkerProcess(name, self.settings, self._folder, SHORT_LEASE_S)
        self._workers.append(one)
        await one.until_ready()
        return one

    async def warm_worker(self) -> WorkerProcess:
        """One more that has committed an SOS and sent its message: the next press finds it at full speed.

        A commit that takes longer than a second is answered as kept by the journal, which sends by itself.
        """
        one = await self.worker()
        token = mint(self.settings, role="driver", tenant="t1", vendors=["v1"], driver="d0")
        async with aiohttp.ClientSession() as http:
            alert_id = UUID(await press_until_kept(http, one.url, token, uuid4()))

        async def sent() -> bool:
            return (await self.webhook(alert_id)).status is Status.SENT

        await until(sent, "the worker sends")
        self.sink.hooks.clear()
        return one

    async def press(self, worker: WorkerProcess) -> UUID:
        """Press, by HTTP; the alert's id."""
        token = mint(self.settings, role="driver", tenant="t1", vendors=["v1"], driver="d1")
        headers = {"Authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{worker.url}/api/v1/sos", json={"sos_id": str(uuid4())}, headers=headers
            ) as answer,
        ):
            found = await answer.json()
        assert found["durability"] == "committed", found
        return UUID(found["alert_id"])

    async def webhook(self, alert_id: UUID) -> Attempt:
        """The attempt as it stands."""
        found = await reads.explain(self.db, "t1", alert_id)
        assert found is not None
        (attempt,) = (a for a in found.attempts if a.channel is Channel.WEBHOOK)
        return attempt

    async def alert(self, alert_id: UUID) -> Alert:
        """The alert as it stands."""
        found = await reads.get(self.db, "t1", alert_id)
        assert found is not None
        return found

    def discard(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.discard()


@asynccontextmanager
async def scene(server: EmbeddedPostgres, redis_url: str, folder: Path, label: str) -> AsyncIterator[Scene]:
    """One on a database of its own."""
    (folder / label).mkdir()
    with database(server, f"delivery_{label}", TEMPLATE) as url:
        settings = Settings(database_url=url, redis_url=redis_url, auth_secret=AUTH, db_timeout_s=10)  # type: ignore[arg-type]
        key = settings.alerts_key
        db = await Database.open(settings)
        try:
            async with Sink(lambda name: webhook_secret(key, "t1", name)) as sink:
                await _add_ann(db, sink.hook_url(str(ANN)))
                made = Scene(settings, db, sink, folder / label)
                try:
                    yield made
                finally:
                    made.discard()
        finally:
            await db.close()


async def _add_ann(db: Database, hook: str) -> None:
    async with db.writer() as connection:
        await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('t1')")
        await connection.execute(
            "INSERT INTO contacts (contact_id, tenant_id, name, webhook_url, created_by) "
            "VALUES ($1, 't1', 'Ann', $2, 'test')",
            ANN,
            hook,
        )
        await connection.execute(
            "INSERT INTO alert_policies (policy_id, tenant_id, kind, policy, updated_by) "
            "VALUES ($1, 't1', 'sos', $2, 'test')",
            uuid4(),
            msgspec.json.encode(POLICY).decode(),
        )


async def until(what: Callable[[], Awaitable[bool]], meaning: str) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(PATIENCE_S):
        while not await what():
            await asyncio.sleep(0.1)


async def the_sender_is_lost(on: Scene, number: signal.Signals) -> None:
    """The webhook's receiver has the message; the worker that sent it is killed, or frozen, before it
    knows.
    """
    first = await on.warm_worker()
    on.sink.faults.append(SimulatedFault(Trouble.HANG_AFTER))
    alert_id = await on.press(first)

    async def there(count: int) -> bool:
        return len(on.sink.hooks) >= count

    await until(lambda: there(1), "the message is with the receiver")
    assert (await on.webhook(alert_id)).status is Status.SENDING
    first.send(number)
    await on.worker()
    await until(lambda: there(2), "another worker sends it again when the lease is over")

    async def sent() -> bool:
        return (await on.webhook(alert_id)).status is Status.SENT

    await until(sent, "it is recorded")
    recorded = await on.webhook(alert_id)
    assert recorded.repeat
    deliveries = [hook.delivery for hook in on.sink.hooks]
    assert deliveries == [str(recorded.attempt_id)] * 2, "a receiver knows the repeat by its delivery id"
    assert [hook.body["repeat"] for hook in on.sink.hooks] == [False, True]
    if number is signal.SIGSTOP:
        first.send(signal.SIGCONT)
        # It wakes with a call that is long over: it says so, finds its lease gone, and goes on with others.
        second_id = await on.press(first)
        assert second_id == alert_id, "one open alert a driver"
        await first.until_ready()
        first.send(signal.SIGTERM)
        assert await first.ended() == 0
        after = await on.webhook(alert_id)
        assert after.status is Status.SENT
        assert len(on.sink.hooks) == 2, "what was sent is not sent a third time"


async def a_worker_is_told_to_stop(on: Scene) -> None:
    """While its message hangs at the receiver, which answers before its patience is over."""
    first = await on.warm_worker()
    on.sink.faults.append(SimulatedFault(Trouble.STATUS, 503, "1"))
    alert_id = await on.press(first)
    first.send(signal.SIGTERM)
    assert await first.ended() == 0
    await on.worker()

    async def reached() -> bool:
        return len(on.sink.hooks) == 1

    await until(reached, "what was left is sent by the next")
    assert (await on.alert(alert_id)).alert_id == alert_id


@pytest.mark.timeout(240)
async def test_a_worker_that_is_killed_frozen_or_stopped_while_it_sends_loses_nothing(
    postgres_server: EmbeddedPostgres, redis_url: str, tmp_path: Path
) -> None:
    """Each on a database of its own, at the same time: they wait for leases to end."""
    async with (
        scene(postgres_server, redis_url, tmp_path, "killed") as killed,
        scene(postgres_server, redis_url, tmp_path, "frozen") as frozen,
        scene(postgres_server, redis_url, tmp_path, "stopped") as stopped,
    ):
        await asyncio.gather(
            the_sender_is_lost(killed, signal.SIGKILL),
            the_sender_is_lost(frozen, signal.SIGSTOP),
            a_worker_is_told_to_stop(stopped),
        )


async def press_until_kept(http: aiohttp.ClientSession, url: str, token: str, sos_id: UUID) -> str:
    """What an app does: again, until it is acknowledged. The alert's id."""
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                where = f"{url}/api/v1/sos"
                async with http.post(where, json={"sos_id": str(sos_id)}, headers=headers) as answer:
                    found = await answer.json(content_type=None) if answer.status == 200 else {}
                if found.get("durability") == "committed":
                    return str(found["alert_id"])
            await asyncio.sleep(0.05)


async def test_presses_through_the_balancer_outlive_the_death_of_a_worker(world: World) -> None:
    cluster = world.cluster
    token = mint(cluster.settings, role="driver", tenant=world.tenant, vendors=["north"], driver="d1")
    pressed = [uuid4() for _ in range(40)]
    async with aiohttp.ClientSession() as http:
        first = [await press_until_kept(http, cluster.url, token, one) for one in pressed[:10]]
        killing = asyncio.ensure_future(cluster.kill(cluster.workers[0]))
        later = await asyncio.gather(*(press_until_kept(http, cluster.url, token, o) for o in pressed[10:]))
        await killing
        again = await press_until_kept(http, cluster.url, token, pressed[0])
    look = await cluster.look()
    rows = await look.fetch(
        "SELECT alert_id::text, sos_id FROM alert_presses WHERE tenant_id = $1", world.tenant
    )
    await look.close()
    assert {row["sos_id"] for row in rows} == set(pressed), "each is kept, once"
    assert len(rows) == len(pressed)
    assert {row["alert_id"] for row in rows} == {again}, "one open alert a driver"
    assert again in {*first, *later}
    await cluster.until_up(cluster.workers[0])


async def test_with_every_worker_frozen_the_instances_take_an_sos(world: World) -> None:
    cluster = world.cluster
    token = mint(cluster.settings, role="driver", tenant=world.tenant, vendors=["north"], driver="d1")
    pids = [pid for pid in map(cluster.pid, cluster.workers) if pid is not None]
    assert len(pids) == len(cluster.workers)
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=3)) as http:
            alert_id = UUID(await press_until_kept(http, cluster.url, token, uuid4()))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    db = await Database.open(cluster.settings)
    try:

        async def delivered() -> bool:
            found = await reads.explain(db, world.tenant, alert_id)
            return found is not None and any(a.status is Status.SENT for a in found.attempts)

        await until(delivered, "a worker that is back tells the dispatchers")
    finally:
        await db.close()


def test_a_worker_does_not_start_with_half_a_credential(tmp_path: Path) -> None:
    environ = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    environ |= {"PYTHONPATH": str(ROOT), "TWILIO_ACCOUNT_SID": "AC1", "DATA_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "realtime.cli", "worker"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode != 0
    assert "TWILIO_AUTH_TOKEN" in done.stderr
    assert "Traceback" not in done.stderr
