"""Shares: the secret is had once, and every way a share ends is told."""

import asyncio
import hashlib
import json
import time
from uuid import UUID, uuid4

import asyncpg
import pytest

from alerts.alert import Actor, ActorKind
from realtime.protocol import Code, Refused
from realtime.store.db.database import Database
from realtime.store.journeys import shares
from realtime.store.journeys.shares import GRACE_MS, VIEWS_LISTED, OpenShare

from .test_journeys import begin

NOW = time.time_ns() // 1_000_000
LATER = NOW + 3_600_000
ANN = Actor(ActorKind.OPERATOR, "ann")
MINUTE = 60_000


async def put_alert(
    db: Database,
    journey_id: UUID | None = None,
    *,
    driver: str = "d1",
    tenant: str = "t1",
    raised_ms: int = NOW - 100 * MINUTE,
    closed_ms: int | None = None,
    drill: bool = False,
) -> UUID:
    """An alert as a row, open unless ``closed_ms`` is given."""
    async with db.writer() as connection:
        await connection.execute("INSERT INTO tenants VALUES ($1) ON CONFLICT DO NOTHING", tenant)
        row = await connection.fetchval(
            "INSERT INTO alerts (alert_id, tenant_id, vendor_id, driver_id, journey_id, kind, state, drill, "
            "raised_ms, closed_ms, version, alert, policy_copy) "
            "VALUES (gen_random_uuid(), $1, 'v1', $2, $3, 'sos', 'active', $4, $5, $6, 7, '{}', '{}') "
            "RETURNING alert_id",
            tenant, driver, journey_id, drill, raised_ms, closed_ms,
        )  # fmt: skip
    return UUID(int=row.int)


async def history(db: Database, alert_id: UUID) -> list[tuple[str, str, dict[str, object]]]:
    """Who did what to the links of an alert, as its history tells it."""
    async with db.writer() as connection:
        rows = await connection.fetch(
            "SELECT actor ->> 'id' AS who, what, detail, version, at_ms FROM alert_events "
            "WHERE alert_id = $1 ORDER BY event_id",
            alert_id,
        )
    assert all(row["version"] == 7 and row["at_ms"] >= NOW for row in rows)
    return [(row["who"], row["what"], json.loads(row["detail"])) for row in rows]


async def test_a_share_opens_with_its_secret_only(db: Database) -> None:
    head = await begin(db)
    share_id, secret = await shares.create(db, "t1", head.journey_id, "live", LATER, "dispatcher-1")
    expected = OpenShare(share_id, "t1", head.journey_id, None, "live", LATER, "d1")
    assert await shares.resolve(db, share_id, secret) == expected
    other_id, other_secret = await shares.create(db, "t1", head.journey_id, "journey", LATER, "dispatcher-1")
    assert other_id != share_id
    wrong = [
        "",
        secret[:-1],
        secret + "x",
        other_secret,
        hashlib.sha256(secret.encode()).hexdigest(),
        "\0",
        "\ud800",
    ]
    for attempt in wrong:
        assert await shares.resolve(db, share_id, attempt) is None
    for unknown in ("", "nope", "\0", "a" * 10_000, "\ud800", share_id + "."):
        assert await shares.resolve(db, unknown, secret) is None


async def test_the_secret_is_long_and_not_stored(db: Database) -> None:
    head = await begin(db)
    made = [await shares.create(db, "t1", head.journey_id, "live", LATER, "d") for _ in range(20)]
    assert len({secret for _, secret in made}) == 20
    assert min(len(secret) for _, secret in made) * 6 >= 128
    async with db.writer() as connection:
        rows = [str(tuple(row)) for row in await connection.fetch("SELECT * FROM shares")]
    assert not [row for row in rows for _, secret in made if secret in row]


async def test_a_journey_of_another_tenant_cannot_be_shared(db: Database) -> None:
    head = await begin(db)
    for tenant, journey in (("t2", head.journey_id), ("t1", uuid4())):
        with pytest.raises(Refused) as refused:
            await shares.create(db, tenant, journey, "live", LATER, "d")
        assert (refused.value.code, refused.value.message) == (Code.NOT_FOUND, "journey is not known")


async def test_revoked_and_expired_shares_open_nothing(db: Database) -> None:
    head = await begin(db)
    open_id, _ = await shares.create(db, "t1", head.journey_id, "live", LATER, "d")
    revoked_id, revoked_secret = await shares.create(db, "t1", head.journey_id, "live", LATER, "d")
    expired_id, expired_secret = await shares.create(db, "t1", head.journey_id, "live", NOW - 1, "d")
    assert not await shares.revoke(db, "t2", revoked_id, ANN)
    assert await shares.resolve(db, revoked_id, revoked_secret) is not None
    assert await shares.revoke(db, "t1", revoked_id, ANN)
    assert not await shares.revoke(db, "t1", revoked_id, ANN)
    assert not await shares.revoke(db, "t1", "no such", ANN)
    assert await shares.resolve(db, revoked_id, revoked_secret) is None
    assert await shares.resolve(db, expired_id, expired_secret) is None
    ids = {open_id, revoked_id, expired_id, "unknown"}
    assert await shares.lasting(db, ids) == {open_id: LATER, expired_id: NOW - 1}
    assert await shares.lasting(db, []) == {}


async def test_the_owner_sees_shares_and_who_looked(db: Database) -> None:
    head = await begin(db)
    first, _ = await shares.create(db, "t1", head.journey_id, "live", LATER, "ann")
    second, _ = await shares.create(db, "t1", head.journey_id, "journey", LATER, "bob")
    for _ in range(3):
        await shares.viewed(db, first, "192.0.2.1", "browser")
    await a_moment()
    await shares.viewed(db, first, "192.0.2.2", "bad\0\n" + "x" * 1_000)
    await shares.viewed(db, "unknown", "192.0.2.2", "browser")
    listed = {share.share_id: share for share in await shares.list_of_journey(db, "t1", head.journey_id)}
    assert set(listed) == {first, second}
    assert (listed[second].created_by, listed[second].scope, listed[second].views) == ("bob", "journey", [])
    latest, earlier = listed[first].views
    assert (latest.address, latest.times) == ("192.0.2.2", 1)
    assert latest.user_agent.startswith("bad??xxx")
    assert len(latest.user_agent) <= 300
    assert (earlier.address, earlier.user_agent, earlier.times) == ("192.0.2.1", "browser", 3)
    assert latest.at_ms >= earlier.at_ms >= earlier.first_ms >= NOW
    assert await shares.get(db, "t1", first) == listed[first]
    assert await shares.get(db, "t2", first) is None
    assert await shares.list_of_journey(db, "t2", head.journey_id) == []


async def test_the_viewer_log_is_listed_up_to_a_bound(db: Database) -> None:
    head = await begin(db)
    share_id, _ = await shares.create(db, "t1", head.journey_id, "live", LATER, "ann")
    for n in range(VIEWS_LISTED + 3):
        if n > VIEWS_LISTED:
            await a_moment()
        await shares.viewed(db, share_id, f"192.0.2.{n}", "browser")
    share = await shares.get(db, "t1", share_id)
    assert share is not None
    assert [view.address for view in share.views][:2] == [
        f"192.0.2.{VIEWS_LISTED + 2}",
        f"192.0.2.{VIEWS_LISTED + 1}",
    ]
    assert len(share.views) == VIEWS_LISTED


# --- links to an alert
async def test_a_share_of_an_alert_opens_it_and_its_journey_while_it_is_open(db: Database) -> None:
    head = await begin(db)
    alert_id = await put_alert(db, head.journey_id)
    share_id, secret = await shares.create_to_alert(db, "t1", alert_id, "live", LATER, ANN)
    expected = OpenShare(share_id, "t1", head.journey_id, alert_id, "live", LATER, "d1")
    assert await shares.resolve(db, share_id, secret) == expected
    (listed,) = await shares.list_of_alert(db, "t1", alert_id)
    assert (listed.share_id, listed.created_by, listed.alert_id, listed.journey_id) == (
        share_id,
        "ann",
        alert_id,
        None,
    )
    assert await shares.list_of_alert(db, "t2", alert_id) == []
    assert await shares.list_of_journey(db, "t1", head.journey_id) == []
    async with db.writer() as connection:
        await connection.execute("UPDATE alerts SET closed_ms = $2 WHERE alert_id = $1", alert_id, NOW)
    closed = await shares.resolve(db, share_id, secret)
    assert closed is not None and (closed.alert_id, closed.journey_id) == (alert_id, None)


async def test_the_history_of_an_alert_tells_of_its_links_and_holds_no_secret(db: Database) -> None:
    alert_id = await put_alert(db)
    share_id, secret = await shares.create_to_alert(db, "t1", alert_id, "journey", LATER, ANN)
    bob = Actor(ActorKind.OPERATOR, "bob")
    assert not await shares.revoke(db, "t2", share_id, bob)
    assert await shares.revoke(db, "t1", share_id, bob)
    assert not await shares.revoke(db, "t1", share_id, bob)
    assert await shares.resolve(db, share_id, secret) is None
    told = await history(db, alert_id)
    made = {"share": share_id, "scope": "journey", "expires_at": LATER, "may_answer": False}
    assert told == [
        ("ann", "share made", made),
        ("bob", "share revoked", {"share": share_id}),
    ]
    assert secret not in str(told)


async def test_an_alert_of_another_tenant_cannot_be_shared(db: Database) -> None:
    alert_id = await put_alert(db)
    for tenant, alert in (("t2", alert_id), ("t1", uuid4())):
        with pytest.raises(Refused) as refused:
            await shares.create_to_alert(db, tenant, alert, "live", LATER, ANN)
        assert (refused.value.code, refused.value.message) == (Code.NOT_FOUND, "alert is not known")
    assert await history(db, alert_id) == []


@pytest.mark.parametrize(("tenant", "driver"), [("t1", "d2"), ("t2", "d1")])
async def test_a_share_of_an_alert_opens_no_journey_of_another_driver(
    db: Database, tenant: str, driver: str
) -> None:
    head = await begin(db)
    alert_id = await put_alert(db, head.journey_id, tenant=tenant, driver=driver)
    share = await shares.resolve(db, *await shares.create_to_alert(db, tenant, alert_id, "live", LATER, ANN))
    assert share is not None
    assert (share.tenant, share.driver, share.journey_id) == (tenant, driver, None)


@pytest.mark.parametrize("both", [True, False])
async def test_a_share_is_to_one_thing_exactly(db: Database, both: bool) -> None:
    head = await begin(db)
    given = (head.journey_id, await put_alert(db)) if both else (None, None)
    with pytest.raises(asyncpg.CheckViolationError, match="shares_of_one"):
        async with db.writer() as connection:
            await connection.execute(
                "INSERT INTO shares (share_id, tenant_id, journey_id, alert_id, scope, secret_sha256, "
                "created_by, expires_ms) VALUES ('x', 't1', $1, $2, 'live', $3, 'x', 1)",
                *given, bytes(32),
            )  # fmt: skip


# --- an open SOS keeps a link good
EXPIRED = NOW - 30 * MINUTE
"""When the links of these tests would have expired."""


@pytest.mark.parametrize("to", ["journey", "alert"])
async def test_a_share_that_expires_while_an_sos_is_open_lasts_until_an_hour_after_its_end(
    db: Database, to: str
) -> None:
    head = await begin(db)
    alert_id = await put_alert(db, head.journey_id)
    if to == "journey":
        made = await shares.create(db, "t1", head.journey_id, "live", EXPIRED, "ann")
    else:
        made = await shares.create_to_alert(db, "t1", alert_id, "live", EXPIRED, ANN)
    share = await shares.resolve(db, *made)
    assert share is not None and share.expires_ms >= NOW + GRACE_MS, "an open one counts as closing now"
    assert (await shares.lasting(db, [made[0]]))[made[0]] >= share.expires_ms
    for closed_ms, is_good in ((NOW - 10 * MINUTE, True), (EXPIRED, True), (EXPIRED - 1, False)):
        async with db.writer() as connection:
            await connection.execute(
                "UPDATE alerts SET closed_ms = $2 WHERE alert_id = $1", alert_id, closed_ms
            )
        expected = closed_ms + GRACE_MS if is_good else EXPIRED
        assert await shares.lasting(db, [made[0]]) == {made[0]: expected}
        share = await shares.resolve(db, *made)
        assert (share is not None and share.expires_ms == expected) == is_good
        listed = await shares.get(db, "t1", made[0])
        assert listed is not None and (listed.expires_ms, listed.lasts_ms) == (EXPIRED, expected)


async def test_a_share_is_kept_by_no_drill_no_later_alert_and_nobody_elses(db: Database) -> None:
    head = await begin(db)
    other = await begin(db, driver="d2")
    made = await shares.create(db, "t1", head.journey_id, "live", EXPIRED, "ann")
    await put_alert(db, head.journey_id, drill=True)
    await put_alert(db, head.journey_id, raised_ms=EXPIRED + 1)
    await put_alert(db, head.journey_id, driver="d2")  # a phone may name whatever journey it likes
    await put_alert(db, head.journey_id, tenant="t2")
    await put_alert(db, other.journey_id, driver="d3")
    drill = await put_alert(db, driver="d4", drill=True)
    of_drill = await shares.create_to_alert(db, "t1", drill, "live", EXPIRED, ANN)
    for share in (made, of_drill):
        assert await shares.resolve(db, *share) is None
        assert await shares.lasting(db, [share[0]]) == {share[0]: EXPIRED}


async def test_an_sos_raised_while_another_keeps_the_share_keeps_it_further(db: Database) -> None:
    head = await begin(db)
    expires_ms = NOW - 300 * MINUTE
    made = await shares.create(db, "t1", head.journey_id, "live", expires_ms, "ann")
    first_ms, second_ms = expires_ms + 10 * MINUTE, expires_ms + 100 * MINUTE
    await put_alert(db, head.journey_id, raised_ms=expires_ms - 1, closed_ms=first_ms)
    await put_alert(
        db, head.journey_id, raised_ms=first_ms + GRACE_MS, closed_ms=second_ms
    )  # in the last moment of the grace
    last_ms = second_ms + GRACE_MS
    assert await shares.lasting(db, [made[0]]) == {made[0]: last_ms}
    await put_alert(db, head.journey_id, raised_ms=last_ms + 1, closed_ms=NOW)
    await put_alert(db, head.journey_id, raised_ms=last_ms + 2, closed_ms=NOW - 1)
    assert await shares.lasting(db, [made[0]]) == {made[0]: last_ms}


async def test_a_revoked_share_is_kept_good_by_nothing(db: Database) -> None:
    head = await begin(db)
    await put_alert(db, head.journey_id)
    made = await shares.create(db, "t1", head.journey_id, "live", EXPIRED, "ann")
    assert await shares.revoke(db, "t1", made[0], ANN)
    assert await shares.resolve(db, *made) is None
    assert await shares.lasting(db, [made[0]]) == {}


async def test_a_look_at_links_reads_the_alerts_of_theirs_alone(db: Database) -> None:
    head = await begin(db)
    alert_id = await put_alert(db, head.journey_id)
    made = [
        await shares.create(db, "t1", head.journey_id, "live", EXPIRED, "ann"),
        await shares.create_to_alert(db, "t1", alert_id, "live", EXPIRED, ANN),
    ]
    async with db.writer() as connection:
        await connection.execute(
            "INSERT INTO alerts (alert_id, tenant_id, vendor_id, driver_id, journey_id, kind, state, drill, "
            "raised_ms, closed_ms, version, alert, policy_copy) "
            "SELECT gen_random_uuid(), 't1', 'v1', 'd' || n, gen_random_uuid(), 'sos', 'resolved', "
            "false, $1, $1, 1, '{}', '{}' FROM generate_series(1, 10000) n",
            NOW,
        )
    async with db._pool.acquire() as connection:
        await connection.execute("ANALYZE alerts")
    async with db.writer() as connection:
        rows = await connection.fetch(shares._SQL["lasting"], [share_id for share_id, _ in made], GRACE_MS)
        read = await connection.fetchrow(
            "SELECT seq_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'alerts'"
        )
    assert all(row["lasts_ms"] > NOW for row in rows) and len(rows) == 2
    assert read["seq_scan"] == 0 and read["idx_tup_fetch"] <= 10


async def a_moment() -> None:
    """Views of one millisecond have no order: let the next be of a later one."""
    await asyncio.sleep(0.003)
