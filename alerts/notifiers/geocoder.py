"""Addresses of places, from a Nominatim server: cached, one question at a time, and given up soon.

A message never waits for more than its own patience (`alerts.notifiers.writer`); an answer that comes later
is there for the next one.
"""

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from geopy.adapters import AioHTTPAdapter
from geopy.exc import GeopyError
from geopy.geocoders import Nominatim

from alerts.words.clean import clean

log = logging.getLogger(__name__)

CACHED: Final = 5_000
WAITING: Final = 32
"""Places asked about at once; beyond it there is no address."""
ADDRESS_CHARS: Final = 140
REST_S: Final = 30.0
"""After a failure nobody is asked for this long."""
_NOTHING: Final = ""


class NominatimGeocoder:
    """Addresses by ``url``, the base of a Nominatim server. ``timeout_s`` bounds one question.

    ``clock``: monotonic seconds.
    """

    def __init__(self, url: str, clock: Callable[[], float], timeout_s: float = 5.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("not a http address")
        self._nominatim = Nominatim(
            domain=(parts.netloc + parts.path).rstrip("/"),
            scheme=parts.scheme,
            timeout=timeout_s,
            user_agent="wayguard",
            adapter_factory=AioHTTPAdapter,
        )
        self._clock = clock
        self._timeout_s = timeout_s
        self._known: OrderedDict[tuple[float, float], str] = OrderedDict()
        self._asking: dict[tuple[float, float], asyncio.Task[str]] = {}
        self._one = asyncio.Semaphore(1)
        self._rests_until_s = -math.inf

    async def address_of(self, lat: float, lon: float) -> str | None:
        """The address within some ten metres of ``lat, lon``; None when none can be had now."""
        key = (round(lat, 4), round(lon, 4))
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key] or None
        task = self._asking.get(key)
        if task is None:
            if self._clock() < self._rests_until_s or len(self._asking) >= WAITING:
                return None
            task = self._asking[key] = asyncio.ensure_future(self._ask(key))
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        return await asyncio.shield(task) or None  # who waits may leave; the answer is kept all the same

    async def close(self) -> None:
        """Let go of connections."""
        for task in list(self._asking.values()):
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        await self._nominatim.adapter.__aexit__(None, None, None)

    async def _ask(self, key: tuple[float, float]) -> str:
        async with self._one:
            if self._clock() < self._rests_until_s:
                return _NOTHING
            try:
                async with asyncio.timeout(self._timeout_s):
                    found: Any = await self._nominatim.reverse(key, exactly_one=True, zoom=18)
            except (GeopyError, OSError, TimeoutError, ValueError, KeyError, TypeError) as error:
                self._rests_until_s = self._clock() + REST_S
                log.warning("the geocoder is unavailable: %s", type(error).__name__)
                return _NOTHING
        address = clean(str(found.address), ADDRESS_CHARS) if found is not None else _NOTHING
        self._known[key] = address
        if len(self._known) > CACHED:
            self._known.popitem(last=False)
        return address
