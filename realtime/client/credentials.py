"""Tokens for drivers that a command plays: minted with the system's own secret."""

import time
from collections.abc import Awaitable, Callable

from realtime.auth.tokens import mint
from realtime.protocol import identifier
from realtime.settings import Settings

TTL_S = 3_600.0


def driver_tokens(settings: Settings, tenant: str, vendor: str, driver: str) -> Callable[[], Awaitable[str]]:
    """A source of tokens for ``driver``, a new one when the last has a fifth of its hour left."""
    for value, name in ((tenant, "tenant"), (vendor, "vendor"), (driver, "driver")):
        identifier(value, name)
    token, minted_s = "", 0.0

    async def fresh() -> str:
        nonlocal token, minted_s
        now_s = time.monotonic()
        if not token or now_s - minted_s > 0.8 * TTL_S:
            token = mint(settings, role="driver", tenant=tenant, vendors=[vendor], driver=driver, ttl_s=TTL_S)
            minted_s = now_s
        return token

    return fresh
