"""The state machine: every arrow by its letter, and every pair of state and event decided."""

from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from alerts.alert import (
    MAX_LOOPS,
    MAX_RESPONDERS,
    MAX_WRONG_PINS,
    OPEN,
    REVIVE_AFTER_MS,
    Acknowledged,
    AckSilent,
    Actor,
    ActorKind,
    Alert,
    Arrow,
    CancelAsked,
    ContactsFound,
    CountdownOver,
    Denied,
    Event,
    FalseAlarm,
    GaveUp,
    Heard,
    Kind,
    Noted,
    PinResult,
    Place,
    Pressed,
    Reached,
    Refusal,
    Resolved,
    Responder,
    ResponderAdded,
    Severity,
    State,
    alert_id_of,
    as_shown_to_driver,
    opened_alert,
    severity_of,
    transition,
    worse,
)
from tests.alerts.kit import BY_ANA, BY_BEN, DRIVER, MACHINE, OLGA, T0, S, alert, press, somebody, sos

NOW = T0 + 10 * S

RIGHT = CancelAsked(DRIVER, PinResult.RIGHT)
WRONG = CancelAsked(DRIVER, PinResult.WRONG)
DURESS = CancelAsked(DRIVER, PinResult.DURESS)
EVENTS: dict[str, Event] = {
    "press": Pressed(press(2)),
    "countdown over": CountdownOver(),
    "right pin": RIGHT,
    "duress pin": DURESS,
    "wrong pin": WRONG,
    "acknowledged by Ana": Acknowledged(BY_ANA, "link"),
    "acknowledged by Ben": Acknowledged(BY_BEN, "link"),
    "heard from Ana": Heard(BY_ANA),
    "heard from Ben": Heard(BY_BEN),
    "acknowledger silent": AckSilent(),
    "resolved by operator": Resolved(OLGA),
    "resolved by Ana": Resolved(BY_ANA),
    "false alarm by operator": FalseAlarm(OLGA),
    "false alarm by Ben": FalseAlarm(BY_BEN),
    "note": Noted(OLGA, "seen her"),
    "denied": Denied(BY_ANA, "acknowledged"),
    "responder": ResponderAdded(OLGA, Responder(BY_BEN, NOW, 300)),
    "reached": Reached("ana"),
    "gave up": GaveUp("no_answer"),
    "contacts found": ContactsFound(),
}
A, R = Arrow, Refusal
P, ACT, ACK = State.PENDING, State.ACTIVE, State.ACKNOWLEDGED
TABLE: dict[str, dict[State, tuple[Arrow | Refusal, State]]] = {
    "denied": {P: (R.FORBIDDEN, P), ACT: (R.FORBIDDEN, ACT), ACK: (R.FORBIDDEN, ACK)},
    "press": {P: (A.PRESSED, P), ACT: (A.PRESSED, ACT), ACK: (A.PRESSED, ACK)},
    "countdown over": {P: (A.COUNTDOWN_OVER, ACT), ACT: (R.NOT_PENDING, ACT), ACK: (R.NOT_PENDING, ACK)},
    "right pin": {
        P: (A.CANCELLED_UNHEARD, State.CANCELLED),
        ACT: (A.CANCELLED, State.CANCELLED),
        ACK: (A.CANCELLED, State.CANCELLED),
    },
    "duress pin": {P: (A.DURESS, ACT), ACT: (A.DURESS, ACT), ACK: (A.DURESS, ACT)},
    "wrong pin": {P: (R.WRONG_PIN, P), ACT: (R.WRONG_PIN, ACT), ACK: (R.WRONG_PIN, ACK)},
    "acknowledged by Ana": {P: (A.ACKNOWLEDGED, ACK), ACT: (A.ACKNOWLEDGED, ACK), ACK: (A.HEARD, ACK)},
    "acknowledged by Ben": {P: (A.ACKNOWLEDGED, ACK), ACT: (A.ACKNOWLEDGED, ACK), ACK: (A.JOINED, ACK)},
    "heard from Ana": {P: (R.NOT_ACKNOWLEDGED, P), ACT: (R.NOT_ACKNOWLEDGED, ACT), ACK: (A.HEARD, ACK)},
    "heard from Ben": {
        P: (R.NOT_ACKNOWLEDGED, P),
        ACT: (R.NOT_ACKNOWLEDGED, ACT),
        ACK: (R.NOT_RESPONDING, ACK),
    },
    "acknowledger silent": {P: (R.NOT_ACKNOWLEDGED, P), ACT: (R.NOT_ACKNOWLEDGED, ACT), ACK: (A.SILENT, ACT)},
    "resolved by operator": dict.fromkeys((P, ACT, ACK), (A.RESOLVED, State.RESOLVED)),
    "resolved by Ana": {
        P: (R.ACKNOWLEDGE_FIRST, P),
        ACT: (R.ACKNOWLEDGE_FIRST, ACT),
        ACK: (A.RESOLVED, State.RESOLVED),
    },
    "false alarm by operator": {
        P: (A.CANCELLED_UNHEARD, State.CANCELLED),
        ACT: (A.FALSE_ALARM, State.CANCELLED),
        ACK: (A.FALSE_ALARM, State.CANCELLED),
    },
    "false alarm by Ben": {
        P: (R.ACKNOWLEDGE_FIRST, P),
        ACT: (R.ACKNOWLEDGE_FIRST, ACT),
        ACK: (R.ACKNOWLEDGE_FIRST, ACK),
    },
    "note": {P: (A.NOTED, P), ACT: (A.NOTED, ACT), ACK: (A.NOTED, ACK)},
    "responder": {P: (A.RESPONDER, P), ACT: (A.RESPONDER, ACT), ACK: (A.RESPONDER, ACK)},
    "reached": {P: (R.NOT_ACTIVE, P), ACT: (A.REACHED, ACT), ACK: (A.REACHED, ACK)},
    "gave up": {P: (R.NOT_ACTIVE, P), ACT: (A.GAVE_UP, ACT), ACK: (R.NOT_ACTIVE, ACK)},
    "contacts found": {P: (R.NOT_ACTIVE, P), ACT: (R.NOT_EXHAUSTED, ACT), ACK: (R.NOT_ACTIVE, ACK)},
}


def step(before: Alert, *events: Event, now_ms: int = NOW) -> Alert:
    """``before`` after events that are let in."""
    for event in events:
        done = transition(before, event, now_ms)
        assert done.refused is None, (event, done.refused)
        before = done.alert
    return before


def arrow(before: Alert, event: Event, now_ms: int = NOW) -> str | None:
    return transition(before, event, now_ms).arrow


def refused(before: Alert, event: Event, now_ms: int = NOW) -> str | None:
    """Why; it must have changed nothing."""
    done = transition(before, event, now_ms)
    assert done.alert == before
    return done.refused


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("state", State)
def test_every_pair_of_state_and_event_is_decided(state: State, name: str) -> None:
    before = alert(state)
    done = transition(before, EVENTS[name], NOW)
    if state in OPEN:
        expected, after = TABLE[name][state]
    else:
        expected, after = {"note": A.NOTED, "denied": R.FORBIDDEN}.get(name, R.CLOSED), state
    assert done.alert.state is after
    if isinstance(expected, Arrow):
        assert (done.arrow, done.refused) == (expected, None)
        assert done.alert.version == before.version + (expected is not A.HEARD)
    else:
        assert done.refused is expected
        assert done.alert == before or expected is R.WRONG_PIN


def test_the_table_has_every_kind_of_event() -> None:
    kinds: Any = Event
    assert {type(event) for event in EVENTS.values()} == set(kinds.__args__)
    assert EVENTS.keys() == TABLE.keys()


def test_letters_are_one_to_an_arrow() -> None:
    assert sorted(a.value for a in Arrow) == list("ABCDEFGHIJKLMNOPQRSTUVW")


# --- each arrow


def test_arrow_a_a_kind_with_a_countdown_begins_pending() -> None:
    done = opened_alert(press(kind=Kind.FALL), 30, T0)
    assert done.arrow == "A"
    assert (done.alert.state, done.alert.pending_until_ms) == (State.PENDING, T0 + 30 * S)
    assert done.alert.active_since_ms is None


def test_arrow_b_any_other_begins_active() -> None:
    done = opened_alert(press(), 0, T0)
    assert done.arrow == "B"
    assert (done.alert.state, done.alert.active_since_ms, done.alert.version) == (State.ACTIVE, T0, 1)


def test_arrow_c_a_countdown_that_is_over_makes_it_active() -> None:
    done = transition(alert(P), CountdownOver(), NOW)
    assert done.arrow == "C"
    assert (done.alert.active_since_ms, done.alert.pending_until_ms, done.alert.round) == (NOW, None, 1)


@pytest.mark.parametrize("state", [P, ACT, ACK])
def test_arrow_d_a_worse_press_begins_escalation_afresh(state: State) -> None:
    before = alert(state, kind=Kind.CHECK_IN_MISSED)
    done = transition(before, Pressed(press(2)), NOW)
    assert done.arrow == "D"
    assert (done.alert.state, done.alert.kind) == (State.ACTIVE, Kind.SOS)
    assert done.alert.severity is Severity.CRITICAL
    assert done.alert.acknowledged_by is None
    assert done.alert.round == (1 if state is P else 1 + MAX_LOOPS)


def test_arrow_d_a_person_who_presses_in_a_crash_countdown_does_not_wait_for_it() -> None:
    assert arrow(alert(P, kind=Kind.CRASH), Pressed(press(2))) == "D"
    assert arrow(alert(P, kind=Kind.CRASH), Pressed(press(2, kind=Kind.CRASH))) == "M"


def test_arrow_e_the_fifth_wrong_pin_ends_the_countdown() -> None:
    now = alert(P)
    letters = []
    for _ in range(MAX_WRONG_PINS):
        done = transition(now, WRONG, NOW)
        assert done.refused is Refusal.WRONG_PIN
        letters.append(done.arrow)
        now = done.alert
    assert letters == ["P", "P", "P", "P", "E"]
    assert now.state is State.ACTIVE


@pytest.mark.parametrize("pin", PinResult)
@pytest.mark.parametrize("state", [ACT, ACK])
def test_after_five_wrong_pins_no_pin_counts(state: State, pin: PinResult) -> None:
    locked = alert(state, wrong_pins=MAX_WRONG_PINS)
    assert refused(locked, CancelAsked(DRIVER, pin)) == Refusal.TOO_MANY_PINS
    assert arrow(locked, FalseAlarm(OLGA)) == "K"


@pytest.mark.parametrize("state", [P, ACT, ACK])
def test_arrow_f_the_duress_pin_makes_it_critical_active_and_silent(state: State) -> None:
    done = transition(alert(state, kind=Kind.FALL), DURESS, NOW)
    assert done.arrow == "F"
    after = done.alert
    assert (after.state, after.severity, after.duress, after.silent) == (ACT, Severity.CRITICAL, True, True)


def test_arrow_g_cancelled_in_the_countdown() -> None:
    assert arrow(alert(P), RIGHT) == "G"
    assert arrow(alert(P), FalseAlarm(OLGA)) == "G"


@pytest.mark.parametrize("state", [P, ACT])
def test_arrow_h_somebody_is_on_it(state: State) -> None:
    done = transition(alert(state), Acknowledged(BY_ANA, "sms"), NOW)
    assert done.arrow == "H"
    assert (done.alert.acknowledged_by, done.alert.acknowledged_ms) == (BY_ANA, NOW)
    assert (done.alert.heard_ms, done.alert.reached_ms) == (NOW, NOW)


def test_arrow_h_a_late_acknowledgement_counts_after_giving_up() -> None:
    given_up = step(alert(), GaveUp("no_answer"))
    assert arrow(given_up, Acknowledged(BY_ANA, "link"), NOW + 86_400 * S) == "H"


def test_arrow_i_an_acknowledger_who_goes_silent_returns_it_to_active() -> None:
    done = transition(alert(ACK, exhausted_ms=T0, exhausted_reason="x"), AckSilent(), NOW)
    assert done.arrow == "I"
    after = done.alert
    assert (after.state, after.acknowledged_by, after.heard_ms) == (ACT, None, None)
    assert (after.round, after.active_since_ms, after.exhausted_ms) == (1 + MAX_LOOPS, NOW, None)


@pytest.mark.parametrize("state", [ACT, ACK])
def test_arrow_j_the_right_pin_cancels(state: State) -> None:
    done = transition(alert(state), RIGHT, NOW)
    assert done.arrow == "J"
    assert (done.alert.closed_ms, done.alert.closed_by) == (NOW, DRIVER)


@pytest.mark.parametrize("state", [ACT, ACK])
def test_arrow_k_a_false_alarm(state: State) -> None:
    assert arrow(alert(state), FalseAlarm(OLGA)) == "K"
    assert arrow(alert(ACK), FalseAlarm(BY_ANA)) == "K"


def test_arrow_l_resolved() -> None:
    done = transition(alert(), Resolved(OLGA, "home"), NOW)
    assert done.arrow == "L"
    assert done.alert.closed_by == OLGA


def test_arrow_m_another_press_joins() -> None:
    other = press(2, kind=Kind.FALL, pressed_ms=T0 - 5 * S, message="faster", silent=True, place=None)
    done = transition(alert(message="help"), Pressed(other), NOW)
    assert done.arrow == "M"
    after = done.alert
    assert (after.presses, after.message, after.silent, after.pressed_ms) == (2, "faster", True, T0 - 5 * S)
    assert (after.kind, after.severity, after.place) == (Kind.SOS, Severity.CRITICAL, press().place)
    assert arrow(after, Pressed(press(3))) == "M"


def test_a_press_that_was_long_on_its_way_does_not_move_the_driver_back() -> None:
    earlier, later, untimed = (Place(1.0, 2.0, t_ms=at_ms) for at_ms in (T0 - S, T0 + S, None))
    for place, found in ((earlier, press().place), (later, later), (untimed, press().place)):
        joined = transition(alert(), Pressed(press(2, place=place)), NOW).alert
        assert joined.place == found


def test_the_same_press_is_no_event() -> None:
    assert refused(alert(), Pressed(press(1))) == Refusal.ALREADY


def test_arrow_n_a_press_revives_what_was_given_up_but_not_a_thousand_times() -> None:
    given_up = step(alert(), GaveUp("no_answer"))
    assert arrow(given_up, Pressed(press(2)), NOW + REVIVE_AFTER_MS - 1) == "M"
    done = transition(given_up, Pressed(press(2)), NOW + REVIVE_AFTER_MS)
    assert done.arrow == "N"
    assert (done.alert.exhausted_ms, done.alert.round) == (None, 1 + MAX_LOOPS)


def test_arrow_o_a_pin_hides_again_an_alert_under_duress() -> None:
    hidden = step(alert(), DURESS)
    assert refused(hidden, RIGHT) == Refusal.ALREADY
    lifted = step(hidden, Pressed(press(2)))
    assert as_shown_to_driver(lifted).state is ACT
    for pin in (RIGHT, DURESS):
        done = transition(lifted, pin, NOW + S)
        assert (done.arrow, done.alert.state) == ("O", ACT)
        assert as_shown_to_driver(done.alert).state is State.CANCELLED


def test_arrow_p_a_wrong_pin_is_counted() -> None:
    done = transition(alert(), WRONG, NOW)
    assert (done.arrow, done.refused, done.alert.wrong_pins) == ("P", Refusal.WRONG_PIN, 1)


def test_arrow_q_a_second_acknowledger_responds() -> None:
    done = transition(alert(ACK), Acknowledged(BY_BEN, "page"), NOW)
    assert done.arrow == "Q"
    assert done.alert.acknowledged_by == BY_ANA
    assert done.alert.responders == (Responder(BY_BEN, NOW),)
    assert arrow(done.alert, Acknowledged(BY_BEN, "page")) == "R"


def test_arrow_r_life_is_no_new_version() -> None:
    done = transition(alert(ACK), Heard(BY_ANA), NOW)
    assert done.arrow == "R"
    assert (done.alert.heard_ms, done.alert.version) == (NOW, alert(ACK).version)
    with_ben = step(alert(ACK), Acknowledged(BY_BEN, "page"))
    assert arrow(with_ben, Heard(BY_BEN)) == "R"
    assert step(with_ben, Heard(BY_ANA), now_ms=T0).heard_ms == NOW


def test_a_note_of_the_acknowledger_is_life() -> None:
    assert step(alert(ACK), Noted(BY_ANA, "nearly there")).heard_ms == NOW
    assert step(alert(ACK), Noted(OLGA, "hm")).heard_ms == T0


def test_arrow_s_somebody_is_coming_and_says_when() -> None:
    coming = ResponderAdded(OLGA, Responder(BY_BEN, NOW, 600))
    done = transition(alert(), coming, NOW)
    assert (done.arrow, done.alert.responders) == ("S", (coming.responder,))
    assert refused(done.alert, coming) == Refusal.ALREADY
    sooner = ResponderAdded(OLGA, Responder(BY_BEN, NOW + S, 300))
    assert step(done.alert, sooner).responders == (sooner.responder,)


def test_there_is_a_most_of_responders() -> None:
    full = alert()
    for n in range(MAX_RESPONDERS):
        full = step(full, ResponderAdded(OLGA, Responder(somebody(f"r{n}"), NOW)))
    assert refused(full, ResponderAdded(OLGA, Responder(BY_ANA, NOW))) == Refusal.FULL


def test_arrow_t_the_first_to_be_reached_counts() -> None:
    reached = step(alert(), Reached("ana"))
    assert reached.reached_ms == NOW
    assert refused(reached, Reached("ben"), NOW + S) == Refusal.ALREADY


def test_arrow_u_gives_up_once() -> None:
    done = transition(alert(), GaveUp("no_answer"), NOW)
    assert done.arrow == "U"
    assert (done.alert.exhausted_ms, done.alert.exhausted_reason) == (NOW, "no_answer")
    assert refused(done.alert, GaveUp("no_answer")) == Refusal.ALREADY


def test_arrow_w_contacts_that_a_local_copy_did_not_know_revive_an_exhausted_escalation() -> None:
    given_up = step(alert(), GaveUp("no_answer"))
    done = transition(given_up, ContactsFound(), NOW + S)
    assert done.arrow == "W"
    assert (done.alert.round, done.alert.exhausted_ms) == (1 + MAX_LOOPS, None)


@pytest.mark.parametrize("state", State)
def test_arrow_v_a_note_is_taken_always(state: State) -> None:
    assert arrow(alert(state), Noted(OLGA, "seen")) == "V"


# --- who may do what


@pytest.mark.parametrize("event", [Resolved(DRIVER), FalseAlarm(DRIVER), Acknowledged(DRIVER, "api")])
def test_the_driver_ends_it_by_a_pin_alone(event: Event) -> None:
    assert refused(alert(), event) == Refusal.OWN_ALERT
    assert refused(alert(ACK), ResponderAdded(OLGA, Responder(DRIVER, NOW))) == Refusal.OWN_ALERT


def test_another_driver_may_be_the_one_who_helps() -> None:
    assert arrow(alert(), Acknowledged(Actor(ActorKind.DRIVER, "d2"), "page")) == "H"


@pytest.mark.parametrize("event", [Resolved(MACHINE), FalseAlarm(MACHINE), Acknowledged(MACHINE, "api")])
def test_a_machine_helps_nobody(event: Event) -> None:
    assert refused(alert(), event) == Refusal.NOT_A_PERSON


def test_a_contact_ends_it_only_after_taking_it() -> None:
    for event in (Resolved(BY_BEN), FalseAlarm(BY_BEN)):
        assert refused(alert(ACK), event) == Refusal.ACKNOWLEDGE_FIRST
        taken = step(alert(ACK), Acknowledged(BY_BEN, "link"))
        assert transition(taken, event, NOW).refused is None


def test_an_alert_under_duress_is_no_false_alarm_by_a_contacts_word() -> None:
    taken = step(alert(), DURESS, Acknowledged(BY_ANA, "link"))
    assert refused(taken, FalseAlarm(BY_ANA)) == Refusal.DURESS
    assert arrow(taken, FalseAlarm(OLGA)) == "K"
    assert arrow(taken, Resolved(BY_ANA)) == "L"


# --- drills, severity, ids


@pytest.mark.parametrize("drill", [True, False])
def test_drills_and_real_ones_never_join(drill: bool) -> None:
    other = Pressed(press(2, drill=not drill))
    assert refused(alert(drill=drill), other) == Refusal.OTHER_DRILL
    assert arrow(alert(drill=drill), Pressed(press(2, drill=drill))) == "M"


def test_severity_only_rises() -> None:
    assert step(alert(), Pressed(press(2, kind=Kind.SIGNAL_LOST))).severity is Severity.CRITICAL
    assert step(alert(kind=Kind.SIGNAL_LOST), Pressed(press(2, kind=Kind.FALL))).severity is Severity.WARNING


def test_every_kind_has_a_severity_and_a_person_is_worse_than_a_machine() -> None:
    assert {severity_of(kind) for kind in Kind} == set(Severity)
    assert worse(Kind.SOS, Kind.CRASH)
    assert not worse(Kind.CRASH, Kind.SOS)
    assert not any(worse(kind, kind) for kind in Kind)


def test_ids_are_made_of_tenant_driver_and_press() -> None:
    ids = {
        alert_id_of("a", "b", sos(1)), alert_id_of("a", "b", sos(2)), alert_id_of("a", "c", sos(1)),
        alert_id_of("b", "b", sos(1)), alert_id_of("ab", "", sos(1)), alert_id_of("", "ab", sos(1)),
    }  # fmt: skip
    assert len(ids) == 6
    # Kept in databases and in phones: it must never become another.
    assert alert_id_of("acme", "d1", UUID(int=1)) == UUID("704c13d3-ab6e-5c1a-95b0-64394938dac2")


# --- what the phone is shown


def test_an_alert_without_duress_is_shown_as_it_is() -> None:
    for state in State:
        assert as_shown_to_driver(alert(state)) == alert(state)


def test_under_duress_the_phone_is_shown_a_cancelled_alert_that_never_changes() -> None:
    hidden = step(alert(ACK, kind=Kind.FALL, reached_ms=T0), DURESS)
    shown = as_shown_to_driver(hidden)
    cancelled = step(alert(ACK, kind=Kind.FALL, reached_ms=T0), RIGHT)
    assert (shown.state, shown.closed_ms) == (cancelled.state, cancelled.closed_ms)
    assert shown.closed_by == Actor(ActorKind.DRIVER, "d1")
    assert (shown.version, shown.severity, shown.duress, shown.silent) == (
        cancelled.version, cancelled.severity, False, False,
    )  # fmt: skip
    later = step(
        hidden, Acknowledged(BY_ANA, "link"), Acknowledged(BY_BEN, "link"), Noted(OLGA, "n"),
        ResponderAdded(OLGA, Responder(OLGA, NOW, 60)), Resolved(OLGA), now_ms=NOW + 60 * S,
    )  # fmt: skip
    assert later.version > hidden.version
    assert as_shown_to_driver(later) == shown


def test_after_another_press_the_phone_is_shown_what_happened_since() -> None:
    hidden = step(alert(), DURESS, Acknowledged(BY_ANA, "link"))
    lifted = step(hidden, Pressed(press(2)), now_ms=NOW + 60 * S)
    shown = as_shown_to_driver(lifted)
    assert (shown.state, shown.acknowledged_by, shown.responders, shown.reached_ms) == (ACT, None, (), None)
    assert not shown.duress
    assert shown.silent
    taken = step(lifted, Acknowledged(BY_BEN, "link"), now_ms=NOW + 90 * S)
    assert as_shown_to_driver(taken).responders == (Responder(BY_BEN, NOW + 90 * S),)
    again = step(lifted, AckSilent(), Acknowledged(BY_BEN, "link"), now_ms=NOW + 99 * S)
    assert as_shown_to_driver(again).acknowledged_by == BY_BEN
    assert as_shown_to_driver(step(lifted, Resolved(OLGA))).state is State.RESOLVED
    assert as_shown_to_driver(replace(lifted, reached_ms=NOW + 61 * S)).reached_ms == NOW + 61 * S
