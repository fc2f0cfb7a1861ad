"""A worker with FCM: the devices of dispatchers are told, and one that is gone is forgotten."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import aiohttp
import pytest
from pydantic import SecretStr

from realtime.outside.fcm import FcmServer
from realtime.outside.mail import MailServer
from realtime.processes.worker import Worker
from realtime.settings import Settings
from realtime.store.db.database import Database
from tests.alerts.delivery.conftest import until
from tests.api.harness import served
from tests.safety.test_worker import Running, ann, db, mail, settings, sink
from tests.store.people import put_device

__all__ = ["ann", "db", "mail", "settings", "sink"]

pytestmark = pytest.mark.filterwarnings("ignore:Message.token is deprecated")


@pytest.fixture
async def fcm() -> AsyncIterator[FcmServer]:
    async with FcmServer() as server:
        yield server


async def test_a_device_that_is_gone_is_told_once_and_never_again(
    settings: Settings, ann: None, mail: MailServer, db: Database, fcm: FcmServer
) -> None:
    async with db.writer() as connection:
        await connection.execute("DELETE FROM alert_policies")  # the built-in one tells dispatchers by push
    await put_device(db, "t1", "alive")
    await put_device(db, "t1", "gone")
    fcm.unregistered.add("gone")
    with_fcm = settings.model_copy(
        update={"firebase_credentials": SecretStr(fcm.service_account()), "fcm_base_url": fcm.url}
    )
    async with (
        Worker.open(with_fcm) as worker,
        served(worker.app) as url,
        aiohttp.ClientSession() as session,
    ):
        answer = await Running(worker, url, session, with_fcm).press(uuid4())
        assert answer["ok"]
        await until(lambda: bool(fcm.pushes), "the push")
        async with asyncio.timeout(10):
            while await _devices(db) != ["alive"]:
                await asyncio.sleep(0.05)


async def _devices(db: Database) -> list[str]:
    async with db.writer() as connection:
        rows = await connection.fetch("SELECT push_token FROM devices ORDER BY 1")
    return [row["push_token"] for row in rows]
