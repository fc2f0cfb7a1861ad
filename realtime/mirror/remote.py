"""A Realtime Database by its official client, which only blocks: in threads of its own, each call bounded.

The client retries 500 and 503 for seconds by itself; here nothing is, since the next update is newer. An
``http://host:port/?ns=name`` address is a stand-in's or emulator's and needs no credentials.
"""

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import firebase_admin
from firebase_admin import credentials, db, exceptions
from google.auth.exceptions import GoogleAuthError
from requests.adapters import HTTPAdapter

from alerts.notifiers.firebase import service_account
from realtime.settings import Settings

T = TypeVar("T")

THREADS: Final = 4
HTTP_TIMEOUT_S: Final = 5.0
CALL_TIMEOUT_S: Final = 8.0


class RemoteAway(Exception):
    """The call failed or was not answered in time; it may have been done. ``args[0]`` is a word for why."""


class RemoteRefused(Exception):
    """The database does not take what is in this update: trying again is of no use."""


class RealtimeDatabase:
    """``url`` of the database, ``account`` a service account's JSON (None for a stand-in)."""

    def __init__(
        self,
        url: str,
        account: dict[str, Any] | None,
        *,
        http_timeout_s: float = HTTP_TIMEOUT_S,
        call_timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._call_timeout_s = call_timeout_s
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="firebase-mirror")
        self._app = firebase_admin.initialize_app(
            credentials.Certificate(account) if account is not None else None,
            {"databaseURL": url, "httpTimeout": http_timeout_s},
            name=f"wayguard-mirror-{uuid.uuid4()}",
        )
        self._root = db.reference("/", app=self._app)
        for scheme in ("http://", "https://"):
            self._root._client.session.mount(scheme, HTTPAdapter(max_retries=0, pool_maxsize=THREADS))
        self._updating: asyncio.Future[None] | None = None

    @property
    def is_updating(self) -> bool:
        """Whether an update that was given up may still be under way: another must not overtake it."""
        return self._updating is not None and not self._updating.done()

    async def update(self, changes: dict[str, Any]) -> None:
        """One multi-path update from the root; None removes. Raises RemoteAway or RemoteRefused."""
        if self.is_updating:
            raise RemoteAway("busy")
        self._updating = self._submit(lambda: self._root.update(changes))
        await self._bounded(self._updating)

    async def keys(self, path: str) -> list[str]:
        """The keys below ``path``, without their values. Raises RemoteAway."""
        found = await self._bounded(self._submit(lambda: self._root.child(path).get(shallow=True)))
        return list(found) if isinstance(found, dict) else []

    async def get(self, path: str) -> Any:
        """All below ``path``; None when there is nothing. Raises RemoteAway."""
        return await self._bounded(self._submit(lambda: self._root.child(path).get()))

    async def close(self) -> None:
        """Let go. A call under way ends by its own timeout."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        firebase_admin.delete_app(self._app)

    def _submit(self, call: Callable[[], T]) -> asyncio.Future[T]:
        try:
            future = asyncio.get_running_loop().run_in_executor(self._threads, call)
        except RuntimeError as error:  # closed
            raise RemoteAway("closed") from error
        future.add_done_callback(_seen)
        return future

    async def _bounded(self, future: asyncio.Future[T]) -> T:
        try:
            async with asyncio.timeout(self._call_timeout_s):
                return await asyncio.shield(future)
        except exceptions.InvalidArgumentError as error:
            raise RemoteRefused("refused") from error
        except exceptions.FirebaseError as error:
            raise RemoteAway(str(error.code).lower()) from error
        except TimeoutError as error:
            raise RemoteAway("timeout") from error
        except (GoogleAuthError, OSError, ValueError) as error:
            raise RemoteAway(type(error).__name__) from error


def open_remote(settings: Settings) -> RealtimeDatabase | None:
    """The database of the settings, None when there is none. Raises ValueError naming what is at fault."""
    url = settings.firebase_database_url
    if not url:
        return None
    text = settings.firebase_credentials.get_secret_value()
    if not text and not url.startswith("http://"):
        raise ValueError("FIREBASE_DATABASE_URL is set but FIREBASE_CREDENTIALS is empty")
    try:
        account = service_account(text) if text and not url.startswith("http://") else None
    except ValueError as error:
        raise ValueError(f"FIREBASE_CREDENTIALS {error}") from None
    try:
        return RealtimeDatabase(url, account)
    except ValueError:
        raise ValueError("FIREBASE_DATABASE_URL is no address of a database") from None


def _seen(future: asyncio.Future[Any]) -> None:
    """What ends after it was given up is nobody's error any more."""
    if not future.cancelled():
        future.exception()
