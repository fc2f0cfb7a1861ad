"""firebase_admin's messaging, made fit for an event loop and for a deadline.

Its own asynchronous client retries 500 and 503 for seven seconds by itself, fetches tokens with a blocking
call, has a timeout for each step but none for the whole, and gives up a whole batch for one answer that is no
JSON. The one here replaces it, through four underscore names that a test holds in place.
"""

import asyncio
import uuid
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, Final

import firebase_admin
import httpx
from firebase_admin import _http_client, credentials, messaging
from firebase_admin._retry import HttpxRetry

from alerts.notifiers.firebase import AccessTokens, NoToken

BATCH: Final = 500
"""Messages that one call takes."""
CONNECT_SHARE: Final = 0.5
_deadline_s: ContextVar[float] = ContextVar("fcm_deadline_s")
"""When the present batch is over, by the loop's clock."""


class TokenAway(httpx.ConnectError):
    """Nothing was sent, since there is no access token."""


class Fcm:
    """Sends messages of one Firebase project. ``base_url``: instead of Google's own."""

    def __init__(self, account: dict[str, Any], *, base_url: str = "", timeout_s: float = 10.0) -> None:
        certificate = credentials.Certificate(account)
        self._app = firebase_admin.initialize_app(
            certificate, {"httpTimeout": timeout_s}, name=f"wayguard-fcm-{uuid.uuid4()}"
        )
        self._tokens = AccessTokens(certificate, min(timeout_s, 5.0))
        self._client = _Client(self._tokens, timeout_s)
        service = messaging._get_messaging_service(self._app)
        service._async_client = self._client
        if base_url:
            service._fcm_url = f"{base_url.rstrip('/')}/v1/projects/{account['project_id']}/messages:send"

    async def send(
        self, messages: Sequence[messaging.Message], timeout_s: float
    ) -> list[messaging.SendResponse]:
        """What became of each message, in order, after ``timeout_s`` at most."""
        _deadline_s.set(asyncio.get_running_loop().time() + timeout_s)
        answers: list[messaging.SendResponse] = []
        for start in range(0, len(messages), BATCH):
            batch = list(messages[start : start + BATCH])
            answers += (await messaging.send_each_async(batch, dry_run=False, app=self._app)).responses
        return answers

    async def close(self) -> None:
        """Let go of connections."""
        await self._client.aclose()
        self._tokens.close()
        # It closes its own client with asyncio.run, which a running loop does not allow.
        await asyncio.to_thread(firebase_admin.delete_app, self._app)


class _Client(_http_client.HttpxAsyncClient):  # type: ignore[misc]  # it ships no types
    """Never retries; ends by the deadline; every trouble is an `httpx.HTTPError` of one message alone."""

    def __init__(self, tokens: AccessTokens, timeout_s: float) -> None:
        super().__init__(retry_config=HttpxRetry(max_retries=0), timeout=timeout_s)
        self._tokens = tokens
        self._connect_s = timeout_s * CONNECT_SHARE

    async def request(self, method: str, url: str, **kwargs: Any) -> httpx.Response:
        """One call."""
        left_s = _deadline_s.get() - asyncio.get_running_loop().time()
        kwargs["timeout"] = httpx.Timeout(max(left_s, 0.001), connect=min(left_s, self._connect_s))
        try:
            async with asyncio.timeout(left_s):
                return await self._authorised(method, url, kwargs)
        except TimeoutError as error:
            raise httpx.ReadTimeout("no answer in time") from error

    async def _authorised(self, method: str, url: str, kwargs: dict[str, Any]) -> httpx.Response:
        try:
            token = await self._tokens.get()
        except NoToken as error:
            raise TokenAway(str(error)) from error
        kwargs["headers"] = {**kwargs.get("headers", {}), "Authorization": f"Bearer {token}"}
        try:
            response: httpx.Response = await super().request(method, url, **kwargs)
            response.json()
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 401:
                self._tokens.refused(token)
            raise
        except ValueError as error:
            raise httpx.DecodingError("the answer is no json") from error
        return response
