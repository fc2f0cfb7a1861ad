"""The group commit on a real Postgres: what is stored, what is replay or conflict, who waits for the disk."""

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Iterator, Sequence
from uuid import UUID, uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from geo.position import Point
from realtime.engines.postgres import EmbeddedPostgres
from realtime.ingest.committer import Committer
from realtime.ingest.journey import JourneyLog
from realtime.protocol import Code, Refused
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.store.journeys import commit, journeys
from realtime.store.journeys.commit import Disagreement, PointBatch
from realtime.store.people import tenants
from tests.commit.kit import batch_of, point, submit, voids_of
from tests.engines_fixtures import TEMPLATE, database


@pytest.fixture(scope="module")
def database_url(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    """One database for this module: every test begins journeys of its own."""
    with database(postgres_server, "commit", TEMPLATE) as url:
        yield url


@pytest.fixture
def settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, db_timeout_s=10)


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    opened = await Database.open(settings)
    yield opened
    await opened.close()


@pytest.fixture
async def committer(db: Database) -> AsyncIterator[Committer]:
    made = make_committer(db)
    yield made
    await made.stop(5.0)


def make_committer(db: Database) -> Committer:
    made = Committer(
        functools.partial(commit.store, db, timeout_s=10.0),
        window_s=0.002,
        max_points=500,
        queue_points=50_000,
    )
    made.start()
    return made


async def begin(db: Database, driver: str = "d1", tenant: str = "t1") -> JourneyLog:
    await tenants.connect_driver(db, tenant, "v1", driver)
    now_ms = 1_790_000_000_000
    async with db.writer() as connection:
        now_ms = await connection.fetchval("SELECT now_ms()")
    head = await journeys.start(db, tenant, "v1", driver, uuid4(), now_ms, None, None, None, now_ms)
    return JourneyLog(head.journey_id, tenant, "v1", driver, head.last_seq, head.created_ms)


async def rows(db: Database, journey_id: UUID) -> list[asyncpg.Record]:
    async with db.writer() as connection:
        found: list[asyncpg.Record] = await connection.fetch(
            "SELECT * FROM journey_points WHERE journey_id = $1 ORDER BY seq", journey_id
        )
    return found


async def seqs(db: Database, log: JourneyLog) -> list[int]:
    return [row["seq"] for row in await rows(db, log.journey_id)]


async def put(db: Database, batches: Sequence[PointBatch]) -> None:
    await commit.store(db, batches, 10.0)


async def test_a_point_is_stored_as_it_was_and_a_void_with_its_reason(db: Database) -> None:
    log = await begin(db)
    batch = batch_of(log, [1, 2])
    batch.points.append(voids_of(log, [3]).points[0])
    batch.voids[3] = "no_fix"
    await put(db, [batch])
    first, _, last = await rows(db, log.journey_id)
    sent = batch.points[0]
    assert (first["t_ms"], first["lat"], first["lon"]) == (sent.t_ms, sent.lat, sent.lon)
    assert (first["tenant_id"], first["void_reason"], first["received_ms"]) == ("t1", None, batch.received_ms)
    assert (last["lat"], last["t_ms"], last["void_reason"]) == (None, None, "no_fix")


async def test_an_odd_clock_is_stored_and_flagged(db: Database) -> None:
    log = await begin(db)
    batch = batch_of(log, [1])
    year_ms = 365 * 86_400_000
    batch.points = [
        replace(point(1), t_ms=0),
        replace(point(2), t_ms=batch.received_ms + year_ms),
        replace(point(3), t_ms=batch.received_ms),
    ]
    await put(db, [batch])
    assert [row["clock_odd"] for row in await rows(db, log.journey_id)] == [True, True, False]


async def test_values_at_the_edges_of_their_types_come_back_as_a_replay(db: Database) -> None:
    log = await begin(db)
    batch = batch_of(log, [1])
    batch.points = [
        Point(1, 253_402_300_799_999, 90.0, -180.0, 1e-46, 359.999, 99_999.9, -499.9, 100.0),
        Point(2, 0, -90.0, 180.0, 0.1, -0.0, 0.3, 1 / 3, 0.7),
        Point(3, 1, 1e-300, -1e-300),
    ]
    await put(db, [batch])
    await put(db, [batch])
    assert await seqs(db, log) == [1, 2, 3]


async def test_a_replay_stores_nothing_twice_and_still_waits_for_the_disk(db: Database) -> None:
    log = await begin(db)
    await put(db, [batch_of(log, [1, 2, 3])])
    async with db.writer() as connection:
        before = await connection.fetchval("SELECT pg_current_wal_insert_lsn()")
    await put(db, [batch_of(log, [1, 2, 3])])
    async with db.writer() as connection:
        moved = await connection.fetchval("SELECT pg_current_wal_flush_lsn() > $1::pg_lsn", before)
    assert moved, "a transaction that only found what was there wrote nothing, so it waited for nothing"
    assert await seqs(db, log) == [1, 2, 3]


async def test_other_content_is_a_conflict_and_leaves_everything_as_it_was(db: Database) -> None:
    log, other = await begin(db), await begin(db, "d2")
    await put(db, [batch_of(log, [1, 2])])
    liar, honest = batch_of(log, [2, 3], lat=10.0), batch_of(other, [1])
    with pytest.raises(Disagreement) as raised:
        await put(db, [liar, honest])
    assert raised.value.conflicts == {liar: [2]}
    assert raised.value.refused == []
    assert await seqs(db, log) == [1, 2]
    assert await seqs(db, other) == []


async def test_a_stored_void_stands_for_whatever_is_sent_again(db: Database) -> None:
    log = await begin(db)
    await put(db, [voids_of(log, [1])])
    await put(db, [batch_of(log, [1, 2])])
    stored = await rows(db, log.journey_id)
    assert [row["void_reason"] for row in stored] == ["no_fix", None]


async def test_of_two_contents_in_one_transaction_only_the_second_conflicts(db: Database) -> None:
    log = await begin(db)
    first, second = batch_of(log, [1, 2]), batch_of(log, [2, 3], lat=10.0)
    with pytest.raises(Disagreement) as raised:
        await put(db, [first, second])
    assert raised.value.conflicts == {second: [2]}
    await put(db, [first])
    assert {row["lat"] for row in await rows(db, log.journey_id)} == {53.4}


async def test_nobody_writes_another_drivers_or_tenants_journey_nor_one_that_is_not_there(
    db: Database,
) -> None:
    log = await begin(db)
    strangers = [
        JourneyLog(log.journey_id, "t1", "v1", "d2", 0, log.created_ms),
        JourneyLog(log.journey_id, "t2", "v1", "d1", 0, log.created_ms),
        JourneyLog(uuid4(), "t1", "v1", "d1", 0, log.created_ms),
    ]
    for stranger in strangers:
        batch = batch_of(stranger, [1])
        with pytest.raises(Disagreement) as raised:
            await put(db, [batch])
        assert raised.value.refused == [batch]
    assert await seqs(db, log) == []


@pytest.mark.parametrize("lat", [53.4, 10.0])
@pytest.mark.parametrize(("tenant", "driver"), [("t1", "d2"), ("t2", "d1")])
async def test_a_stranger_is_not_told_what_is_stored_of_a_journey(
    db: Database, tenant: str, driver: str, lat: float
) -> None:
    """The same content is no replay, other content no conflict."""
    log = await begin(db)
    await put(db, [batch_of(log, [1, 2])])
    batch = batch_of(JourneyLog(log.journey_id, tenant, "v1", driver, 0, log.created_ms), [1, 2], lat=lat)
    with pytest.raises(Disagreement) as raised:
        await put(db, [batch])
    assert (raised.value.refused, raised.value.conflicts) == ([batch], {})


async def test_nothing_beyond_the_declared_end_is_stored(db: Database) -> None:
    log = await begin(db)
    await put(db, [batch_of(log, [1, 2])])
    await journeys.end(db, "t1", "d1", log.journey_id, log.created_ms, 3)
    batch = batch_of(log, [3, 4])
    with pytest.raises(Disagreement):
        await put(db, [batch])
    await put(db, [batch_of(log, [3])])
    assert await seqs(db, log) == [1, 2, 3]


async def test_a_poison_point_becomes_a_void_and_harms_nobody_else(
    db: Database, committer: Committer, database_url: str
) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("""
        CREATE FUNCTION refuse_poison() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF NEW.lat = 66.6 THEN RAISE EXCEPTION 'poison'; END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER poison BEFORE INSERT ON journey_points FOR EACH ROW EXECUTE FUNCTION refuse_poison();
    """)
    await connection.close()
    logs = [await begin(db, f"d{n}") for n in range(5)]
    batches = [batch_of(log, range(1, 10)) for log in logs]
    for index in (0, 4, 8):
        batches[3].points[index] = replace(batches[3].points[index], lat=66.6)
    answers = [submit(committer, log, batch) for log, batch in zip(logs, batches, strict=True)]
    assert [await answer.outcome() for answer in answers] == ["ok"] * 5
    for log in logs:
        stored = await rows(db, log.journey_id)
        assert [row["seq"] for row in stored] == list(range(1, 10))
        voided = [row["seq"] for row in stored if row["void_reason"] == "unstorable"]
        assert voided == ([1, 5, 9] if log is logs[3] else [])
    # The poison sent again, as after a lost ack, is answered as stored.
    again = batch_of(logs[3], range(1, 10))
    again.points[0] = replace(again.points[0], lat=66.6)
    logs[3].tail = 9
    assert await submit(committer, logs[3], again).outcome() == "ok"


async def test_a_journey_without_a_partition_stays_alone_in_its_trouble(
    db: Database, committer: Committer, database_url: str
) -> None:
    fine = await begin(db)
    old_ms = fine.created_ms - 400 * 86_400_000
    head = await journeys.start(db, "t1", "v1", "d1", uuid4(), old_ms, None, None, None, old_ms)
    old = JourneyLog(head.journey_id, "t1", "v1", "d1", 0, old_ms)
    answers = [submit(committer, old, batch_of(old, [1])), submit(committer, fine, batch_of(fine, [1]))]
    assert [await answer.outcome() for answer in answers] == ["unavailable", "ok"]
    assert await seqs(db, fine) == [1]


async def test_postgres_away_is_unavailable_and_its_return_is_noticed(
    settings: Settings, database_url: str
) -> None:
    db = await Database.open(settings)
    log = await begin(db)
    committer = make_committer(db)
    try:
        assert await submit(committer, log, batch_of(log, [1])).outcome() == "ok"
        await db.close()
        answer = submit(committer, log, batch_of(log, [2]))
        assert await answer.outcome() == "unavailable"
        assert answer.refusal is not None
        assert answer.refusal.retryable
        assert answer.refusal.retry_after_s
    finally:
        await committer.stop(1.0)


async def test_a_row_asyncpg_cannot_even_encode_is_isolated_too(db: Database, committer: Committer) -> None:
    sick, well = await begin(db), await begin(db, "d2")
    batch = batch_of(sick, [1, 2, 3])
    batch.points[1] = replace(batch.points[1], speed_mps=1e300)  # more than a real holds
    answers = [submit(committer, sick, batch), submit(committer, well, batch_of(well, [1]))]
    assert [await answer.outcome() for answer in answers] == ["ok", "ok"]
    assert [row["void_reason"] for row in await rows(db, sick.journey_id)] == [None, "unstorable", None]


async def test_two_instances_write_the_same_journeys_at_once_without_deadlock_hole_or_double(
    settings: Settings, db: Database
) -> None:
    """Each has a log of its own, as after a driver's half-open move; both get overlapping batches."""
    seed = random.Random(7)
    begun = [await begin(db, f"d{n}") for n in range(12)]
    dbs = [db, await Database.open(settings)]
    committers = [make_committer(each) for each in dbs]

    async def drive(which: int, log: JourneyLog) -> None:
        mine = JourneyLog(log.journey_id, log.tenant, log.vendor, log.driver, 0, log.created_ms)
        at = 1
        while at <= 200:
            last = min(200, at + seed.randint(0, 40))
            try:
                outcome = await submit(committers[which], mine, batch_of(mine, range(at, last + 1))).outcome()
            except Refused as refusal:
                assert refusal.code is Code.EXPECTED_SEQ
                at = refusal.extra["expected"]
                continue
            assert outcome == "ok"
            at = max(1, last + 1 - seed.randint(0, 15)) if last < 200 else 201
            mine.learned(last, None, expired=False)

    try:
        async with asyncio.timeout(60):
            await asyncio.gather(*(drive(which, log) for which in (0, 1) for log in begun))
    finally:
        for made in committers:
            await made.stop(1.0)
        await dbs[1].close()
    for log in begun:
        stored = await rows(db, log.journey_id)
        assert [row["seq"] for row in stored] == list(range(1, 201))
        assert all(row["void_reason"] is None for row in stored)


async def test_a_stale_instance_can_only_resend(settings: Settings, db: Database) -> None:
    """One instance goes on with what it knew while another has stored more with other content."""
    log = await begin(db)
    stale = JourneyLog(log.journey_id, "t1", "v1", "d1", 0, log.created_ms)
    committers = [make_committer(db), make_committer(db)]
    try:
        assert await submit(committers[0], log, batch_of(log, range(1, 11))).outcome() == "ok"
        assert await submit(committers[1], stale, batch_of(stale, range(1, 6))).outcome() == "ok"
        assert await submit(committers[1], stale, batch_of(stale, [6], lat=10.0)).outcome() == "conflict"
        with pytest.raises(Refused) as refused:
            submit(committers[1], stale, batch_of(stale, [12]))
        assert refused.value.code is Code.EXPECTED_SEQ
        assert await submit(committers[1], stale, batch_of(stale, range(6, 13))).outcome() == "ok"
    finally:
        for made in committers:
            await made.stop(1.0)
    stored = await rows(db, log.journey_id)
    assert [row["seq"] for row in stored] == list(range(1, 13))
    assert {row["lat"] for row in stored} == {53.4}
