"""Tokens of links end in a letter or a digit; what a program added behind one is cut."""

import base64
import hmac
from uuid import UUID, uuid4

import pytest

from alerts.replies.answer import AnswerClaims, derive, make_token, read_token
from alerts.replies.tokens import cut, is_linkable

SECRET = "a secret of at least thirty-two bytes"
UNTIL = 1_790_000_000_000
CONTACTS = ("7d444840-9dc0-41d1-b245-5ffdce74fad2", "operator", "dispatch", "x", "xy", "xyz", "x" * 64)


def test_no_answer_token_ends_in_a_dash_or_an_underscore() -> None:
    for number in range(600):
        alert_id = UUID(int=number)
        for contact in CONTACTS:
            token = make_token(SECRET, alert_id, contact, UNTIL)
            assert token[-1].isalnum(), token
            assert read_token(SECRET, token, 0) == AnswerClaims(alert_id, contact, UNTIL)


def test_a_token_from_before_that_ends_in_a_dash_or_an_underscore_is_valid() -> None:
    found = 0
    for number in range(600):
        body = bytes([1]) + UUID(int=number).bytes + (UNTIL // 1000).to_bytes(5) + UUID(CONTACTS[0]).bytes
        mac = hmac.digest(derive(SECRET, "answer-link"), body, "sha256")[:16]
        token = base64.urlsafe_b64encode(body + mac).decode()
        found += token[-1] in "-_"
        assert read_token(SECRET, token, 0) == AnswerClaims(UUID(int=number), CONTACTS[0], UNTIL)
    assert found


def test_no_character_can_be_taken_from_a_token_or_put_behind_it() -> None:
    for _ in range(200):
        token = make_token(SECRET, uuid4(), CONTACTS[0], UNTIL)
        assert len(token) == 72
        for other in (token[:-1], token + "A", token + "0", token + "-"):
            assert read_token(SECRET, other, 0) is None


BEHIND = (
    ".", ")", ",", ">", '"', "'", "%20", "&utm_source=x", "]", "}", "!", "?", ";", ":", "…", "\u200b", "\xad",
    "&amp;x", "\r\n", " and so on", "*", "~", "|", "”", "»", "。", "<br>", "\\n", "/", "#", "`",
)  # fmt: skip


@pytest.mark.parametrize("behind", BEHIND)
def test_what_stands_behind_a_token_is_cut(behind: str) -> None:
    assert cut("Ab_-9" + behind) == "Ab_-9"


def test_what_is_linkable() -> None:
    assert [is_linkable(token) for token in ("", "-", "a-", "a_", "_", "a", "-9")] == [
        False, False, False, False, False, True, True,
    ]  # fmt: skip
