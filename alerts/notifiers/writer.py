"""Words for a message on its way: the link to answer by, and the address if it can be had in time."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from alerts.attempt import OF_NO_ALERT, Purpose
from alerts.ports import DeliveryJob
from alerts.words import REPLIES, RenderedMessage, Replies, render

ADDRESS_WAIT_S: Final = 1.0
"""What an address may cost; then the message goes without it."""
_PLACED: Final = frozenset({Purpose.ALERT, Purpose.EXHAUSTED})


class Geocoder(Protocol):
    """Names places."""

    async def address_of(self, lat: float, lon: float) -> str | None:
        """A line of address near WGS84 ``lat, lon``; None when there is none to be had. Never raises."""


class LinkMaker(Protocol):
    """`alerts.notifiers.links.AnswerLinks`."""

    def of(self, job: DeliveryJob) -> str:
        """The signed link for a job's contact. Asks nobody."""

    def is_in(self, job: DeliveryJob, text: str) -> bool:
        """Whether ``text`` has a link that was made for the attempt of ``job``."""


class WrittenMessage(Struct, frozen=True):
    """A message in all its forms, and the link that is in it (empty for a code or a test)."""

    words: RenderedMessage
    link: str


class MessageWriter:
    """Writes messages."""

    def __init__(
        self,
        links: LinkMaker,
        now_ms: Callable[[], int],
        geocoder: Geocoder | None = None,
        address_wait_s: float = ADDRESS_WAIT_S,
        replies: Replies = REPLIES,
    ) -> None:
        """``replies``: how people can answer beside the link."""
        self._links = links
        self._now_ms = now_ms
        self._geocoder = geocoder
        self._address_wait_s = address_wait_s
        self._replies = replies

    async def write(self, job: DeliveryJob) -> WrittenMessage:
        """The message of ``job``. Takes ``address_wait_s`` at most."""
        link = self._link(job)
        address = await self._address_of(job)
        return WrittenMessage(render(job, link, address, self._now_ms(), self._replies), link)

    def is_of(self, job: DeliveryJob, text: str) -> bool:
        """Whether ``text`` is the message of ``job``, whichever process wrote it: a code is a code."""
        if job.attempt.purpose in OF_NO_ALERT:
            return job.alert.message in text
        return self._links.is_in(job, text)

    def _link(self, job: DeliveryJob) -> str:
        return "" if job.attempt.purpose in OF_NO_ALERT else self._links.of(job)

    async def _address_of(self, job: DeliveryJob) -> str | None:
        place = job.alert.place
        if self._geocoder is None or place is None or job.attempt.purpose not in _PLACED:
            return None
        try:
            async with asyncio.timeout(self._address_wait_s):
                return await self._geocoder.address_of(place.lat, place.lon)
        except TimeoutError:
            return None
