"""Callers whose credential is not known to be valid wait for each other, and for nobody else."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from realtime.admission.guests import GuestGate, GuestLimits, GuestLinks, GuestSessions, UnknownIds
from realtime.protocol import Code, Refused
from realtime.rate_limits import AddressBudgets, TokenBucket
from realtime.store.journeys import shares

KEY = shares.signing_key("a secret of the tests")
CARRIER = "203.0.113.7"
"""The one address that everybody in these tests comes from."""
LIMITS = GuestLimits(max_waiting=3, wait_s=0.05, per_address_per_s=1.0, per_address_burst=5.0)


class Store:
    """Links by id, in place of Postgres. Look-ups and writes of ids in ``stuck`` are not answered."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}
        self.stuck: set[str] = set()
        self.asked: list[str] = []
        self.running = 0
        self.most_running = 0
        self.views: list[tuple[str, dict[tuple[str, str], int]]] = []
        self.fails = False
        self.changed = asyncio.Event()

    def link(self, share_id: str, *, signed: bool) -> str:
        """Make a link; its secret."""
        secret = "r" * 32
        if signed:
            secret += shares._signature(KEY, share_id, secret)
        self.secrets[share_id] = secret
        return secret

    def release(self) -> None:
        """Answer what is stuck."""
        self.stuck.clear()
        self.changed.set()

    @asynccontextmanager
    async def lookup(self, timeout_s: float | None = None) -> AsyncIterator["Store"]:
        yield self

    @asynccontextmanager
    async def writer(self) -> AsyncIterator["Store"]:
        yield self

    async def fetchrow(self, sql: str, share_id: str, grace_ms: int) -> dict[str, Any] | None:
        self.asked.append(share_id)
        await self._answer(share_id)
        secret = self.secrets.get(share_id)
        if secret is None:
            return None
        return {
            "share_id": share_id,
            "secret_sha256": hashlib.sha256(secret.encode()).digest(),
            **dict.fromkeys(("journey_id", "alert_id")),
            **dict.fromkeys(("tenant_id", "scope", "driver_id"), "live"),
            **dict.fromkeys(("may_answer", "holder"), ""),
            **dict.fromkeys(("lasts_ms", "answers_from_ms"), 0),
        }

    async def execute(self, sql: str, share_id: str, *lists: list[Any]) -> None:
        await self._answer(share_id)
        addresses, agents, times = lists
        self.views.append((share_id, dict(zip(zip(addresses, agents, strict=True), times, strict=True))))

    async def _answer(self, share_id: str) -> None:
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            while share_id in self.stuck:
                self.changed.clear()
                await self.changed.wait()
            if self.fails:
                raise Refused(Code.UNAVAILABLE, "the storage is unavailable, try again", retry_after_s=1)
        finally:
            self.running -= 1


class Clock:
    """Monotonic seconds that stand still."""

    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def links_of(store: Store, limits: GuestLimits = LIMITS, clock: Clock | None = None) -> GuestLinks:
    return GuestLinks(cast(Any, store), KEY, limits, clock or Clock())


async def refusal(work: Any) -> Code:
    with pytest.raises(Refused) as refused:
        await work
    assert refused.value.retryable
    assert refused.value.retry_after_s is not None
    return refused.value.code


async def test_unknown_links_take_one_connection_and_a_signed_one_gets_in_beside_them() -> None:
    store = Store()
    secret = store.link("good", signed=True)
    store.stuck = {f"s{n}" for n in range(9)}
    links = links_of(store, GuestLimits(max_waiting=3, wait_s=0.05))
    strangers = [asyncio.ensure_future(links.open(f"s{n}", "x", CARRIER)) for n in range(4)]
    await asyncio.sleep(0)
    assert await refusal(links.open("s4", "x", CARRIER)) is Code.OVERLOADED  # at once: too many wait
    share = await links.open("good", secret, CARRIER)
    assert share is not None
    assert store.asked == ["s0", "good"]
    store.release()
    found = await asyncio.gather(*strangers, return_exceptions=True)
    assert found[0] is None
    assert store.most_running == 2


async def test_who_waits_too_long_for_a_slot_is_refused_and_may_try_again() -> None:
    store = Store()
    store.stuck = {"s0"}
    links = links_of(store)
    first = asyncio.ensure_future(links.open("s0", "x", CARRIER))
    await asyncio.sleep(0)
    assert await refusal(links.open("s1", "x", CARRIER)) is Code.OVERLOADED
    store.release()
    assert await first is None
    assert await links.open("s1", "x", CARRIER) is None


async def test_an_address_that_tries_links_is_limited_and_a_contact_behind_it_is_not() -> None:
    store, clock = Store(), Clock()
    signed, unsigned = store.link("signed", signed=True), store.link("old", signed=False)
    links = links_of(store, clock=clock)
    assert await links.open("old", unsigned, CARRIER) is not None  # made before links were signed
    for n in range(5):
        assert await links.open(f"s{n}", "x", CARRIER) is None
    assert await refusal(links.open("s5", "x", CARRIER)) is Code.RATE_LIMITED
    assert await links.open("signed", signed, CARRIER) is not None
    assert await links.open("old", unsigned, CARRIER) is not None
    assert await links.open("s5", "x", "198.51.100.1") is None
    clock.now_s += 1.0
    assert await links.open("s6", "x", CARRIER) is None


async def test_links_that_open_cost_an_address_nothing() -> None:
    store = Store()
    links = links_of(store)
    for n in range(20):
        assert await links.open(f"old{n}", store.link(f"old{n}", signed=False), CARRIER) is not None


async def test_an_id_that_was_unknown_is_not_asked_for_again_for_a_moment() -> None:
    store, clock = Store(), Clock()
    links = links_of(store, clock=clock)
    for _ in range(50):
        assert await links.open("s", "x", CARRIER) is None
    assert store.asked == ["s"]
    clock.now_s += LIMITS.unknown_s
    secret = store.link("s", signed=True)
    assert await links.open("s", secret, CARRIER) is not None


async def test_a_wrong_secret_does_not_make_a_link_unknown() -> None:
    store = Store()
    secret = store.link("good", signed=True)
    links = links_of(store)
    assert await links.open("good", "wrong", CARRIER) is None
    assert await links.open("good", secret[:-1] + ("a" if secret[-1] != "a" else "b"), CARRIER) is None
    assert await links.open("good", secret, CARRIER) is not None


async def test_callers_with_one_id_share_one_look_up() -> None:
    store = Store()
    secret = store.link("good", signed=True)
    store.stuck = {"good"}
    links = links_of(store)
    wrong = [asyncio.ensure_future(links.open("good", "x", f"198.51.100.{n}")) for n in range(100)]
    right = [asyncio.ensure_future(links.open("good", secret, CARRIER)) for _ in range(100)]
    await asyncio.sleep(0)
    right[0].cancel()
    store.release()
    assert all(share is not None for share in await asyncio.gather(*right[1:]))
    assert await asyncio.gather(*wrong) == [None] * 100
    assert store.asked == ["good", "good"]


async def test_a_contact_does_not_wait_behind_a_stranger_who_knows_the_id_of_the_link() -> None:
    store = Store()
    secret = store.link("good", signed=True)
    store.stuck = {"s0"}
    links = links_of(store, GuestLimits(wait_s=5.0))
    strangers = [asyncio.ensure_future(links.open(name, "x", CARRIER)) for name in ("s0", "good")]
    await asyncio.sleep(0)
    assert await links.open("good", secret, CARRIER) is not None
    store.release()
    assert await asyncio.gather(*strangers) == [None, None]


async def test_a_link_that_is_malformed_asks_nothing() -> None:
    store = Store()
    for share_id in ("", "a b", "x" * 65, "\N{SNOWMAN}", "\0"):
        assert await links_of(store).open(share_id, "x\ud800", CARRIER) is None
    assert store.asked == []


async def test_those_who_open_a_link_at_once_are_recorded_together() -> None:
    store = Store()
    store.stuck = {"good"}
    links = links_of(store)
    first = asyncio.ensure_future(links.viewed("good", CARRIER, "Firefox"))
    await asyncio.sleep(0.01)
    rest = [asyncio.ensure_future(links.viewed("good", CARRIER, agent)) for agent in "aabbb"]
    await asyncio.sleep(0.01)
    assert store.running == 1
    store.release()
    await asyncio.gather(first, *rest)
    assert store.views == [
        ("good", {(CARRIER, "Firefox"): 1}),
        ("good", {(CARRIER, "a"): 2, (CARRIER, "b"): 3}),
    ]
    assert links._gathering == {}
    assert links._writing == {}


async def test_a_record_that_fails_refuses_those_it_was_of_and_no_others() -> None:
    store = Store()
    links = links_of(store)
    store.fails = True
    assert await refusal(links.viewed("good", CARRIER, "a")) is Code.UNAVAILABLE
    store.fails = False
    await links.viewed("good", CARRIER, "b")
    assert store.views == [("good", {(CARRIER, "b"): 1})]
    assert links._gathering == {}


async def test_unknown_sessions_wait_for_each_other_and_known_ones_do_not() -> None:
    limits = GuestLimits(sessions_at_once=2, max_waiting=1, wait_s=0.05)
    guests = GuestSessions(limits, Clock())
    running: Counter[str] = Counter()
    never = asyncio.Event()

    async def look_up() -> str:
        running["now"] += 1
        await never.wait()
        raise Refused(Code.UNAUTHENTICATED, "no such session")

    async def found() -> str:
        return "session"

    strangers = [asyncio.ensure_future(guests.open(f"v{n}", False, look_up)) for n in range(2)]
    await asyncio.sleep(0)
    assert await refusal(guests.open("v2", False, look_up)) is Code.OVERLOADED
    assert running["now"] == 2
    assert await guests.open("v3", True, found) == "session"
    never.set()
    await asyncio.gather(*strangers, return_exceptions=True)
    for _ in range(5):
        with pytest.raises(Refused) as refused:
            await guests.open("v0", False, look_up)
        assert refused.value.code is Code.UNAUTHENTICATED
    assert running["now"] == 2


async def test_a_slot_is_free_again_whatever_ends_its_block() -> None:
    slots = GuestGate(1, 1, 0.05)
    for error in (KeyError, asyncio.CancelledError):
        with pytest.raises(error):
            async with slots.one():
                raise error
    async with slots.one():
        pass


def test_unknown_ids_and_addresses_are_bounded() -> None:
    unknown, budgets = UnknownIds(3.0, 10), AddressBudgets(1.0, 2.0, 10)
    for n in range(1000):
        unknown.add(str(n), 0.0)
        budgets.take(f"198.51.{n // 250}.{n % 250}", 0.0)
    assert len(unknown) == len(budgets) == 10
    assert unknown.has("999", 2.9)
    assert not unknown.has("999", 3.0)
    assert not unknown.has("0", 0.0)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8::1", "2001:db8::2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:203.0.113.7", "203.0.113.7", True),
        ("203.0.113.7", "203.0.113.8", False),
        ("", "no address", False),
    ],
)
def test_an_ipv6_subscriber_has_one_budget(one: str, other: str, same: bool) -> None:
    budgets = AddressBudgets(1.0, 1.0, 10)
    assert budgets.take(one, 0.0) == 0.0
    assert (budgets.take(other, 0.0) > 0.0) is same


def test_a_budget_given_back_is_never_more_than_the_burst() -> None:
    budgets = AddressBudgets(1.0, 2.0, 10)
    for _ in range(10):
        budgets.give_back(CARRIER, 0.0)
    assert [budgets.take(CARRIER, 0.0) > 0.0 for _ in range(3)] == [False, False, True]
    assert TokenBucket.full(1.0, 2.0, 0.0).take(1.0, 0.0) == 0.0


def test_only_a_link_that_we_made_is_signed() -> None:
    share_id, secret = "abc", "r" * 32
    made = secret + shares._signature(KEY, share_id, secret)
    assert shares.is_signed(KEY, share_id, made)
    for other_id, other in (
        ("abd", made),
        (share_id, secret),
        (share_id, ""),
        (share_id, made[:-1]),
        (share_id, "x" + made[1:]),
        (share_id, "\ud800" * 20),
        (share_id, secret + "\N{SNOWMAN}" * 16),
    ):
        assert not shares.is_signed(KEY, other_id, other)
    assert not shares.is_signed(shares.signing_key("another"), share_id, made)
