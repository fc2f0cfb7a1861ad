"""Processes that show each other their cases: one acts, each learns, none is lost."""

import asyncio
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from msgspec.structs import replace

from alerts.alert import Acknowledged, State
from alerts.attempt import Accepted
from alerts.press_ids import companion_press
from realtime.alerting.failover.election import FROZEN_S, ORPHANED_S
from realtime.alerting.failover.exchange import BODIES, VERSIONS
from realtime.alerting.failover.leases import lease_key
from realtime.alerting.failover.replicas import field_of
from realtime.metrics import instruments
from tests.alerts.ledger_contract import ALL, CIRCUMSTANCES, LEASE_S, OPERATOR, a_press, with_provider
from tests.alerts.slots import UpTo
from tests.e2e.proxy import Proxy
from tests.safety_away.scene import START_MS, Scene, adopted, answered_elsewhere, on_each_redis


@on_each_redis
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
    one, two, alert_id = await answered_elsewhere(scene)
    await scene.beats(two, one)
    kept = one.local.get(alert_id)
    assert kept is not None
    assert kept.case.alert.state is State.ACKNOWLEDGED
    assert await one.claimed() == 0
    await scene.beats(one, two, one, two)
    assert one.local.get(alert_id) is kept, "what both know changes nothing any more"


@on_each_redis
async def test_who_is_gone_is_replaced_once_and_what_was_sent_is_not_sent_again(scene: Scene) -> None:
    one, two, three = [await scene.process(f"w{n}") for n in (1, 2, 3)]
    alert_id = (await one.press()).alert.alert_id
    (job,) = await one.local.claim("w1", UpTo(ALL, 10), LEASE_S)
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


async def test_an_answer_kept_by_a_process_without_postgres_is_imported_by_a_worker_at_once(
    scene: Scene,
) -> None:
    web, worker = await scene.process("i1"), await scene.process("w1", delivers=True)
    worker.stored = True
    alert_id = await adopted(web)
    await scene.beats(worker, web, worker, times=2)
    assert worker.local.get(alert_id) is None, "Postgres has all of it"
    await web.local.apply(alert_id, Acknowledged(OPERATOR, "link"))
    await scene.beats(web, worker)
    brought = worker.local.get(alert_id)
    assert brought is not None
    assert brought.case.alert.state == "acknowledged"
    assert not worker.acts_on(alert_id)


async def test_a_request_reads_what_was_shown_since_the_last_beat(scene: Scene) -> None:
    one, two = await scene.process("w1"), await scene.process("w2")
    await scene.beats(one, two)
    alert_id = (await one.press()).alert.alert_id
    assert two.peers.copy_of(alert_id) is None
    await asyncio.gather(*(two.peers.read_anew() for _ in range(50)))
    copy = two.peers.copy_of(alert_id)
    assert copy is not None
    await two.local.adopt(copy.case, copy.presses, copy.audit)
    await one.local.apply(alert_id, Acknowledged(OPERATOR, "link"))
    await one.peers.beat()
    await two.peers.read_anew()
    await two.peers.beat()
    merged = two.local.get(alert_id)
    assert merged is not None
    assert merged.case.alert.state == "acknowledged", "what a request has read is merged by the next beat"


@on_each_redis
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


async def test_a_connection_that_has_just_gone_is_redis_away_and_what_was_read_before_counts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, alert_id = await answered_elsewhere(scene)
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


@on_each_redis
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
    before = instruments.COPIES_SKIPPED.labels("broken").value
    mine = (await one.press(driver="d7")).alert.alert_id
    await scene.beats(one, times=2)
    assert instruments.COPIES_SKIPPED.labels("broken").value > before
    assert one.peers.copy_of(foreign) is None
    assert one.acts_on(mine)


async def test_what_is_too_large_or_too_many_is_not_shown_and_kept_all_the_same(scene: Scene) -> None:
    one = await scene.process("w1", max_replica_bytes=100)
    alert_id = (await one.press()).alert.alert_id
    kept = one.local.get(alert_id)
    assert kept is not None
    assert await one.peers.share(kept) is False
    assert one.acts_on(alert_id)


@pytest.mark.parametrize("is_sos_first", [True, False], ids=["an sos first", "a drill first"])
async def test_an_sos_and_a_drill_with_one_id_at_two_processes_stay_two_alerts(
    scene: Scene, is_sos_first: bool
) -> None:
    """Redis was unavailable when a phone pressed both: the copies were merged, and one was lost."""
    one, two = await scene.process("w1"), await scene.process("w2")
    press = a_press(START_MS)
    drill = replace(press, drill=True)
    await one.local.press(drill, CIRCUMSTANCES)
    await two.local.press(press, CIRCUMSTANCES)
    for process in (two, one) if is_sos_first else (one, two):
        await process.peers.beat()
    await scene.beats(one, two, times=3)
    sos_id = companion_press(press).sos_id
    sos = await two.local.find("t1", "d1", sos_id)
    assert sos is not None and not sos.drill
    kept = await one.local.find("t1", "d1", drill.sos_id)
    assert kept is not None and kept.drill
    assert one.acts_on(sos.alert_id) is not two.acts_on(sos.alert_id), "one process escalates the sos"
    assert one.acts_on(kept.alert_id) is not two.acts_on(kept.alert_id), "and one the drill"
    assert sorted(k.case.alert.drill for k in one.local.all()) == [False, True]
    copies = {c.alert_id: c for c in (k.case.alert for k in (*one.local.all(), *two.local.all()))}
    assert sorted(alert.drill for alert in copies.values()) == [False, True]


async def test_an_sos_of_a_terminated_process_is_taken_over_beside_the_own_drill_of_its_id(
    scene: Scene,
) -> None:
    one, gone = await scene.process("w1"), await scene.process("w2")
    press = a_press(START_MS)
    await gone.local.press(press, CIRCUMSTANCES)
    await gone.peers.beat()
    await one.local.press(replace(press, drill=True), CIRCUMSTANCES)
    await scene.beats(one)
    await cast(Any, one.redis).delete(lease_key(gone.local.all()[0].case.alert.alert_id))
    await scene.beats(one, times=int(ORPHANED_S) + 3)
    assert sorted(k.case.alert.drill for k in one.local.all() if k.acting) == [False, True]
    assert await one.claimed() == 2


async def test_both_alerts_of_one_id_are_taken_over_from_terminated_processes(scene: Scene) -> None:
    one = await scene.process("w1")
    press = a_press(START_MS)
    for name, pressed in (("w2", press), ("w3", replace(press, drill=True))):
        gone = await scene.process(name)
        await gone.local.press(pressed, CIRCUMSTANCES)
        await gone.peers.share(gone.local.all()[0])
    await scene.beats(one, times=int(ORPHANED_S) + 3)
    assert sorted(k.case.alert.drill for k in one.local.all() if k.acting) == [False, True]
