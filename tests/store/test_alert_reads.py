"""Alerts read: found, listed by page, explained, and told once each time they change."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from alerts.alert import Acknowledged, Alert, Resolved, State, alert_id_of
from alerts.attempt import Accepted, Purpose, Status
from realtime.alerting.receipts import rows
from realtime.settings import Settings
from realtime.store.alerts import reads
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.alerts.reads import EXPLAINED, AlertCursor, ChangedAlerts
from realtime.store.db.database import Database
from tests.alerts.ledger_contract import (
    ANA,
    CIRCUMSTANCES,
    OPERATOR,
    a_press,
    claim,
    raise_one,
    with_provider,
)
from tests.store.clock import DatabaseClock


class World(DatabaseClock):
    """A ledger on the test's database."""

    def __init__(self, url: str, db: Database) -> None:
        super().__init__(url)
        self.db = db
        self.ledger = PostgresLedger(db, random.Random(1).random)


@pytest.fixture
async def world(database_url: str, db: Database) -> World:
    return World(database_url, db)


@pytest.fixture
async def other_db(database_url: str) -> AsyncIterator[Database]:
    async with AsyncExitStack() as stack:
        opened = await Database.open(Settings(database_url=database_url, db_timeout_s=10))
        stack.push_async_callback(opened.close)
        yield opened


async def test_an_alert_is_found_by_its_id_and_by_that_of_a_press_that_joined(world: World) -> None:
    first = await raise_one(world)
    second = a_press(await world.now_ms())
    joined = await world.ledger.press(second, CIRCUMSTANCES)
    await world.ledger.apply(first.alert.alert_id, Resolved(OPERATOR))
    alone = await world.ledger.press(a_press(await world.now_ms(), driver="d2"), CIRCUMSTANCES)
    async with world.db.writer() as connection:
        own = await connection.fetchval(
            "SELECT own_alert_id FROM alert_presses WHERE sos_id = $1", second.sos_id
        )
    for alert_id in (first.alert.alert_id, own):
        found = await reads.get(world.db, "t1", alert_id)
        assert found is not None
        assert found.alert_id == joined.alert.alert_id
        assert found.state is State.RESOLVED
    assert own != joined.alert.alert_id
    assert await reads.get(world.db, "t1", alone.alert.alert_id) == alone.alert


async def test_a_link_finds_its_case_without_knowing_the_tenant(world: World) -> None:
    first = await raise_one(world)
    second = a_press(await world.now_ms())
    joined = await world.ledger.press(second, CIRCUMSTANCES)
    for alert_id in (first.alert.alert_id, alert_id_of("t1", "d1", second.sos_id)):
        case = await world.ledger.look(alert_id)
        assert case is not None
        assert (case.alert, len(case.attempts)) == (joined.alert, 1)
    assert await world.ledger.look(uuid4()) is None


async def test_another_tenant_finds_nothing(world: World) -> None:
    taken = await raise_one(world)
    alert_id = taken.alert.alert_id
    assert await reads.get(world.db, "t2", alert_id) is None
    assert await reads.explain(world.db, "t2", alert_id) is None
    assert await reads.list_(world.db, "t2", limit=10) == []
    assert await reads.open_of(world.db, "t2") == []


async def test_a_list_is_filtered_and_paged_without_hole_or_double(world: World) -> None:
    for n in range(7):
        await raise_one(world, driver=f"d{n}", vendor="north" if n % 2 else "south")
    first = await reads.list_(world.db, "t1", limit=3)
    seen = [*first]
    while first:
        first = await reads.list_(
            world.db, "t1", after=AlertCursor(first[-1].raised_ms, first[-1].alert_id), limit=3
        )
        seen += first
    assert len({a.alert_id for a in seen}) == len(seen) == 7
    assert [a.raised_ms for a in seen] == sorted((a.raised_ms for a in seen), reverse=True)
    north = await reads.list_(world.db, "t1", vendors=["north"], limit=10)
    assert {a.vendor for a in north} == {"north"}
    assert len(north) == 3
    assert await reads.list_(world.db, "t1", vendors=[], limit=10) == []
    assert [a.driver for a in await reads.list_(world.db, "t1", driver="d4", limit=10)] == ["d4"]
    closed = north[0].alert_id
    await world.ledger.apply(closed, Resolved(OPERATOR))
    resolved = await reads.list_(world.db, "t1", states=[State.RESOLVED], limit=10)
    assert [a.alert_id for a in resolved] == [closed]
    assert await reads.list_(world.db, "t1", since_ms=seen[0].raised_ms + 1, limit=10) == []


async def test_open_alerts_are_those_of_a_vendor_a_driver_or_a_journey(world: World) -> None:
    journey_id = uuid4()
    with_journey = await raise_one(world, driver="d1", journey_id=journey_id)
    other = await raise_one(world, driver="d2", vendor="south")
    closed = await raise_one(world, driver="d3")
    await world.ledger.apply(closed.alert.alert_id, Resolved(OPERATOR))

    async def ids(**of: object) -> list[str]:
        found = await reads.open_of(world.db, "t1", **of)  # type: ignore[arg-type]
        return sorted(a.driver for a in found)

    assert await ids() == ["d1", "d2"]
    assert await ids(vendor="south") == [other.alert.driver]
    assert await ids(driver="d1") == ["d1"]
    assert await ids(journey_id=journey_id) == [with_journey.alert.driver]
    assert await ids(journey_id=uuid4()) == []


async def test_an_explanation_has_presses_attempts_with_their_answers_and_the_history(world: World) -> None:
    taken = await raise_one(world)
    await raise_one(world)
    (job,) = await claim(world)
    await world.ledger.settle(with_provider(job), Accepted("SM1", "queued"))
    await world.ledger.apply(taken.alert.alert_id, Acknowledged(OPERATOR, "page"))
    told = await reads.explain(world.db, "t1", taken.alert.alert_id)
    assert told is not None
    assert told.alert.state is State.ACKNOWLEDGED
    assert ANA in told.copy.contacts
    assert len(told.presses) == 2
    first = told.attempts[0]
    assert (first.status, first.provider, first.provider_id) == (Status.SENT, "twilio", "SM1")
    assert told.audit[-1].actor == OPERATOR
    assert [line.version for line in told.audit] == sorted(line.version for line in told.audit)


async def test_a_look_tells_each_change_once(world: World) -> None:
    changes = ChangedAlerts(world.db)
    assert await changes.look() == []
    taken = await raise_one(world)
    assert await changes.look() == [taken.alert]
    assert await changes.look() == []
    applied = await world.ledger.apply(taken.alert.alert_id, Acknowledged(OPERATOR, "page"))
    assert applied is not None
    assert await changes.look() == [applied.alert]
    assert await changes.look() == []


async def test_what_commits_late_is_told_late_and_not_never(world: World, other_db: Database) -> None:
    changes = ChangedAlerts(world.db)
    await changes.look()
    slow = await raise_one(world, driver="slow")
    await changes.look()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def commit_late() -> None:
        async with other_db.writer() as connection:
            await connection.execute(
                "UPDATE alerts SET version = version + 1, changed_by = pg_current_xact_id(), "
                "alert = jsonb_set(alert::jsonb, '{version}', to_jsonb(version + 1)) WHERE alert_id = $1",
                slow.alert.alert_id,
            )
            begun.set()
            await go_on.wait()

    late = asyncio.create_task(commit_late())
    await begun.wait()
    fast = [await raise_one(world, driver=f"fast{n}") for n in range(5)]
    assert [a.driver for a in await changes.look()] == [t.alert.driver for t in fast]
    assert await changes.look() == []
    go_on.set()
    await late
    assert [(a.driver, a.version) for a in await changes.look()] == [("slow", slow.alert.version + 1)]
    assert await changes.look() == []


async def test_a_full_page_is_gone_on_from(world: World) -> None:
    changes = ChangedAlerts(world.db, page_size=3)
    await changes.look()
    taken = [await raise_one(world, driver=f"d{n}") for n in range(8)]
    told = [alert for _ in range(6) for alert in await changes.look()]
    assert [a.driver for a in told] == [t.alert.driver for t in taken]


# --- a long history


EVENTS = """
INSERT INTO alert_events (alert_id, tenant_id, version, at_ms, actor, what, detail)
SELECT $1, 't1', n, n, '{"kind": "driver", "id": "d1", "name": ""}', 'pressed ' || n, '{}'
FROM generate_series(1, $2::int) n
"""
ATTEMPTS = """
INSERT INTO alert_attempts (attempt_id, alert_id, tenant_id, channel, status, urgency, due_ms, attempt)
SELECT made.id, a.alert_id, a.tenant_id, a.channel, a.status, a.urgency, a.due_ms,
       (a.attempt::jsonb || jsonb_build_object(
           'attempt_id', made.id, 'number', n, 'created_ms', 2000000000000 + n / 3))::json
FROM alert_attempts a
CROSS JOIN LATERAL (
    SELECT gen_random_uuid() AS id, n FROM generate_series(1, $2::int) n WHERE a.alert_id = $1
) made
"""


async def long_history(world: World, count: int) -> Alert:
    """An alert with ``count`` events and attempts more, three attempts in each millisecond."""
    alert = (await raise_one(world)).alert
    async with world.db.writer() as connection:
        await connection.execute(EVENTS, alert.alert_id, count)
        await connection.execute(ATTEMPTS, alert.alert_id, count)
    return alert


async def test_an_explanation_has_the_newest_and_says_where_earlier_ones_are(world: World) -> None:
    alert = await long_history(world, 2_000)
    told = await reads.explain(world.db, "t1", alert.alert_id, limit=100)
    assert told is not None
    assert [line.what for line in told.audit] == [f"pressed {n}" for n in range(1_901, 2_001)]
    assert len(told.attempts) == 100
    assert min(one.number for one in told.attempts) > 1_896, "the newest, by the millisecond"
    assert told.earlier_audit is not None and told.earlier_attempts is not None
    bounded = await reads.explain(world.db, "t1", alert.alert_id)
    assert bounded is not None
    assert (len(bounded.audit), len(bounded.attempts)) == (EXPLAINED, EXPLAINED)


async def test_a_short_history_says_that_it_is_whole(world: World) -> None:
    alert = await long_history(world, 3)
    told = await reads.explain(world.db, "t1", alert.alert_id)
    assert told is not None
    assert (told.earlier_audit, told.earlier_attempts) == (None, None)


async def test_pages_lead_back_to_the_first_line_without_hole_or_double(world: World) -> None:
    alert = await long_history(world, 50)
    before, lines = None, []
    while True:
        page = await reads.history_before(world.db, "t1", alert.alert_id, before, 7)
        lines[:0] = [line.what for line in page.audit]
        if (before := page.earlier) is None:
            break
    assert lines[-50:] == [f"pressed {n}" for n in range(1, 51)]
    whole = await reads.explain(world.db, "t1", alert.alert_id)
    assert whole is not None and lines == [line.what for line in whole.audit]


async def test_pages_lead_back_to_the_first_attempt_without_hole_or_double(world: World) -> None:
    """Pages end between attempts of the same millisecond too."""
    alert = await long_history(world, 50)
    before, seen = None, []
    while True:
        found = await reads.attempts_before(world.db, "t1", alert.alert_id, before, 7)
        assert found is not None
        seen += [one.attempt_id for one in found[1].attempts]
        if (before := found[1].earlier) is None:
            break
    whole = await reads.explain(world.db, "t1", alert.alert_id)
    assert whole is not None
    assert len(seen) == len(set(seen)) and set(seen) == {one.attempt_id for one in whole.attempts}


async def test_another_tenant_reads_no_page(world: World) -> None:
    alert = await long_history(world, 3)
    assert (await reads.history_before(world.db, "t2", alert.alert_id, None, 10)).audit == ()
    assert await reads.attempts_before(world.db, "t2", alert.alert_id, None, 10) is None
    assert await reads.furthest(world.db, "t2", alert.alert_id, Purpose.ALERT, list(Status)) is None


async def test_of_each_contact_and_channel_the_furthest_attempt_is_read(world: World) -> None:
    alert = await long_history(world, 30)
    async with world.db.writer() as connection:
        await connection.execute(
            "UPDATE alert_attempts SET status = 'delivered', "
            'attempt = (attempt::jsonb || \'{"status": "delivered"}\')::json '
            "WHERE attempt ->> 'number' = '17'"
        )
    found = await reads.furthest(world.db, "t1", alert.alert_id, Purpose.ALERT, list(Status))
    assert found is not None
    whole = await reads.explain(world.db, "t1", alert.alert_id)
    assert whole is not None
    assert {(a.contact_id, a.channel) for a in found[1]} == {
        (a.contact_id, a.channel) for a in whole.attempts
    }
    assert len(found[1]) < len(whole.attempts)
    assert [a.number for a in found[1] if a.status is Status.DELIVERED] == [17]
    assert rows(found[1], found[0]) == rows(whole.attempts, whole.copy)
