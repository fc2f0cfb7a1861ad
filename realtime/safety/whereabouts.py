"""What a phone did not say with its SOS and the system knows: the journey, and the last position.

A press may be nothing but its `sos_id`: a button on a wrist knows no journey. Contacts must be told where.
Postgres is asked first, for it knows which journey is active. With Postgres unavailable, or when it knows
nothing, the live position counts: that which this process took itself, or that which Redis has.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from alerts.alert import Place, Press
from geo.position import has_fix, order_ms
from realtime import metrics
from realtime.fanout.bus import Item
from realtime.live.channels import POSITIONS, parse_position
from realtime.live.precedence import arrival_ms
from realtime.live.state import LiveState
from realtime.protocol import Refused
from realtime.store import timers
from realtime.store.database import Database

log = logging.getLogger(__name__)

LOOK_S: Final = 0.3
"""Of the time in which Postgres has to take a press; beyond it the press goes as it is."""
LIVE_S: Final = 0.2
"""How long a press waits for Redis; beyond it the position that this process knows counts."""
JOURNEY_MS: Final = 900_000
"""A journey whose last position is older may be over: the press is not said to be on it."""

TakenHere = Callable[[str, str, str], Item | None]
"""The newest position of (tenant, vendor, driver) that this process took, as it is shown live."""


async def located(db: Database, press: Press, within_s: float = LOOK_S) -> Press:
    """``press`` with the journey that its driver is on and the last position of it, where it has none; as it
    is when Postgres does not answer in ``within_s``.
    """
    if press.place is not None and press.journey_id is not None:
        return press
    try:
        async with asyncio.timeout(within_s), db.reader(press.tenant) as connection:
            sign = await timers.sign_of(connection, press.tenant, press.driver, press.journey_id)
    except Exception as error:  # whatever it is, the press itself may be stored
        log.warning("a press goes without what is known of its driver: %s", type(error).__name__)
        if not isinstance(error, TimeoutError | Refused):
            metrics.ALERT_STORE_FAULTS.inc()
        return press
    if sign is None:
        return press
    return replace(press, journey_id=press.journey_id or sign.journey_id, place=press.place or sign.place)


class LastSeen:
    """Where a driver was last seen, by this process and by Redis. ``within_s``: how long Redis may take."""

    def __init__(
        self,
        state: LiveState,
        taken_here: TakenHere,
        now_ms: Callable[[], int],
        within_s: float = LIVE_S,
    ) -> None:
        self._state: Final = state
        self._taken_here: Final = taken_here
        self._now_ms: Final = now_ms
        self._within_s: Final = within_s

    async def located(self, press: Press) -> Press:
        """``press`` with the newest position of its driver, where it has none. Never raises for a Redis that
        is unavailable.

        The place says when it was and how exact it is. Its time is by the older of the phone's clock and the
        arrival, so a phone whose clock runs ahead is not taken for newer.
        """
        if press.place is not None:
            return press
        whom = (press.tenant, press.vendor, press.driver)
        known = [self._taken_here(*whom), await self._of_redis(*whom)]
        items = sorted((item for item in known if item is not None), key=lambda item: -item.order)
        for item in items:
            if (found := self._placed(press, item)) is not None:
                return found
        return press

    async def _of_redis(self, tenant: str, vendor: str, driver: str) -> Item | None:
        try:
            async with asyncio.timeout(self._within_s):
                stored = await self._state.read_one(tenant, vendor, POSITIONS, driver)
        except (TimeoutError, Refused):
            return None
        except Exception as error:  # its own text may hold a coordinate
            log.warning("a live position cannot be read: %s", type(error).__name__)
            return None
        return None if stored is None else stored.item

    def _placed(self, press: Press, item: Item) -> Press | None:
        try:
            driver, journey_id, point = parse_position(item.fragment)
            journey: UUID | None = press.journey_id or UUID(journey_id)
        except (msgspec.MsgspecError, ValueError):
            return None
        if driver != press.driver or not has_fix(point) or point.lat is None or point.lon is None:
            return None
        at_ms = order_ms(point.t_ms or 0, arrival_ms(item.order))
        if self._now_ms() - at_ms > JOURNEY_MS:
            journey = press.journey_id
        place = Place(point.lat, point.lon, point.accuracy_m, at_ms, point.battery_pct)
        return replace(press, journey_id=journey, place=place)
