"""A setting that is no URL of its kind ends the start by its name, and no message quotes a part of it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from realtime.cli.environment import complaints
from realtime.settings import Settings
from realtime.urls import http_fault, origin_fault, postgres_fault, redis_fault, without_login

SECRET = "hunter2xyz"

POSTGRES = [
    "postgresql://u:p@h/d",
    "postgres://u:p@h:6543/d?sslmode=require",
    "postgresql://u:p%40ss%2F@h1:5432,h2:5433/d?target_session_attrs=primary",
    "postgresql://u:p@/d?host=/run/pg%20one",
    "postgresql://u:p@%2Frun%2Fpg/d",
    "postgresql://u:p@[2001:db8::1]:5432/d",
    "postgresql://u:a:b@db_1.internal/d",
    "postgresql:///d",
]
NO_POSTGRES = [
    SECRET,
    f"mysql://u:{SECRET}@h/d",
    f"postgresql:u:{SECRET}@h/d",
    f"postgresql//u:{SECRET}@h/d",
    f"http://u:{SECRET}@h/d",
    f"redis://:{SECRET}@h",
    f"postgresql://u:{SECRET}@h:port/d",
    f"postgresql://u:{SECRET}@h:70000/d",
    f"postgresql://u:{SECRET}@h:0/d",
    f"postgresql://u:{SECRET}#@h/d",
    f"postgresql://u:12#{SECRET}@h/d",
    f"postgresql://u:{SECRET}/@h/d",
    f"postgresql://u:12/{SECRET}@h/d",
    f"postgresql://u:12?{SECRET}@h/d",
    f"postgresql://u:a@{SECRET}@h/d",
    f"postgresql://u:{SECRET} x@h/d",
    f"postgresql://u:[{SECRET}@h/d",
    f"postgresql://u:{SECRET}@h/d?sslmode=on",
    f"postgresql://u:{SECRET}@h/d?port=x",
    f"postgresql://u:{SECRET}@h/d\n",
]
REDIS = [
    "redis://h",
    "redis://:p@h:6379/0",
    "rediss://u:p@ss@h/1?db=2",
    "redis://[::1]:6379/0",
    "unix:///run/redis.sock",
    "unix://:p@/tmp/a%20b/redis.sock?db=0",
    "redis+cluster://u:p@h1:6379,h2:6380",
    "rediss+cluster://h1",
]
NO_REDIS = [
    SECRET,
    f"http://:{SECRET}@h",
    f"redis:h:{SECRET}",
    f"redis://:{SECRET}@h:x",
    f"redis://:{SECRET}@h:99999",
    f"redis://:{SECRET}#x@h",
    f"redis://:12/{SECRET}@h",
    f"redis://:{SECRET}@",
    f"redis://:{SECRET}@h/zero",
    f"redis://:{SECRET}@h1,h2",
    f"redis+cluster://:{SECRET}@",
    f"redis+cluster://:{SECRET}@h1:x,h2",
    f"unix://:{SECRET}@",
    f"unix://{SECRET}/redis.sock",
]
NO_HOSTS = [
    *(
        ".",
        "..",
        "-",
        "_",
        "%2e",
        "%00",
        "%20",
        "a..b",
        ".a",
        ".a.example",
        "a..",
        "-a.example",
        "a-.example",
    ),
    *(
        "a.-.b",
        "a._.b",
        "。",
        "\u200b",
        "\u00ad",
        "--",
        "1.2.3",
        "256.1.1.1",
        "1.2.3.4.5",
        "12345",
        "a.1",
        "01.2.3.4",
    ),
    *("1.2.3.4.", "a" * 64, ".".join(["a" * 60] * 5), "[::1]x", "[]", "[::g]", "a^b", "a|b", "a\\b"),
]
HTTP = [
    *("https://a.example", "http://127.0.0.1:8000/x?y=1", "http://[::1]:9", "https://müller.example/"),
    *(
        "http://localhost:8080",
        "http://my_service:8000",
        "https://a.example./",
        "https://xn--bcher-kva.example",
    ),
    *(
        "https://a-b.c-d.example",
        "http://_dmarc.example",
        "https://1a.example",
        "https://3.example",
        "https://例え.jp",
    ),
    *("http://" + "a" * 63 + ".example", "http://0.0.0.0:9"),
]
NO_HTTP = [
    "",
    "a.example",
    "ftp://a",
    "https://",
    "http://a:x",
    "http://a:0",
    "http://a b",
    "http://[::1",
    "http:/a",
    *(f"http://{host}" for host in NO_HOSTS),
    *(f"https://{host}:8443/x" for host in NO_HOSTS),
]
ORIGINS = {
    "https://track.example": "https://track.example",
    "https://track.example/": "https://track.example",
    "HTTPS://Track.Example:443/": "https://track.example",
    "http://track.example:80": "http://track.example",
    "http://track.example:8080": "http://track.example:8080",
    "https://[2001:DB8::1]:8443": "https://[2001:db8::1]:8443",
}
NO_ORIGINS = [
    "https://track.example/wayguard",
    "https://track.example/wayguard/",
    "https://track.example?x=1",
    "https://track.example/?",
    "https://track.example#x",
    f"https://u:{SECRET}@track.example",
    "",
    "track.example",
    "http://.",
    "https://.:443",
    "http://0.0.0.0:8000",
    "http://[::]",
    "http://224.0.0.1",
    "http://255.255.255.255",
    "http://[ff02::1]",
]


@pytest.mark.parametrize("url", POSTGRES)
def test_urls_of_postgres_are_taken(url: str) -> None:
    assert postgres_fault(url) == ""


@pytest.mark.parametrize("url", NO_POSTGRES)
def test_what_is_no_url_of_postgres_is_refused_without_being_quoted(url: str) -> None:
    assert postgres_fault(url) and SECRET not in postgres_fault(url)


@pytest.mark.parametrize("url", REDIS)
def test_urls_of_redis_are_taken(url: str) -> None:
    assert redis_fault(url) == ""


@pytest.mark.parametrize("url", NO_REDIS)
def test_what_is_no_url_of_redis_is_refused_without_being_quoted(url: str) -> None:
    assert redis_fault(url) and SECRET not in redis_fault(url)


def test_urls_of_http_are_told_from_what_is_none() -> None:
    assert [url for url in HTTP if http_fault(url)] == []
    assert [url for url in NO_HTTP if not http_fault(url)] == []


@given(st.text(max_size=60), st.sampled_from(["", "postgresql://", "redis://", "https://", "unix://"]))
def test_no_text_breaks_a_check(text: str, scheme: str) -> None:
    for fault in (postgres_fault, redis_fault, http_fault, origin_fault):
        assert isinstance(fault(scheme + text), str)
    without_login(scheme + text)


@given(
    st.text("abcXYZ019-._~!$&'()*+,;=:@/?#[]% ", min_size=8, max_size=20),
    st.sampled_from(["postgresql://u:{}@h:5432/d", "redis://:{}@h:6379/0"]),
)
def test_no_fault_quotes_a_password_whatever_is_in_it(password: str, form: str) -> None:
    url = form.format(password)
    fault = postgres_fault(url) if form.startswith("p") else redis_fault(url)
    assert password not in fault


@pytest.mark.parametrize(("given_url", "kept"), ORIGINS.items())
def test_the_public_url_is_stored_as_browsers_write_an_origin(given_url: str, kept: str) -> None:
    assert Settings(public_url=given_url).public_url == kept


@pytest.mark.parametrize("url", NO_ORIGINS)
def test_a_public_url_that_is_no_origin_is_refused_by_name(url: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Settings(public_url=url)
    (complaint,) = complaints(raised.value)
    assert complaint.startswith("PUBLIC_URL: ")
    assert SECRET not in complaint + str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", f"u:{SECRET}@h/d"),
        ("DATABASE_DIRECT_URL", f"postgresql://u:{SECRET}@h:x/d"),
        ("DATABASE_REPLICA_URL", f"mysql://u:{SECRET}@h/d"),
        ("REDIS_URL", f"localhost:6379/{SECRET}"),
        ("GEOCODER_URL", "nominatim"),
        ("MAP_STYLE_URL", "streets.json"),
        ("MAP_STYLE_URL", "//cdn.example/streets.json"),
        ("MAP_STYLE_URL", "javascript:alert(1); script-src *"),
        ("AUTH_JWKS_URL", f"ftp://u:{SECRET}@keys.example"),
        ("FIREBASE_DATABASE_URL", "x.firebaseio.com"),
        ("HEARTBEAT_URL", f"u:{SECRET}@monitor.example"),
        ("OPERATOR_WEBHOOK_URL", f"https://u:{SECRET}@hook.example:port"),
    ],
)
def test_every_url_that_is_none_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("FIREBASE_CREDENTIALS", "{}")
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as raised:
        Settings()
    (complaint,) = complaints(raised.value)
    assert complaint.startswith(f"{name}: ")
    assert SECRET not in complaint + str(raised.value) + repr(raised.value)


def test_every_url_of_the_settings_is_checked() -> None:
    """A new setting whose name ends in _url has to be given a validator."""
    checked = {
        field
        for decorator in Settings.__pydantic_decorators__.field_validators.values()
        for field in decorator.info.fields
    }
    assert {name for name in Settings.model_fields if name.endswith("_url")} <= checked


@pytest.mark.parametrize(
    ("given_url", "shown"),
    [
        (f"https://u:{SECRET}@keys.example/set?key={SECRET}", "https://keys.example/set"),
        (f"https://keys.example/set#{SECRET}", "https://keys.example/set"),
        (SECRET, "(not a URL)"),
    ],
)
def test_a_finding_shows_a_url_without_its_login(given_url: str, shown: str) -> None:
    assert without_login(given_url) == shown


GOOD = {
    "DATABASE_URL": "postgresql://u:p@127.0.0.1:9/d",
    "REDIS_URL": "redis://127.0.0.1:9",
    "AUTH_SECRET": "s" * 40,
    "PORT": "0",
}


LONG = pytest.mark.long


@pytest.mark.parametrize(
    ("command", "variables", "named"),
    [
        ("serve", {"DATABASE_URL": f"u:{SECRET}@h/d"}, "DATABASE_URL"),
        (
            "serve",
            {"DATABASE_URL": f"postgresql://u:{SECRET}@127.0.0.1:9/d?target_session_attrs={SECRET}"},
            "DATABASE_URL",
        ),
        ("worker", {"REDIS_URL": f"redis://:{SECRET}@h?db={SECRET}"}, "REDIS_URL"),
        ("up", {"DATABASE_URL": f"postgresql://u:{SECRET}@h:x/d"}, "DATABASE_URL"),
        pytest.param("serve", {"DATABASE_URL": ""}, "DATABASE_URL is not set", marks=LONG),
        pytest.param("worker", {"REDIS_URL": ""}, "REDIS_URL is not set", marks=LONG),
        pytest.param(
            "migrate", {"DATABASE_DIRECT_URL": f"postgresql:{SECRET}"}, "DATABASE_DIRECT_URL", marks=LONG
        ),
        pytest.param("doctor", {"REDIS_URL": SECRET}, "REDIS_URL", marks=LONG),
        pytest.param("serve", {"PUBLIC_URL": "https://track.example/wayguard"}, "PUBLIC_URL", marks=LONG),
        pytest.param("serve", {"AUTH_JWKS_URL": "/nowhere/keys.json"}, "AUTH_JWKS_URL", marks=LONG),
    ],
)
def test_a_process_ends_its_start_by_name_and_prints_no_password(
    tmp_path: Path, command: str, variables: dict[str, str], named: str
) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-m", "realtime.cli", command],
        env={**kept, **GOOD, "DATA_DIR": str(tmp_path), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode in (1, 2), done.stderr
    assert named in done.stderr
    assert SECRET not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
