"""The word of a reply is understood however a keyboard writes it; a sentence is none."""

import json
from typing import Any

import pytest

from alerts.addresses.typed import digits_of, plain
from alerts.replies.answer import Word, keypress, sms_word
from realtime.pages.routes import STATIC


@pytest.mark.parametrize(
    "text",
    [
        "1", "１", "१", "١", "۱", "১", "1.", "1!", "(1)", "'1'", "“1”", "«1»", "1️⃣", "\u200e1\u200f",
        " 1\u00a0",
        "\u202a1\u202c", "\ufeff1", "1\u200b", "#1", "1 -", "– 1", "1,", "1;", "1:", "[1]", "<1>", "1\n",
        "1…",
        "1。", "①", "yes", "YES!!", "Yes.", "ｙｅｓ", "Oui !", "¡Sí!", "si\u0301", "Ok.", "okay", "o.k.",
        "OK, on my way",
        "1 yes", "yes 1", "1, ok", "1 1", "ok ok", "Yes, coming", "on my way!!!", "On-my-way", "I'm on it",
        "I’m on it", "I am on it.", "j’arrive", "J'arrive", "Ich komme!", "One", "uno", "eins",
        "1\n-- \nSent from my phone",
        "1\n\nSent from my iPhone", "1\n> Dee has pressed SOS.", "हां", "हाँ।", "जी हाँ", "1 .", "*1*",
        "_1_", "1/",
    ],
)  # fmt: skip
def test_one_in_all_its_forms_acknowledges(text: str) -> None:
    assert sms_word(text) is Word.ACK


@pytest.mark.parametrize(
    "text",
    [
        "11", "1 hour away?", "not 1", "no", "1?", "yes?", "ok who is this?", "1 2", "2 or 1", "yes no",
        "-11",
        "1.5", "1000", "10", "+1", "1st", "is it 1", "stop 1", "1 stop", "", " ", "…", "who",
        "I can't come",
        "yes but I am far away", "ok help", "1\nwho is this", "Liked “Dee has pressed SOS. Reply 1”",
        "½", "01",
    ],
)  # fmt: skip
def test_what_may_mean_something_else_is_no_acknowledgement(text: str) -> None:
    assert sms_word(text) is not Word.ACK


@pytest.mark.parametrize(
    "text",
    [
        "STOP", "stop", "Stop.", "ＳＴＯＰ", "STOP!", "“STOP”", "stop all", "STOPALL", "stop-all",
        "REVOKE", "revoke.",
        "OPTOUT", "OptOut", "opt out", "Opt-Out", "opt–out", "OPT OUT!", "opt\u00a0out", "Unsubscribe",
        "un-subscribe",
        "CANCEL", "END", "Quit", "stop stop", "STOP\u200e", "arrêt", "ARRET", "Arre\u0302t", "baja",
        "Abmelden", "parar",
        "SAIR", "बंद", "please stop", "Stop, please", "stop it", "stop\n\nSent from my iPhone", "remove",
        "désabonner",
        "no more", "ST0P",
    ],
)  # fmt: skip
def test_the_words_that_opt_out_in_all_their_forms(text: str) -> None:
    assert sms_word(text) is Word.STOP


@pytest.mark.parametrize(
    "text",
    [
        "don't stop", "I will stop at hers", "cancel the alarm", "end of road", "stop the car", "opt", "out",
        "quitting",
    ],
)  # fmt: skip
def test_a_sentence_with_such_a_word_does_not_opt_out(text: str) -> None:
    assert sms_word(text) is Word.OTHER


@pytest.mark.parametrize(
    "text",
    ["START", "start.", "Unstop", "ＳＴＡＲＴ", "un-stop", "opt in", "Opt-In", "subscribe", "resubscribe"]
)  # fmt: skip
def test_the_words_that_opt_in_again(text: str) -> None:
    assert sms_word(text) is Word.START


@pytest.mark.parametrize(
    "text",
    ["2", "２", "२", "2.", "٢", "False alarm!", "false-alarm", "Fehlalarm.", "2, false alarm", "two"]
)  # fmt: skip
def test_two_in_all_its_forms_is_a_false_alarm(text: str) -> None:
    assert sms_word(text) is Word.FALSE_ALARM


@pytest.mark.parametrize("text", ["HELP", "help!", "Info?", "ＨＥＬＰ", "ayuda", "?", "help me"])
def test_the_words_that_ask_what_this_is(text: str) -> None:
    assert (sms_word(text) is Word.HELP) == (text not in ("?", "help me"))


def test_a_key_is_one_whatever_comes_with_it() -> None:
    assert keypress(" 1#") is Word.ACK and keypress("１") is Word.ACK
    assert keypress("*1") is Word.OTHER and keypress("") is Word.OTHER


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("123456", "123456"), ("123 456", "123456"), ("１２３４５６", "123456"), ("१२३४५६", "123456"),
        ("١٢٣٤٥٦", "123456"), ("123-456", "123456"), ("\u200e123456\u200f", "123456"),
        (" 123\u00a0456.", "123456"),
        ("12345a", ""), ("", ""), ("½", ""), ("1.2", ""), ("-", ""), ("12,34", ""),
    ],
)  # fmt: skip
def test_a_code_is_its_digits(typed: str, code: str) -> None:
    assert digits_of(typed) == code


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "\U0010ffff", "a" * 1_000, "\u0301" * 50])
def test_no_text_makes_it_fail(text: str) -> None:
    assert isinstance(plain(text), str) and sms_word(text) in Word


TYPED = json.loads((STATIC.parent / "web" / "tests" / "typed.json").read_text())


@pytest.mark.parametrize(("function", "cases"), [(plain, TYPED["plain"]), (digits_of, TYPED["digits"])])
def test_the_pages_and_the_server_normalise_typed_text_alike(function: Any, cases: list[list[str]]) -> None:
    assert len(cases) > 10
    assert [function(typed) for typed, _ in cases] == [expected for _, expected in cases]
