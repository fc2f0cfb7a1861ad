"""Slots and budgets: what is reserved for SOS, what one tenant gets, what refills."""

import pytest

from alerts.delivery.budget import LONGEST_SPACING_S, Budget, FailedTries
from alerts.delivery.slots import Slots


def fill(slots: Slots, tenant: str, is_sos: bool) -> int:
    """Take for ``tenant`` while there is room; how many slots that were."""
    taken = 0
    while slots.has_room(tenant, is_sos):
        slots.take(tenant, is_sos)
        taken += 1
    return taken


def test_other_messages_never_hold_the_slots_reserved_for_sos() -> None:
    slots = Slots(32, 8)
    others = sum(fill(slots, f"t{n}", is_sos=False) for n in range(100))
    assert others == 24
    assert (slots.free_for_others, slots.free) == (0, 8)
    assert slots.has_room("t1", is_sos=True)


def test_sos_may_use_every_slot_and_then_nothing_has_room() -> None:
    slots = Slots(32, 8)
    assert sum(fill(slots, f"t{n}", is_sos=True) for n in range(100)) == 32
    assert (slots.free_for_others, slots.free) == (0, 0)


@pytest.mark.parametrize("is_sos", [False, True])
def test_one_tenant_gets_three_quarters_and_leaves_room_for_the_next(is_sos: bool) -> None:
    slots = Slots(32, 8)
    size = 32 if is_sos else 24
    assert fill(slots, "t1", is_sos) == size * 3 // 4
    assert slots.full_tenants(is_sos) == ["t1"]
    assert fill(slots, "t2", is_sos) > 0


def test_a_tenant_whose_other_messages_hang_still_sends_its_sos() -> None:
    slots = Slots(32, 8)
    fill(slots, "t1", is_sos=False)
    assert slots.has_room("t1", is_sos=True)


def test_what_is_given_back_can_be_taken_again() -> None:
    slots = Slots(4, 1)
    for is_sos in (True, False, True):
        slots.take("t1", is_sos)
    for is_sos in (True, True, False):
        slots.give_back("t1", is_sos)
    assert (slots.taken, slots.free, slots.tenants) == (0, 4, frozenset())


def test_not_every_slot_can_be_reserved() -> None:
    with pytest.raises(ValueError, match="reserved"):
        Slots(4, 4)


def test_a_budget_keeps_half_for_sos_and_refills_with_time() -> None:
    budget = Budget(10, per_s=2.0)
    for _ in range(5):
        assert budget.has(0.0, is_sos=False)
        budget.spend(0.0)
    assert not budget.has(0.0, is_sos=False)
    for _ in range(5):
        assert budget.has(0.0, is_sos=True)
        budget.spend(0.0)
    assert not budget.has(0.4, is_sos=True)
    assert budget.has(0.5, is_sos=True)
    assert not budget.is_idle(4.0)
    assert budget.is_idle(5.0)


def test_what_was_not_sent_costs_no_budget() -> None:
    budget = Budget(2, per_s=0.001)
    budget.spend(0.0)
    budget.refund()
    assert budget.is_idle(0.0)


def test_an_address_is_spent_after_its_failures_until_the_window_is_over() -> None:
    tries = FailedTries(3, window_s=60.0)
    for at_s in (0.0, 10.0, 20.0):
        assert not tries.is_spent("t1", "a", at_s)
        tries.failed("t1", "a", at_s)
    assert tries.is_spent("t1", "a", 59.0)
    assert not tries.is_spent("t1", "b", 59.0)
    assert not tries.is_spent("t1", "a", 60.0)
    tries.failed("t1", "a", 60.0)
    assert tries.is_spent("t1", "a", 61.0)
    tries.accepted("t1", "a")
    assert not tries.is_spent("t1", "a", 61.0)


def test_an_address_that_fails_for_one_tenant_is_not_spent_for_another() -> None:
    tries = FailedTries(1, window_s=60.0)
    tries.failed("t1", "a", 0.0)
    assert [tries.is_spent(tenant, "a", 1.0) for tenant in ("t1", "t2")] == [True, False]
    tries.accepted("t2", "a")
    assert tries.is_spent("t1", "a", 1.0)


def test_tries_of_a_spent_address_are_spaced_within_a_bound() -> None:
    tries = FailedTries(2, window_s=600.0, spacing_s=2.0)
    tries.failed("t1", "a", 100.0)
    assert tries.reserve_s("t1", "a", 100.0) == 0.0
    tries.failed("t1", "a", 100.0)
    assert [tries.reserve_s("t1", "a", 100.0) for _ in range(3)] == [2.0, 4.0, 6.0]
    assert tries.reserve_s("t1", "a", 120.0) == 2.0, "what is past is not reserved"
    assert max(tries.reserve_s("t1", "a", 120.0) for _ in range(100)) == LONGEST_SPACING_S


def test_only_so_many_addresses_are_remembered() -> None:
    tries = FailedTries(1, window_s=60.0, remembered=2)
    for address in ("a", "b", "c"):
        tries.failed("t1", address, 0.0)
    assert [tries.is_spent("t1", address, 1.0) for address in ("a", "b", "c")] == [False, True, True]
