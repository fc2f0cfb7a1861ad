"""How often a principal may do an operation, counted in Redis for all instances together.

A fixed window of 10 s. With Redis away everybody is let through: the balancer and the connections have limits
of their own, and a limiter that fails closed would be an outage.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from typing import Final

from realtime.auth.tokens import Principal
from realtime.bus.bus import REDIS_FAULTS
from realtime.protocol import Code, Refused
from realtime.rate_limits import network_of_subscriber
from realtime.redis.client import Client

WINDOW_S: Final = 10
DEFAULT_PER_WINDOW: Final = 100
PER_WINDOW: Final[Mapping[str, int]] = {
    "connect": 1_000,
    "journey:start": 60,
    "watch": 1_000,
    "submit_positions": 200,
    "create_share": 30,
    "create_alert_share": 30,
    "revoke_token": 100,
    "send_code": 20,
    "verify_contact": 30,
    "put_pins": 20,
    "erase_driver": 20,
    "open_session": 30,
    "create_pairing": 30,
    "redeem_pairing": 20,
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

        self._asked: list[tuple[str, asyncio.Future[int | None]]] = []
        self._counting: asyncio.Task[None] | None = None

    async def check(self, principal: Principal, operation: str) -> None:
        """Count one ``operation`` of ``principal``. Raises Refused(rate_limited) with ``retry_after_s``."""
        await self._check(f"{principal.tenant}/{principal.sub}", operation)

    async def check_address(self, address: str, operation: str) -> None:
        """The same of an operation that is open to all, by where it is asked from (a /64 of IPv6)."""
        await self._check(f"from/{network_of_subscriber(address)}", operation)

    async def _check(self, who: str, operation: str) -> None:
        now_s = time.time()
        window = int(now_s // WINDOW_S)
        key = f"wg:{{{who}}}:rate:{operation}:{window}"
        count = await self._count(key)
        if count is not None and count > self._per_window.get(operation, self._default):
            wait_s = (window + 1) * WINDOW_S - now_s
            raise Refused(Code.RATE_LIMITED, f"too many times: {operation}", retry_after_s=wait_s)

    def _count(self, key: str) -> "asyncio.Future[int | None]":
        """How often ``key`` was counted, this time included; None while Redis is away.

        Who asks while an answer is on its way shares the next round trip: a fleet that comes back at once
        would pay for one each.
        """
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, answer))
        if self._counting is None:
            self._counting = asyncio.ensure_future(self._count_asked())
        return answer

    async def _count_asked(self) -> None:
        asked: list[tuple[str, asyncio.Future[int | None]]] = []
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                counts = await self._counted(Counter(key for key, _ in asked))
                for key, answer in reversed(asked):  # the last of a key has the highest count
                    count = counts.get(key)
                    if count is not None:
                        counts[key] = count - 1
                    if not answer.done():
                        answer.set_result(count)
        finally:
            self._counting = None
            left, self._asked = [*asked, *self._asked], []
            for _, answer in left:  # a fault of ours leaves nobody waiting for ever
                if not answer.done():
                    answer.set_result(None)

    async def _counted(self, times: Mapping[str, int]) -> dict[str, int]:
        """The counts after ``times`` were added to each key; none while Redis is away."""
        try:
            async with asyncio.timeout(self._timeout_s):
                pipe = self._client.pipeline(transaction=False)
                for key, number in times.items():
                    pipe.incrby(key, number)
                    pipe.expire(key, WINDOW_S * 2)
                answers = await pipe.execute()
        except REDIS_FAULTS:
            return {}
        return dict(zip(times, answers[::2], strict=True))
