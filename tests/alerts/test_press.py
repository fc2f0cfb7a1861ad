"""Presses are read from whatever comes in: only ``sos_id`` has to be right."""

import json
import math
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.alert import Kind, Place, Press
from alerts.press import ANCIENT_MS, FUTURE_MS, MAX_JSON_BYTES, MESSAGE_CHARS, age_ms, cleaned, parse_press
from tests.alerts.kit import T0, S, alert

SOS = "7d444840-9dc0-41d1-b245-5ffdce74fad2"
JOURNEY = "0199a0b0-0000-7000-8000-000000000001"
POINT = [7, T0 - 5 * S, 53.4, -2.9, 13.4, 90.0, 12.0, 30.0, 55.0]


def parsed(raw: object, token_expired: bool = False) -> Press:
    return parse_press(
        raw, tenant="acme", vendor="north", driver="d1", received_ms=T0, source="http",
        token_expired=token_expired,
    )  # fmt: skip


def of(**fields: Any) -> Press:
    """What becomes of these fields beside a right ``sos_id``, in JSON."""
    return parsed(json.dumps({"sos_id": SOS, **fields}).encode())


def test_a_whole_press_is_read_as_it_is() -> None:
    press = of(
        kind="crash", pressed_at=T0 - 3 * S, journey_id=JOURNEY, point=POINT, message="help", silent=True,
        drill=True,
    )  # fmt: skip
    assert press == Press(
        tenant="acme", vendor="north", driver="d1", sos_id=UUID(SOS), kind=Kind.CRASH, received_ms=T0,
        pressed_ms=T0 - 3 * S, source="http", journey_id=UUID(JOURNEY),
        place=Place(53.4, -2.9, 12.0, T0 - 5 * S, 55.0), message="help", silent=True, drill=True,
    )  # fmt: skip


def test_an_sos_id_is_enough() -> None:
    press = of()
    assert (press.kind, press.pressed_ms, press.place, press.noted) == (Kind.SOS, T0, None, ())


@pytest.mark.parametrize(
    "raw",
    [
        {"sos_id": SOS}, {"sos_id": UUID(SOS)}, {"sos_id": SOS.upper()}, {"sos_id": SOS.replace("-", "")},
        {"sos_id": f"{{{SOS}}}"}, {"sos_id": f"urn:uuid:{SOS}"}, {"sos_id": f"URN:UUID:{SOS.upper()}"},
        f'{{"sos_id": "{{{SOS}}}", "message": cut',
        json.dumps({"sos_id": SOS}), msgspec.Raw(json.dumps({"sos_id": SOS}).encode()),
        bytearray(json.dumps({"sos_id": SOS}).encode()),
    ],
)  # fmt: skip
def test_it_may_come_as_bytes_text_or_decoded(raw: object) -> None:
    assert parsed(raw).sos_id == UUID(SOS)


@pytest.mark.parametrize("bad", ["9" * 5_000, "-" + "9" * 5_000, "1e999"])
def test_a_number_beyond_all_numbers_costs_its_own_field_alone(bad: str) -> None:
    press = parsed(f'{{"sos_id": "{SOS}", "pressed_at": {bad}, "message": "help"}}')
    assert (press.message, press.pressed_ms, press.noted) == ("help", T0, ("pressed_at",))


def test_a_byte_order_mark_before_it_costs_nothing() -> None:
    press = parsed(b"\xef\xbb\xbf" + json.dumps({"sos_id": SOS, "message": "help"}).encode())
    assert (press.message, press.noted) == ("help", ())


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{}", b"[]", b"null", b"7", "", None, 7, [], {}, b"\xff\xfe", {"sos_id": None}, {"sos_id": 7},
        {"sos_id": ""}, {"sos_id": SOS + "0"}, {"sos_id": f"{{{SOS}0}}"}, {"sos_id": [SOS]},
        {"sos_id": "00000000-0000-0000-0000-000000000000"}, [{"sos_id": SOS}],
        json.dumps({"sos_id": "x", "message": SOS}),
    ],
)  # fmt: skip
def test_without_an_sos_id_there_is_nothing_to_take(raw: object) -> None:
    with pytest.raises(ValueError, match="sos_id is"):
        parsed(raw)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "boom"), ("kind", 7), ("kind", ["sos"]), ("kind", {}), ("kind", "check_in_missed"),
        ("kind", "signal_lost"), ("pressed_at", "now"), ("pressed_at", math.nan), ("pressed_at", math.inf),
        ("pressed_at", True), ("pressed_at", T0 + FUTURE_MS + 1), ("pressed_at", T0 - ANCIENT_MS - 1),
        ("pressed_at", T0 // 1000), ("pressed_at", 10**400), ("pressed_at", []), ("journey_id", 7),
        ("journey_id", "x"), ("journey_id", JOURNEY + "\n"), ("point", "here"), ("point", []), ("point", {}),
        ("point", [1, T0, None, None]), ("point", [1, T0, 91, 0]), ("point", [1, T0, 0, 181]),
        ("point", [1, T0, math.nan, 0]), ("point", [1, T0, "53", 0]), ("point", [1, T0, True, 0]),
        ("message", 7), ("message", ["help"]), ("silent", "no"), ("silent", 0), ("drill", 1),
        ("drill", "true"),
    ],
)  # fmt: skip
def test_a_bad_field_is_dropped_and_noted_and_the_sos_taken(field: str, value: Any) -> None:
    press = of(**{field: value})
    assert press.noted == (field,)
    assert msgspec.structs.replace(press, noted=()) == of()


def test_null_is_no_field() -> None:
    names = ("kind", "pressed_at", "journey_id", "point", "message", "silent", "drill")
    assert of(**dict.fromkeys(names)) == of()


def test_a_clock_a_little_ahead_is_now_and_one_behind_is_believed() -> None:
    assert of(pressed_at=T0 + FUTURE_MS).pressed_ms == T0
    late = of(pressed_at=T0 - ANCIENT_MS)
    assert (late.pressed_ms, late.noted) == (T0 - ANCIENT_MS, ())
    assert age_ms(late, T0 + 5) == ANCIENT_MS + 5
    assert age_ms(alert(), T0 - 5) == 0


def test_a_point_keeps_what_is_right_of_it() -> None:
    assert of(point=[1, "x", 53.4, -2.9, None, None, -1, None, 101]).place == Place(53.4, -2.9)
    assert of(point=[1, T0, 53.4, -2.9]).place == Place(53.4, -2.9, None, T0)
    assert of(point=[*POINT, "more", "and more"]).place == of(point=POINT).place


def test_silent_in_doubt_is_silent() -> None:
    for value in (1, "1", "true"):
        press = of(silent=value)
        assert (press.silent, press.noted) == (True, ("silent",))


def test_a_megabyte_of_message_is_cut_and_the_sos_taken() -> None:
    press = of(message="x" * 1_000_000)
    assert (press.message, press.noted) == ("x" * MESSAGE_CHARS, ("message_cut",))
    enormous = of(message="x" * MAX_JSON_BYTES)
    assert (enormous.sos_id, enormous.message, enormous.noted) == (UUID(SOS), "", ("malformed",))


@pytest.mark.parametrize(
    "raw",
    [
        f'{{"sos_id":"{SOS}","message":"he', f'{{"sos_id" : "{SOS}" "kind"', f'junk {{"sos_id":"{SOS}"}}',
        f'{{"sos_id":"{SOS}","a":' + "[" * 200_000, f'{{"sos_id":"{SOS}","pressed_at":9-9}}',
    ],
)  # fmt: skip
def test_of_broken_json_the_sos_id_is_taken(raw: str) -> None:
    press = parsed(raw.encode())
    assert (press.sos_id, press.noted) == (UUID(SOS), ("malformed",))


def test_bytes_that_are_no_text_do_not_hide_the_sos_id() -> None:
    assert parsed(b'{"sos_id":"' + SOS.encode() + b'","message":"\xff\xfe!"}').message == "\ufffd\ufffd!"


def test_an_expired_token_is_noted() -> None:
    assert parsed({"sos_id": SOS, "kind": "x"}, token_expired=True).noted == ("token_expired", "kind")


# --- messages


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\r\nBcc: all@example.org", "a Bcc: all@example.org"),
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("\u202eevil\u2066", "evil"),
        ("a\u2028b\u2029c\u00a0d", "a b c d"),
        ("\ud800x", "x"),
        ("  much \t room  ", "much room"),
        ("👩\u200d🚒 मदद", "👩\u200d🚒 मदद"),
        ("", ""),
    ],
)
def test_a_message_is_one_harmless_line(text: str, clean: str) -> None:
    assert cleaned(text) == clean


@given(st.text(alphabet=st.characters(), max_size=200))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_any_text_becomes_one_line_that_stays_as_it_is(text: str) -> None:
    clean = cleaned(text, 50)
    assert len(clean) <= 50
    assert clean == cleaned(clean, 50)
    assert clean.isprintable() or {c for c in clean if not c.isprintable()} <= set("\u200c\u200d")
    clean.encode()


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
NAMES = ("kind", "pressed_at", "journey_id", "point", "message", "silent", "drill", "extra")


@given(fields=st.dictionaries(st.sampled_from(NAMES), anything))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_whatever_else_comes_the_sos_is_taken(fields: dict[str, Any]) -> None:
    press = parsed({"sos_id": SOS, **fields})
    assert press.sos_id == UUID(SOS)
    assert press.pressed_ms <= T0
    assert msgspec.json.decode(msgspec.json.encode(press), type=Press) == press


@given(raw=st.binary(max_size=200))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_bytes_do_anything_but_raise_value_error(raw: bytes) -> None:
    with pytest.raises(ValueError, match="sos_id"):
        parsed(raw)
    assert parsed(b'"sos_id":"' + SOS.encode() + b'"' + raw).sos_id == UUID(SOS)
