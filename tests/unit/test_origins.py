"""Whose page it is, however a proxy or a browser spells scheme, host and port."""

from typing import Any

import pytest

from realtime.http.proxy import is_own_origin
from realtime.settings import Settings

SETTINGS = Settings(auth_secret="x" * 32, public_url="https://Safe.Example:443")


def environ(host: str, proto: str) -> dict[str, Any]:
    return {"HTTP_HOST": host, "HTTP_X_FORWARDED_PROTO": proto}


@pytest.mark.parametrize(
    ("origin", "host", "proto"),
    [
        ("https://a.example", "a.example", "https"),
        ("https://a.example", "A.Example", "HTTPS"),
        ("https://a.example", "a.example:443", "https"),
        ("http://a.example", "a.example:80", "http"),
        ("https://A.example:443", "a.example", "https"),
        ("https://a.example", "a.example", "https,http"),
        ("https://a.example", "a.example", " https , http"),
        ("http://a.example:8000", "a.example:8000", "http"),
        ("http://[::1]:8000", "[::1]:8000", "http"),
        ("https://safe.example", "inside:8000", "http"),
    ],
)
def test_every_spelling_of_our_own_origin_is_ours(origin: str, host: str, proto: str) -> None:
    assert is_own_origin(SETTINGS, origin, environ(host, proto))


@pytest.mark.parametrize(
    ("origin", "host", "proto"),
    [
        ("https://b.example", "a.example", "https"),
        ("http://a.example", "a.example", "https"),
        ("https://a.example", "a.example", "http"),
        ("https://a.example", "a.example", "http,https"),
        ("https://a.example:444", "a.example", "https"),
        ("https://a.example:80", "a.example", "https"),
        ("https://a.example.evil", "a.example", "https"),
        ("null", "a.example", "https"),
        ("", "", ""),
        (None, "a.example", "https"),
    ],
)
def test_no_other_origin_is_ours(origin: str | None, host: str, proto: str) -> None:
    assert not is_own_origin(SETTINGS, origin, environ(host, proto))
