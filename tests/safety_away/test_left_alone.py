"""What is left to whom while Postgres is there: to a journal that still has it, to a worker that delivers."""

from typing import Any, cast

from alerts import case as cases
from alerts.alert import Acknowledged, State
from realtime.alerting.failover.cluster import SERVED
from realtime.alerting.failover.election import ORPHANED_S
from realtime.alerting.failover.handback import PRESSED_S
from realtime.alerting.failover.leases import lease_key
from tests.alerts.ledger_contract import CIRCUMSTANCES, OPERATOR, a_press
from tests.safety_away.scene import START_MS, Scene, on_each_redis


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


@on_each_redis
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


@on_each_redis
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
