"""What others press for the driver never reaches the driver's phone, whichever release set the mask."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec import UNSET
from msgspec.structs import replace

from alerts.alert import Actor, ActorKind, Alert, Kind, Pressed, as_shown_to_driver
from alerts.values import Veil
from tests.alerts.test_alert import DURESS, NOW, OLGA, RIGHT, S, alert, press, step

POLICE = "the police are on their way"
JOURNEY = UUID(int=7)


def by_operator(number: int = 5, **more: Any) -> Pressed:
    given = {"message": POLICE, "kind": Kind.SOS, "journey_id": JOURNEY, "source": "dispatcher", "by": OLGA}
    return Pressed(press(number, **given | more))


def as_of_earlier_release(alert_: Alert) -> Alert:
    """As a process stored it whose masks have the time, the version and whether it was silent."""
    raw = msgspec.json.decode(msgspec.json.encode(alert_))
    raw["veil"] = {key: raw["veil"][key] for key in ("drawn_ms", "version", "silent", "lifted_ms")}
    return msgspec.convert(raw, Alert)


def shows_nothing_of_others(alert_: Alert) -> bool:
    return POLICE.encode() not in msgspec.json.encode(as_shown_to_driver(alert_))


@pytest.mark.parametrize("pin", [RIGHT, DURESS])
@pytest.mark.parametrize("message", ["", "help"])
def test_a_mask_of_an_earlier_release_shows_no_message_of_an_operator(pin: Any, message: str) -> None:
    masked = as_of_earlier_release(step(alert(message=message), pin))
    assert as_shown_to_driver(masked).message == message
    if pin is DURESS:
        joined_since = step(masked, by_operator())
        assert as_shown_to_driver(joined_since) == as_shown_to_driver(masked), "the phone is shown no change"
        joined_before = as_of_earlier_release(step(step(alert(message=message), pin), by_operator()))
        assert shows_nothing_of_others(joined_before)
        lifted_since = step(joined_before, Pressed(press(2)))
        assert shows_nothing_of_others(lifted_since)
        lifted_before = as_of_earlier_release(step(step(alert(), pin), by_operator(), Pressed(press(2))))
        assert shows_nothing_of_others(lifted_before)


def test_earlier_releases_masks_of_both_pins_show_the_same() -> None:
    pressed_twice = step(alert(message="help"), Pressed(press(2, message="again")))
    by_right, by_duress = (as_of_earlier_release(step(pressed_twice, pin)) for pin in (RIGHT, DURESS))
    assert as_shown_to_driver(by_right) == as_shown_to_driver(by_duress)
    without = replace(by_right, veil=None)
    assert as_shown_to_driver(without) == as_shown_to_driver(by_duress)


@pytest.mark.parametrize("again", [RIGHT, DURESS])
@pytest.mark.parametrize("message", ["", "help"])
def test_a_mask_that_is_set_again_shows_nothing_that_others_pressed(again: Any, message: str) -> None:
    crash = alert(message=message, kind=Kind.CRASH, journey_id=None)
    under_duress = step(crash, DURESS, by_operator())
    lifted = step(under_duress, Pressed(press(2, kind=Kind.CRASH, journey_id=None)), now_ms=NOW + S)
    hidden = step(lifted, again, now_ms=NOW + 2 * S)
    for shown in map(as_shown_to_driver, (under_duress, lifted, hidden)):
        assert (shown.message, shown.kind, shown.journey_id) == (message, Kind.CRASH, None)
    after = step(hidden, by_operator(6, message="more"), now_ms=NOW + 3 * S)
    assert as_shown_to_driver(after) == as_shown_to_driver(hidden)


def test_the_drivers_own_further_presses_are_shown_after_the_first_lifted_the_mask() -> None:
    lifted = step(alert(message="a", kind=Kind.CRASH), DURESS, by_operator(), Pressed(press(2, message="b")))
    further = step(lifted, Pressed(press(3, message="c")), by_operator(6))
    assert as_shown_to_driver(lifted).message == "b"
    assert (as_shown_to_driver(further).message, as_shown_to_driver(further).kind) == ("c", Kind.SOS)


def test_a_mask_has_no_unset_field() -> None:
    veil = step(alert(), DURESS).veil
    assert isinstance(veil, Veil)
    assert UNSET not in [getattr(veil, name) for name in veil.__struct_fields__]
    assert Actor(ActorKind.OPERATOR, "x") != OLGA
