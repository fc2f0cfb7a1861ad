"""The ledger in Postgres: the contract, several processes at once, what a dead one leaves, what is read."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from uuid import uuid4

import asyncpg
import pytest
from msgspec.structs import replace

from alerts.alert import Kind
from alerts.attempt import Accepted, Channel, Status
from alerts.delivery.reservation import SlotReservation
from alerts.delivery.routes import ways_of
from alerts.policy import OPERATOR, Circumstances, Contact, Policy, Step
from alerts.ports import FullLanes, StorageFailure, StorageRejected, Wanted
from realtime.protocol import Refused
from realtime.settings import Settings
from realtime.store.alerts import rows, transactions
from realtime.store.alerts.ledger import PostgresLedger
from realtime.store.db.database import Database
from realtime.store.people import contacts
from tests.alerts.delivery.fakes import Clock
from tests.alerts.ledger_contract import (
    ANA,
    CIRCUMSTANCES,
    LEASE_S,
    LedgerContract,
    a_press,
    circumstances_of,
    claim,
    ids_of,
    raise_one,
    with_provider,
)
from tests.alerts.slots import UpTo
from tests.store.clock import DatabaseClock
from tests.store.people import put_contact


class PostgresWorld(DatabaseClock):
    """A ledger on the test's database, and more of them, each with a pool of its own as in a process."""

    def __init__(self, url: str, db: Database, stack: AsyncExitStack) -> None:
        super().__init__(url)
        self._settings = Settings(database_url=url, db_timeout_s=10, db_pool_size=4)
        self._stack = stack
        self.db = db
        self.ledger = PostgresLedger(db, random.Random(1).random)

    async def another(self) -> PostgresLedger:
        """The ledger of another process."""
        db = await Database.open(self._settings)
        self._stack.push_async_callback(db.close)
        return PostgresLedger(db, random.Random(2).random)


@pytest.fixture
async def world(database_url: str, db: Database) -> AsyncIterator[PostgresWorld]:
    async with AsyncExitStack() as stack:
        yield PostgresWorld(database_url, db, stack)


class TestPostgresLedger(LedgerContract):
    """The contract."""


async def test_what_is_left_alone_is_neither_escalated_nor_sent(world: PostgresWorld) -> None:
    left = (await raise_one(world)).alert.alert_id
    other = (await raise_one(world, driver="d2")).alert.alert_id
    world.ledger.left_alone = lambda: [left]
    assert {job.alert.alert_id for job in await claim(world)} == {other}
    await world.later(120_000)
    assert await world.ledger.advance(10) == 1
    world.ledger.left_alone = tuple
    assert await world.ledger.advance(10) == 1
    assert left in {job.alert.alert_id for job in await claim(world)}


@pytest.mark.parametrize("channel", [Channel.SMS, Channel.CALL, Channel.EMAIL])
async def test_who_says_stop_in_an_alert_under_way_is_marked_in_what_goes_to_their_number(
    world: PostgresWorld, channel: Channel
) -> None:
    """In the tenant that has them, by text and by call; the operator's number cannot opt out."""
    assert ANA.phone is not None
    desk = Contact(
        OPERATOR, "Desk", phone=ANA.phone, email="d@example.org", webhook_url="https://d.example.org"
    )
    step = Step((ANA.contact_id, OPERATOR), (channel,), wait_s=60)
    known = replace(CIRCUMSTANCES, policies=dict.fromkeys(Kind, Policy(steps=(step,))), contacts=(ANA, desk))
    await raise_one(world, known)
    await raise_one(world, known, tenant="t2")
    await put_contact(world.db, "t1", name="Ana", phone=ANA.phone)
    assert await contacts.opt_out(world.db, ANA.phone) == 1
    marked = {(job.alert.tenant, job.contact.contact_id) for job in await claim(world) if job.opted_out}
    assert marked == ({("t1", ANA.contact_id)} if channel in (Channel.SMS, Channel.CALL) else set())
    await contacts.opt_in(world.db, ANA.phone)
    await world.later(120_000)
    await world.ledger.advance(10)
    assert not any(job.opted_out for job in await claim(world))


async def test_presses_of_several_processes_are_one_alert(world: PostgresWorld) -> None:
    ledgers = [world.ledger, *[await world.another() for _ in range(3)]]
    now_ms = await world.now_ms()
    sos_id = uuid4()
    by_socket = [a_press(now_ms, sos_id=sos_id, source="socket") for _ in range(50)]
    by_http = [a_press(now_ms, sos_id=sos_id, source="http") for _ in range(50)]
    taken = await asyncio.gather(
        *(ledgers[n % 4].press(press, CIRCUMSTANCES) for n, press in enumerate([*by_socket, *by_http]))
    )
    assert {t.alert.alert_id for t in taken} == {taken[0].alert.alert_id}
    assert sum(t.created for t in taken) == 1
    assert {t.durability for t in taken} == {"committed"}
    async with world.db.writer() as connection:
        assert await connection.fetchval("SELECT count(*) FROM alerts") == 1
        assert await connection.fetchval("SELECT count(*) FROM alert_presses") == 1


async def test_first_presses_of_many_new_drivers_do_not_deadlock(world: PostgresWorld) -> None:
    ledgers = [world.ledger, *[await world.another() for _ in range(3)]]
    now_ms = await world.now_ms()
    presses = [a_press(now_ms, driver=f"d{n % 20}", vendor=f"v{n % 3}") for n in range(80)]
    taken = await asyncio.gather(*(ledgers[n % 4].press(p, CIRCUMSTANCES) for n, p in enumerate(presses)))
    assert len({t.alert.alert_id for t in taken}) == 20


async def test_claims_of_four_processes_never_overlap(world: PostgresWorld) -> None:
    ledgers = [world.ledger, *[await world.another() for _ in range(3)]]
    for n in range(60):
        await raise_one(world, driver=f"d{n}")
    claimed: list[list[str]] = [[] for _ in ledgers]

    async def work(at: int) -> None:
        while jobs := await ledgers[at].claim(f"w{at}", UpTo(most=3), LEASE_S):
            claimed[at] += [str(job.attempt.attempt_id) for job in jobs]

    await asyncio.gather(*(work(at) for at in range(4)))
    everything = [one for ids in claimed for one in ids]
    assert len(everything) == len(set(everything)) == 60


async def test_what_a_dead_process_claimed_is_taken_over_when_its_lease_is_over(world: PostgresWorld) -> None:
    await raise_one(world)
    dead = await world.another()
    taken = await dead.claim("dead", UpTo(most=10), LEASE_S)
    await dead._db.close()
    assert await claim(world, "w2") == []
    await world.later(int(LEASE_S * 1000) + 1)
    over = await claim(world, "w2")
    assert ids_of(over) == ids_of(taken) != set()
    assert [job.attempt.status for job in over] == [Status.SENDING]


async def test_a_process_frozen_inside_a_transaction_holds_nobody_up_for_long(world: PostgresWorld) -> None:
    alert = (await raise_one(world)).alert
    another = await world.another()
    with pytest.raises(Refused):  # what the frozen one had begun is undone
        async with world.db.writer() as frozen:
            assert await rows.hold(frozen, alert.alert_id) is not None
            press = a_press(await world.now_ms(), driver=alert.driver)
            taken = await another.press(press, CIRCUMSTANCES)
    assert taken.alert.alert_id == alert.alert_id


async def test_several_processes_escalate_each_alert_once(world: PostgresWorld) -> None:
    ledgers = [world.ledger, *[await world.another() for _ in range(3)]]
    for n in range(20):
        await raise_one(world, driver=f"d{n}")
    while jobs := await claim(world):
        for job in jobs:
            await world.ledger.settle(with_provider(job), Accepted(job.attempt.attempt_id.hex, "queued"))
    await world.later(61_000)
    changed = await asyncio.gather(*(ledger.advance(20) for ledger in ledgers))
    assert sum(changed) == 20
    jobs = await claim(world)
    assert sorted(job.attempt.contact_id for job in jobs) == ["ben"] * 20


async def test_a_cry_for_help_is_claimed_before_a_drill_that_waits_longer(world: PostgresWorld) -> None:
    for n in range(5):
        await raise_one(world, driver=f"d{n}", drill=True)
    real = await raise_one(world, driver="d9")
    (job,) = await claim(world, limit=1)
    assert job.alert.alert_id == real.alert.alert_id


# --- lanes


def hooked(host: str) -> Circumstances:
    """A contact with a webhook at ``host``."""
    contact = Contact("cara", "Cara", webhook_url=f"https://{host}/in")
    return circumstances_of(Policy(steps=(Step(("cara",), (Channel.WEBHOOK,), wait_s=60),)), contact)


async def raise_many(world: PostgresWorld, host: str, how_many: int, **changes: object) -> None:
    """So many alerts of as many drivers, each with a webhook at ``host``."""
    for n in range(how_many):
        await raise_one(world, hooked(host), driver=f"{host}-{n}", **changes)


def one_hook(**full: frozenset[tuple[str, str]]) -> UpTo:
    """Slots for one webhook, with lanes that are full."""
    slots = UpTo([Channel.WEBHOOK])
    slots.wanted, slots.full = (Wanted(Channel.WEBHOOK, 1),), FullLanes(**full)  # type: ignore[arg-type]
    return slots


@pytest.mark.parametrize("tenant", ["t1", ""])
async def test_what_waits_for_a_full_host_hides_nothing_behind_it(world: PostgresWorld, tenant: str) -> None:
    """A claim reads one row: without passing over the full lane that would be the hanging host's."""
    await raise_many(world, "hangs.example", 5)
    await world.later(1_000)
    await raise_many(world, "well.example", 1)
    slots = one_hook(hosts=frozenset({(tenant, "hangs.example")}))
    (job,) = await world.ledger.claim("w1", slots, LEASE_S)
    assert job.contact.webhook_url == "https://well.example/in"


async def test_what_waits_for_a_full_tenant_hides_no_other_tenant(world: PostgresWorld) -> None:
    await raise_many(world, "a.example", 5)
    await world.later(1_000)
    await raise_many(world, "a.example", 1, tenant="t2")
    slots = one_hook(tenants=frozenset({(Channel.WEBHOOK, "t1")}))
    (job,) = await world.ledger.claim("w1", slots, LEASE_S)
    assert job.attempt.tenant == "t2"


@pytest.mark.parametrize(
    "full",
    [
        {"hosts_but_sos": frozenset({("t1", "a.example")})},
        {"hosts_but_sos": frozenset({("", "a.example")})},
        {"tenants_but_sos": frozenset({(Channel.WEBHOOK, "t1")})},
        {},
    ],
)
async def test_lanes_that_are_full_for_others_still_give_their_sos(
    world: PostgresWorld, full: dict[str, frozenset[tuple[str, str]]]
) -> None:
    """Also where a channel has only slots left that are reserved for SOS."""
    await raise_many(world, "a.example", 3, kind=Kind.CHECK_IN_MISSED)
    slots = one_hook(**full)
    slots.wanted = (Wanted(Channel.WEBHOOK, 1, only_sos=not full),)
    assert await world.ledger.claim("w1", slots, LEASE_S) == []
    await raise_one(world, hooked("a.example"), driver="d9")
    (job,) = await world.ledger.claim("w1", slots, LEASE_S)
    assert job.alert.driver == "d9"


async def test_an_attempt_of_a_process_of_before_gets_its_lane_when_it_is_read(world: PostgresWorld) -> None:
    """It has no host, and a timer's alert the urgency of an SOS."""
    await raise_many(world, "hangs.example", 2, kind=Kind.CHECK_IN_MISSED)
    await world.later(1_000)
    await raise_many(world, "well.example", 1)
    async with world.db.writer() as connection:
        await connection.execute("UPDATE alert_attempts SET host = NULL, urgency = 0")
    slots = one_hook(hosts=frozenset({("t1", "hangs.example")}))
    slots.take = lambda attempt_id, lane: lane.host != "hangs.example"  # type: ignore[method-assign]
    claims = [await world.ledger.claim("w1", slots, LEASE_S) for _ in range(3)]
    assert [len(jobs) for jobs in claims] == [0, 0, 1], "each claim writes the lane of what it has read"
    async with world.db.writer() as connection:
        found = await connection.fetch("SELECT host, urgency FROM alert_attempts ORDER BY host")
    assert [tuple(row) for row in found] == [("hangs.example", 1)] * 2 + [("well.example", 0)]


async def test_the_waiting_messages_of_a_timers_alert_become_those_of_an_sos_that_joins_it(
    world: PostgresWorld,
) -> None:
    await raise_one(world, kind=Kind.CHECK_IN_MISSED)
    async with world.db.writer() as connection:
        before = {row["urgency"] for row in await connection.fetch("SELECT urgency FROM alert_attempts")}
    await raise_one(world)
    async with world.db.writer() as connection:
        after = {row["urgency"] for row in await connection.fetch("SELECT urgency FROM alert_attempts")}
    assert (before, after) == ({1}, {0})


async def test_a_claim_that_is_repeated_takes_no_second_slot(world: PostgresWorld) -> None:
    """A transaction that was in another's way runs again, with the slots it has taken before."""
    clock = Clock()
    ways = ways_of({})
    await raise_many(world, "a.example", 3)
    with SlotReservation(ways, clock) as slots:
        for _ in range(3):
            with pytest.raises(asyncpg.DeadlockDetectedError):
                async with world.db.writer() as connection:
                    jobs, _ = await transactions.claim(connection, "w1", slots, LEASE_S)
                    assert len(jobs) == 3
                    raise asyncpg.DeadlockDetectedError("in the way")
        assert ways[Channel.WEBHOOK].taken == 3
        assert len(await world.ledger.claim("w1", slots, LEASE_S)) == 3
    assert ways[Channel.WEBHOOK].taken == 0


async def test_a_database_that_is_away_is_away(world: PostgresWorld) -> None:
    await world.db.close()
    with pytest.raises(StorageFailure):
        await world.ledger.press(a_press(0), CIRCUMSTANCES)
    with pytest.raises(StorageFailure):
        await world.ledger.claim("w1", UpTo(most=1), LEASE_S)
    with pytest.raises(StorageFailure):
        await world.ledger.advance(1)


@pytest.mark.parametrize("changes", [{"message": "\ud800"}, {"received_ms": 2**70}, {"vendor": "a\0b"}])
async def test_what_postgres_will_not_have_is_left_to_the_journal(
    world: PostgresWorld, changes: dict[str, object]
) -> None:
    with pytest.raises(StorageRejected):
        await raise_one(world, **changes)
    assert (await raise_one(world)).created


async def test_a_replayed_press_waits_for_the_disk_as_the_first_did(world: PostgresWorld) -> None:
    press = a_press(await world.now_ms())
    await world.ledger.press(press, CIRCUMSTANCES)
    async with world.db.writer() as connection:
        before = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
    await world.ledger.press(press, CIRCUMSTANCES)
    async with world.db.writer() as connection:
        after = await connection.fetchval("SELECT pg_current_xact_id()::text::bigint")
    assert after - before == 2, "the replay had no transaction id: its commit waited for nothing"
