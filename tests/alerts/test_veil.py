"""A press by an operator or a timer shows the phone nothing of an alert that a PIN has hidden."""

from uuid import uuid4

import pytest
from msgspec.structs import replace

from alerts import case as cases
from alerts.alert import Actor, ActorKind, CancelAsked, Kind, PinResult, Press, State
from alerts.case import Case
from alerts.driver_view import as_shown_to_driver
from realtime.alerting.views import is_open_on_phone
from tests.alerts.ledger_contract import CIRCUMSTANCES, a_press

START_MS = 1_790_000_000_000
DRIVER = Actor(ActorKind.DRIVER, "d1")
OLGA = Actor(ActorKind.OPERATOR, "olga", "Olga")


def hidden(pin: PinResult = PinResult.DURESS) -> Case:
    case = cases.opened(a_press(START_MS, message="help"), CIRCUMSTANCES, START_MS).case
    return cases.applied(case, CancelAsked(DRIVER, pin), START_MS + 1_000).case


def press_of(source: str, **changes: object) -> Press:
    press = replace(a_press(START_MS + 5_000), sos_id=uuid4(), source=source)
    return replace(press, **changes)


@pytest.mark.parametrize(
    "press",
    [
        press_of("dispatcher", by=OLGA, message="police are 2 min away", silent=True),
        press_of("api", by=OLGA, kind=Kind.CRASH, message="police are 2 min away"),
        press_of("timer", kind=Kind.CHECK_IN_MISSED),
    ],
    ids=["dispatcher", "service", "timer"],
)
def test_a_press_of_others_leaves_the_mask_and_what_it_shows(press: Press) -> None:
    before = hidden()
    after = cases.joined(before, press, CIRCUMSTANCES, START_MS + 6_000).case
    assert after.alert.presses == 2
    assert not is_open_on_phone(after.alert)
    assert as_shown_to_driver(after.alert) == as_shown_to_driver(before.alert)


def test_a_press_of_the_phone_lifts_the_mask_and_shows_no_message_of_others() -> None:
    press = press_of("dispatcher", by=OLGA, message="police are 2 min away")
    told = cases.joined(hidden(), press, CIRCUMSTANCES, START_MS + 6_000).case
    after = cases.joined(told, press_of("socket"), CIRCUMSTANCES, START_MS + 9_000).case
    assert is_open_on_phone(after.alert)
    shown = as_shown_to_driver(after.alert)
    assert (shown.state, shown.message) == (State.ACTIVE, "help")
    assert after.alert.message == "police are 2 min away"
