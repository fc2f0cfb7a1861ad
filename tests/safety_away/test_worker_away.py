"""A whole worker with Postgres away: an SOS is taken, told, answered, and brought in once."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import aiohttp
import pytest
from aiohttp import web

from alerts.attempt import Status
from alerts.notifiers.webhook import webhook_secret
from realtime.outside.mail import MailServer
from realtime.outside.sink import Sink
from realtime.processes.worker import Worker
from realtime.settings import Settings
from realtime.store.db.database import Database
from tests.alerts.delivery.conftest import until
from tests.api.harness import served
from tests.e2e.proxy import Proxy
from tests.safety.test_worker import AUTH, Running, ann, db, eventually, mail, story
from tests.safety_away.fakes import Line

__all__ = ["ann", "db", "mail"]


class SlowSink(Sink):
    """A receiver of webhooks that has each at once, and answers when it may."""

    def __init__(self, secret_of: Callable[[str], str]) -> None:
        super().__init__(secret_of)
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def _hook(self, request: web.Request) -> web.Response:
        answer = await super()._hook(request)
        await self.may_answer.wait()
        return answer


@pytest.fixture
async def sink() -> AsyncIterator[SlowSink]:
    key = Settings(auth_secret=AUTH).alerts_key  # type: ignore[arg-type]
    async with SlowSink(lambda name: webhook_secret(key, "t1", name)) as server:
        yield server


@pytest.fixture
async def line(database_url: str) -> AsyncIterator[Line]:
    port = urlsplit(database_url).port
    assert port is not None
    async with Proxy(port) as proxy:
        made = Line(proxy, database_url)
        yield made
        made.mend()


@pytest.fixture
def settings(database_url: str, redis_url: str, mail: MailServer) -> Settings:
    """For whoever looks at the database, whatever the line does."""
    return Settings(
        database_url=database_url,  # type: ignore[arg-type]
        redis_url=redis_url,  # type: ignore[arg-type]
        auth_secret=AUTH,  # type: ignore[arg-type]
        instance_name="worker1",
        db_timeout_s=10,
        smtp_host="127.0.0.1",
        smtp_port=mail.port,
        smtp_from="sos@wayguard.example",
        smtp_security="none",
        outside_allow_private=True,
        delivery_timeout_s=8.0,
    )


@pytest.fixture
async def running(settings: Settings, line: Line, ann: None) -> AsyncIterator[Running]:
    """A worker that has read its local copy, and reaches Postgres by the line alone."""
    away = settings.model_copy(update={"database_url": type(settings.database_url)(line.url)})
    async with (
        Worker.open(away) as worker,
        served(worker.app) as url,
        aiohttp.ClientSession() as session,
    ):
        await until(lambda: worker._disk.directory.age_ms is not None, "the local copy")
        yield Running(worker, url, session, settings)


async def counted(db: Database) -> int:
    async with db.writer() as connection:
        found: int = await connection.fetchval("SELECT count(*) FROM alerts")
        return found


async def answer(running: Running, what: str, link: str, **fields: Any) -> dict[str, Any]:
    token = link.split("#")[1]
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{running.url}/answers/{what}", json={"token": token, **fields}) as reply,
    ):
        found: dict[str, Any] = await reply.json()
        return found


@pytest.mark.parametrize("fault", ["cut", "hang"])
async def test_an_sos_with_postgres_away_is_told_answered_and_brought_in_once(
    running: Running, line: Line, mail: MailServer, sink: Sink, db: Database, fault: str
) -> None:
    getattr(line, fault)()
    sos_id = uuid4()
    taken = await running.press(sos_id, message="somebody follows me")
    assert (taken["ok"], taken["state"], taken["durability"]) == (True, "active", "replicated")
    again = await running.press(sos_id)
    assert again["alert_id"] == taken["alert_id"]
    await until(lambda: bool(sink.hooks) and bool(mail.mails), "the webhook and the mail")
    shown = await answer(running, "view", sink.hooks[0].body["link"])
    assert shown["state"] == "active"
    shown = await answer(running, "act", sink.hooks[0].body["link"], act="ack")
    assert (shown["state"], shown["mine"]) == ("acknowledged", True)
    assert await counted(db) == 0
    line.mend()

    async def stored() -> bool:
        return await counted(db) == 1

    await eventually(stored, "it is in postgres")
    found = await story(db, taken["alert_id"])
    assert found.alert.state == "acknowledged"
    assert {"raised", "acknowledged"} <= {one.what for one in found.audit}
    assert [press.sos_id for press in found.presses] == [sos_id]
    told = [a for a in found.attempts if a.purpose == "alert" and a.status is Status.SENT]
    assert {a.channel.value for a in told} == {"webhook", "email"}
    later = await running.press(sos_id)
    assert (later["alert_id"], later["durability"]) == (taken["alert_id"], "committed")
    deliveries = [hook.delivery for hook in sink.hooks]
    assert len(deliveries) == len(set(deliveries)), "nothing is sent twice"
    (webhook,) = [a for a in told if a.channel == "webhook"]
    assert str(webhook.attempt_id) in deliveries
    assert await counted(db) == 1


async def test_a_start_with_postgres_away_goes_on_with_what_the_journal_has(
    settings: Settings, line: Line, ann: None, sink: Sink, db: Database
) -> None:
    away = settings.model_copy(update={"database_url": type(settings.database_url)(line.url)})
    async with Worker.open(away) as first:
        await until((first._disk._folder.path / "directory").exists, "the local copy on the disk")
    line.cut()
    for times in (1, 2):
        async with (
            Worker.open(away) as worker,
            served(worker.app) as url,
            aiohttp.ClientSession() as session,
        ):
            running = Running(worker, url, session, settings)
            taken = await running.press(UUID(int=7 + (4 << 76)))
            assert taken["durability"] == "replicated"
            await until(lambda: bool(sink.hooks), "the webhook")
            if times == 2:
                line.mend()

                async def stored() -> bool:
                    return await counted(db) == 1

                await eventually(stored, "it is in postgres")
                (attempt,) = [
                    a for a in (await story(db, taken["alert_id"])).attempts if a.channel == "webhook"
                ]
                assert attempt.status is Status.SENT
    assert len(sink.hooks) == 1


async def test_what_was_on_its_way_when_postgres_went_is_journalled_and_not_sent_again(
    running: Running, line: Line, sink: SlowSink, db: Database
) -> None:
    sink.may_answer.clear()
    taken = await running.press(uuid4())
    assert taken["durability"] == "committed"
    await until(lambda: bool(sink.hooks), "the webhook is there")
    line.cut()
    standby = running.worker._standby
    await until(lambda: not standby.reach.is_up, "postgres is missed")
    sink.may_answer.set()
    alert_id = UUID(taken["alert_id"])

    def webhook() -> Status | None:
        kept = standby._disk.local.get(alert_id)
        found = [] if kept is None else [a for a in kept.case.attempts.values() if a.channel == "webhook"]
        return found[0].status if found else None

    await until(lambda: webhook() is Status.SENT, "its outcome is in the journal")
    line.mend()

    async def stored() -> bool:
        attempts = (await story(db, taken["alert_id"])).attempts
        return [a.status for a in attempts if a.channel == "webhook"] == [Status.SENT]

    await eventually(stored, "and in postgres")
    assert len(sink.hooks) == 1
