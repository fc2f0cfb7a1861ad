"""From whom texts and calls come: what a sender can do, and which are refused at the start, by name."""

from typing import Any

import pytest
from pydantic import ValidationError

from alerts.notifiers.sender import Sender, can_call, can_receive, kind_of, sender_of
from realtime.settings import Settings

TWILIO: dict[str, Any] = {"twilio_account_sid": "AC1", "twilio_auth_token": "x"}
SERVICE = "MG" + "a" * 32


@pytest.mark.parametrize(
    ("text", "sender", "kind"),
    [
        ("+15005550006", "+15005550006", Sender.NUMBER),
        ("+1 (500) 555-0006", "+15005550006", Sender.NUMBER),
        ("0015005550006", "+15005550006", Sender.NUMBER),
        (" +44 20 7946 0958\n", "+442079460958", Sender.NUMBER),
        ("＋１５００５５５０００６", "+15005550006", Sender.NUMBER), (SERVICE, SERVICE, Sender.SERVICE),
        ("12345", "12345", Sender.SHORT_CODE), ("WAYGUARD", "WAYGUARD", Sender.NAME),
        ("Way Guard", "Way Guard", Sender.NAME), ("Guard-24", "Guard-24", Sender.NAME),
        ("A", "A", Sender.NAME),
    ],
)  # fmt: skip
def test_a_sender_is_a_number_a_service_a_short_code_or_a_name(text: str, sender: str, kind: Sender) -> None:
    assert sender_of(text) == sender
    assert kind_of(sender) is kind
    assert Settings(twilio_from=text, **TWILIO).twilio_from == sender


@pytest.mark.parametrize(
    "text", ["Wayguard Alerts", "+", "+12", "MG" + "x" * 40, "4155552671", "Wäyguard", "!!"]
)
def test_what_is_no_sender_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValidationError, match="twilio_from"):
        Settings(twilio_from=text, **TWILIO)


@pytest.mark.parametrize("text", ["WAYGUARD", SERVICE, "12345", "Way Guard", "A1", "007", "12345678"])
def test_a_sender_that_cannot_call_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValidationError, match=r"(?s)twilio_call_from.*cannot make calls"):
        Settings(twilio_from="+15005550006", twilio_call_from=text, **TWILIO)


def test_a_number_that_can_call_is_taken_however_it_is_written() -> None:
    settings = Settings(twilio_from="WAYGUARD", twilio_call_from="+1 500 555-0006", **TWILIO)
    assert settings.twilio_call_from == "+15005550006"


def test_a_name_takes_no_reply_and_makes_no_call() -> None:
    senders = ("+15005550006", SERVICE, "12345", "WAYGUARD", "")
    assert [can_receive(sender) for sender in senders] == [True, True, True, False, False]
    assert [can_call(sender) for sender in senders] == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("t1=+41 44 668 18 00", "t1=+41446681800"), ("t1=0041446681800", "t1=+41446681800"),
        (" t1 = +41-44-668.18.00 ,t2=+1 (415) 555-2671", "t1=+41446681800,t2=+14155552671"),
        ("t1=\u202a+41446681800\u202c", "t1=+41446681800"), ("t1=+881612345678", "t1=+881612345678"),
    ],
)  # fmt: skip
def test_an_emergency_number_is_taken_as_it_is_written(given: str, kept: str) -> None:
    assert ",".join(Settings(emergency_numbers=given).emergency_numbers) == kept


@pytest.mark.parametrize("given", ["t1=112", "t1=0446681800", "t1=", "=+41446681800", "+41446681800"])
def test_an_emergency_number_without_its_country_is_refused_by_name(given: str) -> None:
    with pytest.raises(ValidationError, match="emergency_numbers"):
        Settings(emergency_numbers=given)
