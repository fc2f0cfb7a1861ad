"""What becomes of what Twilio's stand-in has accepted, and the signed callbacks that tell of it."""

import asyncio
import secrets
from collections import deque
from collections.abc import Coroutine, Mapping
from typing import Final

import aiohttp
import msgspec
from twilio.request_validator import RequestValidator

from realtime.outside.twilio_words import Sent, status_form

KEPT: Final = 2_000
TIMEOUT_S: Final = 15.0
_COURSE: Final = {
    "ringing": ["initiated", "ringing"],
    "busy": ["initiated", "ringing", "busy"],
    "no-answer": ["initiated", "ringing", "no-answer"],
    "failed": ["initiated", "failed"],
    "completed": ["initiated", "ringing", "in-progress", "completed"],
}
_EVENT_OF: Final = {"initiated": "initiated", "ringing": "ringing", "in-progress": "answered"}


class Behaviour(msgspec.Struct, frozen=True):
    """What becomes of what was accepted.

    ``message``: delivered, undelivered, failed, or sent (and then no word any more). ``call``: ringing (until
    somebody presses or hangs up), busy, no-answer, failed, or completed (answered by a mailbox).
    ``keeps`` False: a lie, it says that it has accepted it and knows nothing of it afterwards.
    """

    message: str = "delivered"
    call: str = "ringing"
    keeps: bool = True
    calls_back: bool = True
    twice: bool = False
    reversed: bool = False
    """Callbacks come in the wrong order."""
    gives_up: bool = False
    """A call that nobody takes ends after the time for which it was told to ring."""
    forged: bool = False
    """Callbacks are signed with another token."""
    delay_s: float = 0.0
    """From one callback to the next."""


class Callbacks:
    """The course of each message and call of one account, as ``behaviour`` says. ``stop`` ends them all."""

    def __init__(self, account_sid: str, auth_token: str) -> None:
        self._account_sid = account_sid
        self._auth_token = auth_token
        self.behaviour = Behaviour()
        self.answers: deque[int] = deque(maxlen=KEPT)
        """Statuses with which callbacks were answered."""
        self._tasks = set[asyncio.Task[None]]()

    async def stop(self) -> None:
        """Tell nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Returns once every callback that is on its way has been made."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def sent(self, message: Sent) -> None:
        """Begin the course of a message."""
        last = self.behaviour.message
        self._begin(self.report(message, ["sent"] if last == "sent" else ["sent", last]))

    def dialled(self, call: Sent, rings_s: float | None) -> None:
        """Begin the course of a call that was told to ring for so long."""
        self._begin(self._ring(call, rings_s if self.behaviour.gives_up else None))

    def _begin(self, course: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(course)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ring(self, call: Sent, rings_s: float | None) -> None:
        """What becomes of a call by itself."""
        await self.report(call, _COURSE[self.behaviour.call])
        if rings_s is not None and call.status == "ringing":
            await asyncio.sleep(rings_s)
            if call.status == "ringing":
                await self.report(call, ["no-answer"])

    async def report(self, one: Sent, statuses: list[str]) -> None:
        """Go through ``statuses``, calling back at each."""
        last = statuses[-1]
        for status in statuses[::-1] if self.behaviour.reversed else statuses:
            await asyncio.sleep(self.behaviour.delay_s)
            one.status = status
            if status in ("failed", "undelivered") and not one.is_call:
                one.error_code = 30003
            if not one.callback or not self.behaviour.calls_back or not _wants(one, status):
                continue
            for _ in range(2 if self.behaviour.twice else 1):
                await self.call_back(one, one.callback, status_form(self._account_sid, one))
        one.status = last

    async def call_back(self, one: Sent, url: str, form: Mapping[str, str]) -> str:
        """A call for ``one``, on record with it."""
        one.asked.append(url)
        return await self.post(url, form)

    async def post(self, url: str, form: Mapping[str, str]) -> str:
        """A signed call to one of our hooks: the body of the answer, empty when nobody answered."""
        token = secrets.token_hex(16) if self.behaviour.forged else self._auth_token
        headers = {"X-Twilio-Signature": RequestValidator(token).compute_signature(url, dict(form))}
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(url, data=dict(form), headers=headers) as answer,
            ):
                self.answers.append(answer.status)
                return await answer.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            self.answers.append(0)
            return ""


def _wants(one: Sent, status: str) -> bool:
    """Calls are reported as asked; every way a call can end is ``completed``."""
    return not one.is_call or _EVENT_OF.get(status, "completed") in one.events
