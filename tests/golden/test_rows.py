"""Rows that an earlier release wrote to Postgres are read as it read them, and their alerts go on."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import asyncpg
import pytest

from alerts.alert import Acknowledged, Actor, ActorKind, Arrow, Kind, Resolved, State
from alerts.attempt import Channel, Purpose, Status
from alerts.events import Event, Heard, tag_of
from alerts.timers import TimerKind, TimerState
from realtime.engines.postgres import EmbeddedPostgres
from tests.alerts.slots import UpTo
from tests.api.harness import running
from tests.engines_fixtures import database, in_thread
from tests.golden import names
from tests.golden.compare import differences
from tests.golden.make_rows import TABLES, TENANT, read_api, read_store, set_clock

FILES = Path(__file__).parent / "files"
OLGA = Actor(ActorKind.OPERATOR, "olga", "Olga")


def golden(name: str) -> Any:
    return json.loads((FILES / f"{name}.json").read_text())


ROWS: dict[str, list[dict[str, str | None]]] = golden("rows")
READ = golden("rows_read")


# --- the files themselves


def test_the_rows_have_every_state_kind_of_event_and_outcome_of_that_release() -> None:
    """A value that a later release adds is not among them."""
    has = {
        "states": {row["state"] for row in ROWS["alerts"]},
        "statuses": {row["status"] for row in ROWS["alert_attempts"]},
        "channels": {row["channel"] for row in ROWS["alert_attempts"]},
        "purposes": {json.loads(row["attempt"] or "")["purpose"] for row in ROWS["alert_attempts"]},
        "timers": {row["state"] for row in ROWS["safety_timers"]},
        "timer kinds": {row["kind"] for row in ROWS["safety_timers"]},
        "events": {row["what"] for row in ROWS["alert_events"]},
        "arrows": {row["arrow"] for row in ROWS["alert_events"]} - {None},
    }
    assert has["states"] == set(State)
    assert has["statuses"] == set(Status)
    assert has["channels"] == set(Channel)
    assert has["purposes"] == set(Purpose) - {Purpose.CODE, Purpose.TEST}, "those two have no row"
    assert has["timers"] == set(TimerState)
    assert has["timer kinds"] == set(TimerKind)
    # A sign of life changes nothing that is seen, and what is denied is in the history as refused.
    assert has["events"] >= {str(one.__struct_config__.tag) for one in get_args(Event)} - {"heard", "denied"}
    assert "refused" in has["events"]
    assert has["arrows"] == {arrow.value for arrow in Arrow} - {Arrow.HEARD}
    assert tag_of(Heard(OLGA)) == "heard"
    alerts = [json.loads(row["alert"] or "") for row in ROWS["alerts"]]
    assert {True, False} == {alert["drill"] for alert in alerts}
    assert {alert["raised_by"]["id"] for alert in alerts if alert.get("raised_by")} == {"olga"}
    veils = [alert["veil"] for alert in alerts if alert.get("veil")]
    assert {bool(veil.get("lifted_ms")) for veil in veils} == {True, False}
    assert any(alert["duress"] for alert in alerts)
    fired = [
        json.loads(row["timer"] or "")["alert_id"] for row in ROWS["safety_timers"] if row["state"] == "fired"
    ]
    assert fired == [alert["alert_id"] for alert in alerts if alert["kind"] == Kind.CHECK_IN_MISSED]


# --- in a Postgres


@contextmanager
def stored(server: EmbeddedPostgres, folder: Path) -> Iterator[str]:
    """A database as that release left it, brought to today's schema."""
    migrations = folder / "migrations"
    migrations.mkdir()
    for name in golden("migrations"):
        shutil.copy(names.MIGRATIONS / name, migrations)
    with database(server, "golden rows", "template1") as url:
        settings = names.Settings(database_url=url, db_timeout_s=10)  # type: ignore[arg-type]
        in_thread(lambda: _fill(settings, migrations))
        yield url


async def _fill(settings: Any, migrations: Path) -> None:
    await names.migrate(settings, migrations)
    async with opened(settings) as db, db.writer() as connection:
        for table in TABLES:
            await _insert(connection, table, ROWS[table])
    owner = await asyncpg.connect(settings.database_url.get_secret_value())
    next_id = max(int(row["event_id"] or 0) for row in ROWS["alert_events"]) + 1
    await owner.execute(f"ALTER TABLE alert_events ALTER event_id RESTART WITH {next_id}")
    await owner.close()
    await names.migrate(settings)


async def _insert(connection: Any, table: str, rows: list[dict[str, str | None]]) -> None:
    if not rows:
        return
    types = await connection.fetch(
        "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
        "WHERE attrelid = $1::text::regclass AND attname = ANY ($2::text[])",
        table,
        list(rows[0]),
    )
    assert {row["attname"] for row in types} == set(rows[0])
    columns = [row["attname"] for row in types]
    casts = [f"{row['attname']}::{row['type']}" for row in types]
    await connection.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) OVERRIDING SYSTEM VALUE "
        f"SELECT {', '.join(casts)} "
        f"FROM unnest({', '.join(f'${n}::text[]' for n in range(1, len(columns) + 1))}) "
        f"AS given ({', '.join(columns)})",
        *([row[column] for row in rows] for column in columns),
    )


@asynccontextmanager
async def opened(settings: Any) -> AsyncIterator[Any]:
    db = await names.Database.open(settings)
    try:
        yield db
    finally:
        await db.close()


@pytest.fixture(scope="module")
def url(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Only read by the tests."""
    with stored(postgres_server, tmp_path_factory.mktemp("golden")) as url:
        yield url


@pytest.fixture
async def db(url: str) -> AsyncIterator[Any]:
    async with opened(names.Settings(database_url=url, db_timeout_s=10)) as db:  # type: ignore[arg-type]
        yield db


async def test_the_reads_of_the_store_give_what_they_gave(db: Any) -> None:
    assert differences(READ, await read_store(db)) == []


async def test_cases_are_read_as_the_alert_engine_needs_them(db: Any) -> None:
    ledger = names.PostgresLedger(db, lambda: 0.5)
    for alert_id, explained in READ["explained"].items():
        case = await ledger.look(UUID(alert_id))
        assert case is not None
        assert str(case.alert.alert_id) == alert_id
        assert sorted(map(str, case.attempts)) == sorted(one["attempt_id"] for one in explained["attempts"])
        for press in explained["presses"]:
            found = await ledger.find(TENANT, press["driver"], UUID(press["sos_id"]))
            assert found == case.alert


async def test_the_api_answers_what_it_answered(url: str) -> None:
    async with running(url) as api:
        assert differences(golden("rows_api"), await read_api(api)) == []


async def test_alerts_of_an_earlier_release_go_on_and_end(
    postgres_server: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Each open one is claimed, escalated, acknowledged and resolved as if nothing had been installed."""
    raised_ms = max(int(row["raised_ms"] or 0) for row in ROWS["alerts"])
    with stored(postgres_server, tmp_path) as url:
        async with opened(names.Settings(database_url=url, db_timeout_s=10)) as db:  # type: ignore[arg-type]
            ledger = names.PostgresLedger(db, lambda: 0.5)
            await set_clock(url, raised_ms + 61_000)
            claimable = {
                row["attempt_id"] for row in ROWS["alert_attempts"] if row["status"] in ("due", "unsure")
            }
            async with asyncio.timeout(30):
                while await ledger.advance(50):
                    pass
            jobs = await ledger.claim("w1", UpTo(tuple(Channel), 1_000), 30.0)
            assert claimable <= {str(job.attempt.attempt_id) for job in jobs}
            lost = {str(job.attempt.attempt_id) for job in jobs if job.attempt.status is Status.SENDING}
            assert lost, "what a process of that release had leased is taken over"
            opens = [UUID(alert_id) for alert_id in READ["open"]]
            assert len(opens) > 10
            for alert_id in opens:
                acknowledged = await ledger.apply(alert_id, Acknowledged(OLGA, "page"))
                assert acknowledged is not None
                assert acknowledged.alert.state is State.ACKNOWLEDGED
                resolved = await ledger.apply(alert_id, Resolved(OLGA, "over"))
                assert resolved is not None
                assert (resolved.refused, resolved.alert.state) == (None, State.RESOLVED)
            assert await names.alert_reads.open_of(db, TENANT) == []
