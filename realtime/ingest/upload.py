"""A batch of positions on its way from its arrival to its acknowledgement."""

from collections.abc import Callable
from typing import Any, Final

from geo.position import Point
from realtime.auth.tokens import Principal
from realtime.bus.bus import BusItem
from realtime.ingest.journey import JourneyLog
from realtime.ingest.parse import Batch
from realtime.protocol import Answer, Refused
from realtime.store.journeys.commit import PointBatch

Refuse = Callable[[Refused], None]
"""Takes the refusal instead of an ack, once."""

_STORED: Final = b'{"ok":true,"through":%d,"voided":[]}'


class Upload:
    """What the steps of `realtime.ingest.pipeline` know of a batch, each more than the one before."""

    __slots__ = (
        "answer",
        "arrived_s",
        "batch",
        "journey",
        "known_seq",
        "points",
        "principal",
        "received_ms",
        "refuse",
        "shown",
    )

    batch: Batch
    journey: JourneyLog
    points: PointBatch
    known_seq: int
    """The end of the log before this came: what is up to it was stored, published and counted before."""
    shown: BusItem | None
    """The newest point as it was shown live."""

    def __init__(
        self, principal: Principal, answer: Answer, refuse: Refuse, received_ms: int, arrived_s: float
    ) -> None:
        self.principal = principal
        self.answer = answer
        self.refuse = refuse
        self.received_ms = received_ms
        self.arrived_s = arrived_s

    @property
    def new_points(self) -> list[Point]:
        """The points above ``known_seq``."""
        points = self.points.points
        known_seq = self.known_seq
        return points if points[0].seq > known_seq else points[known_seq - points[0].seq + 1 :]

    def acknowledge(self) -> None:
        """Answer how far the journey's log is stored."""
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
