"""An SOS while Postgres is down, in processes: the acceptor killed right after its ack, the whole system."""

import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiohttp
import pytest

from alerts.attempt import Status
from realtime.auth.tokens import mint
from realtime.engines.postgres import EmbeddedPostgres
from realtime.store.alerts import reads
from realtime.store.db.database import Database
from tests.e2e.proxy import Proxy
from tests.e2e.test_sos_delivery import WorkerProcess, scene, until
from tests.e2e.world import World
from tests.safety_away.fakes import Line


async def press(url: str, token: str, sos_id: UUID) -> dict[str, Any]:
    """Once; the answer."""
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/api/v1/sos", json={"sos_id": str(sos_id)}, headers=headers) as answer,
    ):
        found: dict[str, Any] = await answer.json()
        return found


async def test_an_acceptor_killed_right_after_its_ack_carries_on_when_it_is_started_again(
    postgres_server: EmbeddedPostgres, redis_url: str, tmp_path: Path
) -> None:
    async with scene(postgres_server, redis_url, tmp_path, "acceptor") as on:
        url = on.settings.database_url.get_secret_value()
        port = urlsplit(url).port
        assert port is not None
        async with Proxy(port) as proxy:
            line = Line(proxy, url)
            settings = on.settings.model_copy(
                update={"database_url": type(on.settings.database_url)(line.url)}
            )
            folder = tmp_path / "acceptor"
            first = WorkerProcess("worker1", settings, folder)
            try:
                await first.until_ready()
                copy = folder / "worker1" / "journal" / "worker-worker1" / "directory"

                async def copied() -> bool:
                    return copy.exists()

                await until(copied, "the local copy is on the disk")
                line.cut()
                token = mint(on.settings, role="driver", tenant="t1", vendors=["v1"], driver="d1")
                sos_id = uuid4()
                taken = await press(first.url, token, sos_id)
                assert taken["durability"] in ("local", "replicated"), taken
                first.send(signal.SIGKILL)
                await first.ended()
            finally:
                first.discard()
            second = WorkerProcess("worker1", settings, folder)
            try:
                await second.until_ready()

                async def told() -> bool:
                    return bool(on.sink.hooks)

                await until(told, "the contact is told")
                again = await press(second.url, token, sos_id)
                assert again["alert_id"] == taken["alert_id"]
                line.mend()

                async def stored() -> bool:
                    found = await reads.explain(on.db, "t1", UUID(taken["alert_id"]))
                    return found is not None and all(
                        a.status is not Status.DUE for a in found.attempts if a.channel == "webhook"
                    )

                await until(stored, "it is in postgres")
            finally:
                second.discard()
        async with on.db.writer() as connection:
            assert await connection.fetchval("SELECT count(*) FROM alerts") == 1
        deliveries = {hook.delivery for hook in on.sink.hooks}
        assert len(deliveries) == 1, "one message, however often it was tried"


@pytest.mark.timeout(240)
async def test_with_postgres_down_the_whole_system_takes_an_sos_and_has_it_once_afterwards(
    world: World,
) -> None:
    cluster = world.cluster
    token = mint(cluster.settings, role="driver", tenant=world.tenant, vendors=["north"], driver="d1")
    await press(cluster.url, token, uuid4())  # every process has been asked once: all are warm
    driver = mint(cluster.settings, role="driver", tenant=world.tenant, vendors=["north"], driver="d2")
    await cluster.postgres.stop()
    pressed = [uuid4() for _ in range(6)]
    urls = [cluster.url, *(cluster.url_of(name) for name in cluster.instances)]
    taken = [await press(urls[number % len(urls)], driver, sos_id) for number, sos_id in enumerate(pressed)]
    assert all(one["durability"] in ("local", "replicated") for one in taken), taken
    await cluster.postgres.start()
    db = await Database.open(cluster.settings)
    try:

        async def stored() -> set[UUID]:
            async with db.writer() as connection:
                rows = await connection.fetch(
                    "SELECT sos_id FROM alert_presses WHERE tenant_id = $1 AND driver_id = 'd2'", world.tenant
                )
            return {UUID(int=row["sos_id"].int) for row in rows}

        async def whole() -> bool:
            return await stored() == set(pressed)

        await until(whole, "every press is in postgres")
        found = await reads.open_of(db, world.tenant, driver="d2")
        assert len(found) == 1, "one open alert a driver, whoever took its presses"
        again: dict[str, Any] = {}

        async def committed() -> bool:
            """A process whose own journal is not imported yet answers from it."""
            again.update(await press(cluster.url, driver, pressed[0]))
            return again["durability"] == "committed"

        await until(committed, "the repeated press is answered from postgres")
        assert UUID(again["alert_id"]) == found[0].alert_id
    finally:
        await db.close()
