"""The way of a batch of positions to its acknowledgement, step by step.

| step | where | what may refuse the batch |
|---|---|---|
| 1. parse | `realtime.ingest.parse` | what is no batch; a bad point becomes a void |
| 2. limit | `_limit` | more points a second than a connection may send |
| 3. find the journey | `realtime.ingest.journey_logs` | unknown; too many are being read |
| 4. continue its log | `_found` | read again once; the commit refuses a hole |
| 5. authorise | `_authorise` | the journey of another driver looks like none |
| 6. check the journey | `_check_journey` | expired; beyond its end |
| 7. check the clock | `_check_clock` | one unreadable time after another |
| 8. show live | `_show_live` | nothing: viewers do not wait for the disk |
| 9. commit | `realtime.ingest.committer` | a hole; a conflict; a full queue; an unavailable store |
| 10. publish | `_publish` | nothing |
| 11. count | `_count` | nothing |
| 12. acknowledge | `realtime.ingest.upload` | nothing |

Steps 4 to 9 follow each other without an ``await``, so that batches of a journey keep their order.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Raw

from geo.position import Point
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.bus.bus import BusItem
from realtime.ingest.committer import Committer
from realtime.ingest.journey import JourneyLog
from realtime.ingest.journey_logs import JourneyLogs, unknown_journey
from realtime.ingest.parse import Batch, bad_times, parse
from realtime.ingest.upload import Refuse, Upload
from realtime.live.precedence import order_of
from realtime.live.publisher import LivePublisher
from realtime.live.topics import POSITIONS, log_items, position_item
from realtime.metrics import instruments
from realtime.protocol import Answer, Code, Refused
from realtime.rate_limits import TokenBucket
from realtime.store.journeys.commit import PointBatch

log = logging.getLogger(__name__)

BAD_TIMES_VOIDED: Final = 3
"""Messages of a journey, one after another, that become a void for their time alone. A clock may stumble; an
app that cannot tell the time is refused before a day of its points is nothing but voids."""


class PositionService:
    """Takes batches of positions. ``accept`` never waits; its answer comes once the points are committed."""

    def __init__(
        self,
        journeys: JourneyLogs,
        committer: Committer,
        publisher: LivePublisher,
        *,
        journey_max_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._journeys: Final = journeys
        self._committer: Final = committer
        self._publisher: Final = publisher
        self._journey_max_ms: Final = journey_max_ms
        self._now_ms: Final = now_ms

    def accept(
        self, principal: Principal, payload: bytes | Raw, answer: Answer, bucket: TokenBucket | None = None
    ) -> None:
        """Take a ``positions`` payload; ``answer`` gets the ack or the error, at once or after the commit.

        ``bucket`` bounds the points a second of a connection.
        """
        self._accept(principal, payload, answer, lambda refusal: answer(refusal.as_answer()), bucket)

    async def submit(self, principal: Principal, body: bytes) -> bytes:
        """The same for HTTP: the ack as JSON. Raises Refused."""
        ack: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def answer(found: dict[str, Any] | bytes) -> None:
            if not ack.done():
                ack.set_result(found if isinstance(found, bytes) else msgspec.json.encode(found))

        def refuse(refusal: Refused) -> None:
            if not ack.done():
                ack.set_exception(refusal)

        self._accept(principal, body, answer, refuse, None)
        return await ack

    # --- the steps

    def _accept(
        self,
        principal: Principal,
        payload: bytes | Raw,
        answer: Answer,
        refuse: Refuse,
        bucket: TokenBucket | None,
    ) -> None:
        upload = Upload(principal, answer, refuse, self._now_ms(), time.monotonic())
        try:
            upload.batch = batch = parse(payload)
            if bucket is not None:
                _limit(batch, bucket, upload.arrived_s)
        except Refused as refusal:
            refuse(refusal)
            return
        found = partial(self._found, upload)
        self._journeys.find(principal.tenant, batch.journey_id, upload.arrived_s, found)

    def _found(self, upload: Upload, journey: JourneyLog | Refused, *, is_fresh: bool = False) -> None:
        """Go on with the journey's log; ``is_fresh`` when it was read from the store just now."""
        try:
            if isinstance(journey, Refused):
                raise journey
            points = upload.batch.points
            if points and not is_fresh and not journey.continues(points[0].seq):
                again = partial(self._found, upload, is_fresh=True)
                self._journeys.read(upload.principal.tenant, journey.journey_id, again)
                return
            _authorise(upload.principal, journey)
            _check_journey(upload, journey, self._journey_max_ms)
            _check_clock(upload.batch, journey)
            upload.journey = journey
            upload.shown = self._show_live(upload)
            self._commit(upload)
        except Refused as refusal:
            upload.refuse(refusal)
        except Exception:
            log.exception("taking points failed")
            upload.refuse(Refused(Code.INTERNAL, "request failed", retry_after_s=2))

    def _show_live(self, upload: Upload) -> BusItem | None:
        """Move the live position; the item as it was shown."""
        if upload.batch.newest is None:
            return None
        journey = upload.journey
        order = order_of(upload.received_ms, ended=journey.final_seq is not None)
        item = position_item(journey.driver, journey.text, upload.batch.newest, order)
        self._publisher.conflated(journey.tenant, journey.vendor, POSITIONS, item, str(upload.received_ms))
        return item

    def _commit(self, upload: Upload) -> None:
        journey, batch = upload.journey, upload.batch
        if not batch.points:
            upload.acknowledge()
            return
        upload.points = PointBatch(
            journey.journey_id, journey.tenant, journey.driver, batch.points, batch.voids, upload.received_ms
        )
        upload.known_seq = journey.tail
        self._committer.submit(upload.points, journey, partial(self._committed, upload))

    def _committed(self, upload: Upload, refusal: Refused | None) -> None:
        """The commit has ended: well, or with ``refusal``."""
        if refusal is not None:
            self._journeys.forget(upload.journey)
            upload.refuse(refusal)
            return
        new = upload.new_points
        self._publish(upload, new)
        instruments.FIX_TO_ACK.observe(time.monotonic() - upload.arrived_s)
        _count(upload.points, new)
        upload.acknowledge()

    def _publish(self, upload: Upload, new: list[Point]) -> None:
        """Publish what is new to the journey's viewers. What was stored before is as it was stored, which may
        be a void; viewers who missed it, since an instance died over it, read it from the store.
        """
        if not new:
            return
        journey = upload.journey
        if len(new) == 1 and upload.shown is not None and new[0] is upload.batch.newest:
            items = [BusItem("", new[0].seq, upload.shown.fragment)]  # the very same bytes
        else:
            items = log_items(journey.driver, journey.text, new)
        self._publisher.entries(journey.tenant, journey.text, items, upload.received_ms)


def _limit(batch: Batch, bucket: TokenBucket, now_s: float) -> None:
    wait_s = bucket.take(len(batch.points) or 1, now_s)
    if wait_s > 0:
        raise Refused(Code.RATE_LIMITED, "too many points a second", retry_after_s=wait_s)


def _authorise(principal: Principal, journey: JourneyLog) -> None:
    if not authorize.may_write(principal, journey.tenant, journey.driver):
        raise unknown_journey()


def _check_journey(upload: Upload, journey: JourneyLog, journey_max_ms: int) -> None:
    if journey.expired or upload.received_ms - journey.created_ms > journey_max_ms:
        raise Refused(Code.JOURNEY_EXPIRED, "journey is too old, start the next")
    points = upload.batch.points
    if points and journey.is_beyond_end(points[-1].seq):
        raise Refused(Code.JOURNEY_ENDED, f"journey ended at seq {journey.final_seq}")


def _check_clock(batch: Batch, journey: JourneyLog) -> None:
    """Count a point whose time cannot be read. Raises Refused(bad_time) when one follows another."""
    if not batch.bad_time:
        journey.bad_times = 0
    elif batch.points[-1].seq > journey.committed:  # else it is a void already
        if journey.bad_times >= BAD_TIMES_VOIDED:
            raise bad_times()
        journey.bad_times += 1


def _count(batch: PointBatch, new: list[Point]) -> None:
    """Count the ``new`` points of ``batch``; the others were counted before."""
    voids = [batch.voids[point.seq] for point in new if point.seq in batch.voids] if batch.voids else ()
    instruments.POINTS_ACCEPTED.inc(len(new) - len(voids))
    for reason in voids:
        known = reason if reason in instruments.VOID_REASONS else "skipped"
        instruments.POINTS_VOIDED.labels(known).inc()
