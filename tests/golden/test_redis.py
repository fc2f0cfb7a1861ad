"""What an earlier release keeps in Redis is read by this one beside it, under the same keys."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.golden import names
from tests.golden.compare import differences
from tests.golden.make_redis import (
    INSTANCE,
    NEXT_MS,
    NOW_MS,
    TENANT,
    VENDOR,
    case_id,
    positions,
    presences,
    put,
    read_redis,
)

GOLDEN: dict[str, Any] = json.loads((Path(__file__).parent / "files" / "redis.json").read_text())


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Any]:
    client = names.client(redis_url, timeout_s=5.0, max_connections=5)
    await put(client, GOLDEN["keys"])
    yield client
    await client.aclose()


def test_the_file_has_replicas_leases_and_all_states_of_presence() -> None:
    read = GOLDEN["read"]
    assert len(read["replicas"]) == 3
    assert read["holders"] == [INSTANCE, INSTANCE, None]
    assert {json.loads(row[2])["state"] for row in read["presence"]} == {"online", "stale", "offline"}
    assert len(read["positions"]) == 3
    assert {one["action"] for one in read["checkins"]} == {"check_in", "arrive"}
    assert read["is_built"] and read["lease"] and read["mark"]


async def test_all_of_it_is_read_as_that_release_read_it(client: Any) -> None:
    read = await read_redis(client, GOLDEN["cookie"], GOLDEN["code"])
    assert differences(GOLDEN["read"], read) == []


async def test_values_are_written_as_that_release_wrote_them(client: Any, redis_url: str) -> None:
    """By the same fields and bytes: that release reads them too."""
    await client.flushall()
    state = names.LiveState(client, 5.0)
    await state.write(TENANT, VENDOR, names.POSITIONS, positions())
    await state.write(TENANT, VENDOR, names.PRESENCE, presences())
    await state.mark_built(TENANT, VENDOR)
    assert len(await names.Leases(client, INSTANCE).take([case_id(0), case_id(1)])) == 2
    await client.set(names.instance_lease_key(INSTANCE), b"1")
    await client.set(names.mark_key(TENANT, VENDOR, INSTANCE), b"1")
    for key in [key async for key in client.scan_iter()]:
        golden = GOLDEN["keys"][key.decode()]
        if golden["type"] == "hash":
            now = {field.hex(): text.hex() for field, text in (await client.hgetall(key)).items()}
        else:
            now = (await client.get(key)).hex()
        assert now == golden["value"], key
    assert await client.dbsize() == 7


async def test_the_newer_value_stays_whichever_release_wrote_it(client: Any) -> None:
    state = names.LiveState(client, 5.0)
    first, _, _ = positions()
    older = first._replace(item=first.item._replace(order=names.order_of(NOW_MS - 1, ended=False)))
    seq_before = first.item.fragment.replace(b",[7,", b",[6,")
    assert seq_before != first.item.fragment
    older = older._replace(item=older.item._replace(fragment=seq_before))
    await state.write(TENANT, VENDOR, names.POSITIONS, [older])
    assert await state.read_one(TENANT, VENDOR, names.POSITIONS, "d1") == first
    seq_after = first.item.fragment.replace(b",[7,", b",[8,")
    newer = first._replace(
        item=first.item._replace(order=names.order_of(NEXT_MS, ended=False), fragment=seq_after)
    )
    await state.write(TENANT, VENDOR, names.POSITIONS, [newer])
    assert await state.read_one(TENANT, VENDOR, names.POSITIONS, "d1") == newer
    online, _, _ = presences()
    late = names.presence_item("d1", names.presence_order(2, NEXT_MS), "offline", NEXT_MS, "lost")
    await state.write(TENANT, VENDOR, names.PRESENCE, [online._replace(item=late)])
    assert await state.read_one(TENANT, VENDOR, names.PRESENCE, "d1") == online, "of an earlier connection"


async def test_a_lease_of_that_release_is_respected_and_a_free_one_taken(client: Any) -> None:
    leases = names.Leases(client, "another")
    ids = [case_id(number) for number in range(3)]
    assert await leases.take(ids) == {ids[2]}
    assert await leases.holders(ids) == [INSTANCE, INSTANCE, "another"]


async def test_a_session_needs_the_secret_of_its_cookie(client: Any) -> None:
    book = names.SessionStore(client, 5.0, max_s=1_000.0, now_ms=lambda: NEXT_MS)
    session = await book.open(GOLDEN["cookie"], new=True)
    head, _, secret = GOLDEN["cookie"].partition(".")
    with pytest.raises(Exception, match="session"):
        await book.open(f"{head}.{secret[::-1]}", new=True)
    await book.end(session)
    assert await book.ended_among([session.session_id]) == {session.session_id}
