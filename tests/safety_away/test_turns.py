"""Who acts: every view there is."""

import itertools

import pytest

from realtime.alerting.failover.election import ORPHANED_S, SPREAD_S, CaseView, Role, lateness_s, turn_of

ME, OTHER = "w1", "w2"
VIEWS = [
    CaseView(*given)
    for given in itertools.product(
        (True, False), (None, ME, OTHER), (True, False), (0.0, ORPHANED_S), *[(True, False)] * 3
    )
]


@pytest.mark.parametrize("view", VIEWS, ids=str)
def test_every_view_has_its_turn(view: CaseView) -> None:
    turn = turn_of(view, ME)
    if view.served:
        assert turn is Role.REST, "whoever reaches postgres acts, from there"
    elif not view.redis_up:
        assert turn is (Role.ACT if view.acting or view.pressed or view.stands_in else Role.REST)
    elif view.holder == OTHER:
        assert turn is Role.REST, "two would act"
    elif view.holder == ME:
        assert turn is Role.ACT
    elif view.acting or view.pressed or view.free_s:
        assert turn is Role.TRY
    else:
        assert turn is Role.REST, "who acts has a second to take the lease again"


def test_a_view_is_enough_for_somebody_to_act() -> None:
    """Of two who see the same free lease at most one gets it; an orphan is tried by all."""
    orphan = CaseView(True, None, False, ORPHANED_S)
    assert {turn_of(orphan, name) for name in (ME, OTHER)} == {Role.TRY}


def test_whoever_delivers_is_earlier_than_all_who_do_not_and_each_has_a_moment_of_its_own() -> None:
    names = [f"{number:032x}" for number in range(200)]
    workers = [lateness_s(name, delivers=True) for name in names]
    webs = [lateness_s(name, delivers=False) for name in names]
    assert 0.0 <= min(workers) <= max(workers) < SPREAD_S <= min(webs) <= max(webs) < 2 * SPREAD_S
    assert len(set(workers + webs)) == 400
    assert workers == [lateness_s(name, delivers=True) for name in names], "the same after a restart"
