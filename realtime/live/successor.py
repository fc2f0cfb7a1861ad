"""What is shown of a driver once a journey has ended: the last position of one that is still open, if there
is one."""

import logging

from realtime.live.precedence import order_of
from realtime.live.publisher import LivePublisher
from realtime.live.topics import POSITIONS, position_item
from realtime.protocol import Refused
from realtime.store.db.database import Database
from realtime.store.journeys.journeys import JourneyHead
from realtime.store.journeys.points import latest_of_driver

log = logging.getLogger(__name__)


async def show_successor(db: Database, publisher: LivePublisher, ended: JourneyHead, now_ms: int) -> None:
    """Publish the newest position of the driver whose journey ``ended``, as the store has it.

    Feeds compare what comes in with what they show and cannot know by themselves that the journey shown is
    over. A position of an open journey counts as arrived now, so that it takes the place; else the position
    of the ended journey is marked as such. Never raises for a database that is unavailable: the next position
    mends it.
    """
    try:
        latest = await latest_of_driver(db, ended.tenant, ended.vendor, ended.driver)
    except Refused as refusal:
        log.info("latest position not read after a journey's end: %s", refusal.code.value)
        return
    if latest is None:
        return
    same = latest.journey_id == ended.journey_id
    order = order_of(latest.received_ms if same else now_ms, ended=latest.ended)
    item = position_item(latest.driver, str(latest.journey_id), latest.point, order)
    publisher.conflated(ended.tenant, ended.vendor, POSITIONS, item, str(latest.received_ms))
