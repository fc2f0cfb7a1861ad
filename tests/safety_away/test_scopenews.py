"""A change of contacts, policies, opt-outs or PINs is in every process's local copy within a second."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from alerts.alert import Kind
from alerts.attempt import Channel
from alerts.policy import ALL, Pins, Policy, Step
from realtime.alerting import scope_changes
from realtime.alerting.failover.contact_cache import ContactCache, CopyTimes
from realtime.alerting.scope_changes import ScopeChangePublisher, items_of, scopes_of
from realtime.alerting.subscriber import AlertSubscriber
from realtime.bus.bus import Message, RedisBus
from realtime.metrics import instruments
from realtime.protocol import Refused
from realtime.settings import Settings
from realtime.store.alerts.circumstances import all_circumstances
from realtime.store.db.changes import EVERYTHING, MAX_SCOPES, Pending, parts_of, scope_of
from realtime.store.db.database import Database
from realtime.store.people import contacts, devices, driver_settings, erasure, policies
from realtime.store.people.contacts import Draft, Scope
from realtime.store.people.devices import DeviceOwner
from tests.safety_away.fakes import now_ms
from tests.store.people import put_contact, put_driver

PHONE = "+41790000001"
D1 = Scope("north", "d1")
POLICY = Policy((Step((ALL,), (Channel.SMS,), 90),))
WITHIN_S = 1.0
"""Of most changes: on a machine that is busy with other tests a single one may be later."""
GIVE_UP_S = 10.0
RARELY = CopyTimes(read_s=3_600)
"""Everything is never read by itself: what comes, comes by messages."""


# --- scopes


def test_a_scope_is_read_as_it_was_written_and_nothing_else_is_a_scope() -> None:
    for parts in (("t1", None, None), ("t1", "north", None), ("t1", None, "d1")):
        assert parts_of(scope_of(*parts)) == parts
    for wrong in ("", "*", "t1/", "t1/d/", "/d/d1", "t1/x/d1", "t1/d/d1/e", "t1/d"):
        assert parts_of(wrong) is None
    assert scopes_of(items_of(["t1", "t1/d/d1", "x/y"])) == ["t1", "t1/d/d1"]
    assert scopes_of(items_of([f"t{n}" for n in range(MAX_SCOPES + 1)])) == [EVERYTHING]


def test_what_waits_is_bounded_and_becomes_everything() -> None:
    pending = Pending(max_scopes=3)
    pending.add(["t1", "t2", "t1", "t3"])
    assert len(pending) == 3
    pending.add(["t4", "t5"])
    assert (pending.take(), len(pending)) == ((EVERYTHING,), 0)


class Bus:
    """A bus that may be ``away``."""

    def __init__(self) -> None:
        self.away = False
        self.published: list[Message] = []

    async def publish(self, messages: Sequence[Message]) -> None:
        if self.away:
            raise OSError
        self.published += messages


def an_announcer(bus: Any, **changes: Any) -> ScopeChangePublisher:
    return ScopeChangePublisher(bus, now_ms, gather_s=0.01, retry_s=0.01, **changes)


async def test_a_burst_of_changes_is_few_messages_and_beyond_the_bound_one_of_everything() -> None:
    bus = Bus()
    announcer = an_announcer(bus)
    for number in range(10_000):
        announcer.changed([f"t1/d/d{number % 400}"])
        if number % 10 == 0:
            await asyncio.sleep(0)
    await announcer.flush()
    assert len(bus.published) <= 100, "not one for each time that the loop came round"
    assert {item.key for message in bus.published for item in message.items} == {
        f"t1/d/d{number}" for number in range(400)
    }
    bus.published.clear()
    for number in range(10_000):
        announcer.changed([f"t1/d/d{number}"])
    assert announcer.waiting <= MAX_SCOPES
    await announcer.flush()
    assert [item.key for message in bus.published for item in message.items] == [EVERYTHING]


async def test_changes_wait_for_redis_and_name_scopes_alone() -> None:
    bus, here = Bus(), list[Any]()
    bus.away = True
    announcer = an_announcer(bus, here=here.append)
    announcer.changed(["t1/d/d1"])
    await asyncio.sleep(0.05)
    assert (here, bus.published) == ([["t1/d/d1"]], [])
    bus.away = False
    await announcer.flush()
    (message,) = bus.published
    assert (message.channel, [tuple(item) for item in message.items]) == (
        scope_changes.CHANNEL,
        [("t1/d/d1", 0, b"null")],
    )


async def test_a_lost_message_is_a_doubt_and_everything_is_read() -> None:
    here = list[Any]()
    announcer = an_announcer(Bus(), here=here.append)
    listener = AlertSubscriber(
        {scope_changes.CHANNEL: announcer.on_items}, {scope_changes.CHANNEL: announcer.on_doubt}
    )
    listener.on_message(scope_changes.CHANNEL, scope_changes.KIND, items_of(["t1", "not/a/scope/"]), 0)
    listener.on_doubt([scope_changes.CHANNEL, "another"], "gap")
    assert here == [["t1"], (EVERYTHING,)]


# --- two processes


class Node:
    """A process as far as its local copy goes: its own way to Postgres, its own bus."""

    def __init__(self, db: Database, bus: RedisBus, directory: ContactCache) -> None:
        self.db, self.bus, self.directory = db, bus, directory
        self.announcer = ScopeChangePublisher(bus, now_ms, directory.changed)
        db.changes.listen(self.announcer.changed)

    async def open(self) -> None:
        await self.directory.refresh()
        self.directory.start()
        take, doubt = self.announcer.on_items, self.announcer.on_doubt
        self.bus.start(AlertSubscriber({scope_changes.CHANNEL: take}, {scope_changes.CHANNEL: doubt}))
        assert await self.bus.subscribe(scope_changes.CHANNEL, 10)

    async def close(self) -> None:
        await self.directory.stop()
        await self.announcer.stop()
        await self.bus.stop()
        await self.db.close()

    def phones(self, driver: str = "d1") -> list[str]:
        known = self.directory.of("t1", "north", driver)
        return [contact.phone for contact in known.contacts if contact.phone]


async def a_node(database_url: str, redis_url: str, folder: Path, times: CopyTimes = RARELY) -> Node:
    db = await Database.open(Settings(database_url=database_url, db_timeout_s=10))  # type: ignore[arg-type]
    folder.mkdir(exist_ok=True)
    directory = ContactCache(db, folder, bytes(32), lambda tenant: None, now_ms, times=times)
    return Node(db, RedisBus(redis_url), directory)


@pytest.fixture
async def nodes(database_url: str, redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Node, Node]]:
    one = await a_node(database_url, redis_url, tmp_path / "one")
    other = await a_node(database_url, redis_url, tmp_path / "other")
    for driver in ("d1", "d2"):
        await put_driver(one.db, "t1", "north", driver)
    await put_contact(one.db, "t1", driver_id="d2", name="Zoe", phone="+41790000009")
    for node in (one, other):
        await node.open()
    yield one, other
    for node in (one, other):
        await node.close()


async def taken_s(look: Callable[[], bool]) -> float:
    """How long it takes until ``look`` says yes. Raises AssertionError after a while."""
    began_s = time.monotonic()
    while not look():
        assert time.monotonic() - began_s < GIVE_UP_S, "not in the copy of the other process"
        await asyncio.sleep(0.01)
    return time.monotonic() - began_s


async def test_every_kind_of_change_reaches_the_other_process_within_a_second(
    nodes: tuple[Node, Node],
) -> None:
    one, other = nodes
    took: list[float] = []
    made = await contacts.create(one.db, "t1", D1, Draft("Ana", phone=PHONE, subject="ana"), "test")
    async with one.db.writer() as connection:
        await connection.execute("UPDATE contacts SET phone_verified_ms = 1")
    await contacts.change(one.db, "t1", made.contact_id, {"name": "Anna"})
    took.append(await taken_s(lambda: other.phones() == [PHONE]))

    await contacts.opt_out(one.db, PHONE)
    took.append(await taken_s(lambda: other.phones() == []))
    await contacts.opt_in(one.db, PHONE)
    took.append(await taken_s(lambda: other.phones() == [PHONE]))

    owner = DeviceOwner("ana", "driver", None, "d1", "jti-1")
    device = await devices.register(one.db, "t1", owner, "token-1", "android", "en")
    took.append(
        await taken_s(lambda: other.directory.of("t1", "north", "d1").contacts[0].push_tokens == ("token-1",))
    )
    await devices.delete(one.db, "t1", "ana", device)
    took.append(await taken_s(lambda: other.directory.of("t1", "north", "d1").contacts[0].push_tokens == ()))
    dispatcher = DeviceOwner("olga", "dispatcher", ["north"], None, "jti-2")
    await devices.register(one.db, "t1", dispatcher, "token-2", "web", "en")
    took.append(
        await taken_s(
            lambda: other.directory.of("t1", "north", "d1").contacts[-1].push_tokens == ("token-2",)
        )
    )

    for scope in (Scope(), Scope("north"), D1):
        await policies.put(one.db, "t1", scope, Kind.SOS, POLICY, "test")
        took.append(
            await taken_s(lambda: other.directory.of("t1", "north", "d1").policies.get(Kind.SOS) == POLICY)
        )
        await policies.delete(one.db, "t1", scope, Kind.SOS)
        took.append(await taken_s(lambda: other.directory.of("t1", "north", "d1").policies == {}))

    await driver_settings.set_pins(one.db, "t1", "d1", Pins("right", "duress"))
    took.append(
        await taken_s(lambda: other.directory.of("t1", "north", "d1").pins == Pins("right", "duress"))
    )
    await driver_settings.describe(one.db, "t1", "d1", "Dora", "de")
    took.append(await taken_s(lambda: other.directory.of("t1", "north", "d1").driver_name == "Dora"))

    await contacts.delete(one.db, "t1", made.contact_id)
    took.append(await taken_s(lambda: other.phones() == []))
    assert sorted(took)[len(took) // 2] < WITHIN_S
    assert other.phones("d2") == ["+41790000009"], "others are as they were"
    assert other.directory._known == await all_circumstances(other.db)


async def test_an_erased_driver_is_gone_from_the_other_process_and_its_disk(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    times = CopyTimes(read_s=3_600, store_s=0.1)
    one = await a_node(database_url, redis_url, tmp_path / "one", times)
    other = await a_node(database_url, redis_url, tmp_path / "other", times)
    await put_driver(one.db, "t1", "north", "d1")
    await put_contact(one.db, "t1", driver_id="d1", name="Ana", phone=PHONE)
    for node in (one, other):
        await node.open()
    assert other.directory.count("t1", "d1")
    begun = await erasure.begin(one.db, "t1", "d1", "test")
    await erasure.erase(one.db, "d1", begun)
    await taken_s(lambda: other.directory.count("t1", "d1") == 0)
    again = ContactCache(other.db, tmp_path / "other", bytes(32), lambda tenant: None, now_ms)
    for _ in range(100):
        await again.open()
        if not again.count("t1", "d1"):
            break
        await asyncio.sleep(0.02)
    assert again.count("t1", "d1") == 0
    for node in (one, other):
        await node.close()


async def test_a_burst_of_ten_thousand_changes_costs_a_few_readings(nodes: tuple[Node, Node]) -> None:
    one, other = nodes
    await put_contact(one.db, "t1", driver_id="d1", name="Ana", phone=PHONE)
    before = {kind: instruments.DIRECTORY_READS.labels(kind).value for kind in ("scopes", "everything")}
    for number in range(10_000):
        one.db.changes.note([scope_of("t1", None, f"d{number}")])
    await taken_s(lambda: one.phones() == other.phones() == [PHONE])
    await asyncio.sleep(0.3)
    reads = {kind: instruments.DIRECTORY_READS.labels(kind).value - before[kind] for kind in before}
    assert reads["everything"] in (2, 3) and reads["scopes"] <= 2, "of both processes"


async def test_everything_is_not_read_again_and_again(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    times = CopyTimes(read_s=3_600, gather_s=0.0, everything_s=0.5)
    node = await a_node(database_url, redis_url, tmp_path / "one", times)
    await node.open()
    before = instruments.DIRECTORY_READS.labels("everything").value
    for _ in range(30):
        node.directory.changed((EVERYTHING,))
        await asyncio.sleep(0.02)
    reads = instruments.DIRECTORY_READS.labels("everything").value - before
    assert 1 <= reads <= 4
    await node.close()


async def test_what_was_changed_while_postgres_did_not_answer_is_read_when_it_does(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await a_node(database_url, redis_url, tmp_path / "one", CopyTimes(read_s=3_600, retry_s=0.05))
    await put_driver(node.db, "t1", "north", "d1")
    await node.open()
    await put_contact(node.db, "t1", driver_id="d1", name="Ana", phone=PHONE)
    writer = node.db.writer

    def refuse(timeout_s: float | None = None) -> Any:
        raise Refused("unavailable", "away")  # type: ignore[arg-type]

    monkeypatch.setattr(node.db, "writer", refuse)
    node.directory.changed(["t1/d/d1"])
    await asyncio.sleep(0.2)
    assert node.phones() == []
    monkeypatch.setattr(node.db, "writer", writer)
    await taken_s(lambda: node.phones() == [PHONE])
    await node.close()


async def test_a_copy_that_was_never_read_is_read_as_a_whole(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    node = await a_node(database_url, redis_url, tmp_path / "one")
    await put_driver(node.db, "t1", "north", "d1")
    await put_contact(node.db, "t1", name="Tom", phone=PHONE)
    node.directory.changed(["t1/d/d1"])
    await node.directory.reread()
    assert node.phones() == [PHONE]
    await node.close()
