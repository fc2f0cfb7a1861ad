"""What can happen to a case, in any order: for tests that draw it."""

from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import (
    Acknowledged,
    CancelAsked,
    Denied,
    FalseAlarm,
    Heard,
    Kind,
    Noted,
    PinResult,
    Resolved,
    Responder,
    ResponderAdded,
)
from alerts.attempt import Accepted, Channel, Permanent, Retryable, Status, StatusReport, Unsure
from alerts.case import Case, Changes
from alerts.policy import ALL, DISPATCH, Circumstances, Pins, Policy, Step
from tests.alerts.kit import BY_ANA, BY_BEN, DRIVER, MACHINE, OLGA, PEOPLE, T0, S, press

C = Channel
POLICY = Policy(
    steps=(
        Step((DISPATCH, "ana"), (C.SOCKET, C.PUSH, C.SMS), 30, fallback=(C.CALL,)),
        Step((ALL,), (C.CALL,), 20, fallback=(C.EMAIL, C.SMS)),
    ),
    loops=2,
    ack_silence_s=120,
)
SLOW = replace(POLICY, steps=POLICY.steps[1:], countdown_s=15)
KNOWN = Circumstances(
    {kind: SLOW if kind in (Kind.FALL, Kind.CRASH) else POLICY for kind in Kind}, PEOPLE, Pins(), "Dee"
)

people = st.sampled_from([BY_ANA, BY_BEN, OLGA])
anybody = st.sampled_from([BY_ANA, BY_BEN, OLGA, DRIVER, MACHINE])
pins = st.sampled_from(PinResult)
events: st.SearchStrategy[Any] = st.one_of(
    st.builds(CancelAsked, st.just(DRIVER), pins),
    st.builds(Acknowledged, anybody, st.sampled_from(["link", "sms", "page"])),
    st.builds(Heard, people),
    st.builds(Noted, anybody, st.sampled_from(["", "seen her"])),
    st.builds(Denied, anybody, st.sampled_from(["acknowledged", "noted"])),
    st.builds(ResponderAdded, people, st.builds(Responder, people, st.just(T0), st.sampled_from([None, 60]))),
    st.builds(Resolved, anybody),
    st.builds(FalseAlarm, anybody),
)
presses = st.builds(
    lambda n, kind, silent: press(n, kind=kind, silent=silent, message=f"m{n}"),
    st.integers(1, 6), st.sampled_from(Kind), st.booleans(),
)  # fmt: skip
outcomes: st.SearchStrategy[Any] = st.one_of(
    st.builds(Accepted, st.sampled_from(["SM1", "SM2"]), st.just("queued"), st.booleans(), st.booleans()),
    st.builds(Retryable, st.just("busy"), st.sampled_from([None, 3.0, 900.0])),
    st.builds(Permanent, st.just("bad_number")),
    st.builds(Unsure, st.just("timeout"), st.booleans()),
)
reports = st.builds(
    StatusReport, st.just("twilio"), st.just("SM1"),
    st.sampled_from([Status.SENT, Status.DELIVERED, Status.FAILED]), st.just("said"), st.none(),
)  # fmt: skip
downs = st.frozensets(st.sampled_from([C.SMS, C.CALL, C.PUSH]), max_size=3)
pauses_ms = st.sampled_from([1, 100, 2_500, 6 * S, 20 * S, 31 * S, 90 * S, 130 * S])
chances = st.floats(0, 1, exclude_max=True)

happenings: st.SearchStrategy[tuple[Any, ...]] = st.one_of(
    st.tuples(st.just("time"), pauses_ms, downs),
    st.tuples(st.just("event"), events),
    st.tuples(st.just("press"), presses),
    st.tuples(st.just("claim"), st.integers(0, 7)),
    st.tuples(st.just("settle"), st.integers(0, 7), outcomes, chances),
    st.tuples(st.just("report"), st.integers(0, 7), reports),
    st.tuples(st.just("answer"), st.integers(0, 7)),
)


def happened(case: Case, what: tuple[Any, ...], now_ms: int) -> Changes:
    """``case`` after one of `happenings`; a pause is over by ``now_ms``."""
    match what:
        case ("time", _, down):
            return cases.advanced(case, now_ms, down)
        case ("event", event):
            return cases.applied(case, event, now_ms)
        case ("press", one):
            return cases.joined(case, one, KNOWN, now_ms)
        case ("claim", n):
            return _claimed(case, n, now_ms)
        case ("settle", n, outcome, chance):
            found = _one(case, n, Status.SENDING)
            if found is not None:
                return cases.settled(case, found, outcome, now_ms, lambda: chance)
        case ("report", n, report):
            found = _one(case, n, Status.SENT, Status.SENDING, Status.FAILED, Status.DELIVERED)
            if found is not None:
                return cases.reported(case, found, report, now_ms)
        case ("answer", n):
            found = _one(case, n, Status.SENT, Status.DELIVERED)
            if found is not None:
                return cases.answered(case, found, now_ms)
    return cases.advanced(case, now_ms)


def _one(case: Case, n: int, *statuses: Status) -> Any:
    found = sorted(key for key, a in case.attempts.items() if a.status in statuses)
    return found[n % len(found)] if found else None


def _claimed(case: Case, n: int, now_ms: int) -> Changes:
    """What a ledger does: a due attempt is leased, as `sending`."""
    found = _one(case, n, Status.DUE, Status.UNSURE)
    if found is None or case.attempts[found].due_ms > now_ms:
        return cases.advanced(case, now_ms)
    leased = replace(
        case.attempts[found], status=Status.SENDING, lease_by="w1", lease_until_ms=now_ms + 30 * S
    )
    return Changes(replace(case, attempts={**case.attempts, found: leased}), (leased,))
