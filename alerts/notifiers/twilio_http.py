"""Calls to Twilio's API, and what became of one: refused, lost after it was written, or not even begun.

Twilio's message create has no idempotency key, so everything hangs on whether a request was written.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import aiohttp
from msgspec import Struct
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.async_http_client import AsyncTwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from alerts.addresses.phone import dialled
from alerts.attempt import Outcome, Permanent, Retryable, Unsure
from alerts.notifiers.webhook import retry_after_s

PROVIDER: Final = "twilio"
CONNECT_SHARE: Final = 0.5
"""Of the time for a call: what a connection may take, so that a provider that is away is known as such."""
KEPT_ALIVE_S: Final = 15.0
"""Shorter than any balancer's: a request into a connection that is just being closed has an unknown end."""
CONNECTIONS: Final = 64

T = TypeVar("T")


class TwilioAccount(Struct, frozen=True):
    """Whose messages and calls these are.

    ``sender``: an E.164 number, or the sid of a messaging service (text messages only).
    ``hooks_url``: where callbacks go, without a slash at the end; empty: there are none.
    ``base_url``: a stand-in instead of Twilio itself.
    """

    sid: str
    token: str
    sender: str
    hooks_url: str = ""
    base_url: str = ""


class _Handing(Struct):
    """How far a request came: ``status`` and ``retry_after`` are of its answer, if there was one."""

    written: bool = False
    status: int = 0
    retry_after: str | None = None


class _OneCall(AsyncTwilioHttpClient):
    """Twilio's own HTTP client on a session that outlives it, for one call that knows how far it came."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, timeout_s: float) -> None:
        super().__init__(pool_connections=False, timeout=timeout_s)
        self._shared = session
        self._base_url = base_url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, connect=timeout_s * CONNECT_SHARE)
        self.handing = _Handing()

    async def request(
        self,
        method: str,
        url: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """One request. Nothing of it is logged: it holds numbers and texts."""
        if self._base_url:
            parts = urlsplit(url)
            url = self._base_url + parts.path + (f"?{parts.query}" if parts.query else "")
        async with self._shared.request(
            method.upper(),
            url,
            params=_plain(params),
            data=data,
            headers=_signed_in(headers, auth),
            timeout=self._timeout,
            allow_redirects=False,
            trace_request_ctx=self.handing,
        ) as response:
            self.handing.status = response.status
            self.handing.retry_after = response.headers.get("Retry-After")
            return Response(response.status, await response.text(errors="replace"), response.headers)


class TwilioApi:
    """One account's API. `close` lets go of its connections."""

    def __init__(self, account: TwilioAccount, now_ms: Callable[[], int]) -> None:
        self.account: Final = account
        self._now_ms: Final = now_ms
        self._session: aiohttp.ClientSession | None = None

    async def do(self, what: Callable[[Client], Awaitable[T]], timeout_s: float) -> T | Outcome:
        """``what`` with a client: its result, or what stood in its way (Retryable, Permanent, Unsure)."""
        if timeout_s <= 0:
            return Retryable("timeout")
        account = self.account
        http = _OneCall(self._open(), account.base_url, timeout_s)
        client = Client(account.sid, account.token, http_client=http, environment={"": ""})
        try:
            async with asyncio.timeout(timeout_s):
                return await what(client)
        except (TwilioException, ValueError, KeyError, TypeError) as error:
            return self._refused(error, http.handing)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return broken(error, http.handing.written)

    def _refused(self, error: Exception, handing: _Handing) -> Outcome:
        """Twilio said no, or somebody between us and it did, in words of their own."""
        if 200 <= handing.status < 300:
            return Unsure("garbage")  # no answer of Twilio's, and it may have sent for all that
        code = error.code if isinstance(error, TwilioRestException) else None
        return refusal_of(handing.status, code, retry_after_s(handing.retry_after, self._now_ms()))

    async def close(self) -> None:
        """Let go of connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            trace = aiohttp.TraceConfig()
            trace.on_request_headers_sent.append(_written)
            connector = aiohttp.TCPConnector(limit=CONNECTIONS, keepalive_timeout=KEPT_ALIVE_S)
            self._session = aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trace_configs=[trace]
            )
        return self._session


async def in_each_form(number: str, create: Callable[[str], Awaitable[T | Outcome]]) -> T | Outcome:
    """What came of ``create`` with ``number`` as its network has it; where Twilio says that there is no such
    number, with its other form, which was surely not tried.
    """
    first: T | Outcome | None = None
    for form in dialled(number):
        made = await create(form)
        if first is None:
            first = made
        if not (isinstance(made, Permanent) and made.reason in _NO_SUCH_NUMBER):
            return made
    assert first is not None
    return first


async def _written(session: object, context: Any, params: object) -> None:
    context.trace_request_ctx.written = True


def _signed_in(headers: dict[str, str] | None, auth: tuple[str, str] | None) -> dict[str, str]:
    return (headers or {}) | ({} if auth is None else {"Authorization": aiohttp.encode_basic_auth(*auth)})


def _plain(params: dict[str, object] | None) -> dict[str, str] | None:
    return (
        None if params is None else {name: str(value) for name, value in params.items() if value is not None}
    )


def broken(error: Exception, written: bool) -> Outcome:
    """A request without an answer: surely not sent while nothing of it was written."""
    timed_out = isinstance(error, TimeoutError)
    if written:
        return Unsure("timeout" if timed_out else "connection_lost")
    return Retryable("timeout" if timed_out else "no_connection", provider_down=True)


_FOR_GOOD: Final = {
    21211: "bad_number",
    21214: "bad_number",
    21217: "bad_number",
    21401: "bad_number",
    21614: "not_mobile",
    21610: "opted_out",
    21612: "no_route",
    21216: "blocked",
    21408: "country_not_allowed",
    21215: "country_not_allowed",
    21219: "unverified_number",
    21608: "unverified_number",
}
"""What Twilio's codes mean; any other is named by its number. https://www.twilio.com/docs/api/errors"""
_NO_SUCH_NUMBER: Final = frozenset({"bad_number", "not_mobile", "no_route"})
"""Refusals of a number that its other form (`alerts.addresses.phone.dialled`) may not get."""
_LATER: Final = frozenset({20429, 21611, 14107})
"""Too many requests; the queue of the sender is full; too many messages of the sender."""
_OURS: Final = frozenset({20003, 20005, 20006, 20008, 10001, 30002})
"""Credentials, or a suspended account: nothing gets out until somebody does something about it."""
_REPLY_LOST: Final = frozenset({502, 504})
"""A gateway that got no answer does not know what became of the request behind it."""


def refusal_of(status: int, code: int | None, wait_s: float | None) -> Outcome:
    """What an error answer means."""
    if code in _LATER or status in (408, 425, 429):
        return Retryable(f"http_{status}", wait_s)
    if code in _OURS or status in (401, 403):
        return Retryable("auth", wait_s, provider_down=True)
    if status in _REPLY_LOST:
        return Unsure(f"http_{status}")
    if status >= 500 or status < 400:
        return Retryable(f"http_{status}", wait_s, provider_down=True)
    return Permanent(_FOR_GOOD.get(code or 0) or (f"twilio_{code}" if code else f"http_{status}"))
