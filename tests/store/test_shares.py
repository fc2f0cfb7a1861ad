"""Shares: the secret is had once, and every way a share ends is told."""

import asyncio
import hashlib
import time
from uuid import uuid4

import pytest

from realtime.protocol import Code, Refused
from realtime.store import shares
from realtime.store.database import Database
from realtime.store.shares import VIEWS_LISTED, Share

from .test_journeys import begin

NOW = time.time_ns() // 1_000_000
LATER = NOW + 3_600_000


async def test_a_share_opens_with_its_secret_only(db: Database) -> None:
    head = await begin(db)
    share_id, secret = await shares.create(db, "t1", head.journey_id, "live", LATER, "dispatcher-1")
    expected = Share(share_id, "t1", head.journey_id, "live", LATER)
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
    assert not await shares.revoke(db, "t2", revoked_id)
    assert await shares.resolve(db, revoked_id, revoked_secret) is not None
    assert await shares.revoke(db, "t1", revoked_id)
    assert not await shares.revoke(db, "t1", revoked_id)
    assert not await shares.revoke(db, "t1", "no such")
    assert await shares.resolve(db, revoked_id, revoked_secret) is None
    assert await shares.resolve(db, expired_id, expired_secret) is None
    ids = {open_id, revoked_id, expired_id, "unknown"}
    assert await shares.closed_among(db, ids) == ids - {open_id}
    assert await shares.closed_among(db, []) == set()


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


async def a_moment() -> None:
    """Views of one millisecond have no order: let the next be of a later one."""
    await asyncio.sleep(0.003)
