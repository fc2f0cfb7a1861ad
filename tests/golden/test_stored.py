"""What an earlier release wrote is read as it was meant, and written alike where the bytes are fixed."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from tests.golden import names

FILES = Path(__file__).parent / "files"
SECRET = "golden-secret-of-32-characters-ok"
NOW_MS = 1_800_000_000_000
ALERT = UUID("0190a000-0000-7000-8000-000000000001")
SETTINGS = names.Settings(auth_secret=SECRET)  # type: ignore[arg-type]


def golden(name: str) -> Any:
    return json.loads((FILES / f"{name}.json").read_text())


TOKENS = golden("tokens")


def plain(value: object) -> Any:
    return json.loads(msgspec.json.encode(value))


@pytest.mark.parametrize("kind", ["answers", "answers_with_first_key"])
def test_tokens_of_answer_links_are_read(kind: str) -> None:
    for made in TOKENS[kind]:
        claims = names.read_token(SECRET, made["token"], NOW_MS)
        assert claims == names.AnswerClaims(ALERT, made["contact"], made["expires_ms"])
        assert names.read_token(SECRET, made["token"], made["expires_ms"]) is None


def test_tokens_with_the_first_key_include_ends_that_are_not_given_out_any_more() -> None:
    assert any(made["token"][-1] in "-_" for made in TOKENS["answers_with_first_key"])


def test_tokens_of_answer_links_are_made_alike() -> None:
    for made in TOKENS["answers"]:
        assert names.make_token(SECRET, ALERT, made["contact"], made["expires_ms"]) == made["token"]


def test_keys_are_derived_alike() -> None:
    assert SETTINGS.alerts_key == TOKENS["alerts_key"]
    assert {what: names.derive(SECRET, what).hex() for what in TOKENS["derived"]} == TOKENS["derived"]
    assert {what: names.local_key(SETTINGS, what).hex() for what in TOKENS["local"]} == TOKENS["local"]


def test_the_signature_of_a_share_link_is_known() -> None:
    share = TOKENS["share"]
    key = names.signing_key(SETTINGS.alerts_key)
    assert names.is_signed(key, share["id"], share["secret"])
    assert not names.is_signed(key, share["id"] + "x", share["secret"])


def test_session_cookies_are_set_and_read_alike() -> None:
    for url, header in TOKENS["cookies"].items():
        cookie = names.SessionCookie.at(url)
        assert cookie.setting("value", 60) == header
        assert cookie.given([header.partition(";")[0]]) == "value"


@pytest.mark.parametrize(
    ("role", "vendors", "driver"),
    [("driver", {"v1"}, "d1"), ("dispatcher", {"v1", "v2"}, None), ("admin", None, None)],
)
def test_access_tokens_are_verified(role: str, vendors: set[str] | None, driver: str | None) -> None:
    principal = names.Authenticator(SETTINGS).verify(TOKENS["jwt"][role])
    found = (
        principal.sub,
        principal.role,
        principal.tenant,
        principal.vendors,
        principal.driver,
        principal.jti,
    )
    assert found == (f"{role}-1", role, "t1", vendors, driver, f"j-{role}")
    assert principal.expires_ms == 4_000_000_000_000


def test_envelopes_of_the_bus_are_read_and_written_alike() -> None:
    raw = [bytes.fromhex(text) for text in golden("bus")]
    pack = names.Sequencer("publisher-1").pack
    items = [names.BusItem("driver:d1", 7, b'{"a":1}'), names.BusItem("driver:d2", 8, b"null")]
    for number, (kind, sent) in enumerate(zip(("positions", "alert"), raw, strict=True), start=1):
        envelope = names.read(sent)
        assert (envelope.publisher, envelope.number, envelope.kind) == ("publisher-1", number, kind)
        assert (envelope.items, envelope.at_ms) == (items, NOW_MS)
        assert pack(names.Message("v:t1/v1", kind, items, NOW_MS)) == sent


async def test_a_journal_that_was_not_imported_is_replayed(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(bytes.fromhex((FILES / "journal.hex").read_text()))
    key = names.local_key(SETTINGS, "journal")
    ledger = await names.LocalLedger.open(tmp_path, key, now_ms=lambda: NOW_MS)
    try:
        kept = sorted(ledger.all(), key=lambda one: str(one.case.alert.alert_id))
        assert [plain(one) for one in kept] == golden("journal")
        assert [one["case"]["alert"]["drill"] for one in golden("journal")].count(True) == 1
    finally:
        await ledger.close()


def test_a_replica_in_redis_is_opened() -> None:
    key = names.local_key(SETTINGS, "journal")
    replica = names.opened(key, "field-1", b"1", bytes.fromhex((FILES / "replica.hex").read_text()))
    assert plain(replica.kept) == golden("replica")
    with pytest.raises(ValueError, match="no copy"):
        names.opened(key, "field-2", b"1", bytes.fromhex((FILES / "replica.hex").read_text()))
