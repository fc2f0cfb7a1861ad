"""PINs are kept as hashes and checked alike; phone numbers are those that messages may go to."""

import hashlib
import subprocess
from pathlib import Path
from typing import Any

import pytest

from alerts.addresses.phone import country_of, masked, normal
from alerts.alert import PinResult
from alerts.pin import (
    checked,
    hashed,
    is_changed_under_duress,
    is_set_as_shown,
    masked_pins,
    pins_of,
)
from alerts.policy import Pins

ROOT = Path(__file__).parents[2]
SALTS = (b"a" * 16, b"b" * 16)
BOTH = pins_of("1234", "99999999", SALTS)


@pytest.mark.parametrize(
    ("typed", "result"),
    [
        ("1234", PinResult.RIGHT), ("99999999", PinResult.DURESS), ("1235", PinResult.WRONG),
        ("", PinResult.WRONG), (None, PinResult.WRONG), (1234, PinResult.WRONG), (" 1234", PinResult.RIGHT),
        ("1234 ", PinResult.RIGHT), ("١٢٣٤", PinResult.RIGHT), ("１２３４", PinResult.RIGHT),
        ("۱۲۳۴", PinResult.RIGHT), ("٩٩٩٩٩٩٩٩", PinResult.DURESS), ("9999 9999", PinResult.DURESS),
        ("1234x", PinResult.WRONG),
        ("1" * 1_000_000, PinResult.WRONG), ("\ud800", PinResult.WRONG),
    ],
)  # fmt: skip
def test_a_pin_is_right_wrong_or_duress(typed: Any, result: PinResult) -> None:
    assert checked(typed, BOTH) is result


def test_without_a_duress_pin_none_is_one() -> None:
    alone = pins_of("1234", None, SALTS)
    assert alone.duress is None
    assert checked("1234", alone) is PinResult.RIGHT
    assert checked("0000", alone) is PinResult.WRONG


def test_without_any_pin_nothing_is_to_be_typed() -> None:
    assert checked("", Pins()) is PinResult.RIGHT
    assert checked("0000", Pins()) is PinResult.WRONG


def test_a_hash_that_is_none_is_no_pin() -> None:
    for kept in ("", "x", "zz$zz", "$", "1234"):
        assert checked("1234", Pins(cancel=kept)) is PinResult.WRONG


def test_no_pin_stands_in_its_hash_and_salts_make_equal_pins_differ() -> None:
    one, other = hashed("1234", SALTS[0]), hashed("1234", SALTS[1])
    assert one != other
    assert "1234" not in one.split("$")[1]
    assert one.startswith(SALTS[0].hex() + "$")


@pytest.mark.parametrize(
    ("cancel", "duress", "fact"),
    [
        ("123", None, "a pin is 4 to 8 digits"), ("123456789", None, "a pin is 4 to 8 digits"),
        ("12a4", None, "a pin is 4 to 8 digits"), ("١٢٣", None, "a pin is 4 to 8 digits"),
        ("1234", "١٢٣٤", "the duress pin is the cancel pin"), ("1234", "12", "a pin is 4 to 8 digits"),
        ("1234", "1234", "the duress pin is the cancel pin"),
        (None, "1234", "a duress pin needs a cancel pin"),
    ],
)  # fmt: skip
def test_what_is_no_pin_is_refused(cancel: str | None, duress: str | None, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        pins_of(cancel, duress, SALTS)


def test_a_salt_has_to_be_one() -> None:
    with pytest.raises(ValueError, match="the salt is too short"):
        hashed("1234", b"salt")


@pytest.mark.parametrize(
    ("cancel", "duress", "looks_right"),
    [
        ("5555", "6666", ("5555", "6666")),
        ("5555", None, ("5555",)),
        (None, None, ("",)),
        ("99999999", None, ("99999999",)),
        ("99999999", "5555", ("99999999", "5555")),
    ],
)
def test_a_change_by_the_duress_pin_keeps_the_own_pin_and_others_only_seem_to_end_it(
    cancel: str | None, duress: str | None, looks_right: tuple[str, ...]
) -> None:
    shown = masked_pins(BOTH, cancel, duress, SALTS[0])
    assert checked("1234", shown) is PinResult.RIGHT
    for typed in ("5555", "6666", "", "99999999", "0000"):
        expected = PinResult.DURESS if typed in looks_right else PinResult.WRONG
        assert checked(typed, shown) is expected, typed
    assert is_set_as_shown(shown) is (cancel is not None)


def test_after_two_changes_by_a_duress_pin_the_last_counts() -> None:
    once = masked_pins(BOTH, "5555", None, SALTS[0])
    twice = masked_pins(once, "7777", "8888", SALTS[1])
    results = {typed: checked(typed, twice) for typed in ("1234", "5555", "7777", "8888")}
    assert results == {
        "1234": PinResult.RIGHT,
        "5555": PinResult.WRONG,
        "7777": PinResult.DURESS,
        "8888": PinResult.DURESS,
    }


@pytest.mark.parametrize(("cancel", "duress"), [("5555", "6666"), ("5555", None), (None, None)])
def test_pins_tell_whether_they_were_changed_under_duress(cancel: str | None, duress: str | None) -> None:
    assert is_changed_under_duress(masked_pins(BOTH, cancel, duress, SALTS[0]))
    assert not is_changed_under_duress(BOTH)
    assert not is_changed_under_duress(Pins())
    assert not is_changed_under_duress(pins_of("1234", None, SALTS))


@pytest.mark.parametrize(
    ("digests", "looks_right", "is_set"),
    [(("5555", "6666"), ("5555", "6666"), True), (("",), ("",), False)],
)
def test_masked_pins_of_an_earlier_release_are_read(
    digests: tuple[str, ...], looks_right: tuple[str, ...], is_set: bool
) -> None:
    parts = [SALTS[0].hex()]
    parts += [
        hashlib.scrypt(one.encode(), salt=SALTS[0], n=1 << 14, r=8, p=1, dklen=32).hex() for one in digests
    ]
    stored = Pins(BOTH.cancel, "$".join(parts if is_set else [*parts, "-"]))
    assert checked("1234", stored) is PinResult.RIGHT
    assert {typed for typed in ("5555", "6666", "") if checked(typed, stored) is PinResult.DURESS} == set(
        looks_right
    )
    assert is_set_as_shown(stored) is is_set
    assert is_changed_under_duress(stored)


@pytest.mark.parametrize("release", ["520ad43^", "9ecb5eb"])
@pytest.mark.parametrize(
    ("cancel", "duress", "seems_to_end"), [("5555", "6666", "5555"), ("5555", None, "5555"), (None, None, "")]
)
def test_earlier_releases_take_a_masked_pin_for_a_duress_pin(
    release: str, cancel: str | None, duress: str | None, seems_to_end: str
) -> None:
    """In a rolling update a press may be cancelled at a process of an earlier release."""
    shown = subprocess.run(
        ["git", "show", f"{release}:alerts/pin.py"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if shown.returncode:
        pytest.skip(f"the history of this clone does not reach {release}")
    earlier: dict[str, Any] = {}
    source = shown.stdout.replace("alerts.typed", "alerts.addresses.typed")
    exec(compile(source, "pin.py", "exec"), earlier)
    stored = masked_pins(BOTH, cancel, duress, SALTS[0])
    assert earlier["checked"](seems_to_end, stored) is PinResult.DURESS
    assert earlier["checked"]("1234", stored) is PinResult.RIGHT
    assert earlier["checked"]("99999999", stored) is PinResult.WRONG


def test_a_change_and_a_masked_change_hash_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    scrypt, calls = hashlib.scrypt, []

    def counted(*given: Any, **more: Any) -> bytes:
        calls.append(more["salt"])
        return scrypt(*given, **more)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    for cancel, duress in (("5555", "6666"), ("5555", None), (None, None)):
        pins_of(cancel, duress, SALTS)
        by_right = len(calls)
        masked_pins(BOTH, cancel, duress, SALTS[0])
        assert len(calls) == 2 * by_right, (cancel, duress)
        calls.clear()
    for stored in (BOTH, masked_pins(BOTH, "5555", "6666", SALTS[0]), Pins(), pins_of("1234", None, SALTS)):
        calls.clear()
        checked("0000", stored)
        assert len(calls) == 2


def test_a_change_by_the_duress_pin_refuses_what_a_change_refuses() -> None:
    for cancel, duress in (("12", None), ("5555", "5555"), (None, "5555"), ("abcd", None)):
        with pytest.raises(ValueError, match="pin"):
            masked_pins(BOTH, cancel, duress, SALTS[0])


def test_a_pin_is_shown_as_set_by_the_cancel_pin() -> None:
    assert is_set_as_shown(BOTH)
    assert not is_set_as_shown(Pins())


# --- phone numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+44 7911 123456", "+447911123456"), ("+49 (0)30 901820", "+4930901820"),
        (" +1 (415) 555-2671 ", "+14155552671"), ("+41791234567", "+41791234567"),
    ],
)  # fmt: skip
def test_a_number_becomes_e164(text: str, number: str) -> None:
    assert normal(text) == number


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("", "country code"), ("07911 123456", "country code"), ("112", "country code"),
        ("tel:112", "country code"),        (None, "not a phone number"), (7, "not a phone number"),
        ("+4" * 50, "not a phone number"),
        ("+44 900 123 4567", "premium-rate"), ("+1 900 555 1234", "premium-rate"),
        ("+44 70 1234 5678", "personal"), ("+49 180 5 123456", "shared-cost"),
        ("+4479", "no such"), ("+999 1234567", "country code"),
        ("+1 415 555 2671 ext. 5", "extension"), ("+800 1234 5678", "no country"),
        ("+44 7911 12345678901", "no such"),
    ],
)  # fmt: skip
def test_a_number_that_nothing_may_be_sent_to_is_refused(text: object, fact: str) -> None:
    with pytest.raises(ValueError, match=fact) as refused:
        normal(text)
    assert "1234" not in str(refused.value)


def test_only_countries_that_are_allowed() -> None:
    assert normal("+41791234567", ("ch", "DE")) == "+41791234567"
    with pytest.raises(ValueError, match="phone numbers of GB are not allowed"):
        normal("+447400123456", ("CH", "DE"))
    assert country_of("+41791234567") == "CH"
    assert country_of("nonsense") is None


def test_a_masked_number_is_known_to_its_owner_alone() -> None:
    assert masked("+447911123456") == "+44…56"
    assert masked("+4412") == "…"
