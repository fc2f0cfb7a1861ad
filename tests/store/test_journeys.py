"""Journeys: begun once, resumed, ended once, expired, listed a page at a time."""

import asyncio
import time
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from msgspec import Raw

from geo.position import Point
from realtime.protocol import Code, Refused
from realtime.store.db import ids
from realtime.store.db.database import Database
from realtime.store.journeys import journeys
from realtime.store.journeys.journeys import JourneyHead
from realtime.store.people import tenants

from .conftest import put

NOW = time.time_ns() // 1_000_000
DAY = 86_400_000


async def begin(
    db: Database, driver: str = "d1", *, vendor: str = "north", tenant: str = "t1", now_ms: int = NOW,
    client: UUID | None = None,
) -> JourneyHead:  # fmt: skip
    await tenants.connect_driver(db, tenant, vendor, driver)
    return await journeys.start(
        db, tenant, vendor, driver, client or uuid4(), now_ms, "van", Raw(b'{"lat":1}'), None, now_ms
    )


def points(*seqs: int) -> list[Point]:
    return [Point(seq, NOW + seq, 53.4, -2.9) for seq in seqs]


async def test_a_started_journey_has_an_id_of_its_moment_and_no_points(db: Database) -> None:
    head = await begin(db)
    assert (head.tenant, head.vendor, head.driver) == ("t1", "north", "d1")
    assert (head.last_seq, head.ended_ms, head.final_seq, head.expired) == (0, None, None, False)
    assert head.created_ms == NOW == ids.minted_ms(head.journey_id)
    assert head.journey_id.version == 7
    assert await journeys.head(db, "t1", head.journey_id) == head


async def test_the_same_start_again_resumes_after_what_is_stored(db: Database) -> None:
    client = uuid4()
    first = await begin(db, client=client)
    await put(db, "t1", first.journey_id, points(1, 2, 3))
    again = await begin(db, client=client, now_ms=NOW + 5_000)
    assert again.journey_id == first.journey_id
    assert again.last_seq == 3
    assert again.created_ms == first.created_ms
    assert (await begin(db, "d2", client=client)).journey_id != first.journey_id


async def test_many_starts_at_once_begin_one_journey(db: Database) -> None:
    client = uuid4()
    heads = await asyncio.gather(*(begin(db, client=client, now_ms=NOW + n) for n in range(12)))
    assert len({head.journey_id for head in heads}) == 1


async def test_a_driver_who_never_connected_cannot_start(db: Database) -> None:
    with pytest.raises(Refused) as refused:
        await journeys.start(db, "t1", "north", "ghost", uuid4(), NOW, None, None, None, NOW)
    assert refused.value.code is Code.NOT_FOUND
    with pytest.raises(Refused) as refused:
        await journeys.start(db, "t1", "north", "d1", uuid4(), NOW, "a\0b", None, None, NOW)
    assert refused.value.code is Code.INVALID


async def test_the_first_end_stands(db: Database) -> None:
    head = await begin(db)
    await put(db, "t1", head.journey_id, points(1, 2, 3))
    ended = await journeys.end(db, "t1", "d1", head.journey_id, NOW + 10, 7)
    assert (ended.ended_ms, ended.final_seq, ended.last_seq, ended.expired) == (NOW + 10, 7, 3, False)
    again = await journeys.end(db, "t1", "d1", head.journey_id, NOW + 99, 9)
    assert again == ended


async def test_an_end_never_leaves_stored_points_outside(db: Database) -> None:
    head = await begin(db)
    await put(db, "t1", head.journey_id, points(1, 2, 3))
    assert (await journeys.end(db, "t1", "d1", head.journey_id, NOW, 1)).final_seq == 3


@pytest.mark.parametrize(("tenant", "driver"), [("t2", "d1"), ("t1", "d2")])
async def test_nobody_else_ends_a_journey(db: Database, tenant: str, driver: str) -> None:
    head = await begin(db)
    with pytest.raises(Refused) as refused:
        await journeys.end(db, tenant, driver, head.journey_id, NOW, 0)
    assert refused.value.code is Code.NOT_FOUND
    assert await journeys.head(db, "t1", head.journey_id) == head


async def test_old_open_journeys_expire_once(db: Database) -> None:
    old = await begin(db, now_ms=NOW - 10_000)
    done = await begin(db, "d2", now_ms=NOW - 10_000)
    await journeys.end(db, "t1", "d2", done.journey_id, NOW, 0)
    fresh = await begin(db, "d3")
    await put(db, "t1", old.journey_id, points(1, 2))
    (closed,) = await journeys.expire(db, NOW - 5_000)
    assert (closed.journey_id, closed.expired, closed.final_seq, closed.last_seq) == (
        old.journey_id,
        True,
        2,
        2,
    )
    assert closed.ended_ms is not None
    assert await journeys.expire(db, NOW - 5_000) == []
    assert await journeys.head(db, "t1", old.journey_id) == closed
    still = await journeys.head(db, "t1", fresh.journey_id)
    assert still is not None
    assert not still.expired


async def test_get_gives_all_that_is_known(db: Database) -> None:
    client = uuid4()
    head = await begin(db, client=client)
    journey = await journeys.get(db, "t1", head.journey_id)
    assert journey is not None
    assert (journey.client_journey_id, journey.started_ms, journey.vehicle) == (client, NOW, "van")
    assert bytes(journey.destination or b"") == b'{"lat":1}'
    assert journey.route is None
    assert await journeys.get(db, "t2", head.journey_id) is None
    assert await journeys.get(db, "t1", uuid4()) is None


async def test_lists_page_from_the_newest_and_filter(db: Database) -> None:
    heads = [await begin(db, f"d{n % 3}", vendor=f"v{n % 3}", now_ms=NOW + n) for n in range(9)]
    await put(db, "t1", heads[8].journey_id, points(1, 2))
    await begin(db, tenant="t2", now_ms=NOW + 4)
    newest_first = [head.journey_id for head in reversed(heads)]
    seen: list[UUID] = []
    while page := await journeys.list_(db, "t1", limit=4, before=seen[-1] if seen else None):
        seen += [journey.journey_id for journey in page]
        assert len(page) <= 4
    assert seen == newest_first

    async def found(**wanted: object) -> list[UUID]:
        return [j.journey_id for j in await journeys.list_(db, "t1", limit=100, **wanted)]  # type: ignore[arg-type]

    assert await found(vendors={"v1"}) == newest_first[1::3]
    assert await found(vendors=frozenset()) == []
    assert await found(driver="d0") == newest_first[2::3]
    assert await found(vendors={"v1"}, driver="d0") == []
    assert await found(from_ms=NOW + 3, to_ms=NOW + 6) == newest_first[3:6]
    assert await found(to_ms=-5) == []
    newest, *_ = await journeys.list_(db, "t1", limit=1)
    assert newest.last_seq == 2


async def test_a_day_without_partition_still_lists(db: Database) -> None:
    old = datetime(2020, 2, 2, tzinfo=UTC).timestamp() * 1000
    head = await begin(db, now_ms=int(old))
    assert [j.journey_id for j in await journeys.list_(db, "t1", limit=5, to_ms=NOW)] == [head.journey_id]
    assert (await journeys.head(db, "t1", head.journey_id)) == head
