"""A whole instance and a whole worker: each change is soon in both local copies, and an alert that was
raised from a local copy is completed and says so.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple
from uuid import uuid4

import aiohttp
import pytest

from alerts import case as cases
from alerts.alert import Alert
from alerts.attempt import Channel
from alerts.policy import Circumstances, Pins, Source
from geo.position import Point
from realtime.alerting.scope_changes import CHANNEL
from realtime.live.topics import POSITIONS, position_item
from realtime.processes.web import Instance
from realtime.processes.worker import Worker
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.alerts.health import beats
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.people import contacts
from realtime.store.people.contacts import Draft, Scope
from tests.alerts.ledger_contract import a_press
from tests.api.harness import Api, Fakes, served
from tests.safety_away.fakes import now_ms
from tests.store.people import put_contact, put_driver

WITHIN_S = 10.0
"""How quick it is is tested in `tests.safety_away.test_scopenews`; everything is read every 30 s anyway."""
PHONE = "+41790000001"


class Both(NamedTuple):
    """A system of two processes."""

    instance: Instance
    worker: Worker


@pytest.fixture
async def both(database_url: str, redis_url: str) -> AsyncIterator[Both]:
    settings = Settings(
        database_url=database_url,  # type: ignore[arg-type]
        redis_url=redis_url,  # type: ignore[arg-type]
        auth_secret="a secret of the tests that is long enough",  # type: ignore[arg-type]
        db_timeout_s=10,
    )
    worker_settings = settings.model_copy(update={"instance_name": "worker1"})
    async with Instance.open(settings) as instance, Worker.open(worker_settings) as worker:
        await put_driver(instance.db, "t1", "north", "d1")
        for bus in (instance.live.bus, worker._bus):
            assert await bus.subscribe(CHANNEL, 20)
        await asyncio.sleep(0.3)  # what was announced before is read
        yield Both(instance, worker)


def phones(of: Instance | Worker) -> set[str]:
    disk = of.alerts.standby._disk if isinstance(of, Instance) else of._disk
    found = disk.directory.of("t1", "north", "d1").contacts
    return {contact.phone or contact.webhook_url or "" for contact in found} - {""}


async def within(seconds: float, look: Callable[[], bool]) -> None:
    until_s = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < until_s
        await asyncio.sleep(0.02)


async def test_a_change_by_either_process_is_soon_in_both_copies(both: Both) -> None:
    url = "https://ann.example"
    await contacts.create(both.instance.db, "t1", Scope(), Draft("Ann", webhook_url=url), "test")
    await within(WITHIN_S, lambda: phones(both.worker) == phones(both.instance) == {url})
    await put_contact(both.worker._db, "t1", driver_id="d1", phone=PHONE)
    await contacts.opt_in(both.worker._db, PHONE)
    await within(WITHIN_S, lambda: phones(both.worker) == phones(both.instance) == {url, PHONE})
    await contacts.opt_out(both.instance._alerts_db, PHONE)
    await within(WITHIN_S, lambda: phones(both.worker) == phones(both.instance) == {url})


async def an_alert_of_a_local_copy(both: Both) -> Alert:
    """An alert that Postgres has and whose contacts could not be read when it was stored."""
    known = Circumstances({}, (), Pins(), source=Source.LOCAL_COPY, age_ms=12_000)
    press = a_press(now_ms())
    case = cases.opened(press, known, now_ms())
    return await PostgresLedger(both.worker._db).import_case(case.case, [press], case.audit, now_ms())


async def test_a_worker_completes_such_an_alert_and_the_api_says_where_its_contacts_were_from(
    both: Both,
) -> None:
    instance = both.instance
    contact_id = await put_contact(instance.db, "t1", driver_id="d1", phone=PHONE)
    alert = await an_alert_of_a_local_copy(both)
    async with served(instance.app) as url, aiohttp.ClientSession() as session:
        api = Api(url, instance.db, Fakes(instance.settings), instance.sessions, session)

        async def detail() -> dict[str, object]:
            reply = await api.get(f"/api/v1/alerts/{alert.alert_id}", api.token("admin"))
            found: dict[str, object] = reply.json
            return found

        until_s = time.monotonic() + 10
        while not (shown := await detail())["snapshot"]["is_complete"]:  # type: ignore[index]
            assert time.monotonic() < until_s
            await asyncio.sleep(0.1)
        assert shown["snapshot"] == {"source": "local_copy", "age_ms": 12_000, "is_complete": True}
        raised, *_ = shown["history"]  # type: ignore[misc]
        assert (raised["detail"]["contacts_from"], raised["detail"]["copy_age_ms"]) == ("local_copy", 12_000)
        driver = await api.get(
            f"/api/v1/alerts/{alert.alert_id}", api.token("driver", ["north"], driver="d1")
        )
        assert driver.json["snapshot"] is None
    found = await reads.explain(instance.db, "t1", alert.alert_id)
    assert found is not None
    assert (str(contact_id), Channel.SMS) in {(a.contact_id, a.channel) for a in found.attempts}


async def test_each_process_says_how_old_its_copy_is(both: Both) -> None:
    async def ages() -> list[int | None]:
        _, found = await beats(both.instance.db)
        return [beat.detail.copy_age_ms for beat in found]

    until_s = time.monotonic() + 10
    while len(found := await ages()) < 2:
        assert time.monotonic() < until_s
        await asyncio.sleep(0.1)
    assert all(age_ms is not None and age_ms < 60_000 for age_ms in found)


async def test_both_find_the_live_position_of_a_driver_who_says_none(both: Both) -> None:
    at_ms = now_ms()
    item = position_item("d1", str(uuid4()), Point(1, at_ms, 54.0, 10.0), at_ms)
    both.instance.live.publisher.conflated("t1", "north", POSITIONS, item, str(at_ms))
    press = a_press(at_ms, place=None)
    intakes = (both.instance.alerts.standby.intake, both.worker._standby.intake)
    until_s = time.monotonic() + WITHIN_S
    while not all([await intake._live_places(press) for intake in intakes]):
        assert time.monotonic() < until_s
        await asyncio.sleep(0.02)
