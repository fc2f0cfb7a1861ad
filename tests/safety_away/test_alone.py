"""With Redis away, and Postgres for long enough too: each process on all that it knows."""

from alerts.attempt import Accepted
from realtime.alerting.failover.election import ALONE_S, SPREAD_S, lateness_s
from realtime.alerting.failover.partition_detector import SETTLED_S
from tests.alerts.ledger_contract import ALL, CIRCUMSTANCES, LEASE_S, a_press, with_provider
from tests.alerts.slots import UpTo
from tests.e2e.proxy import Proxy
from tests.safety_away.scene import Scene, adopted


def lose(proxy: Proxy) -> int:
    """Redis is away; where it was."""
    was, proxy.target = proxy.target, 1
    for pair in list(proxy.pairs):
        pair.close()
    return was


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
        jobs = await process.local.claim(process.name, UpTo(ALL, 10), LEASE_S)
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
    assert [job.elsewhere for job in await one.local.claim("w1", UpTo(ALL, 10), LEASE_S)] == [False]


async def test_when_redis_is_back_one_goes_on_with_what_all_have_sent(cut: tuple[Scene, Proxy]) -> None:
    scene, proxy = cut
    one, two = await scene.process("w1", delivers=True), await scene.process("w2", delivers=True)
    alert_id = await adopted(one, two)
    await scene.beats(one, two)
    was = lose(proxy)
    await scene.beats(one, two, times=3, of_s=ALONE_S)
    assert one.acts_on(alert_id) and two.acts_on(alert_id)
    (job,) = await one.local.claim("w1", UpTo(ALL, 10), LEASE_S)
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
