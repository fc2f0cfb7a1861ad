"""Every random token that can stand in a link is made by one maker, and ends in a letter or a digit."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import realtime
from realtime import link_tokens

NOT_IN_LINKS = {
    "engines/layout.py",  # the secret of a data directory
    "fanout/engineio/server.py",  # the id of a transport
    "link_tokens.py",
    "outside/fcm.py",  # the token of a phone of the stand-in
}


def test_a_token_is_drawn_again_until_it_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Iterator[str] = iter(("aaa-", "bbb_", "ccc9"))
    monkeypatch.setattr(link_tokens.secrets, "token_urlsafe", lambda size: next(drawn))
    assert link_tokens.new_token(3) == "ccc9"


def test_a_signed_token_is_drawn_again_until_its_signature_ends_well(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: Iterator[str] = iter(("aaaa", "bbb_", "ccc-"))
    ends = {"aaaa": "x_", "bbb_": "y-", "ccc-": "z0"}
    monkeypatch.setattr(link_tokens.secrets, "token_urlsafe", lambda size: next(drawn))
    assert link_tokens.new_token(3, lambda token: ends[token]) == "ccc-z0"


def test_no_token_ends_in_a_dash_or_an_underscore() -> None:
    assert all(link_tokens.new_token(size)[-1].isalnum() for size in (12, 16, 24, 32) for _ in range(300))


def test_no_other_module_makes_tokens() -> None:
    root = Path(realtime.__file__).parent
    makers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if re.search(r"token_urlsafe", path.read_text())
    }
    assert makers == NOT_IN_LINKS
