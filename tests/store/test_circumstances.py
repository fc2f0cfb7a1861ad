"""What is known of a driver before a press, from the tables and from a local copy of everybody's."""

import hashlib
import re
import time
from pathlib import Path
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from alerts.alert import Kind
from alerts.attempt import Channel
from alerts.policy import Circumstances, Contact, Pins, Policy, Step
from geo.position import NULL_ISLAND_DEG, Point
from realtime.settings import Settings
from realtime.store.alerts import press_groups, timers
from realtime.store.alerts.circumstances import (
    DEVICE_SEEN_MS,
    FAR,
    RECENT,
    DriverQuery,
    Whose,
    circumstances_of,
    query,
    seen_bounds,
    seen_of,
    seen_within,
)
from realtime.store.db import ids
from realtime.store.db.database import Database
from realtime.store.journeys import journeys, points
from realtime.store.people import revocations
from realtime.store.people.contacts import Known, all_circumstances, circumstances, operator_of

from .conftest import put
from .people import put_contact, put_device, put_driver, put_policy
from .test_alert_plans import rows_read

HER = ("t1", "north", "d1")


@pytest.fixture(autouse=True)
async def drivers(db: Database) -> None:
    for tenant, vendor, driver in (HER, ("t1", "south", "d2"), ("t2", "north", "d1")):
        await put_driver(db, tenant, vendor, driver)


async def of(
    db: Database, tenant: str, vendor: str, driver: str, operator: Contact | None = None
) -> Circumstances:
    """What the tables say, after seeing that a copy of everybody's, written and read again, says the same."""
    found = await circumstances(db, tenant, vendor, driver, operator)
    copy = msgspec.json.decode(msgspec.json.encode(await all_circumstances(db)), type=Known)
    assert copy.of(tenant, vendor, driver, operator) == found
    them = Whose(tenant, vendor, driver)
    others = [Whose("t1", "south", "d2"), Whose("t2", "north", "d1"), Whose("t1", "north", "nobody"), them]
    assert (await circumstances_of(db, others, lambda _: operator))[them] == found, "nor does a batch"
    return found


def names(found: Circumstances) -> list[str]:
    return [contact.name for contact in found.contacts]


async def test_contacts_come_by_position_and_then_the_narrower_scope_first(db: Database) -> None:
    await put_contact(db, "t1", name="tenant", phone="+41790000001")
    await put_contact(db, "t1", name="vendor", phone="+41790000002", vendor_id="north")
    await put_contact(db, "t1", name="driver", phone="+41790000003", driver_id="d1")
    await put_contact(db, "t1", name="first", phone="+41790000004", position=1)
    assert names(await of(db, *HER)) == ["first", "driver", "vendor", "tenant", "Dispatch"]


async def test_nobody_has_contacts_of_another_driver_vendor_or_tenant(db: Database) -> None:
    await put_contact(db, "t1", driver_id="d2", phone="+41790000001")
    await put_contact(db, "t1", vendor_id="south", phone="+41790000001")
    await put_contact(db, "t2", phone="+41790000001")
    await put_contact(db, "t2", driver_id="d1", phone="+41790000001")
    assert names(await of(db, *HER)) == ["Dispatch"]


async def test_only_verified_addresses_count(db: Database) -> None:
    await put_contact(db, "t1", name="none", phone="+41790000001", phone_verified_ms=None)
    await put_contact(
        db, "t1", name="mail", phone="+41790000001", phone_verified_ms=None, email="a@b.example"
    )
    (mail, _) = (await of(db, *HER)).contacts
    assert (mail.name, mail.phone, mail.email) == ("mail", None, "a@b.example")


async def test_an_address_that_opted_out_counts_in_no_contact_of_that_tenant(db: Database) -> None:
    for tenant in ("t1", "t2"):
        await put_contact(db, tenant, phone="+41790000001", email="a@b.example")
    async with db.writer() as connection:
        digest = hashlib.sha256(b"+41790000001").digest()
        await connection.execute("INSERT INTO opt_outs (tenant_id, address_sha256) VALUES ('t1', $1)", digest)
    assert (await of(db, *HER)).contacts[0].phone is None
    assert (await of(db, *HER)).contacts[0].email == "a@b.example"
    assert (await of(db, "t2", "north", "d1")).contacts[0].phone == "+41790000001"


async def test_the_narrowest_policy_of_a_kind_counts(db: Database) -> None:
    def policy(wait_s: int) -> Policy:
        return Policy((Step(("*",), (Channel.SMS,), wait_s),))

    await put_policy(db, "t1", Kind.SOS, policy(1))
    await put_policy(db, "t1", Kind.CRASH, policy(2))
    await put_policy(db, "t1", Kind.SOS, policy(3), vendor_id="north")
    await put_policy(db, "t1", Kind.FALL, policy(4), vendor_id="north")
    await put_policy(db, "t1", Kind.SOS, policy(5), driver_id="d1")
    await put_policy(db, "t1", Kind.SOS, policy(6), driver_id="d2")
    found = (await of(db, *HER)).policies
    assert {kind: one.steps[0].wait_s for kind, one in found.items()} == {
        Kind.SOS: 5, Kind.CRASH: 2, Kind.FALL: 4,
    }  # fmt: skip


async def test_a_policy_that_cannot_be_read_gives_way_to_the_wider_one(db: Database) -> None:
    wide = Policy((Step(("*",), (Channel.SMS,), 1),))
    await put_policy(db, "t1", Kind.SOS, wide)
    await put_policy(db, "t1", Kind.SOS, wide, vendor_id="north")
    async with db.writer() as connection:
        await connection.execute(
            "UPDATE alert_policies SET policy = '{\"steps\": 7}' WHERE vendor_id = 'north'"
        )
    assert (await of(db, *HER)).policies == {Kind.SOS: wide}


async def test_pushes_go_to_the_devices_of_the_contacts_subject(db: Database) -> None:
    await put_contact(db, "t1", name="buddy", subject="d2")
    await put_device(db, "t1", "phone", subject="d2", role="driver")
    await put_device(db, "t2", "other", subject="d2", role="driver")
    buddy, dispatch = (await of(db, *HER)).contacts
    assert buddy.push_tokens == ("phone",)
    assert dispatch.push_tokens == ()


async def test_dispatch_is_the_devices_of_the_vendors_dispatchers(db: Database) -> None:
    await put_device(db, "t1", "all", vendor_ids=None)
    await put_device(db, "t1", "north", vendor_ids=["east", "north"], role="admin")
    await put_device(db, "t1", "south", vendor_ids=["south"])
    await put_device(db, "t1", "driver", role="driver")
    await put_device(db, "t2", "stranger", vendor_ids=None)
    (dispatch,) = (await of(db, *HER)).contacts
    assert dispatch.contact_id == "dispatch"
    assert sorted(dispatch.push_tokens) == ["all", "north"]


async def test_a_device_of_a_revoked_token_or_long_unseen_is_told_nothing(db: Database) -> None:
    await put_device(db, "t1", "revoked", jti="j1")
    await put_device(db, "t1", "fine", jti="j2")
    await put_device(db, "t1", "forgotten", seen_ms=time.time_ns() // 1_000_000 - 91 * 86_400_000)
    await revocations.revoke(db, "t1", "j1")
    await revocations.revoke(db, "t2", "j2")
    assert (await of(db, *HER)).contacts[0].push_tokens == ("fine",)


async def test_what_a_driver_set_comes_along(db: Database) -> None:
    async with db.writer() as connection:
        await connection.execute(
            "INSERT INTO driver_safety (tenant_id, driver_id, name, language, cancel_pin, duress_pin) "
            "VALUES ('t1', 'd1', 'Ada', 'de', 'a', 'b')"
        )
    found = await of(db, *HER)
    assert (found.driver_name, found.language, found.pins) == ("Ada", "de", Pins("a", "b"))
    assert (await of(db, "t1", "south", "d2")).pins == Pins()


async def test_a_driver_nobody_knows_has_what_the_vendor_has(db: Database) -> None:
    await put_contact(db, "t1", name="vendor", phone="+41790000002", vendor_id="north")
    assert names(await of(db, "t1", "north", "new")) == ["vendor", "Dispatch"]


async def test_the_operator_is_the_tenants_emergency_number_and_the_webhook(db: Database) -> None:
    settings = Settings(
        emergency_numbers=("t1=+41790000009",), operator_webhook_url="https://ops.example/hook"
    )
    operator = operator_of(settings, "t1")
    assert operator == Contact(
        "operator",
        "Operator",
        phone="+41790000009",
        webhook_url="https://ops.example/hook",
        time_zone="Europe/Zurich",
    )
    assert (await of(db, *HER, operator)).contacts[-1] == operator
    assert operator_of(Settings(), "t1") is None


CROWD = (
    "INSERT INTO drivers (tenant_id, vendor_id, driver_id) "
    "SELECT 't1', 'north', 'c' || n FROM generate_series(1, 10000) n",
    "INSERT INTO contacts (contact_id, tenant_id, driver_id, name, phone, phone_verified_ms, created_by) "
    "SELECT gen_random_uuid(), 't1', 'c' || n, 'Ana', '+4179' || n, 1, 'x' FROM generate_series(1, 10000) n",
    "INSERT INTO alert_policies (tenant_id, driver_id, kind, policy, updated_by) "
    "SELECT 't1', 'c' || n, 'sos', '{}', 'x' FROM generate_series(1, 10000) n",
    "INSERT INTO devices (tenant_id, push_token, subject, driver_id, role, platform) "
    "SELECT 't1', 'token' || n, 'c' || n, 'c' || n, 'driver', 'web' FROM generate_series(1, 10000) n",
    "INSERT INTO driver_safety (tenant_id, driver_id) SELECT 't1', 'c' || n FROM generate_series(1, 10000) n",
)


@pytest.mark.parametrize(("how_many", "is_analysed"), [(10_000, True), (10_000, False), (1_000, False)])
async def test_a_press_reads_what_is_the_drivers_and_not_all_that_the_tenant_has(
    db: Database, how_many: int, is_analysed: bool
) -> None:
    """Also before Postgres has looked at how much there is."""
    async with db.writer() as connection:
        for statement in CROWD:
            await connection.execute(statement.replace("10000", str(how_many)))
    await put_device(db, "t1", "north", vendor_ids=["north"])
    if is_analysed:
        async with db._pool.acquire() as connection:
            await connection.execute("ANALYZE contacts, alert_policies, devices, driver_safety")
    scope = ("t1", "north", "c77")
    queries = (
        (query("contacts", "of_scope"), scope),
        (query("policies", "of_scope"), scope),
        (query("drivers", "of_driver"), ("t1", "c77")),
        (query("devices", "of_tenant"), (DEVICE_SEEN_MS, "t1", ["c77"], "north")),
    )
    async with db.reader("t1") as connection:
        for statement, args in queries:
            text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT json) {statement}", *args)
            assert rows_read(msgspec.json.decode(text)[0]["Plan"]) <= 8, statement


@pytest.mark.parametrize(("how_many", "is_analysed"), [(10_000, True), (10_000, False), (1_000, False)])
@pytest.mark.parametrize("presses", [1, 25])
async def test_a_group_of_presses_reads_what_is_its_drivers_and_not_all_that_the_tenant_has(
    db: Database, how_many: int, is_analysed: bool, presses: int
) -> None:
    async with db.writer() as connection:
        for statement in CROWD:
            await connection.execute(statement.replace("10000", str(how_many)))
    if is_analysed:
        async with db._pool.acquire() as connection:
            await connection.execute("ANALYZE contacts, alert_policies, devices, driver_safety")
    drivers = [f"c{number}" for number in range(1, presses + 1)]
    bounds = seen_bounds(time.time_ns() // 1_000_000)
    given = (["t1"] * presses, ["north"] * presses, drivers, DEVICE_SEEN_MS, [None] * presses, *bounds)
    async with db.writer() as connection:
        text = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT json) {press_groups.READ}", *given)
    assert rows_read(msgspec.json.decode(text)[0]["Plan"]) <= 20 * presses


async def test_a_search_that_takes_too_long_leaves_its_transaction_as_it_was(
    db: Database, database_url: str
) -> None:
    now_ms = time.time_ns() // 1_000_000
    owner = await asyncpg.connect(database_url)
    try:
        async with db.writer() as connection:
            before = await connection.fetchval("SHOW statement_timeout")
            await connection.execute("UPDATE drivers SET vendor_id = vendor_id WHERE tenant_id = 't1'")
            await owner.execute("BEGIN; LOCK TABLE driver_safety IN ACCESS EXCLUSIVE MODE")
            assert await seen_within(connection, [DriverQuery("t1", "d1")], now_ms, FAR, 50) is None
            await owner.execute("ROLLBACK")
            (seen,) = await seen_within(connection, [DriverQuery("t1", "d1")], now_ms, FAR, 5_000) or ()
            assert seen.places == []
            assert await connection.fetchval("SHOW statement_timeout") == before
    finally:
        await owner.close()


async def test_a_position_about_0_0_hides_no_earlier_one(db: Database) -> None:
    """An earlier release stored such a position."""
    now_ms = time.time_ns() // 1_000_000
    head = await journeys.start(db, "t1", "north", "d1", uuid4(), now_ms, None, None, None, now_ms)
    points_ = [Point(1, now_ms, 53.4, -2.9), Point(2, now_ms, 0.004, 0.003), Point(3, now_ms, 0.0, -0.009)]
    await put(db, "t1", head.journey_id, points_, now_ms)
    async with db.writer() as connection:
        for depth in (RECENT, FAR):
            (seen,) = await seen_of(connection, [DriverQuery("t1", "d1")], now_ms, depth)
            assert [(place.lat, place.seq) for place in seen.places] == [(53.4, 1)]
        sign = await timers.sign_of(connection, "t1", "d1", None)
        assert sign is not None and sign.place is not None
        assert (sign.seq, sign.place.lat) == (3, 53.4), "a sign of life all the same"
        since = ids.floor_of(now_ms - 3_600_000)
        for name, more in (("latest_of_vendor", ()), ("latest_of_driver", ("d1",))):
            (row,) = await connection.fetch(points._SQL[name], "t1", "north", since, *more)
            assert row["seq"] == 1


async def test_half_a_position_hides_no_earlier_one(db: Database) -> None:
    """A row with a latitude and no longitude counted as the last position."""
    now_ms = time.time_ns() // 1_000_000
    head = await journeys.start(db, "t1", "north", "d1", uuid4(), now_ms, None, None, None, now_ms)
    halves = [Point(2, now_ms, 53.5, None), Point(3, now_ms, None, -2.9)]
    await put(db, "t1", head.journey_id, [Point(1, now_ms, 53.4, -2.9), *halves], now_ms)
    assert await points.last_before(db, "t1", head.journey_id, now_ms + 1) == 0, "before seq 1"
    await put(db, "t1", head.journey_id, [Point(4, now_ms + 9, 53.5, -2.9)], now_ms + 9)
    assert await points.last_before(db, "t1", head.journey_id, now_ms + 5) == 0
    await put(db, "t1", head.journey_id, [Point(5, now_ms + 9, 53.6, None)], now_ms + 9)
    async with db.writer() as connection:
        for depth in (RECENT, FAR):
            (seen,) = await seen_of(connection, [DriverQuery("t1", "d1")], now_ms, depth)
            assert [place.seq for place in seen.places] == [4]
        sign = await timers.sign_of(connection, "t1", "d1", None)
        assert sign is not None and sign.place is not None
        assert (sign.seq, sign.place.lat) == (5, 53.5), "a sign of life all the same"
    (latest,) = await points.latest_of_vendor(db, "t1", "north")
    assert latest.point.seq == 4
    assert await points.latest_of_driver(db, "t1", "north", "d1") == latest


def test_the_sql_asks_for_a_longitude_wherever_it_asks_for_a_latitude() -> None:
    folder = Path(points.__file__).parents[1] / "sql"
    for file in folder.glob("*.sql"):
        text = " ".join(file.read_text(encoding="utf-8").split())
        for found in re.finditer(r"([a-z.]*)\blat IS NOT NULL(.{0,40})", text):
            assert found[2].startswith(f" AND {found[1]}lon IS NOT NULL"), f"{file.name}: {found[0]}"


def test_the_sql_has_the_rule_of_the_null_island() -> None:
    rule = f"NOT (abs(lat) < {NULL_ISLAND_DEG} AND abs(lon) < {NULL_ISLAND_DEG})"
    texts = (
        press_groups.SQL["drivers_seen"],
        timers.SQL["signs"],
        points._SQL["latest_of_vendor"],
        points._SQL["latest_of_driver"],
    )
    assert all(rule in text for text in texts)
