"""Whoever runs the system: told of the auditor's findings by a signed webhook, and of its health by a call
to an outside monitor. Their addresses come from the settings, so that they may be inside.
"""

import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec

from alerts.notifiers.guarded import Forbidden, GuardedHttp, Lost, NotConnected
from alerts.notifiers.webhook import DELIVERY_HEADER, SIGNATURE_HEADER, signature_of
from realtime.monitoring.checks import Finding

TIMEOUT_S: Final = 8.0


class OperatorWebhook:
    """`tell` posts findings, `call` is the heartbeat. `close` ends it."""

    def __init__(
        self, webhook_url: str, webhook_secret: str, heartbeat_url: str, now_ms: Callable[[], int]
    ) -> None:
        self._webhook_url: Final = webhook_url
        self._secret: Final = webhook_secret
        self._heartbeat_url: Final = heartbeat_url
        self._now_ms: Final = now_ms
        self._http: Final = GuardedHttp(allow_private=True)

    async def tell(self, found: list[Finding]) -> bool:
        """Whether they have it."""
        now_ms = self._now_ms()
        body = msgspec.json.encode({"type": "auditor", "at_ms": now_ms, "findings": found})
        headers = {
            "Content-Type": "application/json",
            DELIVERY_HEADER: str(uuid.uuid4()),
            SIGNATURE_HEADER: signature_of(self._secret, body, now_ms // 1000),
        }
        try:
            answer = await self._http.post(self._webhook_url, body, headers, TIMEOUT_S)
        except (Forbidden, NotConnected, Lost):
            return False
        return answer.status < HTTPStatus.MULTIPLE_CHOICES

    async def call(self) -> bool:
        """Whether the outside monitor has heard us."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
                session.get(self._heartbeat_url) as answer,
            ):
                return answer.status < HTTPStatus.BAD_REQUEST
        except (TimeoutError, aiohttp.ClientError, OSError):
            return False

    async def close(self) -> None:
        """Let go of connections."""
        await self._http.close()
