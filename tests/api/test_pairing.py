"""A driver's phone is paired by a code of the console: once, and with nobody else's driver."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from realtime.auth.tokens import Authenticator, Principal
from realtime.protocol import Code
from realtime.sessions.keys import pairing_key
from realtime.sessions.pairings import TTL_S
from realtime.store.people import driver_settings, revocations, tenants
from tests.api.harness import SHARE_TOKEN, Api, Reply, refused, running

OFFER, REDEEM = "/api/v1/pairings", "/api/v1/pairings/redeem"
LATER_MS = 4_000_000_000_000


async def offer(api: Api, token: str = "", **body: Any) -> Reply:
    return await api.call("POST", OFFER, token, json={"vendor": "north", "driver": "d1"} | body)


async def a_code(api: Api, token: str = "", **body: Any) -> str:
    reply = await offer(api, token, **body)
    assert reply.status == 201, reply.body
    page, _, code = reply.json["url"].partition("#pair=")
    assert page == "https://track.example/drive"
    return str(code)


async def redeem(api: Api, code: str) -> Reply:
    return await api.call("POST", REDEEM, None, json={"code": code})


def holder(api: Api, reply: Reply) -> Principal:
    assert reply.status == 200, reply.body
    return Authenticator(api.fakes.settings).verify(reply.json["token"])


async def test_a_code_makes_a_phone_the_drivers(api: Api) -> None:
    offered = await offer(api, api.token("dispatcher", ["north"]))
    code = offered.json["url"].partition("#pair=")[2]
    assert len(code) >= 22, "128 bits"
    assert abs(offered.json["expires_at"] - api.fakes.now_ms() - TTL_S * 1000) < 60_000
    reply = await redeem(api, code)
    phone = holder(api, reply)
    assert (phone.role, phone.tenant, phone.home_vendor, phone.driver) == ("driver", "t1", "north", "d1")
    assert phone.jti == offered.json["jti"]
    said = {name: reply.json[name] for name in ("driver", "vendor", "tenant")}
    assert said == {"driver": "d1", "vendor": "north", "tenant": "t1"}
    assert abs(phone.expires_ms - api.fakes.now_ms() - 30 * 86_400_000) < 60_000
    assert abs(reply.json["expires_at"] - phone.expires_ms) < 60_000
    assert (await api.get("/api/v1/timers", reply.json["token"])).status == 200


async def test_the_token_lasts_as_the_setting_says(database_url: str, redis_url: str) -> None:
    async with running(database_url, redis_url, pairing_token_days=1) as api:
        phone = holder(api, await redeem(api, await a_code(api)))
        assert abs(phone.expires_ms - api.fakes.now_ms() - 86_400_000) < 60_000


async def test_every_code_that_is_not_good_has_the_same_answer(api: Api) -> None:
    used, old, moved, shut_out = (
        await a_code(api),
        await a_code(api),
        await a_code(api, driver="d2"),
        await a_code(api, api.token("admin", jti="thief")),
    )
    gone = await offer(api)
    holder(api, await redeem(api, used))
    await api.sessions._client.delete(pairing_key(old))
    await tenants.connect_driver(api.db, "t1", "south", "d2")
    await revocations.revoke(api.db, "t1", "thief")
    await revocations.revoke(api.db, "t1", gone.json["jti"])
    expected = await redeem(api, secrets.token_urlsafe(24))
    assert (expected.status, expected.code) == (404, "not_found")
    void = gone.json["url"].partition("#pair=")[2]
    for code in (used, old, moved, shut_out, void, "", "x", "é" * 32, "\0" * 32, used + "A", "a" * 256):
        reply = await redeem(api, code)
        assert (reply.status, reply.body) == (expected.status, expected.body), code


async def test_a_code_lives_ten_minutes(api: Api) -> None:
    code = await a_code(api)
    assert 590 <= await api.sessions._client.ttl(pairing_key(code)) <= 600


async def test_of_many_who_redeem_at_once_one_has_it(api: Api) -> None:
    code = await a_code(api)
    replies = await asyncio.gather(*(redeem(api, code) for _ in range(10)))
    assert sorted(reply.status for reply in replies) == [200, *[404] * 9]


async def test_only_who_oversees_the_vendor_pairs(api: Api) -> None:
    for role in ("dispatcher", "admin", "service"):
        assert (await offer(api, api.token(role, ["north"]))).status == 201
        assert (await offer(api, api.token(role, ["south"]))).code == "forbidden"
    for token in (api.token("driver", ["north"], driver="d1"), SHARE_TOKEN):
        assert (await offer(api, token)).code == "forbidden"
    assert (await api.call("POST", OFFER, None, json={})).code == "unauthenticated"


async def test_a_driver_of_another_vendor_is_no_such_driver(api: Api) -> None:
    await tenants.connect_driver(api.db, "t1", "south", "theirs")
    north = api.token("dispatcher", ["north"])
    unknown = await api.get("/api/v1/drivers/nobody/safety", north)
    for token in (north, api.token("dispatcher")):  # nor is it moved by who may see both
        reply = await offer(api, token, driver="theirs", name="Eve")
        assert (reply.status, reply.body) == (unknown.status, unknown.body)
    assert await tenants.vendor_of(api.db, "t1", "theirs") == "south"
    assert (await driver_settings.get(api.db, "t1", "theirs")).name == ""
    elsewhere = await offer(api, api.token("dispatcher", ["north"], tenant="t2"), driver="theirs")
    assert elsewhere.status == 201, "another tenant's driver of that name is another"


async def test_a_new_driver_is_made_and_named_and_a_name_that_is_there_stays(api: Api) -> None:
    assert await tenants.vendor_of(api.db, "t1", "d1") is None
    await a_code(api, name="  Ada   Lovelace ")
    assert await tenants.vendor_of(api.db, "t1", "d1") == "north"
    assert (await driver_settings.get(api.db, "t1", "d1")).name == "Ada Lovelace"
    await a_code(api, name="Eve")
    assert (await driver_settings.get(api.db, "t1", "d1")).name == "Ada Lovelace"
    assert (await offer(api, name="a\nb")).code == "invalid"


async def test_without_a_secret_nobody_is_paired_and_is_told_why(
    database_url: str, redis_url: str, tmp_path: Path
) -> None:
    key = Ed25519PrivateKey.generate()
    jwks = tmp_path / "jwks.json"
    jwks.write_text(json.dumps({"keys": [json.loads(OKPAlgorithm.to_jwk(key.public_key()))]}))
    knobs = {"auth_secret": "", "auth_jwks_url": str(jwks), "auth_algorithms": ("EdDSA",)}
    async with running(database_url, redis_url, **knobs) as api:
        claims = {"sub": "ana", "role": "admin", "tenant": "t1", "vendors": "*", "exp": LATER_MS // 1000,
                  "aud": "wayguard", "iss": "wayguard"}  # fmt: skip
        for reply in (await offer(api, jwt.encode(claims, key, algorithm="EdDSA")), await redeem(api, "x")):
            assert (reply.status, reply.code) == (409, "conflict")
            assert "AUTH_SECRET" in reply.json["error"]["message"]


async def test_redeeming_is_limited_by_address(api: Api) -> None:
    await redeem(api, "x")
    assert ("127.0.0.1", "redeem_pairing") in api.fakes.limited
    code = await a_code(api)
    api.fakes.failures["check"] = refused(Code.RATE_LIMITED, retry_after_s=3)
    reply = await redeem(api, code)
    assert (reply.code, reply.headers["Retry-After"]) == ("rate_limited", "3")
    del api.fakes.failures["check"]
    holder(api, await redeem(api, code))


async def test_with_redis_away_there_is_no_pairing(database_url: str) -> None:
    async with running(database_url) as api:
        assert (await offer(api)).code == "unavailable"
        assert (await redeem(api, secrets.token_urlsafe(24))).code == "unavailable"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"code":1}', b'{"code":"' + b"x" * 257 + b'"}'])
async def test_a_body_that_is_none_is_refused(api: Api, body: bytes) -> None:
    reply = await api.call("POST", REDEEM, None, data=body)
    assert reply.code in ("malformed", "invalid")


async def test_an_admin_of_its_vendor_revokes_a_pairing_and_the_phone_it_made(api: Api) -> None:
    offered = await offer(api)
    code, jti = offered.json["url"].partition("#pair=")[2], offered.json["jti"]
    phone = (await redeem(api, code)).json["token"]
    north, south, none = (api.token("admin", vendors) for vendors in (["north"], ["south"], []))
    missing = await api.call("DELETE", f"{OFFER}/{'0' * 32}", north)
    assert missing.code == "not_found"
    for token in (south, none, api.token("admin", None, tenant="t2")):
        assert (await api.call("DELETE", f"{OFFER}/{jti}", token)).body == missing.body
    assert (await api.call("DELETE", f"{OFFER}/{jti}", api.token("dispatcher"))).code == "forbidden"
    assert not await revocations.is_revoked(api.db, "t1", jti)
    assert (await api.call("DELETE", f"{OFFER}/{jti}", north)).status == 200
    assert await revocations.is_revoked(
        api.db, "t1", Authenticator(api.fakes.settings).verify(phone).jti or ""
    )


async def test_a_revoked_pairings_code_is_void(api: Api) -> None:
    offered = await offer(api)
    path = f"{OFFER}/{offered.json['jti']}"
    assert (await api.call("DELETE", path, api.token("service", ["north"]))).status == 200
    assert (await redeem(api, offered.json["url"].partition("#pair=")[2])).code == "not_found"
