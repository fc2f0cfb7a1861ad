"""The way of a fix: parse, admit, show it live, commit it, publish it, acknowledge it. In that order.

payload ─▶ parse ─▶ whose journey, still open? ─▶ rate ─▶ live dot ─▶ committer ─▶ journey feed ─▶ ack
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Raw

from geo.position import Point
from realtime.auth import authorize
from realtime.auth.tokens import Principal
from realtime.bus.bus import BusItem
from realtime.ingest.committer import Committer
from realtime.ingest.journey import JourneyLog
from realtime.ingest.parse import Batch, bad_times, parse
from realtime.live.precedence import order_of
from realtime.live.publisher import LivePublisher
from realtime.live.topics import POSITIONS, log_items, position_item
from realtime.metrics import instruments
from realtime.protocol import Code, Refused
from realtime.rate_limits import TokenBucket
from realtime.store.db.database import Database
from realtime.store.journeys import journeys
from realtime.store.journeys.commit import PointBatch

log = logging.getLogger(__name__)

MAX_WAITING_FOR_HEAD: Final = 64
MAX_JOURNEYS_LOOKED_UP: Final = 5_000
READS_AT_ONCE: Final = 2
"""Looking up journeys must not take every database connection from those who commit."""
FORGET_AFTER_S: Final = 900.0
BAD_TIMES_VOIDED: Final = 3
"""Messages of a journey, one after another, that become a void for their time alone. A clock may stumble; an
app that cannot tell the time is refused before a day of its points is nothing but voids."""
Answer = Callable[[dict[str, Any] | bytes], None]
"""Takes an ack, once: as ready JSON when all went well, which is nearly always, or as what becomes JSON."""

_STORED: Final = b'{"ok":true,"through":%d,"voided":[]}'


class _Upload:
    """A payload on its way from its arrival to its ack."""

    __slots__ = ("answer", "arrived_s", "batch", "journey", "known_seq", "points", "principal", "received_ms",
                 "service", "shown")  # fmt: skip

    journey: JourneyLog
    points: PointBatch
    known_seq: int
    """The end of the log before this came: what is up to it was stored, told and counted before."""
    shown: BusItem | None
    """The newest point as it was shown live."""

    def __init__(
        self,
        service: "PositionService",
        principal: Principal,
        batch: Batch,
        answer: Answer,
        received_ms: int,
        arrived_s: float,
    ) -> None:
        self.service = service
        self.principal = principal
        self.batch = batch
        self.answer = answer
        self.received_ms = received_ms
        self.arrived_s = arrived_s

    def found(self, journey: JourneyLog | Refused, *, fresh: bool = False) -> None:
        """Go on with the journey's log; ``fresh`` when it was read from the store just now."""
        try:
            if isinstance(journey, Refused):
                raise journey
            points = self.batch.points
            if fresh or not points or journey.continues(points[0].seq):
                self.service._admit(self, journey)
            else:
                # Another instance may have stored more than is known here: ask before refusing.
                again = partial(self.found, fresh=True)
                self.service._read_head(self.principal.tenant, journey.journey_id, again)
        except Refused as refusal:
            self.answer(refusal.as_answer())
        except Exception:
            log.exception("taking points failed")
            self.answer(Refused(Code.INTERNAL, "request failed", retry_after_s=2).as_answer())

    def done(self, refusal: Refused | None) -> None:
        """The commit has ended: well, or with ``refusal``."""
        if refusal is not None:
            self.service._doubt(self.journey)
            self.answer(refusal.as_answer())
            return
        self.service._publish(self)
        instruments.FIX_TO_ACK.observe(time.monotonic() - self.arrived_s)
        _count(self.points, self.known_seq)
        self.acknowledge()

    def acknowledge(self) -> None:
        """Say how far the journey's log is stored."""
        through, batch = self.journey.committed, self.batch
        if batch.points and batch.points[-1].seq > through:
            through = batch.points[-1].seq
        if batch.voided or batch.latest_refused is not None:
            ack: dict[str, Any] = {"ok": True, "through": through, "voided": batch.voided}
            if batch.latest_refused is not None:
                ack["latest_refused"] = batch.latest_refused
            self.answer(ack)
        else:
            self.answer(_STORED % through)


class PositionService:
    """Takes points of drivers. ``accept`` never waits; its answer comes once the points are committed."""

    def __init__(
        self,
        db: Database,
        committer: Committer,
        publisher: LivePublisher,
        *,
        journey_max_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._committer = committer
        self._publisher = publisher
        self._journey_max_ms = journey_max_ms
        self._now_ms = now_ms
        self._logs: dict[str, JourneyLog] = {}
        # By tenant too: what one is told must not answer another who asks for the same id.
        self._loading: dict[tuple[str, UUID], list[Callable[[JourneyLog | Refused], None]]] = {}
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the journeys known here

    def opened(self, head: journeys.JourneyHead) -> JourneyLog:
        """A journey's head was just read: remember it."""
        known = self._logs.get(str(head.journey_id))
        if known is None:
            known = JourneyLog(
                head.journey_id, head.tenant, head.vendor, head.driver, head.last_seq, head.created_ms
            )
            self._logs[known.text] = known
        known.learned(head.last_seq, head.final_seq, expired=head.expired)
        known.used_s = time.monotonic()
        return known

    def forget_idle(self) -> None:
        """Drop what nobody has used for a while."""
        before_s = time.monotonic() - FORGET_AFTER_S
        for journey_id, known in list(self._logs.items()):
            if known.used_s < before_s and known.waiting == 0:
                del self._logs[journey_id]

    def _with_log(self, tenant: str, journey_id: UUID, then: Callable[[JourneyLog | Refused], None]) -> None:
        """Call ``then`` with the journey's log, at once when it is known here; callers keep their order."""
        known = self._logs.get(str(journey_id))
        waiting = self._loading.get((tenant, journey_id))
        if waiting is not None:
            if len(waiting) >= MAX_WAITING_FOR_HEAD:
                then(Refused(Code.OVERLOADED, "the journey is still being read, try again", retry_after_s=1))
            else:
                waiting.append(then)
        elif known is not None:
            known.used_s = time.monotonic()
            then(known)
        else:
            self._read_head(tenant, journey_id, then)

    def _read_head(self, tenant: str, journey_id: UUID, then: Callable[[JourneyLog | Refused], None]) -> None:
        if len(self._loading) >= MAX_JOURNEYS_LOOKED_UP:
            then(Refused(Code.OVERLOADED, "too many journeys are being read, try again", retry_after_s=1))
            return
        self._loading.setdefault((tenant, journey_id), []).append(then)
        task = asyncio.ensure_future(self._load(tenant, journey_id))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, tenant: str, journey_id: UUID) -> None:
        found: JourneyLog | Refused
        try:
            async with self._reads:
                head = await journeys.head(self._db, tenant, journey_id)
            found = _unknown() if head is None else self.opened(head)
        except Refused as refusal:
            found = refusal
        except Exception:
            log.exception("a journey's head cannot be read")
            found = Refused(Code.INTERNAL, "journey cannot be read", retry_after_s=2)
        for then in self._loading.pop((tenant, journey_id), ()):
            then(found)

    # --- points

    def accept(
        self, principal: Principal, payload: bytes | Raw, answer: Answer, bucket: TokenBucket | None = None
    ) -> None:
        """Take a ``positions`` payload; ``answer`` gets the ack, at once or after the commit.

        ``bucket`` bounds the points a second of a connection.
        """
        received_ms = self._now_ms()
        now_s = time.monotonic()
        try:
            batch = parse(payload)
            if bucket is not None:
                wait_s = bucket.take(len(batch.points) or 1, now_s)
                if wait_s > 0:
                    raise Refused(Code.RATE_LIMITED, "too many points a second", retry_after_s=wait_s)
        except Refused as refusal:
            answer(refusal.as_answer())
            return
        upload = _Upload(self, principal, batch, answer, received_ms, now_s)
        journey = self._logs.get(batch.journey_id)
        if journey is not None and not self._loading:
            journey.used_s = now_s
            upload.found(journey)
        else:
            self._with_log(principal.tenant, UUID(batch.journey_id), upload.found)

    async def submit(self, principal: Principal, body: bytes) -> dict[str, Any]:
        """The same for HTTP: the ack, also when it is a refusal."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def answer(ack: dict[str, Any] | bytes) -> None:
            if not future.done():
                future.set_result(msgspec.json.decode(ack) if isinstance(ack, bytes) else ack)

        self.accept(principal, body, answer)
        return await future

    def _admit(self, upload: _Upload, journey: JourneyLog) -> None:
        batch, received_ms = upload.batch, upload.received_ms
        if not authorize.may_write(upload.principal, journey.tenant, journey.driver):
            raise _unknown()
        if journey.expired or received_ms - journey.created_ms > self._journey_max_ms:
            raise Refused(Code.JOURNEY_EXPIRED, "journey is too old, start the next")
        if batch.points and journey.is_beyond_end(batch.points[-1].seq):
            raise Refused(Code.JOURNEY_ENDED, f"journey ended at seq {journey.final_seq}")
        if batch.bad_time:
            _check_clock(journey, batch)
        elif journey.bad_times:
            journey.bad_times = 0
        upload.journey = journey
        upload.shown = None if batch.newest is None else self._show(journey, batch.newest, received_ms)
        if not batch.points:
            upload.acknowledge()
            return
        upload.points = PointBatch(
            journey.journey_id, journey.tenant, journey.driver, batch.points, batch.voids, received_ms
        )
        upload.known_seq = journey.tail
        self._committer.submit(upload.points, journey, upload.done)

    def _show(self, journey: JourneyLog, point: Point, received_ms: int) -> BusItem:
        """Move the live dot: viewers do not wait for the disk."""
        order = order_of(received_ms, ended=journey.final_seq is not None)
        item = position_item(journey.driver, journey.text, point, order)
        self._publisher.conflated(journey.tenant, journey.vendor, POSITIONS, item, str(received_ms))
        return item

    def _publish(self, upload: _Upload) -> None:
        """Tell the journey's viewers what is new. What was stored before is as it was stored, which may be a
        void; viewers who were not told of it, since an instance died over it, read it from the store.
        """
        journey = upload.journey
        new = _behind(upload.points, upload.known_seq)
        if not new:
            return
        if len(new) == 1 and upload.shown is not None and new[0] is upload.batch.newest:
            items = [BusItem("", new[0].seq, upload.shown.fragment)]  # the very same bytes
        else:
            items = log_items(journey.driver, journey.text, new)
        self._publisher.entries(journey.tenant, journey.text, items, upload.received_ms)

    def _doubt(self, journey: JourneyLog) -> None:
        """What this instance believed of the journey may be wrong: read its head again."""
        if self._logs.get(journey.text) is journey:
            del self._logs[journey.text]


def _unknown() -> Refused:
    return Refused(Code.NOT_FOUND, "journey is not known")


def _check_clock(journey: JourneyLog, batch: Batch) -> None:
    """Count a point whose time cannot be read. Raises Refused(bad_time) when one follows another."""
    if batch.points[-1].seq <= journey.committed:
        return  # a void already
    if journey.bad_times >= BAD_TIMES_VOIDED:
        raise bad_times()
    journey.bad_times += 1


def _behind(batch: PointBatch, known_seq: int) -> list[Point]:
    """The points of ``batch`` above ``known_seq``."""
    points = batch.points
    return points if points[0].seq > known_seq else points[known_seq - points[0].seq + 1 :]


def _count(batch: PointBatch, known_seq: int) -> None:
    """Count the points of ``batch`` behind ``known_seq``; those up to it were counted before."""
    new = _behind(batch, known_seq)
    voids = [batch.voids[point.seq] for point in new if point.seq in batch.voids] if batch.voids else ()
    instruments.POINTS_ACCEPTED.inc(len(new) - len(voids))
    for reason in voids:
        known = reason if reason in instruments.VOID_REASONS else "skipped"
        instruments.POINTS_VOIDED.labels(known).inc()
