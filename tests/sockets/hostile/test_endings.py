"""Staying after one's token or share has ended."""

from uuid import UUID, uuid4

import pytest

from realtime.settings import Settings
from realtime.store.journeys import shares
from realtime.store.people import revocations
from tests.sockets.hostile.kit import SOMEBODY, World
from tests.sockets.kit import now_ms, serving


async def test_a_token_revoked_meanwhile_is_closed_with_a_code(world: World) -> None:
    server = world.server
    jti = uuid4().hex
    raws = []
    for namespace, role, more in (("/driver", "driver", {"driver": "revoked"}), ("/watch", "admin", {})):
        raw = await server.raw()
        assert await raw.connect(namespace, token=server.token(role, jti=jti, **more)) == {}
        raws.append((raw, namespace))
    await revocations.revoke(server.db, "t1", jti)
    for raw, namespace in raws:
        (closing,) = await raw.event(namespace, "closing")
        assert (closing["code"], closing["retryable"]) == ("revoked", False)
        await raw.has_ended()
    raw = await server.raw()
    assert (await raw.connect("/watch", token=server.token("admin", jti=jti)))["code"] == "revoked"
    await world.others_are_served()


async def test_a_token_that_expires_meanwhile_is_closed_with_a_code(world: World) -> None:
    raw = await world.server.raw()
    # Still let in by the clock leeway, and over at the first look.
    token = world.server.token("dispatcher", ttl_s=-1)
    assert await raw.connect("/watch", token=token) == {}
    (closing,) = await raw.event("/watch", "closing")
    assert closing["code"] == "token_expired"
    await raw.has_ended()


@pytest.mark.parametrize("redis", ["up", "down"])
async def test_a_share_revoked_meanwhile_is_closed_with_a_code_with_redis_down_too(
    world: World, settings: Settings, redis: str
) -> None:
    changed = {} if redis == "up" else {"redis_url": "redis://127.0.0.1:1/0", "redis_timeout_s": 0.3}
    async with serving(Settings(**{**settings.model_dump(), **changed})) as server:
        share_id, secret = await shares.create(
            server.db, "t2", UUID(world.victim_journey), "journey", now_ms() + 10**7, "x"
        )
        raw = await server.raw()
        assert await raw.connect("/watch", share=f"{share_id}.{secret}") == {}
        answer = await raw.ask("/watch", "watch", {"feed": {"journey": world.victim_journey}})
        assert len(answer["snapshot"]["positions"]) >= 3
        await shares.revoke(server.db, "t2", share_id, SOMEBODY)
        (closing,) = await raw.event("/watch", "closing")
        assert (closing["code"], closing["retryable"]) == ("revoked", False)
        await raw.has_ended()
        again = await server.raw()
        assert (await again.connect("/watch", share=f"{share_id}.{secret}"))["code"] == "not_found"
