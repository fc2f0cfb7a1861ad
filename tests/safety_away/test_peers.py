"""Processes that show each other their cases through a real Redis: one acts, each learns, none is lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import pytest

from alerts import case as cases
from alerts.alert import Acknowledged, State
from alerts.attempt import Accepted
from alerts.journal.ledger import LocalLedger
from alerts.ports import Taken
from realtime import metrics
from realtime.fanout.redisurl import Client, client
from realtime.safety import copies as copies_module
from realtime.safety.alone import SETTLED_S
from realtime.safety.copies import field_of
from realtime.safety.deference import PRESSED_S
from realtime.safety.exchange import BODIES, VERSIONS
from realtime.safety.leases import lease_key
from realtime.safety.peers import SERVED, Peers
from realtime.safety.turns import ALONE_S, FROZEN_S, ORPHANED_S, SPREAD_S, lateness_s
from tests.alerts.ledger_contract import ALL, CIRCUMSTANCES, LEASE_S, OPERATOR, a_press, with_provider
from tests.e2e.proxy import Proxy

KEY = b"k" * 32
START_MS = 1_764_000_000_000


class Clock:
    def __init__(self) -> None:
        self.s = 0.0

    def now_ms(self) -> int:
        return START_MS + int(self.s * 1000)


class Process:
    """A journal and its peers. ``stored``: what it believes of Postgres."""

    def __init__(self, name: str, local: LocalLedger, peers: Peers, redis: Client) -> None:
        self.name = name
        self.local = local
        self.peers = peers
        self.redis = redis
        self.stored = False

    async def press(self, sos_id: UUID | None = None, driver: str = "d1") -> Taken:
        """As the intake does."""
        press = a_press(START_MS, driver=driver, sos_id=sos_id or uuid4())
        copy = self.peers.find("t1", driver, press.sos_id) or self.peers.open_of("t1", driver, False)
        if copy is not None:
            await self.local.adopt(copy.case, copy.presses, copy.audit)
        taken = await self.local.press(press, CIRCUMSTANCES, acting=False)
        kept = self.local.get(taken.alert.alert_id)
        assert kept is not None
        await self.peers.share(kept)
        await self.peers.turn(taken.alert.alert_id)
        return taken

    def acts_on(self, alert_id: UUID) -> bool:
        kept = self.local.get(alert_id)
        return kept is not None and kept.acting

    async def claimed(self) -> int:
        return len(await self.local.claim(self.name, ALL, 10, LEASE_S))


class Scene:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.clock = Clock()
        self.made: list[Process] = []

    async def process(
        self, name: str, key: bytes = KEY, url: str | None = None, *, delivers: bool = False
    ) -> Process:
        redis = client(url or self.url, timeout_s=2.0, max_connections=4)
        if url is None:
            await redis.ping()  # a first connection may take a busy machine longer than a press waits
        local = await LocalLedger.open(self.folder / name, KEY, now_ms=self.clock.now_ms)
        peers = Peers(
            redis,
            local,
            process=name,
            key=key,
            clock=lambda: self.clock.s,
            is_stored=lambda: made.stored,
            delivers=delivers,
        )
        local.sight.may_send = peers.may_send
        local.sight.unseen = peers.unseen
        made = Process(name, local, peers, redis)
        self.made.append(made)
        return made

    async def beats(self, *processes: Process, times: int = 1, of_s: float = 1.0) -> None:
        for _ in range(times):
            self.clock.s += of_s
            for process in processes:
                await process.peers.beat()

    async def close(self) -> None:
        for process in self.made:
            await process.local.close()
            await process.redis.aclose()


@pytest.fixture(params=["valkey", "cluster"])
async def scene(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    given = request.getfixturevalue(
        {"valkey": "redis_url", "cluster": "redis_cluster_of_three"}[request.param]
    )
    made = Scene(tmp_path, given if isinstance(given, str) else given.url)
    yield made
    await made.close()


async def test_the_same_press_at_two_processes_is_acted_on_by_one(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    sos_id = uuid4()
    first, second = await asyncio.gather(one.press(sos_id), two.press(sos_id))
    assert first.alert.alert_id == second.alert.alert_id
    assert [one.acts_on(first.alert.alert_id), two.acts_on(first.alert.alert_id)].count(True) == 1
    assert await one.claimed() + await two.claimed() == 1


async def test_another_press_of_the_driver_elsewhere_joins_what_was_shown(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    first = await one.press()
    await scene.beats(two)
    second = await two.press()
    assert second.alert.alert_id == first.alert.alert_id
    assert second.joined
    await scene.beats(two, one)
    kept = one.local.get(first.alert.alert_id)
    assert kept is not None
    assert kept.case.alert.presses == 2
    assert len(kept.presses) == 2
    assert one.acts_on(first.alert.alert_id)
    assert not two.acts_on(first.alert.alert_id)


async def test_an_answer_given_elsewhere_reaches_who_acts(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two)
    copy = two.peers.copy_of(alert_id)
    assert copy is not None
    await two.local.adopt(copy.case, copy.presses, copy.audit)
    await two.local.apply(alert_id, Acknowledged(OPERATOR, "link"))
    await scene.beats(two, one)
    kept = one.local.get(alert_id)
    assert kept is not None
    assert kept.case.alert.state is State.ACKNOWLEDGED
    assert await one.claimed() == 0
    await scene.beats(one, two, one, two)
    assert one.local.get(alert_id) is kept, "what both know changes nothing any more"


async def test_who_is_gone_is_replaced_once_and_what_was_sent_is_not_sent_again(scene: Scene) -> None:
    one, two, three = [await scene.process(f"w{n}") for n in (1, 2, 3)]
    alert_id = (await one.press()).alert.alert_id
    (job,) = await one.local.claim("w1", ALL, 10, LEASE_S)
    await one.local.settle(with_provider(job), Accepted("SM1", "queued"))
    await scene.beats(one, two, three)
    await cast(Any, one.redis).delete(lease_key(alert_id))  # as when it runs out
    await scene.beats(two, three, times=int(ORPHANED_S))
    assert not two.acts_on(alert_id)
    await scene.beats(two, three, times=2)
    assert [two.acts_on(alert_id), three.acts_on(alert_id)].count(True) == 1
    assert await two.claimed() + await three.claimed() == 0
    found = two.peers.of_provider("twilio", "SM1") or three.peers.of_provider("twilio", "SM1")
    assert found is not None


async def test_who_was_frozen_looks_round_before_it_sends(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two)
    await cast(Any, one.redis).delete(lease_key(alert_id))
    await scene.beats(two, times=int(ORPHANED_S) + 2)
    assert two.acts_on(alert_id)
    assert scene.clock.s > FROZEN_S
    assert one.acts_on(alert_id), "it does not know yet"
    assert await one.claimed() == 0
    await scene.beats(one)
    assert not one.acts_on(alert_id)
    assert await two.claimed() == 1


async def test_an_orphan_is_brought_in_and_not_acted_on_when_postgres_is_there(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two)
    await cast(Any, one.redis).delete(lease_key(alert_id))
    two.stored = True
    await scene.beats(two, times=int(ORPHANED_S) + 2)
    assert two.local.get(alert_id) is not None
    assert await two.claimed() == 0


async def test_what_is_withdrawn_is_forgotten_by_all(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two, times=2)
    async with one.local.hold(alert_id):
        await one.local.forget(alert_id)
    await one.peers.withdraw(alert_id)
    await scene.beats(one, two)
    assert two.peers.copy_of(alert_id) is None
    await scene.beats(two, times=int(ORPHANED_S) + 3)
    assert two.local.all() == []


async def test_an_orphan_that_was_brought_in_is_never_acted_on_again(scene: Scene) -> None:
    one, two, three = [await scene.process(f"w{n}") for n in (1, 2, 3)]
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two, three)
    await cast(Any, one.redis).delete(lease_key(alert_id))  # w1 is gone for good
    two.stored = three.stored = True
    await scene.beats(two, three, times=int(ORPHANED_S) + 2)
    for process in (two, three):  # as their importers do
        async with process.local.hold(alert_id) as kept:
            assert kept is not None
            await process.local.forget(alert_id)
        await process.peers.withdraw(alert_id)
    two.stored = three.stored = False
    await scene.beats(two, three, times=2 * int(ORPHANED_S))
    assert two.local.all() == three.local.all() == []
    assert two.peers.copy_of(alert_id) is three.peers.copy_of(alert_id) is None


async def test_who_takes_over_acts_on_what_all_copies_know(scene: Scene) -> None:
    one, two, three = [await scene.process(f"w{n}") for n in (1, 2, 3)]
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two, three)
    copy = two.peers.copy_of(alert_id)
    assert copy is not None
    await two.local.adopt(copy.case, copy.presses, copy.audit)
    await two.local.apply(alert_id, Acknowledged(OPERATOR, "link"))
    await scene.beats(two, three)
    await cast(Any, one.redis).delete(lease_key(alert_id))  # w1 and w2 are gone
    await scene.beats(three, times=int(ORPHANED_S) + 2)
    kept = three.local.get(alert_id)
    assert kept is not None
    assert kept.acting
    assert kept.case.alert.state is State.ACKNOWLEDGED
    assert await three.claimed() == 0


async def test_who_was_frozen_while_it_looked_round_looks_again_before_it_sends(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await scene.process("w1")
    await one.press()
    read = one.peers._local.all

    def frozen() -> Any:
        scene.clock.s += 60.0
        return read()

    monkeypatch.setattr(one.peers._local, "all", frozen)
    await one.peers.beat()
    assert await one.claimed() == 0
    monkeypatch.undo()
    await scene.beats(one)
    assert await one.claimed() == 1


async def test_who_delivers_from_postgres_leaves_what_a_journal_has_to_it(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    alert_id = (await one.press()).alert.alert_id
    assert one.peers.left_to_journals() == [alert_id], "its own, at once"
    await scene.beats(one, two)
    assert two.peers.left_to_journals() == [alert_id], "another's, once it was seen"
    one.stored = two.stored = True
    await scene.beats(one, two)
    two.peers.left_to_journals()
    scene.clock.s += PRESSED_S
    assert two.peers.left_to_journals() == [alert_id], "somebody acts on it"
    async with one.local.hold(alert_id):
        await one.local.forget(alert_id)
    await one.peers.withdraw(alert_id)
    await scene.beats(two)
    assert one.peers.left_to_journals() == two.peers.left_to_journals() == []


async def test_a_press_whose_process_is_gone_is_left_for_a_moment_only(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two)
    await cast(Any, one.redis).delete(lease_key(alert_id))
    two.stored = True
    await scene.beats(two)
    assert two.peers.left_to_journals() == [alert_id]
    scene.clock.s += PRESSED_S
    assert two.peers.left_to_journals() == []


async def test_what_another_acts_on_is_known_until_that_one_lets_go(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    alert_id = (await one.press()).alert.alert_id
    assert not two.peers.is_anothers(alert_id)
    await scene.beats(one, two)
    assert two.peers.is_anothers(alert_id) and not one.peers.is_anothers(alert_id)
    await cast(Any, one.redis).delete(lease_key(alert_id))
    await scene.beats(two)
    assert not two.peers.is_anothers(alert_id)


async def test_what_all_have_from_postgres_is_shown_by_who_acts_on_it_alone(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    opened = [cases.opened(a_press(START_MS, driver=f"d{n}"), CIRCUMSTANCES, START_MS).case for n in range(5)]
    ids = [case.alert.alert_id for case in opened]
    for process in (one, two):
        for case in opened:
            process.peers.share_later(await process.local.adopt(case))
        await process.peers.turn(*ids)
    await scene.beats(one, two)
    assert len(one.peers._seen) == 0 and len(two.peers._seen) == 5
    assert [one.acts_on(one_id) for one_id in ids] == [True] * 5
    assert [two.acts_on(one_id) for one_id in ids] == [False] * 5
    await two.local.apply(ids[0], Acknowledged(OPERATOR, "link"))
    await scene.beats(two, one)
    kept = one.local.get(ids[0])
    assert kept is not None and kept.case.alert.state is State.ACKNOWLEDGED


async def test_a_connection_that_has_just_gone_is_redis_away_and_what_was_read_before_counts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two)
    copy = two.peers.copy_of(alert_id)
    assert copy is not None
    await two.local.adopt(copy.case, copy.presses, copy.audit)
    await two.local.apply(alert_id, Acknowledged(OPERATOR, "link"))
    await scene.beats(two)

    async def gone(ids: Any) -> None:
        raise RuntimeError("the handler is closed")  # as uvloop says it

    monkeypatch.setattr(one.peers._holding, "look", gone)
    await scene.beats(one)
    kept = one.local.get(alert_id)
    assert kept is not None and kept.case.alert.state is State.ACKNOWLEDGED
    assert not one.peers.is_up
    monkeypatch.undo()
    await scene.beats(one)
    assert one.peers.is_up


async def test_a_redis_that_hangs_holds_up_nothing(redis_url: str, tmp_path: Path) -> None:
    parts = urlsplit(redis_url)
    assert parts.port is not None
    async with Proxy(parts.port) as proxy:
        login = parts.netloc.rpartition("@")[0]
        through = parts._replace(netloc=f"{login}@127.0.0.1:{urlsplit(proxy.url).port}")
        scene = Scene(tmp_path, urlunsplit(through))
        hung = await scene.process("w1")
        before = (await hung.press()).alert.alert_id
        await scene.beats(hung)
        proxy.stall()
        async with asyncio.timeout(60):
            meanwhile = (await hung.press(driver="d2")).alert.alert_id
            await scene.beats(hung, times=2)
        kept = hung.local.get(meanwhile)
        assert kept is not None
        assert await hung.peers.share(kept) is False
        assert hung.acts_on(before)
        assert hung.acts_on(meanwhile)
        assert await hung.claimed() == 2
        proxy.resume()
        await scene.beats(hung, times=2)
        assert await hung.peers.share(kept) is True
        await scene.close()


async def test_a_redis_that_was_emptied_is_shown_all_again_and_loses_no_orphan(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    alive = (await one.press()).alert.alert_id
    gone = await scene.process("w3")
    orphan = (await gone.press(driver="d2")).alert.alert_id
    await scene.beats(one, two, gone, times=2)
    await cast(Any, one.redis).flushall()
    await scene.beats(two, one, two, one, times=2)
    assert two.peers.copy_of(alive) is not None
    assert two.peers.copy_of(orphan) is not None
    assert one.acts_on(alive)
    await scene.beats(one, two, times=int(ORPHANED_S) + 3)
    assert one.acts_on(orphan) is not two.acts_on(orphan)
    assert one.acts_on(alive)


async def test_with_redis_away_whoever_is_pressed_acts_and_says_so(scene: Scene, tmp_path: Path) -> None:
    alone = await scene.process("w9", url="redis://127.0.0.1:1/0")
    taken = await alone.press()
    kept = alone.local.get(taken.alert.alert_id)
    assert kept is not None
    assert await alone.peers.share(kept) is False
    assert alone.acts_on(taken.alert.alert_id)
    await scene.beats(alone, times=20)
    assert alone.acts_on(taken.alert.alert_id)
    assert await alone.claimed() == 1


async def test_what_is_no_copy_is_passed_over_and_counted(scene: Scene) -> None:
    one, stranger = await scene.process("w1"), await scene.process("w2", key=b"o" * 32)
    foreign = (await stranger.press()).alert.alert_id
    raw = cast(Any, one.redis)
    for field in (field_of(uuid4(), "w3"), "nonsense", b"\xff\xfe"):
        await raw.hset(BODIES, field, b"rubbish")
        await raw.hset(VERSIONS, field, b"1")
    before = metrics.COPIES_SKIPPED.labels("broken").value
    mine = (await one.press(driver="d7")).alert.alert_id
    await scene.beats(one, times=2)
    assert metrics.COPIES_SKIPPED.labels("broken").value > before
    assert one.peers.copy_of(foreign) is None
    assert one.acts_on(mine)


async def test_what_is_too_large_or_too_many_is_not_shown_and_kept_all_the_same(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await scene.process("w1")
    monkeypatch.setattr(copies_module, "MAX_BYTES", 100)
    alert_id = (await one.press()).alert.alert_id
    kept = one.local.get(alert_id)
    assert kept is not None
    assert await one.peers.share(kept) is False
    assert one.acts_on(alert_id)


async def test_what_postgres_had_rests_while_a_worker_delivers_from_there(scene: Scene) -> None:
    cut_off, worker = await scene.process("i1"), await scene.process("w1", delivers=True)
    case = cases.opened(a_press(START_MS), CIRCUMSTANCES, START_MS).case
    alert_id = case.alert.alert_id
    await cut_off.local.adopt(case)
    await cut_off.peers.turn(alert_id)
    await scene.beats(cut_off)
    assert cut_off.acts_on(alert_id) and not cut_off.peers.is_served
    worker.stored = True
    await scene.beats(worker, cut_off)
    assert cut_off.peers.is_served and not cut_off.acts_on(alert_id)
    assert await cut_off.claimed() == 0
    pressed = await cut_off.press(driver="d2")
    await scene.beats(worker, cut_off)
    assert cut_off.acts_on(pressed.alert.alert_id), "of this one postgres knows nothing"
    worker.stored = False
    await worker.redis.delete(SERVED, lease_key(alert_id))  # as when their time is over
    await scene.beats(cut_off)
    assert not cut_off.peers.is_served
    await scene.beats(cut_off, times=2, of_s=ORPHANED_S / 2)
    await scene.beats(cut_off, times=int(ORPHANED_S))
    assert cut_off.acts_on(alert_id), "nobody else does"


@pytest.fixture
async def cut(redis_url: str, tmp_path: Path) -> AsyncIterator[tuple[Scene, Proxy]]:
    """Processes that reach Redis by a line alone."""
    parts = urlsplit(redis_url)
    assert parts.port is not None
    async with Proxy(parts.port) as proxy:
        login = parts.netloc.rpartition("@")[0]
        through = parts._replace(netloc=f"{login}@127.0.0.1:{urlsplit(proxy.url).port}")
        made = Scene(tmp_path, urlunsplit(through))
        yield made, proxy
        await made.close()


def lose(proxy: Proxy) -> int:
    """Redis is away; where it was."""
    was, proxy.target = proxy.target, 1
    for pair in list(proxy.pairs):
        pair.close()
    return was


async def adopted(*processes: Process) -> UUID:
    """An alert that Postgres had, as each process has read it; its first message was sent."""
    case = cases.opened(a_press(START_MS), CIRCUMSTANCES, START_MS).case
    for process in processes:
        await process.local.adopt(case)
    return case.alert.alert_id


async def test_with_both_away_for_long_each_stands_in_at_its_own_moment_and_looks_up_first(
    cut: tuple[Scene, Proxy],
) -> None:
    scene, proxy = cut
    worker, web = await scene.process("w1", delivers=True), await scene.process("i1")
    alert_id = await adopted(worker, web)
    await scene.beats(worker, web)
    lose(proxy)
    begun: dict[str, float] = {}
    since_s = scene.clock.s + 1.0
    while len(begun) < 2:
        await scene.beats(worker, web)
        for process in (worker, web):
            if process.acts_on(alert_id):
                begun.setdefault(process.name, scene.clock.s - since_s)
        assert scene.clock.s < since_s + ALONE_S + 2 * SPREAD_S + 2.0
    for process in (worker, web):
        own_s = ALONE_S + lateness_s(process.name, process is worker)
        assert own_s <= begun[process.name] < own_s + 1.0
        jobs = await process.local.claim(process.name, ALL, 10, LEASE_S)
        assert [job.elsewhere for job in jobs] == [True]
    assert begun["w1"] < begun["i1"]


async def test_while_one_of_the_two_is_there_nobody_stands_in(cut: tuple[Scene, Proxy]) -> None:
    scene, proxy = cut
    one = await scene.process("w1", delivers=True)
    alert_id = await adopted(one)
    one.stored = True
    lose(proxy)
    await scene.beats(one, times=3, of_s=ALONE_S)
    assert not one.acts_on(alert_id)


async def test_who_stands_in_acts_on_what_it_saw_of_others_too(cut: tuple[Scene, Proxy]) -> None:
    scene, proxy = cut
    one, two = await scene.process("w1", delivers=True), await scene.process("w2", delivers=True)
    alert_id = (await one.press()).alert.alert_id
    await scene.beats(one, two)
    lose(proxy)  # and w1 is gone
    await scene.beats(two, times=3, of_s=ALONE_S)
    assert two.acts_on(alert_id)
    assert await two.claimed() == 1


async def test_a_press_while_alone_is_told_at_once_and_not_looked_up(cut: tuple[Scene, Proxy]) -> None:
    scene, proxy = cut
    one = await scene.process("w1", delivers=True)
    lose(proxy)
    await scene.beats(one, times=3, of_s=ALONE_S)
    press = a_press(scene.clock.now_ms())
    taken = await one.local.press(press, CIRCUMSTANCES, acting=False)
    await one.peers.turn(taken.alert.alert_id)
    assert [job.elsewhere for job in await one.local.claim("w1", ALL, 10, LEASE_S)] == [False]


async def test_when_redis_is_back_one_goes_on_with_what_all_have_sent(cut: tuple[Scene, Proxy]) -> None:
    scene, proxy = cut
    one, two = await scene.process("w1", delivers=True), await scene.process("w2", delivers=True)
    alert_id = await adopted(one, two)
    await scene.beats(one, two)
    was = lose(proxy)
    await scene.beats(one, two, times=3, of_s=ALONE_S)
    assert one.acts_on(alert_id) and two.acts_on(alert_id)
    (job,) = await one.local.claim("w1", ALL, 10, LEASE_S)
    await one.local.settle(with_provider(job), Accepted("SM1", "queued"))
    proxy.target = was
    while not (one.peers.is_up and two.peers.is_up):  # who still holds a broken connection finds out first
        await scene.beats(one, two)
    assert one.acts_on(alert_id) is not two.acts_on(alert_id)
    assert two.peers.unseen() is not None, "what is sent now is looked up: one may not have shown all yet"
    await scene.beats(one, two, times=2)
    kept = two.local.get(alert_id)
    assert kept is not None
    assert kept.case.attempts[job.attempt.attempt_id].provider_id == "SM1"
    await scene.beats(one, two, times=int(SETTLED_S))
    assert one.peers.unseen() is two.peers.unseen() is None
