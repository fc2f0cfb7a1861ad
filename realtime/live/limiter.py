"""How often a principal may do an operation, counted in Redis for all instances together.

A fixed window of 10 s. With Redis away everybody is let through: the balancer and the connections have limits
of their own, and a limiter that fails closed would be an outage.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Final

from realtime.auth import Principal
from realtime.fanout.bus import REDIS_FAULTS
from realtime.fanout.redisurl import Client
from realtime.protocol import Code, Refused

WINDOW_S: Final = 10
DEFAULT_PER_WINDOW: Final = 100
PER_WINDOW: Final[Mapping[str, int]] = {
    "connect": 1_000,
    "journey:start": 60,
    "watch": 1_000,
    "submit_positions": 200,
    "create_share": 30,
    "revoke_token": 100,
}


class RedisLimiter:
    """``check`` raises Refused(rate_limited) beyond ``per_window`` (operation → times in 10 s)."""

    def __init__(
        self,
        client: Client,
        timeout_s: float,
        per_window: Mapping[str, int] = PER_WINDOW,
        default: int = DEFAULT_PER_WINDOW,
    ) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._per_window = per_window
        self._default = default

    async def check(self, principal: Principal, operation: str) -> None:
        """Count one ``operation`` of ``principal``. Raises Refused(rate_limited) with ``retry_after_s``."""
        now_s = time.time()
        window = int(now_s // WINDOW_S)
        key = f"wg:{{{principal.tenant}/{principal.sub}}}:rate:{operation}:{window}"
        try:
            async with asyncio.timeout(self._timeout_s):
                pipe = self._client.pipeline(transaction=False)
                pipe.incr(key)
                pipe.expire(key, WINDOW_S * 2)
                count = (await pipe.execute())[0]
        except REDIS_FAULTS:
            return
        if count > self._per_window.get(operation, self._default):
            wait_s = (window + 1) * WINDOW_S - now_s
            raise Refused(Code.RATE_LIMITED, f"too many times: {operation}", retry_after_s=wait_s)
