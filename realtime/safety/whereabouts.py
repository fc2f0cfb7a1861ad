"""What a phone did not say with its cry for help and we know: the journey, and where it was last seen.

A press may be nothing but its `sos_id`: a button on a wrist knows no journey. Who is told must hear where.
"""

import asyncio
import logging
from typing import Final

from msgspec.structs import replace

from alerts.alert import Press
from realtime import metrics
from realtime.protocol import Refused
from realtime.store import timers
from realtime.store.database import Database

log = logging.getLogger(__name__)

LOOK_S: Final = 0.3
"""Of the time in which Postgres has to take a press; beyond it the press goes as it is."""


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
