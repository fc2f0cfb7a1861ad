"""What of a duress PIN is in the views of an alert: nothing for the phone, nor for a link to the journey."""

from uuid import uuid4

from msgspec.structs import replace

from alerts.alert import Actor, ActorKind, Alert, CancelAsked, Kind, PinResult, Place, Severity, State
from alerts.cancelling import cancel_asked
from realtime.alerting.views import (
    contact_view,
    driver_view,
    glimpse,
    has_only_moved,
    operator_view,
    phone_view,
)

DRIVER = Actor(ActorKind.DRIVER, "d1")
ALERT = Alert(
    alert_id=uuid4(), tenant="t1", vendor="v1", driver="d1", sos_id=uuid4(), kind=Kind.SOS,
    severity=Severity.WARNING, state=State.ACTIVE, version=4, pressed_ms=1, raised_ms=1, active_since_ms=1,
)  # fmt: skip
TOLD = (("Ana", "sms", "delivered"),)


def after(pin: PinResult) -> Alert:
    return cancel_asked(ALERT, CancelAsked(DRIVER, pin), 9).alert


def test_the_phone_is_shown_the_same_after_either_pin_whatever_happens_then() -> None:
    right, duress = after(PinResult.RIGHT), after(PinResult.DURESS)
    assert duress.duress
    later = replace(duress, version=duress.version + 3, reached_ms=20, exhausted_ms=30)
    for shown in (duress, later):
        assert phone_view(shown, TOLD) == phone_view(right, TOLD)
        assert phone_view(shown, TOLD).told == ()
        assert driver_view(shown) == driver_view(right)


DESK = Actor(ActorKind.OPERATOR, "op-7", "Olga")


def test_the_phone_is_shown_who_raised_the_alert_for_its_driver() -> None:
    assert phone_view(ALERT).raised_by is None
    assert phone_view(replace(ALERT, raised_by=DESK)).raised_by == "Olga"
    unnamed = phone_view(replace(ALERT, raised_by=replace(DESK, name="")))
    assert unnamed.raised_by == "operator", "never an operator's id"


def test_who_raised_an_alert_is_the_same_on_the_phone_after_either_pin() -> None:
    alert = replace(ALERT, raised_by=DESK)
    right, duress = (
        cancel_asked(alert, CancelAsked(DRIVER, pin), 9).alert for pin in (PinResult.RIGHT, PinResult.DURESS)
    )
    assert phone_view(right) == phone_view(duress)
    assert phone_view(replace(duress, raised_by=None)) == phone_view(duress)


def test_a_link_to_the_journey_does_not_show_that_a_pin_was_the_duress_pin() -> None:
    assert glimpse(after(PinResult.DURESS)).duress is False


def test_a_change_of_the_place_alone_is_no_news_for_the_drivers_own_app() -> None:
    before = ALERT
    moved = replace(before, place=Place(1.0, 2.0, 5.0, 7), version=before.version + 1)
    assert has_only_moved(moved, before)
    assert not has_only_moved(replace(moved, reached_ms=5), before)
    assert not has_only_moved(moved, None)


def test_a_place_is_shown_with_its_source_and_a_glimpse_has_none() -> None:
    seen = replace(ALERT, place=Place(1.0, 2.0, 5.0, None, source="live"))
    shown = operator_view(seen).place
    assert shown is not None
    assert (shown.lat, shown.accuracy_m, shown.t_ms, shown.source) == (1.0, 5.0, None, "live")
    assert contact_view(seen).place == shown
    assert glimpse(seen).place is None
