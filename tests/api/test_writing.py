"""Shares, positions and revocations over HTTP."""

import time
from typing import Any
from uuid import uuid4

import pytest

from realtime.protocol import Code
from realtime.store.journeys import shares
from realtime.store.people import revocations
from tests.api.harness import Api, refused

HOUR = {"scope": "journey", "expires_in_s": 3_600}


# --- shares
async def test_a_share_opens_with_the_secret_of_its_link_and_shows_it_once(api: Api) -> None:
    journey = await api.journey()
    before_ms = time.time_ns() // 1_000_000
    reply = await api.call("POST", f"/api/v1/journeys/{journey}/shares", json=HOUR)
    assert reply.status == 201
    made = reply.json
    start, _, secret = made["url"].partition("#")
    assert start == f"https://track.example/s/{made['id']}"
    assert len(secret) >= 22, "128 bits in 64 letters"
    key = shares.signing_key(api.fakes.settings.alerts_key)
    assert shares.is_signed(key, made["id"], secret), "looked up beside links that are made up"
    assert 0 <= made["expires_at"] - 3_600_000 - before_ms < 60_000
    opened = await shares.resolve(api.db, made["id"], secret)
    assert opened is not None
    assert (opened.journey_id, opened.scope) == (journey, "journey")
    listed = await api.get(f"/api/v1/journeys/{journey}/shares")
    assert secret.encode() not in listed.body
    assert [share["id"] for share in listed.json["shares"]] == [made["id"]]


async def test_the_list_of_shares_says_who_looked(api: Api) -> None:
    journey = await api.journey()
    made = (await api.call("POST", f"/api/v1/journeys/{journey}/shares", json=HOUR)).json
    await shares.viewed(api.db, made["id"], "203.0.113.9", "Firefox")
    await shares.viewed(api.db, made["id"], "203.0.113.9", "Firefox")
    (share,) = (await api.get(f"/api/v1/journeys/{journey}/shares")).json["shares"]
    assert share["created_by"] == "dispatcher@t1"
    assert share["revoked_at"] is None
    (view,) = share["views"]
    assert (view["address"], view["user_agent"], view["times"]) == ("203.0.113.9", "Firefox", 2)
    assert view["first_at"] <= view["last_at"]


async def test_shares_come_in_pages_each_once(api: Api) -> None:
    journey = await api.journey()
    path = f"/api/v1/journeys/{journey}/shares"
    made = {(await api.call("POST", path, json=HOUR)).json["id"] for _ in range(5)}
    found: list[str] = []
    query = "?limit=2"
    while query:
        page = (await api.get(path + query)).json
        found += [share["id"] for share in page["shares"]]
        query = f"?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else ""
    assert len(found) == 5
    assert set(found) == made


async def test_a_revoked_share_opens_nothing_and_can_be_revoked_again(api: Api) -> None:
    journey = await api.journey()
    made = (await api.call("POST", f"/api/v1/journeys/{journey}/shares", json=HOUR)).json
    secret = made["url"].partition("#")[2]
    for _ in range(2):
        assert (await api.call("DELETE", f"/api/v1/shares/{made['id']}")).status == 200
    assert await shares.resolve(api.db, made["id"], secret) is None
    (share,) = (await api.get(f"/api/v1/journeys/{journey}/shares")).json["shares"]
    assert share["revoked_at"] is not None


async def test_somebody_elses_share_is_byte_for_byte_a_missing_one_and_stays_open(api: Api) -> None:
    journey = await api.journey()
    made = (await api.call("POST", f"/api/v1/journeys/{journey}/shares", json=HOUR)).json
    missing = await api.call("DELETE", "/api/v1/shares/none")
    assert (missing.status, missing.code) == (404, "not_found")
    for token in (
        api.token("admin", tenant="t2"),
        api.token(vendors=["south"]),
        api.token("driver", ["north"], driver="d2"),
    ):
        reply = await api.call("DELETE", f"/api/v1/shares/{made['id']}", token)
        assert (reply.status, reply.body) == (missing.status, missing.body)
    assert await shares.resolve(api.db, made["id"], made["url"].partition("#")[2]) is not None


async def test_a_driver_shares_its_own_journey_and_nobody_elses(api: Api) -> None:
    mine, other = await api.journey(driver="d1"), await api.journey(driver="d2")
    token = api.token("driver", ["north"], driver="d1")
    reply = await api.call("POST", f"/api/v1/journeys/{mine}/shares", token, json=HOUR)
    assert reply.status == 201
    assert (await api.call("DELETE", f"/api/v1/shares/{reply.json['id']}", token)).status == 200
    assert (await api.call("POST", f"/api/v1/journeys/{other}/shares", token, json=HOUR)).status == 404


# --- positions
async def test_positions_go_to_the_service_as_they_came_and_its_ack_comes_back(api: Api) -> None:
    token = api.token("driver", ["north"], driver="d1")
    body = b'{"journey_id": "0199d2c8-0000-7000-8000-000000000001",  "points": [[1, 0, NaN, 2]]}'
    reply = await api.call("POST", "/api/v1/positions", token, data=body)
    assert reply.json == {"ok": True, "through": 2, "voided": [[2, "no_fix"]]}
    ((principal, given),) = api.fakes.submitted
    assert (principal.driver, principal.tenant, given) == ("d1", "t1", body)


@pytest.mark.parametrize("role", ["dispatcher", "admin", "service"])
async def test_nobody_but_a_driver_sends_positions(api: Api, role: str) -> None:
    reply = await api.call("POST", "/api/v1/positions", api.token(role), json={})
    assert (reply.status, reply.code) == (403, "forbidden")
    assert not api.fakes.submitted


async def test_a_refusal_of_the_service_keeps_its_extra_fields(api: Api) -> None:
    api.fakes.failures["submit"] = refused(Code.EXPECTED_SEQ, expected=7)
    token = api.token("driver", ["north"], driver="d1")
    reply = await api.call("POST", "/api/v1/positions", token, json={})
    assert (reply.status, reply.code) == (409, "expected_seq")
    assert reply.json["error"]["expected"] == 7
    assert reply.json["error"]["retryable"] is True


async def test_a_refusal_of_the_service_says_when_to_try_again(api: Api) -> None:
    api.fakes.failures["submit"] = refused(Code.EXPECTED_SEQ, retry_after_s=0.5, expected=7)
    token = api.token("driver", ["north"], driver="d1")
    reply = await api.call("POST", "/api/v1/positions", token, json={})
    assert (reply.status, reply.headers["Retry-After"]) == (409, "1")
    assert reply.json["error"]["retry_after_s"] == 0.5


# --- revocations
async def test_an_admin_revokes_a_token_and_a_dispatcher_does_not(api: Api) -> None:
    body = {"jti": uuid4().hex}
    assert (await api.call("POST", "/api/v1/revocations", json=body)).code == "forbidden"
    assert not await revocations.is_revoked(api.db, "t1", body["jti"])
    for role in ("admin", "service"):
        assert (await api.call("POST", "/api/v1/revocations", api.token(role), json=body)).status == 200
    assert await revocations.is_revoked(api.db, "t1", body["jti"])
    assert not await revocations.is_revoked(api.db, "t2", body["jti"]), "only one's own tenant's tokens"


REVOKE = "/api/v1/revocations"


async def kept_until(api: Api, jti: str) -> tuple[int, bool]:
    """When a revocation expires, and whether that was read from the token."""
    async with api.db.reader("t1") as connection:
        return tuple(
            await connection.fetchrow(
                "SELECT expires_ms, expiry_verified FROM revoked_tokens WHERE jti = $1", jti
            )
        )


@pytest.mark.parametrize("vendors", [["north"], []])
@pytest.mark.parametrize("role", ["admin", "service"])
async def test_an_admin_of_some_vendors_revokes_no_token_by_its_jti(
    api: Api, role: str, vendors: list[str]
) -> None:
    jti = uuid4().hex
    assert (await api.call("POST", REVOKE, api.token(role, vendors), json={"jti": jti})).code == "forbidden"
    assert not await revocations.is_revoked(api.db, "t1", jti)


@pytest.mark.parametrize(
    ("holder", "theirs"),
    [
        ({"role": "driver", "vendors": ["north"], "driver": "d1"}, True),
        ({"role": "dispatcher", "vendors": ["north"]}, True),
        ({"role": "driver", "vendors": ["south"], "driver": "d2"}, False),
        ({"role": "dispatcher", "vendors": ["north", "south"]}, False),
        ({"role": "dispatcher", "vendors": []}, False),
        ({"role": "admin", "vendors": None}, False),
        ({"role": "driver", "vendors": ["north"], "driver": "d1", "tenant": "t2"}, False),
    ],
)
async def test_an_admin_of_a_vendor_revokes_a_token_of_that_vendor_that_it_shows(
    api: Api, holder: dict[str, Any], theirs: bool
) -> None:
    jti = uuid4().hex
    token = api.token(**holder, jti=jti)
    reply = await api.call("POST", REVOKE, api.token("admin", ["north"]), json={"token": token})
    assert reply.status == (200 if theirs else 404)
    tenant = holder.get("tenant", "t1")
    assert await revocations.is_revoked(api.db, tenant, jti) is theirs
    assert not await revocations.is_revoked(api.db, "t1", jti) or theirs


async def test_a_token_whose_signature_is_wrong_is_not_revoked_by_it(api: Api) -> None:
    jti = uuid4().hex
    head, _, rest = api.token("driver", ["north"], driver="d1", jti=jti).partition(".")
    for forged in (f"{head}.{rest[:-4]}AAAA", head, "", "x" * 9_000):
        reply = await api.call("POST", REVOKE, api.token("admin", ["north"]), json={"token": forged})
        assert reply.code in ("not_found", "invalid"), forged[:20]
    assert not await revocations.is_revoked(api.db, "t1", jti)


async def test_a_token_that_expired_lately_is_revoked_since_it_still_raises_an_sos(api: Api) -> None:
    jti = uuid4().hex
    token = api.token("driver", ["north"], driver="d1", jti=jti, ttl_s=-3_600)
    assert (
        await api.call("POST", REVOKE, api.token("admin", ["north"]), json={"token": token})
    ).status == 200
    assert await revocations.is_revoked(api.db, "t1", jti)


@pytest.mark.parametrize("expires_at", [0, 4_000_000_000, 1_700_000_000_000])
async def test_an_expiry_in_the_past_is_invalid(api: Api, expires_at: int) -> None:
    """Seconds are refused by that name."""
    jti = uuid4().hex
    body = {"jti": jti, "expires_at": expires_at}
    code = "time_in_seconds" if expires_at == 4_000_000_000 else "invalid"
    assert (await api.call("POST", REVOKE, api.token("admin"), json=body)).code == code
    assert not await revocations.is_revoked(api.db, "t1", jti)


async def test_only_an_expiry_read_from_the_token_ends_a_revocation(api: Api) -> None:
    claimed, shown = uuid4().hex, uuid4().hex
    now_ms = api.fakes.now_ms()
    body = {"jti": claimed, "expires_at": now_ms + 1_000}
    assert (await api.call("POST", REVOKE, api.token("admin"), json=body)).status == 200
    assert await kept_until(api, claimed) == (revocations.FOR_EVER_MS, False)
    token = api.token("driver", ["north"], driver="d1", jti=shown, ttl_s=600)
    assert (await api.call("POST", REVOKE, api.token("admin"), json={"token": token})).status == 200
    expires_ms, verified = await kept_until(api, shown)
    assert verified and abs(expires_ms - now_ms - 600_000) < 5_000


@pytest.mark.parametrize("body", [{}, {"jti": "j", "token": "t"}, {"jti": None}])
async def test_a_revocation_names_a_jti_or_a_token(api: Api, body: dict[str, Any]) -> None:
    assert (await api.call("POST", REVOKE, api.token("admin"), json=body)).code == "invalid"
