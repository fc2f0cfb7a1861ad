"""The cookie of a session: where it is bound to, and what of a request is it."""

import pytest

from realtime.protocol import Code, Refused
from realtime.sessions.cookie import SessionCookie

PLAIN = SessionCookie.at("http://127.0.0.1:8000")
HTTPS = SessionCookie.at("https://track.example")


def attributes(header: str) -> set[str]:
    return set(header.split("; ")[1:])


def test_no_script_reads_it_and_no_other_site_has_it_sent() -> None:
    assert PLAIN.setting("v", 60) == "wayguard_session=v; Max-Age=60; Path=/; HttpOnly; SameSite=Strict"


def test_over_https_it_is_bound_to_the_host() -> None:
    header = HTTPS.setting("v", 60)
    assert header.startswith("__Host-wayguard_session=v; ")
    assert attributes(header) == {"Max-Age=60", "Path=/", "HttpOnly", "SameSite=Strict", "Secure"}
    assert SessionCookie.at("HTTPS://track.example") == HTTPS


@pytest.mark.parametrize("cookie", [PLAIN, HTTPS])
def test_it_is_taken_away_by_the_same_name_and_path(cookie: SessionCookie) -> None:
    header = cookie.clearing()
    assert header.startswith(f"{cookie.name}=; Max-Age=0; ")
    assert attributes(cookie.setting("v", 60)) - {"Max-Age=60"} <= attributes(header)


def test_it_is_found_among_others() -> None:
    assert PLAIN.given(["a=1; wayguard_session=x.y;b=2"]) == "x.y"
    assert PLAIN.given(["a=1", "wayguard_session=x.y"]) == "x.y"
    assert PLAIN.given(["wayguard_session="]) == ""
    for header in ("", "a=1", "xwayguard_session=1", "wayguard_session", "=;;;=", "WAYGUARD_SESSION=1"):
        found = PLAIN.given([header])
        assert found is None or header == "wayguard_session", header


def test_over_https_one_without_the_prefix_is_none() -> None:
    assert HTTPS.given(["wayguard_session=x"]) is None


@pytest.mark.parametrize(
    "headers", [["wayguard_session=a; wayguard_session=b"], ["wayguard_session=a", "wayguard_session=a"]]
)
def test_two_of_the_name_are_refused(headers: list[str]) -> None:
    with pytest.raises(Refused) as refused:
        PLAIN.given(headers)
    assert refused.value.code is Code.UNAUTHENTICATED
