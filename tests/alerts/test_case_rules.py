"""What holds for a case whatever happens to it, and for two copies of one that come together."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import OPEN, ActorKind, Kind, State, as_shown_to_driver
from alerts.attempt import Purpose, Status, attempt_id_of, rank, was_told
from alerts.case import Case, Changes
from alerts.retry import MAX_TRIES
from tests.alerts.happenings import KNOWN, happened, happenings
from tests.alerts.kit import T0, S, press

RELAXED = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
ELSEWHERE = RELAXED | {"derandomize": False}
UNSENT = (Status.DUE, Status.UNSURE)
FOR_THE_OPEN = (Purpose.ALERT, Purpose.EXHAUSTED, Purpose.REMINDER, Purpose.ON_IT)


def check(case: Case) -> None:
    """What holds of every case that nothing is due for."""
    alert, attempts = case.alert, case.attempts.values()
    for key, a in case.attempts.items():
        assert key == a.attempt_id
        assert a.alert_id == alert.alert_id
        assert a.number <= MAX_TRIES[a.purpose]
    keys = [(a.purpose, a.round, a.step, a.contact_id, a.channel, a.number) for a in attempts]
    assert len(set(keys)) == len(keys)
    unsent = {a.purpose for a in attempts if a.status in UNSENT}
    if alert.exhausted_ms is not None:
        of_now = [a for a in attempts if a.purpose is Purpose.EXHAUSTED and a.round == alert.round]
        assert {a.contact_id for a in of_now} == {"operator"}
    if alert.state is State.ACKNOWLEDGED:
        assert Purpose.ALERT not in unsent
    if alert.state is State.PENDING:
        assert not case.attempts
    if alert.state not in OPEN:
        assert not unsent & set(FOR_THE_OPEN)
        end = Purpose.ALL_CLEAR if alert.state is State.CANCELLED else Purpose.CLOSED
        told = {a.contact_id for a in attempts if a.purpose is Purpose.ALERT and was_told(a)}
        assert told <= {a.contact_id for a in attempts if a.purpose is end}
    if alert.duress:
        assert alert.closed_by is None or alert.closed_by.kind is not ActorKind.DRIVER


class AnyCase(RuleBasedStateMachine):
    """Anything happens to one case, in any order."""

    now_ms = T0
    case: Case
    changes: Changes

    @initialize(kind=st.sampled_from(Kind), drill=st.booleans())
    def opens(self, kind: Kind, drill: bool) -> None:
        self.changes = cases.opened(press(0, kind=kind, drill=drill), KNOWN, self.now_ms)
        self.case = self.changes.case

    @rule(what=happenings)
    def happens(self, what: tuple[Any, ...]) -> None:
        before = self.case
        self.now_ms += what[1] if what[0] == "time" else 1
        self.changes = happened(before, what, self.now_ms)
        after = self.case = self.changes.case
        assert after.alert.version >= before.alert.version
        visible = replace(after.alert, heard_ms=None) != replace(before.alert, heard_ms=None)
        assert (after.alert.version > before.alert.version) is visible
        assert after.alert.severity >= before.alert.severity
        assert before.alert.state in OPEN or after.alert.state is before.alert.state
        for key, a in before.attempts.items():
            assert rank(after.attempts[key].status) >= rank(a.status)
        moved = {key for key, a in after.attempts.items() if before.attempts.get(key) != a}
        assert {a.attempt_id for a in self.changes.touched} == moved
        hidden = before.alert.veil is not None and before.alert.veil.lifted_ms is None
        if hidden and after.alert.veil == before.alert.veil:
            assert as_shown_to_driver(after.alert) == as_shown_to_driver(before.alert)

    @invariant()
    def holds(self) -> None:
        check(self.case)

    @invariant()
    def nothing_is_left_undone(self) -> None:
        again = cases.advanced(self.case, self.now_ms)
        assert (again.case, again.touched, again.audit) == (self.case, (), ())
        if again.next_ms is None:
            assert self.case.alert.state not in OPEN or self.case.alert.exhausted_ms is not None
        else:
            assert self.now_ms < again.next_ms

    @invariant()
    def every_id_is_made_of_its_parts(self) -> None:
        for a in self.case.attempts.values():
            assert a.attempt_id == attempt_id_of(
                a.alert_id, a.purpose, a.round, a.step, a.contact_id, a.channel, a.number
            )

    @invariant()
    def the_phone_never_learns_of_a_duress(self) -> None:
        shown = as_shown_to_driver(self.case.alert)
        assert not shown.duress
        assert shown.veil is None


TestAnyCase = AnyCase.TestCase
TestAnyCase.settings = settings(max_examples=40, stateful_step_count=25, **RELAXED)  # type: ignore[arg-type]


@pytest.mark.long
class TestAnyCaseForLong(AnyCase.TestCase):  # type: ignore[name-defined,misc]
    """The same, more of it, and each time another."""

    settings = settings(max_examples=1_500, stateful_step_count=50, **ELSEWHERE)  # type: ignore[arg-type]


# --- two copies


histories = st.lists(happenings, max_size=12)
kinds = st.sampled_from(Kind)


def lived(case: Case, history: list[tuple[Any, ...]], now_ms: int) -> Case:
    """``case`` after all that."""
    for what in history:
        now_ms += what[1] if what[0] == "time" else 1
        case = happened(case, what, now_ms).case
    return case


LATER = T0 + 10_000 * S


@given(kind=kinds, common=histories, one=histories, other=histories)
@settings(max_examples=120, **RELAXED)  # type: ignore[arg-type]
def test_two_copies_come_together_the_same_whichever_comes_first_and_only_once(
    kind: Kind, common: list[Any], one: list[Any], other: list[Any]
) -> None:
    come_together(kind, common, one, other)


@pytest.mark.long
@given(kind=kinds, common=histories, one=histories, other=histories)
@settings(max_examples=2_000, **ELSEWHERE)  # type: ignore[arg-type]
def test_many_more_copies_come_together(
    kind: Kind, common: list[Any], one: list[Any], other: list[Any]
) -> None:
    come_together(kind, common, one, other)


def come_together(kind: Kind, common: list[Any], one: list[Any], other: list[Any]) -> None:
    """The laws of `merged`, for two copies with a common past."""
    start = lived(cases.opened(press(0, kind=kind), KNOWN, T0).case, common, T0)
    a, b = lived(start, one, T0 + 2_000 * S), lived(start, other, T0 + 2_000 * S)
    merged = cases.merged(a, b, LATER).case
    assert cases.merged(b, a, LATER).case == merged
    assert cases.merged(merged, a, LATER).case == merged
    assert cases.merged(merged, b, LATER).case == merged
    assert cases.merged(a, a, LATER).case == cases.advanced(a, LATER).case
    assert not cases.has_news(a, merged, LATER) and not cases.has_news(a, a, LATER)
    if not cases.has_news(b, a, LATER):
        assert merged == cases.advanced(a, LATER).case
    check(merged)
    for copy in (a, b):
        assert merged.alert.version >= copy.alert.version
        assert merged.alert.severity >= copy.alert.severity
        assert merged.alert.duress >= copy.alert.duress
        for key, attempt in copy.attempts.items():
            assert rank(merged.attempts[key].status) >= rank(attempt.status)
        if copy.alert.version == merged.alert.version:
            assert replace(copy.alert, heard_ms=None) == replace(merged.alert, heard_ms=None)


@given(kind=kinds, one=histories, other_kind=kinds, other=histories)
@settings(max_examples=60, **RELAXED)  # type: ignore[arg-type]
def test_an_alert_of_its_own_comes_under_ours_and_no_message_is_doubled(
    kind: Kind, one: list[Any], other_kind: Kind, other: list[Any]
) -> None:
    ours = lived(cases.opened(press(0, kind=kind), KNOWN, T0).case, one, T0)
    theirs = lived(cases.opened(press(99, kind=other_kind), KNOWN, T0).case, other, T0)
    merged = cases.merged(ours, theirs, LATER).case
    assert merged.alert.alert_id == ours.alert.alert_id
    assert merged.alert.sos_id == ours.alert.sos_id
    assert ours.attempts.keys() | theirs.attempts.keys() <= merged.attempts.keys()
    assert {a.alert_id for a in merged.attempts.values()} <= {ours.alert.alert_id}
    due = [
        (a.purpose, a.round, a.step, a.contact_id, a.channel, a.number)
        for a in merged.attempts.values()
        if a.status is Status.DUE
    ]
    assert len(set(due)) == len(due)
    assert cases.merged(merged, theirs, LATER).case == merged


@given(history=histories)
@settings(max_examples=30, **RELAXED)  # type: ignore[arg-type]
def test_a_copy_that_nobody_else_has_is_kept_as_it_is(history: list[Any]) -> None:
    theirs = lived(cases.opened(press(0), KNOWN, T0).case, history, T0)
    assert cases.merged(None, theirs, LATER).case == cases.advanced(theirs, LATER).case
