"""Where a driver is who presses an SOS: what the press says, what Postgres has, and the live position.

`alerts.location` decides which place counts. A press may be nothing but its `sos_id`: a button on a wrist
knows no journey and no place. Postgres is asked for both in the statements that read the contacts; the live
position is that which this process took itself, or that which Redis has. Redis is asked beside Postgres, and
only where the press does not know the place well.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Final
from uuid import UUID

import msgspec
from msgspec.structs import replace

from alerts.alert import Place, Press
from alerts.location import PlaceSource, better, choose, is_well_known, of_press, order_ms, place_of
from realtime.alerting.optional import PressStep, attempt_now
from realtime.bus.bus import BusItem
from realtime.live.precedence import arrival_ms
from realtime.live.redis_state import LiveState
from realtime.live.topics import POSITIONS, parse_position
from realtime.protocol import Refused
from realtime.store.alerts.circumstances import FAR, DriverQuery, LastSeenPosition, seen_of
from realtime.store.db.database import Database

log = logging.getLogger(__name__)

LOOK_S: Final = 0.3
"""Of the time in which Postgres has to take a press; beyond it the press goes without committed positions."""
LIVE_S: Final = 0.2
"""How long a press waits for Redis; beyond it the position that this process knows counts."""
PAUSE_S: Final = 1.0
"""How long Redis is not asked after it failed: of many presses one waits for it."""
JOURNEY_MS: Final = 900_000
"""A journey whose last position is older may be over: the press is not said to be on it."""
JOURNEY_ID: Final = "journey_id"
"""What is noted of a press that names a journey which is not one of its driver."""

TakenHere = Callable[[str, str, str], BusItem | None]
"""The newest position of (tenant, vendor, driver) that this process took, as it is shown live."""


def placed(press: Press, seen: LastSeenPosition | None, live: Sequence[Place], now_ms: int) -> Press:
    """``press`` with the place that counts of all that are known, and the journey that its driver is on.

    ``seen``: what Postgres has; None when it cannot be asked. What is set aside is noted.
    """
    known = [] if seen is None else seen.places
    choice = choose([of_press(press), *known, *live])
    noted = press.noted if choice.set_aside is None else (*press.noted, choice.set_aside.value)
    journey_id = _journey_of(press, seen, choice.place, now_ms)
    if press.journey_id is not None and seen is not None and seen.named is None:
        noted = (*noted, JOURNEY_ID)
    said = press.said_place if choice.set_aside is None else press.place
    return replace(press, place=choice.place, said_place=said, noted=noted, journey_id=journey_id)


def placed_or_as_pressed(
    press: Press, seen: LastSeenPosition | None, live: Sequence[Place], now_ms: int
) -> Press:
    """As `placed`; ``press`` as it is when that fails."""
    return attempt_now(press, PressStep.PLACE, press, lambda: placed(press, seen, live, now_ms))


def _journey_of(press: Press, seen: LastSeenPosition | None, place: Place | None, now_ms: int) -> UUID | None:
    """The journey of a press. There are five cases:

    1. It names an open journey of its driver, by its own id or the app's: that one.
    2. It names none, or one that is over or not the driver's: the open journey with the newest position.
    3. It names one of the driver that is over: that one.
    4. The place that counts is of a journey, and of the last `JOURNEY_MS`: that one.
    5. Postgres cannot be asked: the one that it names. Else none.
    """
    if seen is not None:
        if seen.named is not None and seen.is_named_open:
            return seen.named
        if (found := _newest_open(seen)) is not None or (found := seen.named) is not None:
            return found
    elif press.journey_id is not None:
        return press.journey_id
    if place is not None and place.journey_id is not None and now_ms - order_ms(place) <= JOURNEY_MS:
        return place.journey_id
    return None


def _newest_open(seen: LastSeenPosition) -> UUID | None:
    """The open journey with the newest position; of those without any the one that began last."""
    still_open = [journey for journey in seen.journeys if journey.is_open]
    if not still_open:
        return None
    best = choose([journey.place for journey in still_open]).place
    return still_open[0].journey_id if best is None else best.journey_id


async def last_seen_of(
    db: Database, press: Press, now_ms: int, within_s: float = LOOK_S
) -> LastSeenPosition | None:
    """Where the driver of ``press`` was seen at any time; None when Postgres does not say so ``within_s``.

    For a driver of whom nothing else is known: it reads more than a press may cost. Never raises.
    """
    try:
        async with asyncio.timeout(within_s), db.reader(press.tenant) as connection:
            asked = DriverQuery(press.tenant, press.driver, press.journey_id)
            (seen,) = await seen_of(connection, [asked], now_ms, FAR)
    except Exception as error:  # whatever it is, the press itself may be stored
        log.warning("a press goes without what is known of its driver: %s", type(error).__name__)
        return None
    return seen


class LastSeen:
    """Where a driver was last seen, by this process and by Redis.

    ``within_s``: how long Redis may take; ``pause_s``: how long it is not asked after it failed.
    """

    def __init__(
        self,
        state: LiveState,
        taken_here: TakenHere,
        now_ms: Callable[[], int],
        within_s: float = LIVE_S,
        pause_s: float = PAUSE_S,
    ) -> None:
        self._state: Final = state
        self._taken_here: Final = taken_here
        self._now_ms: Final = now_ms
        self._within_s: Final = within_s
        self._pause_s: Final = pause_s
        self._paused_until_s = -math.inf

    async def located(self, press: Press) -> Press:
        """``press`` with the place and the journey that are known without Postgres. Never raises for a Redis
        that is unavailable.
        """
        live = await self.places(press)
        return placed_or_as_pressed(press, None, live, self._now_ms())

    async def places(self, press: Press) -> list[Place]:
        """The live positions of the driver of ``press``: at most one of this process and one of Redis, which
        is asked only when the press does not know the place well. Takes ``within_s`` at most.
        """
        whom = (press.tenant, press.vendor, press.driver)
        is_known = is_well_known(of_press(press), self._now_ms())
        found = [self.here(*whom), None if is_known else await self.of_redis(*whom)]
        return [place for place in found if place is not None]

    async def of(self, tenant: str, vendor: str, driver: str) -> Place | None:
        """The live position of a driver: the newest of this process and Redis."""
        return better(self.here(tenant, vendor, driver), await self.of_redis(tenant, vendor, driver))

    def here(self, tenant: str, vendor: str, driver: str) -> Place | None:
        """The newest position of the driver that this process took."""
        return _place_of(self._taken_here(tenant, vendor, driver), driver)

    async def of_redis(self, tenant: str, vendor: str, driver: str) -> Place | None:
        """The newest position of the driver that any process took; None also when Redis is unavailable."""
        if time.monotonic() < self._paused_until_s:
            return None
        try:
            async with asyncio.timeout(self._within_s):
                stored = await self._state.read_one(tenant, vendor, POSITIONS, driver)
        except (TimeoutError, Refused):
            self._paused_until_s = time.monotonic() + self._pause_s
            return None
        except Exception as error:  # its own text may hold a coordinate
            log.warning("a live position cannot be read: %s", type(error).__name__)
            return None
        return None if stored is None else _place_of(stored.item, driver)


def _place_of(item: BusItem | None, driver: str) -> Place | None:
    """A live position as a place."""
    if item is None:
        return None
    try:
        whose, journey, point = parse_position(item.fragment)
        journey_id = UUID(journey)
    except (msgspec.MsgspecError, ValueError):
        return None
    if whose != driver or point.t_ms is None:
        return None
    return place_of(
        point.lat,
        point.lon,
        point.accuracy_m,
        point.t_ms,
        point.battery_pct,
        source=PlaceSource.LIVE,
        arrived_ms=arrival_ms(item.order),
        journey_id=journey_id,
        seq=point.seq,
    )
