"""A case moved from one clock to another: everything by the same amount, and only when it must be."""

from uuid import uuid4

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from alerts import case as cases
from alerts.alert import Acknowledged, Alert, CancelAsked, PinResult
from alerts.attempt import Accepted, Attempt
from alerts.case import Case
from alerts.clock_skew import TOLERATED_MS, latest_ms, moved, settled_into
from tests.alerts.ledger_contract import CIRCUMSTANCES, DRIVER, OPERATOR, a_press

NOW = 1_764_000_000_000
BY_THE_PHONE = {"pressed_ms"}


def full_case() -> Case:
    """One with as many times as can be."""
    case = cases.opened(a_press(NOW, sos_id=uuid4()), CIRCUMSTANCES, NOW).case
    (attempt,) = case.attempts.values()
    case = cases.settled(case, attempt.attempt_id, Accepted("SM1", "queued"), NOW + 1, lambda: 0.5).case
    case = cases.applied(case, CancelAsked(DRIVER, PinResult.DURESS), NOW + 2).case
    case = cases.applied(case, Acknowledged(OPERATOR, "page"), NOW + 3).case
    leased = [
        structs.replace(a, lease_until_ms=NOW + 4, delivered_ms=NOW + 5) for a in case.attempts.values()
    ]
    alert = structs.replace(case.alert, pending_until_ms=NOW + 6, exhausted_ms=NOW + 7, closed_ms=NOW + 8)
    return structs.replace(case, alert=alert, attempts={a.attempt_id: a for a in leased})


def times(value: Alert | Attempt, prefix: str = "") -> dict[str, int]:
    """Every time in it, by its path."""
    found: dict[str, int] = {}

    def walk(node: object, path: str) -> None:
        if isinstance(node, dict):
            for key, inner in node.items():
                walk(inner, f"{path}.{key}")
        elif isinstance(node, list):
            for at, inner in enumerate(node):
                walk(inner, f"{path}.{at}")
        elif path.endswith("_ms") and isinstance(node, int):
            found[path] = node

    walk(msgspec.to_builtins(value), prefix)
    return found


@given(st.integers(-(10**10), 10**10))
def test_every_time_is_moved_by_the_same_but_those_of_the_phone(by_ms: int) -> None:
    case = full_case()
    after = moved(case, by_ms)
    pairs = [(case.alert, after.alert)]
    pairs += [(a, after.attempts[key]) for key, a in case.attempts.items()]  # type: ignore[misc]
    for old, new in pairs:
        was, now = times(old), times(new)
        assert was.keys() == now.keys()
        for path, at_ms in was.items():
            of_phone = path.rpartition(".")[2] in BY_THE_PHONE or ".place." in path
            assert now[path] == at_ms + (0 if of_phone else by_ms), path
    assert moved(after, -by_ms) == case


def test_a_case_that_agrees_is_left_alone() -> None:
    case = full_case()
    assert settled_into(case, NOW + 8) is case
    assert settled_into(case, NOW + 8 - TOLERATED_MS) is case
    assert settled_into(case, NOW + 8, skew_ms=TOLERATED_MS) is case
    assert settled_into(case, NOW + 10**9) is case


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_nothing_that_happened_is_left_in_the_future(now_offset_ms: int, skew_ms: int) -> None:
    now_ms = NOW + now_offset_ms
    assert latest_ms(settled_into(full_case(), now_ms, skew_ms)) <= now_ms + TOLERATED_MS
