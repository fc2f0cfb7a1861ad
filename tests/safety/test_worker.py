"""A whole worker in this process: an SOS by HTTP goes out by mail and webhook, whatever fails on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import msgspec
import pytest
from pydantic import SecretStr

from alerts.attempt import Channel
from alerts.notifiers.webhook import webhook_secret
from alerts.policy import Policy, Step
from realtime.alerting.publisher import AlertPublisher
from realtime.api.routes import HSTS
from realtime.auth.tokens import mint
from realtime.bus.bus import RedisBus
from realtime.outside.mail import MailFault, MailServer
from realtime.outside.sink import Sink
from realtime.outside.web import SimulatedFault, Trouble
from realtime.processes.worker import Worker
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.db.database import Database
from tests.alerts.delivery.conftest import until
from tests.alerts.delivery.fakes import an_alert
from tests.api.harness import served

AUTH = "a secret of the tests that is long enough"
ANN = UUID("0b1f4c1e-0000-4000-8000-000000000001")


@pytest.fixture
async def mail() -> AsyncIterator[MailServer]:
    async with MailServer() as server:
        yield server


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    key = Settings(auth_secret=AUTH).alerts_key  # type: ignore[arg-type]
    async with Sink(lambda name: webhook_secret(key, "t1", name)) as server:
        yield server


@pytest.fixture
def settings(database_url: str, redis_url: str, mail: MailServer) -> Settings:
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
        delivery_timeout_s=2.0,
    )


class Running:
    """A worker with its HTTP side, and a driver who presses."""

    def __init__(self, worker: Worker, url: str, session: aiohttp.ClientSession, settings: Settings) -> None:
        self.worker = worker
        self.url = url
        self._session = session
        self._settings = settings

    async def press(self, sos_id: UUID, driver: str = "d1", **fields: Any) -> dict[str, Any]:
        """Press once; the answer."""
        token = mint(self._settings, role="driver", tenant="t1", vendors=["v1"], driver=driver)
        headers = {"Authorization": f"Bearer {token}"}
        body = {"sos_id": str(sos_id), **fields}
        async with self._session.post(f"{self.url}/api/v1/sos", json=body, headers=headers) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def get(self, path: str) -> int:
        """The status of a GET."""
        async with self._session.get(f"{self.url}{path}") as answer:
            return answer.status


@pytest.fixture
async def running(settings: Settings) -> AsyncIterator[Running]:
    async with (
        Worker.open(settings) as worker,
        served(worker.app) as url,
        aiohttp.ClientSession() as session,
    ):
        yield Running(worker, url, session, settings)


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    opened = await Database.open(settings)
    yield opened
    await opened.close()


POLICY = Policy(steps=(Step(("*",), (Channel.EMAIL, Channel.WEBHOOK), 60),))


@pytest.fixture
async def ann(db: Database, sink: Sink) -> None:
    """A contact of the whole tenant, whose mail is verified, and who has a webhook: told by both at once."""
    hook = sink.hook_url(str(ANN))
    async with db.writer() as connection:
        await connection.execute("INSERT INTO tenants (tenant_id) VALUES ('t1') ON CONFLICT DO NOTHING")
        await connection.execute(
            "INSERT INTO contacts (contact_id, tenant_id, name, email, email_verified_ms, webhook_url, "
            "created_by) VALUES ($1, 't1', 'Ann', 'ann@example.org', 1, $2, 'test')",
            ANN,
            hook,
        )
        await connection.execute(
            "INSERT INTO alert_policies (policy_id, tenant_id, kind, policy, updated_by) "
            "VALUES ($1, 't1', 'sos', $2, 'test')",
            uuid4(),
            msgspec.json.encode(POLICY).decode(),
        )


async def story(db: Database, alert_id: str) -> reads.Explanation:
    found = await reads.explain(db, "t1", UUID(alert_id))
    assert found is not None
    return found


async def test_an_sos_by_http_is_committed_and_reaches_a_contact_by_every_way(
    running: Running, ann: None, mail: MailServer, sink: Sink, db: Database
) -> None:
    answer = await running.press(uuid4(), message="somebody follows me")
    assert (answer["ok"], answer["state"], answer["durability"]) == (True, "active", "committed")
    await until(lambda: bool(sink.hooks), "the webhook")
    (hook,) = sink.hooks
    assert hook.signed
    assert hook.body["alert"]["id"] == answer["alert_id"]
    assert "/a#" in hook.body["link"]
    await until(lambda: bool(mail.mails), "the mail")
    assert mail.mails[0].recipients == ("ann@example.org",)


async def test_an_sos_by_http_is_committed_while_every_other_connection_is_in_use(
    running: Running, ann: None
) -> None:
    db = running.worker._db
    async with AsyncExitStack() as held:
        for _ in range(db._pool.get_max_size()):
            await held.enter_async_context(db.writer())
        answer = await running.press(uuid4())
    assert (answer["ok"], answer["durability"]) == (True, "committed")


async def test_a_hundred_presses_are_one_alert_and_all_are_acknowledged(
    running: Running, ann: None, db: Database
) -> None:
    sos_id = uuid4()
    answers = await asyncio.gather(*(running.press(sos_id) for _ in range(100)))
    assert {answer["alert_id"] for answer in answers} == {answers[0]["alert_id"]}
    assert all(answer["ok"] for answer in answers)
    async with db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM alerts") == 1


async def test_what_providers_say_is_recorded(
    running: Running, ann: None, mail: MailServer, sink: Sink, db: Database
) -> None:
    sink.faults.append(SimulatedFault(Trouble.STATUS, 500))
    answer = await running.press(uuid4())
    await until(lambda: bool(sink.hooks), "the webhook, tried again")

    async def settled() -> bool:
        tried = [a for a in (await story(db, answer["alert_id"])).attempts if a.channel == "webhook"]
        return len(tried) == 2 and tried[1].status == "sent"

    await eventually(settled, "both tries are recorded")
    first, second = [a for a in (await story(db, answer["alert_id"])).attempts if a.channel == "webhook"]
    assert (first.status, first.reason, first.provider) == ("failed", "http_500", "webhook")
    assert (second.status, second.provider_status, second.number) == ("sent", "200", 2)


async def test_a_provider_that_asks_for_patience_gets_it_and_then_the_message(
    running: Running, ann: None, sink: Sink, db: Database
) -> None:
    sink.faults.append(SimulatedFault(Trouble.STATUS, 429, "1"))
    answer = await running.press(uuid4())
    await until(lambda: bool(sink.hooks), "the webhook, tried again")
    tried = [a for a in (await story(db, answer["alert_id"])).attempts if a.channel == "webhook"]
    assert tried[0].reason == "http_429"
    assert tried[1].due_ms - tried[0].due_ms >= 1_000, "no sooner than it asked for"


async def test_with_sms_and_calls_to_be_had_nowhere_mail_goes_at_once_by_the_built_in_policy(
    running: Running, ann: None, mail: MailServer, db: Database
) -> None:
    async with db.writer() as connection:
        await connection.execute("DELETE FROM alert_policies")
        await connection.execute(
            "UPDATE contacts SET webhook_url = NULL, phone = '+41790000000', phone_verified_ms = 1"
        )
    answer = await running.press(uuid4())
    await until(lambda: bool(mail.mails), "the mail")
    attempts = (await story(db, answer["alert_id"])).attempts
    failed = {
        a.channel.value: a.reason for a in attempts if a.status == "failed" and a.contact_id == str(ANN)
    }
    assert failed["sms"] == "not_configured"


async def test_a_mail_server_that_loses_its_reply_gets_the_mail_again_under_the_same_id(
    running: Running, ann: None, mail: MailServer, db: Database
) -> None:
    mail.faults.append(MailFault.LOSE_REPLY)
    answer = await running.press(uuid4())
    await until(lambda: len(mail.mails) >= 2, "the mail, twice")
    ids = [sent.message["Message-ID"] for sent in mail.mails]
    assert ids[0] == ids[1]

    async def marked() -> bool:
        return any(a.repeat for a in (await story(db, answer["alert_id"])).attempts)

    await eventually(marked, "the repeat is recorded as one")


async def test_a_worker_that_drains_is_not_ready_and_still_takes_an_sos(
    running: Running, ann: None, db: Database
) -> None:
    assert await running.get("/readyz") == 200
    draining = asyncio.ensure_future(running.worker.drain())
    await asyncio.sleep(0)
    assert await running.get("/readyz") == 503
    answer = await running.press(uuid4())
    assert answer["durability"] == "committed"
    await draining


async def test_what_one_worker_leaves_undone_the_next_does(
    settings: Settings, ann: None, mail: MailServer, sink: Sink
) -> None:
    """The first is stopped before the mail server lets anything through."""
    mail.fault = MailFault.BUSY
    async with (
        Worker.open(settings) as worker,
        served(worker.app) as url,
        aiohttp.ClientSession() as session,
    ):
        await Running(worker, url, session, settings).press(uuid4())
        await worker.drain()
    mail.fault = None
    async with Worker.open(settings):
        await until(lambda: bool(mail.mails), "the next worker sends it")


async def eventually(what: Any, meaning: str) -> None:
    """Wait until an async condition holds."""
    async with asyncio.timeout(20):
        while not await what():
            await asyncio.sleep(0.02)


async def test_a_worker_hears_at_once_of_an_alert_raised_by_another_process(
    running: Running, redis_url: str
) -> None:
    """This one is in no database, so that no poll can find it."""
    bus = RedisBus(redis_url)
    elsewhere = AlertPublisher(bus, lambda: 1)
    alert = an_alert()

    async def heard() -> bool:
        assert await elsewhere.announce(alert)
        return running.worker._news.get(alert.tenant, alert.alert_id) is not None

    await eventually(heard, "the worker has heard")
    await elsewhere.stop()
    await bus.stop()


async def test_with_redis_away_an_sos_is_taken_and_delivered(
    settings: Settings, ann: None, sink: Sink, mail: MailServer
) -> None:
    alone = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    async with (
        Worker.open(alone) as worker,
        served(worker.app) as url,
        aiohttp.ClientSession() as session,
    ):
        answer = await Running(worker, url, session, alone).press(uuid4())
        assert answer["durability"] == "committed"
        await until(lambda: bool(sink.hooks) and bool(mail.mails), "both messages")


async def test_with_postgres_away_a_phone_is_told_to_try_again_and_the_worker_stays(
    settings: Settings,
) -> None:
    """With a journal it is taken; without one it may be sent again."""
    away = settings.model_copy(update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none")})
    async with (
        Worker.open(away) as worker,
        served(worker.app) as url,
        aiohttp.ClientSession() as session,
    ):
        running = Running(worker, url, session, away)
        answer = await running.press(uuid4())
        assert answer["ok"] or answer["error"]["retryable"]
        assert await running.get("/readyz") == 200, "another worker has no better database"


async def test_https_is_required_only_of_those_who_come_by_it(settings: Settings) -> None:
    for public_url, expected in ((settings.public_url, None), ("https://track.example", HSTS)):
        given = settings.model_copy(update={"public_url": public_url})
        async with (
            Worker.open(given) as worker,
            served(worker.app) as url,
            aiohttp.ClientSession() as session,
            session.get(f"{url}/healthz") as answer,
        ):
            assert answer.headers.get("Strict-Transport-Security") == expected
