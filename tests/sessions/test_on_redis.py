"""Sessions and pairing codes on each kind of Redis: what is embedded, Redis itself, a Cluster."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from realtime.auth.tokens import Principal
from realtime.protocol import Code, Refused
from realtime.redis.client import Client, client
from realtime.sessions.book import GRACE_S, PER_SUBJECT, REMEMBERED, SessionStore
from realtime.sessions.keys import session_key, subject_index, tenant_index
from realtime.sessions.pairings import Pairing, Pairings
from tests.e2e.proxy import Proxy
from tests.safety_away.fakes import Line

ANA = Principal("ana", "dispatcher", "t1", frozenset({"north", "south"}), None, "jti-1", 2**52)
PAIRING = Pairing("t1", "north", "d1", "jti-2", "ana", "jti-1")


class Clock:
    """Wall and monotonic time that a test moves."""

    def __init__(self) -> None:
        self.ahead_s = 0.0

    def now_ms(self) -> int:
        return round((time.time() + self.ahead_s) * 1000)

    def monotonic_s(self) -> float:
        return time.monotonic() + self.ahead_s


def a_book(client: Client, clock: Clock | None = None, **bounds: int) -> SessionStore:
    clock = clock or Clock()
    return SessionStore(
        client, 2.0, max_s=3_600, now_ms=clock.now_ms, monotonic_s=clock.monotonic_s, **bounds
    )


@pytest.fixture
async def redis(redis_url_of_kind: str) -> AsyncIterator[Client]:
    made = client(redis_url_of_kind, timeout_s=5.0, max_connections=20)
    yield made
    await made.aclose()


async def refusal(book: SessionStore, value: str, *, new: bool = True) -> Code:
    with pytest.raises(Refused) as refused:
        await book.open(value, new=new)
    return refused.value.code


async def test_a_session_is_who_the_token_was(redis: Client) -> None:
    book = a_book(redis)
    session, value = await book.begin(ANA, "192.0.2.7", "Firefox")
    found = await a_book(redis).open(value, new=True)  # another process
    expected = replace(ANA, expires_ms=found.expires_ms, session=session.session_id)
    assert found.principal == expected
    assert (found.address, found.user_agent) == ("192.0.2.7", "Firefox")
    everything = replace(ANA, vendors=None, jti=None)
    _, value = await book.begin(everything, "", "")
    assert (await book.open(value, new=True)).vendors is None


@pytest.mark.every_redis
async def test_a_session_ends_everywhere_at_once(redis: Client) -> None:
    here, there = a_book(redis), a_book(redis)
    session, value = await here.begin(ANA, "", "")
    await there.open(value, new=False)
    await here.end(session)
    await here.end(session)
    assert await refusal(there, value, new=False) is Code.UNAUTHENTICATED
    assert await there.ended_among([session.session_id, "x" * 22]) == {session.session_id, "x" * 22}
    assert await here.of_tenant("t1", None, 10) == ([], None)
    assert await here.of_subject("t1", "ana", None, 10) == ([], None)


async def test_nothing_in_redis_is_of_use_to_a_thief(redis: Client, request: pytest.FixtureRequest) -> None:
    book, pairings = a_book(redis), Pairings(redis, 2.0)
    session, value = await book.begin(ANA, "", "")
    code = await pairings.offer(PAIRING)
    secret = value.partition(".")[2]
    kept = bytearray()
    async for key in redis.scan_iter(match="wg:*"):
        kept += key + (await redis.dump(key) or b"")
    assert session.session_id.encode() in kept
    assert secret.encode() not in kept and code.encode() not in kept


async def test_all_that_is_kept_goes_by_itself(redis: Client) -> None:
    book = a_book(redis)
    session, _ = await book.begin(ANA, "", "")
    await Pairings(redis, 2.0).offer(PAIRING)
    expiries = [await redis.pexpiretime(key) async for key in redis.scan_iter(match="wg:*")]
    assert len(expiries) == 4
    assert all(expiry > 0 for expiry in expiries)
    assert await redis.pexpiretime(session_key(session.session_id)) == session.expires_ms
    longer = replace(ANA, sub="bo")
    later, _ = await SessionStore(redis, 2.0, max_s=7_200, now_ms=Clock().now_ms).begin(longer, "", "")
    assert await redis.pexpiretime(tenant_index("t1")) == later.expires_ms, "an index lasts as its last"


@pytest.mark.every_redis
async def test_one_more_than_the_bound_ends_the_oldest_and_no_other_subjects(redis: Client) -> None:
    clock = Clock()
    book = a_book(redis, clock)
    _, other = await book.begin(replace(ANA, sub="bo"), "", "")
    _, elsewhere = await book.begin(replace(ANA, tenant="t2"), "", "")
    values = []
    for _ in range(PER_SUBJECT + 1):
        clock.ahead_s += 1
        values.append((await book.begin(ANA, "", ""))[1])
    assert await refusal(book, values[0]) is Code.UNAUTHENTICATED
    for value in (*values[1:], other, elsewhere):
        await book.open(value, new=True)
    assert len((await book.of_subject("t1", "ana", None, 100))[0]) == PER_SUBJECT


async def test_one_that_is_over_makes_room_before_one_that_is_not(redis: Client) -> None:
    clock = Clock()
    book = a_book(redis, clock)
    first = (await book.begin(ANA, "", ""))[1]
    sessions = []
    for _ in range(PER_SUBJECT - 1):
        clock.ahead_s += 1
        sessions.append((await book.begin(ANA, "", ""))[0])
    await redis.delete(session_key(sessions[5].session_id))  # as when its time has come
    clock.ahead_s += 1
    await book.begin(ANA, "", "")
    await book.open(first, new=True)
    assert await redis.zscore(subject_index("t1", "ana"), sessions[5].session_id) is None


@pytest.mark.every_redis
async def test_lists_come_in_pages(redis: Client) -> None:
    clock = Clock()
    book = a_book(redis, clock)
    begun = []
    for sub in ("ana", "bo", "ana", "ana"):
        clock.ahead_s += 1
        begun.append((await book.begin(replace(ANA, sub=sub), "", ""))[0].session_id)
    first, after = await book.of_tenant("t1", None, 3)
    second, end = await book.of_tenant("t1", after, 3)
    assert [one.session_id for one in (*first, *second)] == begun[::-1]
    assert (len(first), end) == (3, None)
    mine, more = await book.of_subject("t1", "ana", None, 3)
    assert [one.session_id for one in mine] == [begun[3], begun[2], begun[0]]
    assert more is None
    with pytest.raises(Refused) as refused:
        await book.of_tenant("t1", "x" * 22, 3)
    assert refused.value.code is Code.INVALID


async def test_what_is_over_leaves_the_tenants_list(redis: Client) -> None:
    clock = Clock()
    book = a_book(redis, clock)
    await book.begin(ANA, "", "")
    clock.ahead_s = 3_000
    await book.begin(ANA, "", "")
    assert await redis.zcard(tenant_index("t1")) == 2
    clock.ahead_s = 3_601
    await book.begin(ANA, "", "")
    assert await redis.zcard(tenant_index("t1")) == 2, "the first is over by then"


async def test_a_session_ends_when_its_time_has_come(redis: Client) -> None:
    clock = Clock()
    book = a_book(redis, clock)
    short = replace(ANA, expires_ms=clock.now_ms() + 60_000)
    session, value = await book.begin(short, "", "")
    assert session.expires_ms == short.expires_ms, "no later than the token"
    longer, _ = await book.begin(ANA, "", "")
    assert longer.expires_ms <= clock.now_ms() + 3_600_000, "and no later than the setting"
    clock.ahead_s = 61
    assert await refusal(book, value) is Code.TOKEN_EXPIRED


async def test_its_use_is_noted_once_a_minute_and_does_not_wake_the_dead(redis: Client) -> None:
    clock = Clock()
    book = a_book(redis, clock)
    session, value = await book.begin(ANA, "", "")
    clock.ahead_s = 30
    await book.open(value, new=True)
    assert (await book.get(session.session_id)) == session
    clock.ahead_s = 61
    assert await book.ended_among([session.session_id]) == set()
    noted = await book.get(session.session_id)
    assert noted is not None and noted.seen_ms >= session.seen_ms + 60_000
    assert await redis.pexpiretime(session_key(session.session_id)) == session.expires_ms
    await redis.delete(session_key(session.session_id))
    clock.ahead_s = 200
    await book._touch(noted)
    assert await book.get(session.session_id) is None


async def test_a_record_that_cannot_be_read_lets_nobody_in(redis: Client) -> None:
    book = a_book(redis)
    session, value = await book.begin(ANA, "", "")
    for garbage in (b"", b"{}", b"\xff", b'{"session_id":1}'):
        await redis.set(session_key(session.session_id), garbage)
        assert await refusal(book, value) is Code.UNAUTHENTICATED


@pytest.mark.every_redis
async def test_a_code_is_good_once_however_many_come_at_once(redis: Client) -> None:
    pairings = Pairings(redis, 5.0)
    for _ in range(20):
        code = await pairings.offer(PAIRING)
        assert await pairings.look(code) == PAIRING
        taken = await asyncio.gather(*(pairings.take(code) for _ in range(8)))
        assert [one for one in taken if one is not None] == [PAIRING]
        assert await pairings.look(code) is None


@pytest.mark.parametrize("code", ["", "x", "é" * 32, "a" * 32, "a" * 33, "a" * 31 + "\n", "\0" * 32])
async def test_what_is_no_code_is_good_for_nothing(redis_url: str, code: str) -> None:
    redis = client(redis_url, timeout_s=5.0, max_connections=2)
    pairings = Pairings(redis, 5.0)
    assert await pairings.look(code) is None
    assert await pairings.take(code) is None
    await redis.aclose()


# --- with Redis away


class StorageFailure:
    """A book whose Redis can be cut off."""

    def __init__(self, redis: Client, line: Line) -> None:
        self.clock = Clock()
        self.line = line
        self.book = SessionStore(
            redis, 0.3, max_s=36_000, now_ms=self.clock.now_ms, monotonic_s=self.clock.monotonic_s
        )


@contextlib.asynccontextmanager
async def behind_a_line(redis_url: str) -> AsyncIterator[StorageFailure]:
    async with Proxy(urlsplit(redis_url).port or 0) as proxy:
        line = Line(proxy, redis_url)
        redis = client(line.url, timeout_s=0.3, max_connections=20)
        yield StorageFailure(redis, line)
        await redis.aclose()


@pytest.mark.parametrize("fault", ["cut", "hang"])
async def test_with_redis_away_requests_go_on_for_a_while_and_nobody_new_comes_in(
    redis_url: str, fault: str
) -> None:
    async with behind_a_line(redis_url) as away:
        session, value = await away.book.begin(ANA, "", "")
        _, unseen = await away.book.begin(ANA, "", "")
        await away.book.open(value, new=False)
        getattr(away.line, fault)()
        for _ in range(3):
            assert (await away.book.open(value, new=False)).session_id == session.session_id
        assert await refusal(away.book, value, new=True) is Code.UNAVAILABLE
        assert await refusal(away.book, unseen, new=False) is Code.UNAVAILABLE
        forged = f"{session.session_id}.{'A' * 43}"
        assert await refusal(away.book, forged, new=False) is Code.UNAUTHENTICATED, "nor by an id alone"
        for call in (away.book.begin(ANA, "", ""), away.book.end(session), away.book.ended_among(["x"])):
            with pytest.raises(Refused) as refused:
                await call
            assert refused.value.code is Code.UNAVAILABLE
        assert await refusal(away.book, value, new=False) is Code.UNAVAILABLE, "signed out as far as here"


async def test_the_grace_has_an_end_and_one_answer_of_redis_ends_it(redis_url: str) -> None:
    async with behind_a_line(redis_url) as away:
        session, value = await away.book.begin(ANA, "", "")
        await away.book.open(value, new=False)
        away.line.cut()
        away.clock.ahead_s = GRACE_S - 5
        await away.book.open(value, new=False)
        away.clock.ahead_s = GRACE_S + 5
        assert await refusal(away.book, value, new=False) is Code.UNAVAILABLE
        away.line.mend()
        await away.book.open(value, new=False)
        direct = client(redis_url, timeout_s=5.0, max_connections=2)
        await a_book(direct).end(session)
        assert await refusal(away.book, value, new=False) is Code.UNAUTHENTICATED
        away.line.cut()
        assert await refusal(away.book, value, new=False) is Code.UNAVAILABLE
        await direct.aclose()


async def test_what_is_remembered_is_bounded(redis_url: str) -> None:
    assert REMEMBERED <= 100_000
    redis: Any = client(redis_url, timeout_s=5.0, max_connections=2)
    book = a_book(redis, max_remembered=3)
    for _ in range(5):
        _, value = await book.begin(ANA, "", "")
        await book.open(value, new=False)
    assert len(book._seen) == 3
    await redis.aclose()
