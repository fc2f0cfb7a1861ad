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

from msgspec import Raw

from geo.position import Point, order_ms
from realtime import access, metrics
from realtime.auth import Principal
from realtime.batch import Batch, parse
from realtime.committer import Committer
from realtime.journey_log import JourneyLog
from realtime.limits import TokenBucket
from realtime.live.channels import POSITIONS, log_item, position_item
from realtime.live.publisher import LivePublisher
from realtime.protocol import Code, Refused
from realtime.store import journeys
from realtime.store.commit import PointBatch
from realtime.store.database import Database

log = logging.getLogger(__name__)

MAX_WAITING_FOR_HEAD: Final = 64
MAX_JOURNEYS_LOOKED_UP: Final = 5_000
READS_AT_ONCE: Final = 2
"""Looking up journeys must not take every database connection from those who commit."""
FORGET_AFTER_S: Final = 900.0
Answer = Callable[[dict[str, Any]], None]


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
        self._logs: dict[UUID, JourneyLog] = {}
        # By tenant too: what one is told must not answer another who asks for the same id.
        self._loading: dict[tuple[str, UUID], list[Callable[[JourneyLog | Refused], None]]] = {}
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()

    # --- the journeys known here

    def opened(self, head: journeys.JourneyHead) -> JourneyLog:
        """A journey's head was just read: remember it."""
        known = self._logs.get(head.journey_id)
        if known is None:
            known = self._logs[head.journey_id] = JourneyLog(
                head.journey_id, head.tenant, head.vendor, head.driver, head.last_seq, head.created_ms
            )
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
        known = self._logs.get(journey_id)
        waiting = self._loading.get((tenant, journey_id))
        if waiting is not None:
            if len(waiting) >= MAX_WAITING_FOR_HEAD:
                then(Refused(Code.OVERLOADED, "journey is still being looked up", retry_after_s=1))
            else:
                waiting.append(then)
        elif known is not None:
            known.used_s = time.monotonic()
            then(known)
        else:
            self._read_head(tenant, journey_id, then)

    def _read_head(self, tenant: str, journey_id: UUID, then: Callable[[JourneyLog | Refused], None]) -> None:
        if len(self._loading) >= MAX_JOURNEYS_LOOKED_UP:
            then(Refused(Code.OVERLOADED, "too many journeys are being looked up", retry_after_s=1))
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
        try:
            batch = parse(payload, received_ms)
            if bucket is not None:
                wait_s = bucket.take(max(1, len(batch.points)), time.monotonic())
                if wait_s > 0:
                    raise Refused(Code.RATE_LIMITED, "too many points a second", retry_after_s=wait_s)
        except Refused as refusal:
            answer(refusal.as_answer())
            return

        def then(found: JourneyLog | Refused, *, fresh: bool = False) -> None:
            try:
                if isinstance(found, Refused):
                    raise found
                if fresh or not batch.points or found.continues(batch.points[0].seq):
                    self._admit(principal, found, batch, received_ms, answer)
                else:
                    # Another instance may have stored more than is known here: ask before refusing.
                    self._read_head(principal.tenant, found.journey_id, partial(then, fresh=True))
            except Refused as refusal:
                answer(refusal.as_answer())
            except Exception:
                log.exception("taking points failed")
                answer(Refused(Code.INTERNAL, "request failed", retry_after_s=2).as_answer())

        self._with_log(principal.tenant, UUID(batch.journey_id), then)

    async def submit(self, principal: Principal, body: bytes) -> dict[str, Any]:
        """The same for HTTP: the ack, also when it is a refusal."""
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        def answer(ack: dict[str, Any]) -> None:
            if not future.done():
                future.set_result(ack)

        self.accept(principal, body, answer)
        return await future

    def _admit(
        self, principal: Principal, journey: JourneyLog, batch: Batch, received_ms: int, answer: Answer
    ) -> None:
        if not access.may_write(principal, journey.tenant, journey.driver):
            raise _unknown()
        if journey.expired or received_ms - journey.created_ms > self._journey_max_ms:
            raise Refused(Code.JOURNEY_EXPIRED, "journey is too old, start the next")
        if batch.points and journey.is_beyond_end(batch.points[-1].seq):
            raise Refused(Code.JOURNEY_ENDED, f"journey ended at seq {journey.final_seq}")
        if batch.newest is not None:
            self._show(journey, batch.newest, received_ms)
        if not batch.points:
            answer(_ack(batch, journey.committed))
            return
        points = PointBatch(
            journey.journey_id, journey.tenant, journey.driver, batch.points, batch.voids, received_ms
        )
        started_s = time.perf_counter()
        known_seq = journey.tail

        def done(refusal: Refused | None) -> None:
            if refusal is not None:
                self._doubt(journey)
                answer(refusal.as_answer())
                return
            self._publish(journey, points, known_seq)
            metrics.FIX_TO_ACK.observe(time.perf_counter() - started_s)
            _count(points, known_seq)
            answer(_ack(batch, max(points.last_seq, journey.committed)))

        self._committer.submit(points, journey, done)

    def _show(self, journey: JourneyLog, point: Point, received_ms: int) -> None:
        """Move the live dot: viewers do not wait for the disk."""
        order = order_ms(point.t_ms or 0, received_ms)
        item = position_item(journey.driver, str(journey.journey_id), point, order)
        self._publisher.conflated(journey.tenant, journey.vendor, POSITIONS, item, str(received_ms))

    def _publish(self, journey: JourneyLog, batch: PointBatch, known_seq: int) -> None:
        """Tell the journey's viewers what is new. What was stored before is as it was stored, which may be a
        void; viewers who were not told of it, since an instance died over it, read it from the store.
        """
        journey_id = str(journey.journey_id)
        new = [point for point in batch.points if point.seq > known_seq]
        items = [log_item(journey.driver, journey_id, point) for point in new]
        if items:
            self._publisher.entries(journey.tenant, journey_id, items, batch.received_ms)

    def _doubt(self, journey: JourneyLog) -> None:
        """What this instance believed of the journey may be wrong: read its head again."""
        if self._logs.get(journey.journey_id) is journey:
            del self._logs[journey.journey_id]


def _unknown() -> Refused:
    return Refused(Code.NOT_FOUND, "journey is not known")


def _ack(batch: Batch, through: int) -> dict[str, Any]:
    ack: dict[str, Any] = {"ok": True, "through": through, "voided": batch.voided}
    if batch.latest_refused is not None:
        ack["latest_refused"] = batch.latest_refused
    return ack


def _count(batch: PointBatch, known_seq: int) -> None:
    """Count the points of ``batch`` behind ``known_seq``; those up to it were counted before."""
    new = [point.seq for point in batch.points if point.seq > known_seq]
    voids = [batch.voids[seq] for seq in new if seq in batch.voids]
    metrics.POINTS_ACCEPTED.inc(len(new) - len(voids))
    for reason in voids:
        known = reason if reason in metrics.VOID_REASONS else "skipped"
        metrics.POINTS_VOIDED.labels(known).inc()
