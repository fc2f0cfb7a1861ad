"""Coming in with what is no token, no share and no origin of ours, or not for this."""

import base64
import json
import time
from typing import Any
from uuid import UUID, uuid4

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from realtime.store.journeys import shares
from tests.sockets.hostile.kit import SOMEBODY, World, code
from tests.sockets.kit import SECRET, now_ms

RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _forged(kind: str) -> Any:
    now_s = int(time.time())
    claims = {
        "sub": "d1", "role": "driver", "tenant": "t1", "vendors": ["v1"], "driver": "d1", "jti": uuid4().hex,
        "aud": "wayguard", "iss": "wayguard", "exp": now_s + 600,
    }  # fmt: skip
    none = ".".join(
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
        for part in ({"alg": "none"}, claims)
    )
    changes: dict[str, dict[str, Any]] = {
        "expired": {"exp": now_s - 3600},
        "foreign audience": {"aud": "other"},
        "foreign issuer": {"iss": "other"},
        "no tenant": {"tenant": None},
        "a tenant with a slash": {"tenant": "t1/v1"},
        "a tenant of 10,000": {"tenant": "t" * 4_000},
        "a driver with a nul": {"driver": "d\0"},
        "a driver with a dot first": {"driver": "../d"},
        "two vendors": {"vendors": ["v1", "v2"]},
        "a role that is none": {"role": "root"},
        "the role share": {"role": "share"},
    }
    made: dict[str, Any] = {
        "none": none + ".",
        "no signature": none,
        "another secret": jwt.encode(claims, "another secret of thirty-two byte"),
        "a key of its own": jwt.encode(claims, RSA, algorithm="RS256"),
        "hs512": jwt.encode(claims, SECRET * 2, algorithm="HS512"),
        "a number": 5,
        "nothing": None,
        "a list": ["x"],
        "an object": {"$ne": None},
        "20,000 characters": "x" * 20_000,
        "a nul": "\0",
        "half a surrogate": "\ud800",
        **{name: jwt.encode({**claims, **change}, SECRET) for name, change in changes.items()},
    }
    return made[kind]


@pytest.mark.parametrize("namespace", ["/driver", "/watch"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", "unauthenticated"),
        ("no signature", "unauthenticated"),
        ("another secret", "unauthenticated"),
        ("a key of its own", "unauthenticated"),
        ("hs512", "unauthenticated"),
        ("expired", "token_expired"),
        ("foreign audience", "unauthenticated"),
        ("foreign issuer", "unauthenticated"),
        ("no tenant", "unauthenticated"),
        ("a tenant with a slash", "unauthenticated"),
        ("a tenant of 10,000", "unauthenticated"),
        ("a driver with a nul", "unauthenticated"),
        ("a driver with a dot first", "unauthenticated"),
        ("two vendors", "unauthenticated"),
        ("a role that is none", "unauthenticated"),
        ("the role share", "unauthenticated"),
        ("a number", "unauthenticated"),
        ("nothing", "unauthenticated"),
        ("a list", "unauthenticated"),
        ("an object", "unauthenticated"),
        ("20,000 characters", "unauthenticated"),
        ("a nul", "unauthenticated"),
        ("half a surrogate", "unauthenticated"),
    ],
)
async def test_a_token_that_is_none_lets_nobody_in(
    world: World, namespace: str, kind: str, expected: str
) -> None:
    before = await world.before()
    raw = await world.server.raw()
    error = await raw.connect(namespace, token=_forged(kind))
    assert error["code"] == expected
    assert error["retryable"] is False
    assert code(await raw.ask(namespace, "whoami")) == "unauthenticated"
    await world.unchanged(before)


@pytest.mark.parametrize(
    "auth",
    [
        "",
        "null",
        "[]",
        "5",
        '"token"',
        "{}",
        '{"token":""}',
        '{"share":5}',
        json.dumps({str(n): n for n in range(50)}),
    ],
)
@pytest.mark.parametrize("namespace", ["/driver", "/watch"])
async def test_a_connect_payload_that_is_none_is_refused_with_a_code(
    world: World, namespace: str, auth: str
) -> None:
    raw = await world.server.raw()
    await raw.say(f"40{namespace},{auth}")
    error = json.loads(await raw.packet(f"44{namespace},"))
    assert error["data"]["code"] in {"unauthenticated", "not_found"}
    await world.others_are_served()


@pytest.mark.parametrize("auth", ['{"token":', "[" * 5_000, "NaN{"])
async def test_a_connect_that_cannot_be_read_opens_nothing(world: World, auth: str) -> None:
    raw = await world.server.raw()
    await raw.say(f"40/driver,{auth}")
    assert code(await raw.ask("/driver", "positions", {})) == "unauthenticated"
    await world.others_are_served()


@pytest.mark.parametrize(
    "share",
    [
        "",
        ".",
        "x",
        "x.y",
        "../etc.passwd",
        "a\0b.c",
        "\ud800.\ud800",
        "a" * 10_000,
        "'; DROP TABLE shares; --.x",
        5,
        None,
    ],
)
async def test_a_share_that_is_none_is_not_found(world: World, share: Any) -> None:
    before = await world.before()
    raw = await world.server.raw()
    assert (await raw.connect("/watch", share=share))["code"] == "not_found"
    await world.unchanged(before)


async def test_a_wrong_secret_a_revoked_share_and_a_missing_one_look_the_same(world: World) -> None:
    share_id, _, secret = world.victim_share.partition(".")
    revoked = await shares.create(
        world.server.db, "t2", UUID(world.victim_journey), "journey", now_ms() + 10**7, "x"
    )
    await shares.revoke(world.server.db, "t2", revoked[0], SOMEBODY)
    expired = await shares.create(
        world.server.db, "t2", UUID(world.victim_journey), "journey", now_ms() - 1, "x"
    )
    errors = []
    for wrong in (
        f"{share_id}.{secret[:-1]}{'y' if secret[-1] == 'x' else 'x'}",
        f"{share_id}.",
        ".".join(revoked),
        ".".join(expired),
        "no.thing",
    ):
        raw = await world.server.raw()
        errors.append(await raw.connect("/watch", share=wrong))
    assert all(error == errors[0] for error in errors)
    assert errors[0]["code"] == "not_found"


async def test_a_share_opens_no_driver_and_no_api(world: World) -> None:
    raw = await world.server.raw()
    assert (await raw.connect("/driver", share=world.victim_share))["code"] == "unauthenticated"
    async with world.server.session.get(
        f"{world.server.url}/api/v1/journeys", headers={"Authorization": f"Bearer {world.victim_share}"}
    ) as response:
        assert response.status == 401


async def test_a_dispatcher_cannot_drive(world: World) -> None:
    before = await world.before()
    for role in ("dispatcher", "admin", "service"):
        raw = await world.server.raw()
        assert (await raw.connect("/driver", token=world.server.token(role)))["code"] == "forbidden"
    await world.unchanged(before)


async def test_a_foreign_origin_is_not_let_in(world: World) -> None:
    server = world.server
    for origin in ("https://evil.example", "null", "http://127.0.0.1", "https://app.example.evil"):
        for path in ("transport=polling", "transport=websocket"):
            async with server.session.get(
                f"{server.url}/socket.io/?EIO=4&{path}", headers={"Origin": origin}
            ) as response:
                assert response.status == 403
                assert (await response.json())["error"]["code"] == "origin_refused"
    for origin in (server.url, "https://app.example"):
        raw = await server.raw(headers={"Origin": origin})
        assert await raw.connect("/watch", token=server.token("dispatcher")) == {}
