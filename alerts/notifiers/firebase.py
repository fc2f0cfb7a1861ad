"""Firebase's credentials, and access tokens that are fetched off the event loop.

google-auth asks for a token with a blocking call: here it happens in a thread of its own, ahead of time where
it can, and never longer than it may.
"""

import asyncio
import functools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

from firebase_admin import credentials
from google.auth.credentials import TokenState
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import Request

TOKEN_TIMEOUT_S: Final = 5.0


class NoToken(Exception):
    """No access token can be had now."""


def service_account(text: str) -> dict[str, Any]:
    """The service account in ``text``: its JSON, or the path of a file with it.

    Raises ValueError for what is none; what it says holds nothing of the content.
    """
    content = text.strip()
    if not content.startswith("{"):
        try:
            content = Path(content).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ValueError(f"cannot be read: {type(error).__name__}") from None
    try:
        account = json.loads(content)
    except ValueError:
        raise ValueError("neither a path nor JSON") from None
    needed = ("type", "project_id", "private_key", "client_email", "token_uri")
    if not isinstance(account, dict) or any(not isinstance(account.get(name), str) for name in needed):
        raise ValueError(f"not a service account: it needs {', '.join(needed)}")
    try:
        credentials.Certificate(account)
    except ValueError:
        raise ValueError("not a service account: its private key cannot be read") from None
    return account


class AccessTokens:
    """Access tokens of one service account. `get` is for the event loop; `close` ends the thread."""

    def __init__(self, certificate: credentials.Certificate, timeout_s: float = TOKEN_TIMEOUT_S) -> None:
        self._credential: Any = certificate.get_credential()
        self._request = functools.partial(Request(), timeout=timeout_s)
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="firebase-token")
        self._fetching: asyncio.Future[None] | None = None

    async def get(self) -> str:
        """A token that is good now. One near its end is renewed meanwhile. Raises NoToken."""
        state = self._credential.token_state
        if state is not TokenState.FRESH:
            fetching = self._fetch()
            if state is TokenState.INVALID:
                try:
                    await asyncio.shield(fetching)
                except (GoogleAuthError, OSError, ValueError) as error:
                    raise NoToken(type(error).__name__) from error
        return str(self._credential.token)

    def refused(self, token: str) -> None:
        """The other side does not take ``token``: the next `get` fetches another."""
        if self._credential.token == token:
            self._credential.token = None

    def close(self) -> None:
        """End the thread without waiting for it."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _fetch(self) -> asyncio.Future[None]:
        if self._fetching is None or self._fetching.done():
            loop = asyncio.get_running_loop()
            self._fetching = loop.run_in_executor(self._thread, self._credential.refresh, self._request)
            self._fetching.add_done_callback(_seen)
        return self._fetching


def _seen(future: asyncio.Future[None]) -> None:
    """A renewal ahead of time that fails is tried again by the next who asks."""
    if not future.cancelled():
        future.exception()
