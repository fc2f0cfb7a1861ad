"""Answer tokens cannot be made, changed or used up; words and keys mean what they say."""

import base64
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alerts.replies.answer import AnswerClaims, Word, derive, keypress, make_token, read_token, sms_word
from tests.alerts.kit import T0

SECRET = "a secret of at least thirty-two bytes"
ALERT_ID = UUID("b21f4a10-b883-5e60-bf79-c062eba82fc7")
CONTACT_ID = "7d444840-9dc0-41d1-b245-5ffdce74fad2"
UNTIL = T0 + 3_600_000
TOKEN = make_token(SECRET, ALERT_ID, CONTACT_ID, UNTIL)


@pytest.mark.parametrize("contact_id", [CONTACT_ID, "operator", "dispatch", CONTACT_ID.upper(), "x" * 64])
def test_a_token_says_who_may_answer_for_what(contact_id: str) -> None:
    token = make_token(SECRET, ALERT_ID, contact_id, UNTIL)
    assert read_token(SECRET, token, T0) == AnswerClaims(ALERT_ID, contact_id, UNTIL)


def test_a_token_is_short_and_needs_no_escaping() -> None:
    assert len(TOKEN) == 72
    assert TOKEN.replace("-", "").replace("_", "").isalnum()


def test_a_token_ends() -> None:
    assert read_token(SECRET, TOKEN, UNTIL - 1) is not None
    assert read_token(SECRET, TOKEN, UNTIL) is None


def test_only_our_secret_makes_tokens() -> None:
    assert read_token(SECRET + "!", TOKEN, T0) is None
    with pytest.raises(ValueError, match="the secret is empty"):
        make_token("", ALERT_ID, CONTACT_ID, UNTIL)


def test_no_bit_of_a_token_can_be_changed() -> None:
    raw = bytearray(base64.urlsafe_b64decode(TOKEN))
    for at in range(len(raw) * 8):
        raw[at // 8] ^= 1 << at % 8
        assert read_token(SECRET, base64.urlsafe_b64encode(raw).rstrip(b"=").decode(), T0) is None
        raw[at // 8] ^= 1 << at % 8


@pytest.mark.parametrize(
    "text",
    [
        "", "=", "a", TOKEN[:-1],
        TOKEN + "=", TOKEN + "A", " " + TOKEN, TOKEN + "\n", TOKEN.replace("-", "+"),
        "A" * 72, "é" * 10, "A" * 100_000, None, 7, TOKEN.encode(),
    ],
)  # fmt: skip
def test_what_is_no_token_is_none(text: object) -> None:
    assert read_token(SECRET, text, T0) is None


@given(st.text(max_size=100))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_no_text_makes_it_fail(text: str) -> None:
    assert read_token(SECRET, text, T0) is None


def test_keys_for_different_purposes_differ() -> None:
    keys = {derive(SECRET, "a"), derive(SECRET, "b"), derive(SECRET + "x", "a"), derive("x", "a")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    assert derive(SECRET, "a") == derive(SECRET.encode(), "a")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("1", Word.ACK), (" 1. ", Word.ACK), ("OK!", Word.ACK), ("Yes", Word.ACK), ("ok", Word.ACK),
        ("Sí", Word.ACK), ("JA", Word.ACK), ("Oui.", Word.ACK), ("sim", Word.ACK), ("हाँ", Word.ACK),
        ("On my\n way", Word.ACK), ("2", Word.FALSE_ALARM), ("False alarm", Word.FALSE_ALARM),
        ("Fehlalarm!", Word.FALSE_ALARM), ("HELP", Word.HELP), ("info", Word.HELP), ("STOP", Word.STOP),
        ("stop.", Word.STOP), ("Arrêt", Word.STOP), ("UNSUBSCRIBE", Word.STOP),
        ("", Word.OTHER), ("ok who is this?", Word.OTHER), ("11", Word.OTHER), ("not ok", Word.OTHER),
        ("1 hour away?", Word.OTHER), ("don't stop", Word.OTHER), ("x" * 100_000, Word.OTHER),
    ],
)  # fmt: skip
def test_an_sms_is_one_known_word_or_none(text: str, word: Word) -> None:
    assert sms_word(text) is word


def test_keys_on_a_call() -> None:
    assert [keypress(digit) for digit in ("1", "2", "3", "", "#", "12")] == [
        Word.ACK, Word.FALSE_ALARM, Word.OTHER, Word.OTHER, Word.OTHER, Word.ACK,
    ]  # fmt: skip
