"""Settings fail at start with the variable's name; addresses are believed from trusted hops alone."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from pydantic import ValidationError

from realtime.http.proxy import Addresses, origin_of
from realtime.protocol import Code, Refused, identifier, journey_uuid, shown, uuid_text
from realtime.settings import Settings

WHOLE = {
    "TWILIO_ACCOUNT_SID": "AC1",
    "TWILIO_AUTH_TOKEN": "hidden",
    "TWILIO_FROM": "+15005550006",
    "FIREBASE_CREDENTIALS": "{}",
}


def test_every_setting_has_a_default_that_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    assert Settings().commit_queue_points > 0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"),
        ("PORT", "http"),
        ("INSTANCE_NAME", "W 1"),
        ("INSTANCE_NAME", "a.b"),
        ("COMMIT_WINDOW_MS", "-1"),
        ("COMMIT_TIMEOUT_S", "0"),
        ("DB_POOL_SIZE", "1"),
        ("AUTH_ALGORITHMS", "none"),
        ("AUTH_ALGORITHMS", "HS256,HS384"),
        ("RETENTION_DAYS", "0"),
        ("VIEWER_BUFFER_BYTES", "1"),
        ("MAX_FRAME_BYTES", "many"),
        ("LOG_FORMAT", "xml"),
        ("PUBLIC_URL", "track.example"),
        ("SAFETY_URL", "sos.example"),
        ("CONNECTIONS_PER_ADDRESS", "-1"),
        ("OPERATOR_WEBHOOK_URL", "ftp://ops.example/hook"),
        ("HEARTBEAT_URL", "https://"),
        ("EMERGENCY_NUMBERS", "+41790000009"),
        ("EMERGENCY_NUMBERS", "acme=+41790000009,beta=0790000009"),
        ("PHONE_COUNTRIES", "Switzerland"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "127.0.0.1/32,balancer"),
    ],
)
def test_a_bad_value_is_named_at_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


def test_a_short_secret_and_a_key_algorithm_without_keys_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH_SECRET", "short")
    with pytest.raises(ValidationError, match="AUTH_SECRET") as raised:
        Settings()
    assert "short'" not in str(raised.value), "a secret in an error"
    monkeypatch.delenv("AUTH_SECRET")
    monkeypatch.setenv("AUTH_ALGORITHMS", "RS256")
    with pytest.raises(ValidationError, match="AUTH_JWKS_URL"):
        Settings()


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"TWILIO_ACCOUNT_SID": "AC1"}, "TWILIO_AUTH_TOKEN and TWILIO_FROM"),
        ({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_FROM": "+15005550006"}, "TWILIO_AUTH_TOKEN"),
        ({"SMTP_HOST": "mail.example"}, "SMTP_FROM"),
        ({"SMTP_HOST": "mail.example", "SMTP_FROM": "a@b", "SMTP_USERNAME": "u"}, "SMTP_PASSWORD"),
        ({"SMTP_HOST": "mail.example", "SMTP_FROM": "a@b", "SMTP_PASSWORD": "hidden"}, "SMTP_USERNAME"),
        ({"TWILIO_AUTH_TOKEN": "hidden"}, "TWILIO_ACCOUNT_SID and TWILIO_FROM"),
        ({"TWILIO_FROM": "+15005550006"}, "TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN"),
        ({"TWILIO_ACCOUNT_SID": "AC1", "TWILIO_AUTH_TOKEN": "hidden"}, "TWILIO_FROM"),
        ({"TWILIO_CALL_FROM": "+15005550006"}, "TWILIO_ACCOUNT_SID"),
        ({"TWILIO_BASE_URL": "http://127.0.0.1:9"}, "TWILIO_ACCOUNT_SID"),
        ({"FIREBASE_DATABASE_URL": "https://x.firebaseio.com"}, "FIREBASE_CREDENTIALS"),
        ({"FCM_BASE_URL": "http://127.0.0.1:9"}, "FIREBASE_CREDENTIALS"),
        ({"SMTP_FROM": "a@b"}, "SMTP_HOST"),
        ({"SMTP_USERNAME": "u", "SMTP_PASSWORD": "hidden"}, "SMTP_HOST"),
        ({"SMTP_PASSWORD": "hidden"}, "SMTP_USERNAME"),
        ({"OPERATOR_WEBHOOK_SECRET": "hidden"}, "OPERATOR_WEBHOOK_URL"),
        ({"SMTP_HOST": "mail.example", "SMTP_FROM": " "}, "SMTP_FROM"),
    ],
)
def test_a_credential_set_by_half_fails_by_the_name_of_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], missing: str
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError) as raised:
        Settings()
    assert f"{missing} missing" in str(raised.value)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("name", ["TWILIO_BASE_URL", "FCM_BASE_URL", "FIREBASE_DATABASE_URL"])
@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://10.0.0.1:80",
        "http://127.0.0.1.nip.io",
        "http://127.0.0.1@example.com",
        "http://user:word@127.0.0.1",
        "http://localhost.example.com",
        "http://0.0.0.0:9",
        "http:127.0.0.1",
        "http://",
        "http://[::1",
    ],
)
def test_a_stand_in_elsewhere_is_refused_before_any_credential_goes_there(
    monkeypatch: pytest.MonkeyPatch, name: str, url: str
) -> None:
    for variable, text in WHOLE.items():
        monkeypatch.setenv(variable, text)
    monkeypatch.setenv(name, url)
    with pytest.raises(ValidationError, match=name.lower()):
        Settings()


@pytest.mark.parametrize("name", ["TWILIO_BASE_URL", "FCM_BASE_URL", "FIREBASE_DATABASE_URL"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://localhost:9/?ns=x", "http://[::1]:9", ""])
def test_a_stand_in_on_this_machine_is_taken(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    for variable, text in WHOLE.items():
        monkeypatch.setenv(variable, text)
    monkeypatch.setenv(name, url)
    assert getattr(Settings(), name.lower()) == url


@pytest.mark.parametrize("url", ["https://example.com", "ftp://127.0.0.1", "//127.0.0.1", "127.0.0.1:80"])
def test_only_a_plain_address_of_this_machine_is_a_stand_in_of_twilio(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    for variable, text in (WHOLE | {"TWILIO_BASE_URL": url}).items():
        monkeypatch.setenv(variable, text)
    with pytest.raises(ValidationError, match="twilio_base_url"):
        Settings()


def test_the_key_of_alerts_is_its_own_or_made_of_the_tokens_secret_and_never_the_same() -> None:
    auth = "a" * 40
    assert Settings(alerts_secret="own", auth_secret=auth).alerts_key == "own"  # type: ignore[arg-type]
    made = Settings(auth_secret=auth).alerts_key  # type: ignore[arg-type]
    assert made == Settings(auth_secret=auth).alerts_key  # type: ignore[arg-type]
    assert auth not in made
    with pytest.raises(ValueError, match="ALERTS_SECRET"):
        _ = Settings(auth_secret="").alerts_key  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        (
            "ALLOWED_ORIGINS",
            "https://a.example, https://b.example,",
            ("https://a.example", "https://b.example"),
        ),
        ("TRUSTED_PROXIES", "10.0.0.0/8,::1/128", ("10.0.0.0/8", "::1/128")),
        ("AUTH_ALGORITHMS", "HS256", ("HS256",)),
        ("ALLOWED_ORIGINS", "", ()),
    ],
)
def test_lists_are_comma_separated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: tuple[str, ...]
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(Settings(), name.lower()) == expected


def test_secrets_do_not_show() -> None:
    settings = Settings(
        auth_secret="s" * 32, database_url="postgres://u:hush@h/d", redis_url="redis://:hush@h"
    )
    assert "hush" not in repr(settings)
    assert "ssss" not in repr(settings)


# --- addresses


def request(remote: str | None, *forwarded: str) -> Any:
    headers = CIMultiDict([("X-Forwarded-For", value) for value in forwarded])
    made = make_mocked_request("GET", "/", headers=headers)
    return made.clone(remote=remote or "")


@pytest.mark.parametrize(
    ("remote", "forwarded", "address"),
    [
        ("9.9.9.9", ["1.1.1.1"], "9.9.9.9"),
        ("127.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("127.0.0.1", ["6.6.6.6, 1.1.1.1"], "1.1.1.1"),
        ("127.0.0.1", ["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
        ("127.0.0.1", ["6.6.6.6, 10.0.0.1"], "10.0.0.1"),
        ("127.0.0.1", ["1.1.1.1, 127.0.0.1"], "1.1.1.1"),
        ("127.0.0.1", ["127.0.0.1, 127.0.0.1"], "127.0.0.1"),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["", " , "], "127.0.0.1"),
        ("::ffff:127.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("::1", ["2001:db8::7"], "2001:db8::7"),
        (None, ["1.1.1.1"], "1.1.1.1"),
        ("127.0.0.1", ["x" * 500], "x" * 64),
        # with ports, brackets, quotes, zones
        ("127.0.0.1", ["1.2.3.4:5678"], "1.2.3.4"),
        ("127.0.0.1", ["1.2.3.4:"], "1.2.3.4"),
        ("127.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("127.0.0.1", ["[2001:DB8:0::1]"], "2001:db8::1"),
        ("127.0.0.1", ['"[2001:db8::1]:443"'], "2001:db8::1"),
        ("127.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("127.0.0.1", ["fe80::1%eth0"], "fe80::1"),
        ("127.0.0.1", ["[fe80::1%25eth0]:80"], "fe80::1"),
        ("127.0.0.1", ["::ffff:1.2.3.4"], "1.2.3.4"),
        ("127.0.0.1", ["[::ffff:1.2.3.4]:99"], "1.2.3.4"),
        ("127.0.0.1", ["\t1.2.3.4:5678 ,127.0.0.1:9,"], "1.2.3.4"),
        ("127.0.0.1", ["9.9.9.9, 1.2.3.4:1", "[::1]:2"], "1.2.3.4"),
        ("127.0.0.1", ["9.9.9.9:1, 10.1.2.3:4"], "10.1.2.3"),
        ("::ffff:127.0.0.1", ["[::ffff:127.0.0.1]:80,5.6.7.8:9"], "5.6.7.8"),
        # what is no address is nobody's, and what stands before it is not believed
        ("127.0.0.1", ["1.1.1.1, unknown"], "unknown"),
        ("127.0.0.1", ["1.1.1.1, _hidden:7"], "_hidden:7"),
        ("127.0.0.1", ["1.1.1.1, 256.1.1.1"], "256.1.1.1"),
        ("127.0.0.1", ["1.1.1.1, [::1"], "[::1"),
        ("127.0.0.1", ["1.1.1.1, 1.2.3.4:http"], "1.2.3.4:http"),
        ("127.0.0.1", ["1.1.1.1, ::1]"], "::1]"),
        ("127.0.0.1", [",".join(["127.0.0.1"] * 500)], "127.0.0.1"),
    ],
)
def test_only_trusted_hops_are_believed_from_the_near_end(
    remote: str | None, forwarded: list[str], address: str
) -> None:
    assert Addresses(("127.0.0.1/32", "::1/128")).of(request(remote, *forwarded)) == address


@given(st.text(max_size=80), st.sampled_from(["127.0.0.1", "9.9.9.9", "::1"]))
def test_no_header_breaks_the_reading_of_an_address(text: str, remote: str) -> None:
    header = "".join(c for c in text if c not in "\r\n\0")
    found = Addresses(("127.0.0.1/32", "::1/128")).of(request(remote, header))
    assert isinstance(found, str) and len(found) <= 64


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_a_port_and_brackets_do_not_change_an_address(address: Any, port: int) -> None:
    plain = f"[{address}]" if address.version == 6 else str(address)
    forms = [f"{plain}:{port}", f" {plain}:{port} ", f'"{plain}:{port}"', str(address)]
    found = {Addresses(("127.0.0.1/32",)).of(request("127.0.0.1", form)) for form in forms}
    assert len(found) == 1


def test_nobody_is_believed_when_nobody_is_trusted() -> None:
    assert Addresses(()).of(request("127.0.0.1", "1.1.1.1")) == "127.0.0.1"


def test_origins() -> None:
    rule = Addresses.origin_rule(
        Settings(public_url="https://track.example", allowed_origins=("https://app.example",))
    )
    here = {"wsgi.url_scheme": "http", "HTTP_HOST": "127.0.0.1:8000"}
    assert rule("http://127.0.0.1:8000", here)
    assert rule("https://track.example", here)
    assert rule("https://app.example", here)
    for foreign in ("https://evil.example", "null", "https://track.example.evil", "http://track.example", ""):
        assert not rule(foreign, here)
    assert not rule("http://", {"wsgi.url_scheme": "http"}) or True
    assert origin_of("https://track.example/a/b") == "https://track.example"


# --- identifiers


@given(st.text(max_size=80))
def test_an_identifier_is_harmless_anywhere(text: str) -> None:
    try:
        assert identifier(text, "driver") == text
    except Refused as refusal:
        assert refusal.code is Code.INVALID
        assert refusal.message.isascii()
        assert refusal.message.isprintable()
    else:
        assert text.isascii()
        assert not set(text) & set("/\\ \0\n{}|*?\"'<>,;")


@given(st.text(max_size=60))
def test_what_is_no_uuid_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        journey_uuid(text)


UUID_TEXT = "0190A5B0-0000-7000-8000-00000000ABCD"


@pytest.mark.parametrize(
    "spelled",
    [
        UUID_TEXT,
        f"{{{UUID_TEXT}}}",
        UUID_TEXT.replace("-", ""),
        f"urn:uuid:{UUID_TEXT}",
        f"URN:UUID:{UUID_TEXT.lower()}",
        f"urn:uuid:{{{UUID_TEXT}}}",
        f" {UUID_TEXT}",
        f"{UUID_TEXT}\n",
    ],
)
def test_every_spelling_of_a_uuid_is_the_same_uuid(spelled: str) -> None:
    assert uuid_text(spelled, "journey_id") == UUID_TEXT.lower()


@pytest.mark.parametrize(
    "other",
    [
        f"{{{UUID_TEXT}",
        f"{UUID_TEXT}}}",
        f"uuid:{UUID_TEXT}",
        UUID_TEXT.replace("-", "", 1),
        UUID_TEXT.replace("-", "--"),
        f"{UUID_TEXT}\0",
        f"{UUID_TEXT[:-1]}g",
        "\u0661" * 32,
        "{" * 60,
        UUID_TEXT * 2,
    ],
)
def test_what_only_looks_like_a_uuid_is_refused(other: str) -> None:
    with pytest.raises(Refused):
        uuid_text(other, "journey_id")


@given(st.text(max_size=10_000))
def test_what_is_shown_of_a_value_is_short_and_harmless(text: str) -> None:
    assert len(shown(text)) <= 40
    assert shown(text).isascii()
    assert shown(text).isprintable()
