"""A driver is erased from every table and place, provably, however often it is stopped on the way."""

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from geo.position import Point
from realtime.erasure.eraser import Eraser, ErasureRecord, RedisDataStore, is_signed, places_of
from realtime.live.topics import state_key
from realtime.protocol import Code, Refused
from realtime.redis.client import Client, client
from realtime.settings import Settings
from realtime.store.db.database import Database
from realtime.store.journeys import incidents, journeys, shares
from realtime.store.people import erasure
from realtime.timers.checkins import CheckIn, CheckInAction, CheckIns
from tests.store.alert_rows import put_alert_rows
from tests.store.conftest import put
from tests.store.people import put_contact, put_device, put_driver

HER, OTHER = "drv-erased-7", "drv-stays-8"
NOW = 1_790_000_000_000
KEY = "a-key"


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return Settings(database_url=database_url, redis_url=redis_url, db_timeout_s=10)


@pytest.fixture
async def db(settings: Settings) -> AsyncIterator[Database]:
    opened = await Database.open(settings)
    yield opened
    await opened.close()


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Client]:
    opened = client(settings.redis_url.get_secret_value(), timeout_s=5, max_connections=4)
    yield opened
    await opened.aclose()


async def seeded(db: Database, tenant: str, driver: str) -> set[UUID]:
    """Rows of ``driver`` in every table that can have any; ids of its journeys, alerts and contacts."""
    await put_driver(db, tenant, "north", driver)
    now_ms = time.time_ns() // 1_000_000
    ids = set()
    for _ in range(3):
        head = await journeys.start(
            db, tenant, "north", driver, uuid.uuid4(), now_ms, "van", None, None, now_ms
        )
        await put(db, tenant, head.journey_id, [Point(n, now_ms, 53.4, -2.9) for n in range(1, 40)])
        share_id, _ = await shares.create(db, tenant, head.journey_id, "live", now_ms + 60_000, driver)
        await shares.viewed(db, share_id, "192.0.2.1", driver)
        ids.add(head.journey_id)
    share_id, _ = await shares.create(
        db, tenant, head.journey_id, "live", now_ms + 60_000, driver, follows=True
    )
    await shares.viewed(db, share_id, "192.0.2.1", driver)
    await put_contact(db, tenant, driver_id=driver, name=f"aunt of {driver}", phone="+442079460958")
    await put_device(db, tenant, f"token of {driver}", subject=driver, driver_id=driver, role="driver")
    async with db.writer() as connection:
        await put_alert_rows(connection, tenant, driver)
        await connection.execute(
            "UPDATE alerts SET closed_ms = 1, state = 'resolved', journey_id = $3::uuid "
            "WHERE tenant_id = $1 AND driver_id = $2",
            tenant, driver, min(ids),
        )  # fmt: skip
        await connection.execute(
            "UPDATE contact_codes SET address = $1 || address WHERE contact_id IN "
            "(SELECT contact_id FROM contacts WHERE tenant_id = $2 AND driver_id = $1)",
            driver, tenant,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO alert_policies (tenant_id, driver_id, kind, policy, updated_by) "
            "VALUES ($1, $2, 'fall', '{}', $2)",
            tenant, driver,
        )  # fmt: skip
        rows = await connection.fetch(
            "SELECT alert_id FROM alerts WHERE tenant_id = $1 AND driver_id = $2", tenant, driver
        )
        ids |= {row[0] for row in rows}
        contacts = await connection.fetch(
            "SELECT contact_id FROM contacts WHERE tenant_id = $1 AND driver_id = $2", tenant, driver
        )
        ids |= {row[0] for row in contacts}
        await connection.execute(
            "UPDATE alert_attempts SET provider = 'twilio', provider_id = 'SM' || $2::text "
            "WHERE alert_id = ANY ($1)",
            [row[0] for row in rows], tenant + driver,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO early_reports (provider, provider_id, status, report) "
            "VALUES ('twilio', 'SM' || $1, 'sent', '{}')",
            tenant + driver,
        )
        share = f"{tenant}-{driver}"
        await connection.execute(
            "INSERT INTO shares (share_id, tenant_id, alert_id, scope, secret_sha256, created_by, "
            "expires_ms) VALUES ($1, $2, $3, 'live', $4, 'x', 1)",
            share, tenant, rows[0][0], bytes(32),
        )  # fmt: skip
        await incidents.copy_new(connection, incidents.ids.day_of(now_ms))
    return {UUID(int=one.int) for one in ids}


async def mentions(db: Database, needles: set[str]) -> dict[str, int]:
    """Every row of every table of the database that holds one of ``needles`` anywhere, as text."""
    found = {}
    async with db.writer() as connection:
        tables = await connection.fetch(
            "SELECT c.oid::regclass::text AS name FROM pg_class c WHERE relkind IN ('r', 'p') "
            "AND relnamespace = 'public'::regnamespace AND NOT relispartition "
            "AND has_table_privilege(c.oid, 'SELECT')"
        )
        for (name,) in tables:
            count = await connection.fetchval(
                f"SELECT count(*) FROM {name} t WHERE t::text LIKE ANY ($1::text[])",
                [f"%{needle}%" for needle in needles],
            )
            if count:
                found[name] = count
    return found


async def all_tables(db: Database) -> set[str]:
    """The tables with a tenant whose rows can be a driver's."""
    async with db.writer() as connection:
        return {name for name, _ in await erasure._tables(connection)}


def eraser(db: Database, *places: Any) -> Eraser:
    return Eraser(db, places, KEY, lambda: NOW, pause_s=0.001)


async def test_nothing_of_the_driver_is_left_in_any_table_and_nobody_else_loses_a_row(db: Database) -> None:
    ids = await seeded(db, "t1", HER)
    theirs = [await seeded(db, "t1", OTHER), await seeded(db, "t2", HER + "x"), await seeded(db, "t2", OTHER)]
    before = await mentions(db, {HER, *map(str, ids)})
    assert set(before) >= await all_tables(db), "the seed reaches every table there is"
    others = {str(one) for ids_of_one in theirs for one in ids_of_one} | {OTHER}
    kept = await mentions(db, others)
    proof = await eraser(db).erase("t1", HER, "admin")
    assert proof.done
    left = await mentions(db, {str(one) for one in ids})
    assert left == {}
    by_name = await mentions(db, {HER})
    async with db.writer() as connection:
        tenants = await connection.fetch(
            "SELECT DISTINCT tenant_id FROM drivers WHERE driver_id LIKE $1", HER + "%"
        )
    assert [row[0] for row in tenants] == ["t2"], "one whose name only begins the same stays"
    assert by_name == await mentions(db, {HER + "x"})
    assert await mentions(db, others) == kept


async def test_the_proof_counts_every_table_before_and_after_and_is_signed(db: Database) -> None:
    await seeded(db, "t1", HER)
    proof = await eraser(db).erase("t1", HER, "admin")
    assert set(proof.places) == await all_tables(db) | {"early_reports"}
    assert all(after == 0 for _, after in proof.places.values())
    for table, least in (
        ("journey_points", 117),
        ("journeys", 3),
        ("alerts", 1),
        ("contacts", 2),
        ("drivers", 1),
    ):
        assert (proof.places[table][0] or 0) >= least, table
    assert is_signed(proof, KEY)
    assert not is_signed(proof, "another key")
    assert not is_signed(msgspec.structs.replace(proof, done_ms=NOW + 1), KEY)
    (kept,) = await erasure.proofs(db, "t1", HER)
    assert is_signed(msgspec.convert(kept, ErasureRecord), KEY), "as it is kept"
    assert await erasure.proofs(db, "t2", HER) == []


async def test_a_table_that_is_added_later_is_found_by_its_columns(settings: Settings, db: Database) -> None:
    await seeded(db, "t1", HER)
    connection = await asyncpg.connect(settings.direct_url)
    await connection.execute(
        "CREATE TABLE novelties (tenant_id text, driver_id text); SELECT protect_by_tenant('novelties')"
    )
    await connection.close()
    async with db.writer() as writer:
        await writer.execute("INSERT INTO novelties VALUES ('t1', $1), ('t1', $2)", HER, OTHER)
    proof = await eraser(db).erase("t1", HER, "admin")
    assert proof.places["novelties"] == (1, 0)
    assert await mentions(db, {OTHER}) == {"novelties": 1}


async def test_an_erasure_that_was_stopped_anywhere_goes_on(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await seeded(db, "t1", HER)
    tables = len(await all_tables(db))
    real, calls = erasure._deleted, 0

    async def stops(*args: Any) -> bool:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise Refused(Code.UNAVAILABLE, "stopped here")
        return await real(*args)

    monkeypatch.setattr(erasure, "_deleted", stops)
    with pytest.raises(Refused):
        await eraser(db).erase("t1", HER, "admin")
    first = await mentions(db, {str(one) for one in ids})
    assert 0 < len(first) <= tables + 2
    monkeypatch.undo()
    proof = await eraser(db).erase("t1", HER, "somebody else")
    assert (proof.done, proof.asked_by) == (True, "admin"), "it is the same erasure"
    assert proof.places["journeys"] == (3, 0), "counted when it began"
    assert await mentions(db, {HER, *map(str, ids)}) == {}


async def test_points_whose_journey_row_is_gone_already_are_still_found(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seeded(db, "t1", HER)

    real, gone = erasure._deleted, False

    async def journeys_first(db: Database, table: Any, *rest: Any) -> bool:
        nonlocal gone
        if table[0] in ("journey_points", "incident_points"):
            if gone:
                raise Refused(Code.UNAVAILABLE, "stopped here")
            return False
        deleted = await real(db, table, *rest)
        gone = gone or (deleted and table[0] == "journeys")
        return deleted

    monkeypatch.setattr(erasure, "_deleted", journeys_first)
    with pytest.raises(Refused):
        await eraser(db).erase("t1", HER, "admin")
    monkeypatch.undo()
    async with db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM journeys") == 0
        assert await connection.fetchval("SELECT count(*) FROM journey_points") == 117
    assert (await eraser(db).erase("t1", HER, "admin")).done
    async with db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM journey_points") == 0


async def test_asking_again_is_fine_and_so_is_a_driver_nobody_knows(db: Database) -> None:
    await seeded(db, "t1", HER)
    for _ in range(2):
        assert (await eraser(db).erase("t1", HER, "admin")).done
    assert (await eraser(db).erase("t9", "nobody", "admin")).done
    assert len(await erasure.proofs(db, "t1", HER)) == 2


async def test_a_driver_whose_alert_is_open_is_not_erased(db: Database) -> None:
    await seeded(db, "t1", HER)
    async with db.writer() as connection:
        await connection.execute("UPDATE alerts SET closed_ms = NULL, state = 'active'")
    with pytest.raises(Refused) as refused:
        await eraser(db).erase("t1", HER, "admin")
    assert refused.value.code is Code.CONFLICT
    async with db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM journeys") == 3


async def test_what_a_phone_puts_back_meanwhile_is_erased_too(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seeded(db, "t1", HER)
    real, put_back = erasure.count, 2

    async def comes_back(*args: Any) -> dict[str, int]:
        nonlocal put_back
        if put_back:
            put_back -= 1
            await put_driver(db, "t1", "north", HER)
        return await real(*args)

    monkeypatch.setattr(erasure, "count", comes_back)
    proof = await eraser(db).erase("t1", HER, "admin")
    assert (proof.done, put_back) == (True, 0)


async def test_the_caches_of_every_vendor_are_cleared(
    settings: Settings, db: Database, redis: Client
) -> None:
    await put_driver(db, "t1", "south", HER)
    await put_driver(db, "t1", "north", HER)
    for tenant, vendor, what, driver in (
        ("t1", "north", "latest", HER), ("t1", "south", "presence", HER), ("t1", "north", "latest", OTHER),
        ("t2", "north", "latest", HER),
    ):  # fmt: skip
        await redis.hset(state_key(tenant, vendor, what), driver, b"1|2|x")
    place = RedisDataStore(db, redis, 5.0)
    proof = await eraser(db, place).erase("t1", HER, "admin")
    assert proof.places["redis"] == (2, 0)
    assert await redis.hkeys(state_key("t1", "north", "latest")) == [OTHER.encode()]
    assert await redis.hkeys(state_key("t2", "north", "latest")) == [HER.encode()]


async def test_the_check_ins_that_redis_stores_are_erased(
    settings: Settings, db: Database, redis: Client
) -> None:
    await put_driver(db, "t1", "north", HER)
    checkins = CheckIns(redis)
    others = [CheckIn("t1", OTHER, CheckInAction.ARRIVE), CheckIn("t2", HER, CheckInAction.CHECK_IN)]
    for answer in (*(CheckIn("t1", HER, action) for action in CheckInAction), *others):
        await checkins.keep(answer)
    proof = await eraser(db, *places_of(settings, db, redis, None)).erase("t1", HER, "admin")
    assert (proof.done, proof.places["checkins"]) == (True, (2, 0))
    assert {one.answer.driver for one in await checkins.read()} >= {OTHER, HER}
    for answer in others:
        await checkins.forget(answer.tenant, answer.driver)
        assert await checkins.count(answer.tenant, answer.driver) == 0


async def test_an_erasure_without_redis_is_unfinished(settings: Settings, db: Database) -> None:
    await put_driver(db, "t1", "north", HER)
    nowhere = client("redis://127.0.0.1:1", timeout_s=0.5, max_connections=1)
    proof = await eraser(db, *places_of(settings, db, nowhere, None)).erase("t1", HER, "admin")
    assert (proof.done, proof.places["checkins"]) == (False, (None, None))
    await nowhere.aclose()


class StorageFailure:
    """A place that is away until told otherwise."""

    name = "elsewhere"
    is_away = True
    left = 3

    async def count(self, tenant: str, driver: str) -> int:
        if self.is_away:
            raise Refused(Code.UNAVAILABLE, "away")
        return self.left

    async def erase(self, tenant: str, driver: str) -> None:
        if self.is_away:
            raise Refused(Code.UNAVAILABLE, "away")
        self.left = 0


async def test_a_place_that_is_away_leaves_it_unfinished_and_is_done_when_it_is_back(db: Database) -> None:
    await seeded(db, "t1", HER)
    place = StorageFailure()
    proof = await eraser(db, place).erase("t1", HER, "admin")
    assert (proof.done, proof.places["elsewhere"]) == (False, (None, None))
    assert proof.places["journeys"] == (3, 0), "the rest is gone"
    assert await erasure.proofs(db, "t1", HER) == []
    place.is_away = False
    proof = await eraser(db, place).erase("t1", HER, "admin")
    assert (proof.done, proof.places["elsewhere"], place.left) == (True, (3, 0), 0)
    assert proof.places["journeys"] == (3, 0)
