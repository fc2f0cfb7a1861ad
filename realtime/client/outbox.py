"""The driver's outbox: which points the server does not have yet, what to send next, what an answer means.

Pure: no I/O and no clock. Only one request is under way at a time, so what is kept is always the contiguous
tail of the log that starts behind ``through``, and sending again is sending from its head.

A journey goes through: start (also after every reconnect: the answer's ``next_seq`` says what the server has)
→ positions, until all are acknowledged → end, once the app ended it.
"""

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, Final
from uuid import UUID

from realtime.client.backoff import Backoff
from realtime.client.journey import DriverJourney
from realtime.protocol import MAX_POINTS


class AckOutcome(StrEnum):
    """What an answer meant."""

    PROGRESS = "progress"
    RETRY = "retry"
    RECONNECT = "reconnect"
    REFUSED = "refused"


@dataclass(slots=True)
class Stats:
    """What became of the points, in points unless said otherwise.

    ``added = acknowledged + conflicts + lost + refused + kept``; ``rewound`` counts acknowledged seqs that
    the server asked for again: on a sound server it stays 0.
    """

    added: int = 0
    sent: int = 0
    resent: int = 0
    acknowledged: int = 0
    voided: int = 0
    conflicts: int = 0
    lost: int = 0
    refused: int = 0
    rewound: int = 0
    journeys: int = 0
    journeys_done: int = 0
    latest_refused: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Stats") -> None:
        """Count ``other`` in."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass(frozen=True, slots=True)
class Request:
    """One event to emit; its answer goes back to `Outbox.answered`."""

    event: str
    payload: dict[str, Any]


_NEXT_JOURNEY: Final = frozenset({"journey_expired", "journey_ended", "not_found"})
_RECONNECT: Final = frozenset({"token_expired", "unauthenticated", "draining"})
_SMALLER: Final = frozenset({"too_large", "too_many_points"})


class Outbox:
    """Keeps points until the server says ``through``; bounded by ``max_kept`` points.

    Beyond the bound the oldest unsent points are dropped and declared as lost. ``gather`` holds points back
    until so many wait, or the journey is ended.
    """

    def __init__(
        self, rng: Random, *, batch: int = MAX_POINTS, gather: int = 1, max_kept: int = 100_000
    ) -> None:
        if not 1 <= batch <= MAX_POINTS:
            raise ValueError(f"batch is not within 1..{MAX_POINTS}: {batch}")
        self.stats = Stats()
        self.journeys: deque[DriverJourney] = deque()
        self.not_before_s = 0.0
        self._batch = batch
        self._gather = min(gather, batch)
        self._max_kept = max_kept
        self._kept_points = 0
        self._backoff = Backoff(rng)

    def __repr__(self) -> str:
        logs = [f"{j.through}..{j.tip}" for j in self.journeys]
        return f"Outbox(kept={self._kept_points}, logs={logs}, failures={self._backoff.failures})"

    # --- what the app does

    def start(self, client_journey_id: str, started_ms: int, **details: Any) -> None:
        """Begin a journey (``vehicle``, ``destination``, ``route``); the one before must be ended."""
        UUID(client_journey_id)
        if self.is_under_way:
            raise ValueError(f"journey {self.journeys[-1].client_journey_id} is not ended")
        given = {name: value for name, value in details.items() if value is not None}
        self.journeys.append(DriverJourney(client_journey_id, started_ms, given))
        self.stats.journeys += 1

    def add(self, t_ms: int, lat: float, lon: float, *more: float | None) -> int:
        """Keep a point of the journey under way; ``more`` is speed, heading, accuracy, altitude, battery.

        Returns its seq, which may still change while nothing of this journey was sent. A point of a journey
        that the server refused for good only counts as refused. Raises ValueError without a journey.
        """
        if not self.journeys or self.journeys[-1].ended_ms is not None:
            raise ValueError("no journey is under way")
        while more and more[-1] is None:
            more = more[:-1]
        journey = self.journeys[-1]
        journey.tip += 1
        self.stats.added += 1
        if journey.refused is not None:
            self.stats.refused += 1
            return journey.tip
        journey.kept.append((t_ms, lat, lon, *more))
        self._kept_points += 1
        if self._kept_points > self._max_kept:
            self._lose_oldest_unsent()
        return journey.tip

    def end(self, ended_ms: int) -> None:
        """End the journey under way; what it still holds is sent first. Raises ValueError without one."""
        if not self.journeys or self.journeys[-1].ended_ms is not None:
            raise ValueError("no journey is under way")
        self.journeys[-1].ended_ms = ended_ms

    @property
    def is_under_way(self) -> bool:
        """Whether a journey takes points: started, not ended, not refused by the server."""
        return (
            bool(self.journeys) and self.journeys[-1].ended_ms is None and self.journeys[-1].refused is None
        )

    @property
    def journey_id(self) -> str | None:
        """The server's id of the journey under way; None without one, or before the server has told it."""
        return self.journeys[-1].journey_id if self.is_under_way else None

    # --- what the connection does

    @property
    def kept(self) -> int:
        """Points that are not acknowledged yet."""
        return self._kept_points

    @property
    def is_done(self) -> bool:
        """Whether the server has everything: no point kept, every start and every end taken."""
        return all(
            j.refused is not None or not (j.kept or j.journey_id is None or j.ended_ms is not None)
            for j in self.journeys
        )

    def connected(self) -> None:
        """A new connection: every journey is started again before anything else of it is sent."""
        for journey in self.journeys:
            journey.is_open = False

    def next(self, now_s: float) -> Request | None:
        """What to send now, or None: nothing to say, or not before ``not_before_s``."""
        while (
            self.journeys
            and self.journeys[0].refused
            and (self.journeys[0].ended_ms or len(self.journeys) > 1)
        ):
            self.journeys.popleft()
        if now_s < self.not_before_s or not self.journeys:
            return None
        journey = self.journeys[0]
        if journey.refused is not None:
            return None
        if journey.journey_id is not None and not self._has_news(journey):
            return None
        if not journey.is_open:
            return self._start_request(journey)
        if journey.kept:
            return self._positions_request(journey)
        assert journey.ended_ms is not None
        payload = {"journey_id": journey.journey_id, "ended_at": journey.ended_ms, "last_seq": journey.tip}
        return Request("journey:end", payload)

    def answered(self, request: Request, answer: object, now_s: float) -> AckOutcome:
        """Take in the answer to ``request``; anything but an answer object means that none came."""
        journey = self.journeys[0]
        if not isinstance(answer, Mapping):
            return self._again(now_s, None)
        if answer.get("ok") is not True:
            error = answer.get("error")
            return self._failed(journey, request, error if isinstance(error, Mapping) else {}, now_s)
        self._backoff.succeeded()
        self.not_before_s = 0.0
        match request.event:
            case "journey:start":
                return self._started(journey, answer, now_s)
            case "positions":
                return self._stored(journey, request, answer, now_s)
            case _:
                self.journeys.popleft()
                self.stats.journeys_done += 1
                return AckOutcome.PROGRESS

    # --- requests

    def _has_news(self, journey: DriverJourney) -> bool:
        return journey.ended_ms is not None or len(journey.kept) >= self._gather

    def _start_request(self, journey: DriverJourney) -> Request:
        payload = {"client_journey_id": journey.client_journey_id, "started_at": journey.started_ms}
        return Request("journey:start", payload | journey.details)

    def _positions_request(self, journey: DriverJourney) -> Request:
        seq, payload = journey.head(self._batch)
        sent = len(payload["points"])
        self.stats.sent += sent
        self.stats.resent += max(0, min(sent, journey.sent_to - (seq - sent)))
        journey.sent_to = max(journey.sent_to, seq)
        return Request("positions", {"journey_id": journey.journey_id} | payload)

    # --- answers

    def _started(self, journey: DriverJourney, answer: Mapping[str, Any], now_s: float) -> AckOutcome:
        journey_id, next_seq = answer.get("journey_id"), answer.get("next_seq")
        if not isinstance(journey_id, str) or not isinstance(next_seq, int):
            return self._again(now_s, None)
        journey.journey_id = journey_id
        journey.is_open = True
        self._server_has(journey, next_seq - 1)
        return AckOutcome.PROGRESS

    def _stored(
        self, journey: DriverJourney, request: Request, answer: Mapping[str, Any], now_s: float
    ) -> AckOutcome:
        through, before = answer.get("through"), journey.through
        if not isinstance(through, int) or through <= before:
            return self._again(now_s, None)
        seqs = {point[0] for point in request.payload["points"]}
        self.stats.voided += sum(1 for seq, _ in answer.get("voided") or () if seq in seqs)
        self.stats.latest_refused += "latest_refused" in answer
        self._server_has(journey, through)
        return AckOutcome.PROGRESS

    def _failed(
        self, journey: DriverJourney, request: Request, error: Mapping[str, Any], now_s: float
    ) -> AckOutcome:
        code = str(error.get("code"))
        self.stats.errors[code] += 1
        if code == "expected_seq" and isinstance(expected := error.get("expected"), int):
            before = journey.through
            self._server_has(journey, expected - 1)
            return AckOutcome.PROGRESS if journey.through != before else self._again(now_s, None)
        if code == "conflict" and (conflicts := error.get("conflicts")):
            self._yield_to_stored(journey, conflicts)
            return AckOutcome.PROGRESS
        if code in _NEXT_JOURNEY:
            self._move_on(journey)
            return self._again(now_s, None)
        if code in _SMALLER and self._batch > 1:
            self._batch = max(1, self._batch // 2)
            self._gather = min(self._gather, self._batch)
            return self._again(now_s, None)
        if code in _RECONNECT:
            self._again(now_s, error.get("retry_after_s"))
            return AckOutcome.RECONNECT
        if error.get("retryable"):
            return self._again(now_s, error.get("retry_after_s"))
        self._give_up(journey, code)
        return AckOutcome.REFUSED

    def _again(self, now_s: float, retry_after_s: float | None) -> AckOutcome:
        self.not_before_s = now_s + self._backoff.failed(retry_after_s)
        return AckOutcome.RETRY

    def _server_has(self, journey: DriverJourney, stored: int) -> None:
        acknowledged, rewound = journey.line_up(stored)
        self._kept_points -= acknowledged
        self.stats.acknowledged += acknowledged
        self.stats.rewound += rewound

    def _yield_to_stored(self, journey: DriverJourney, conflicts: list[int]) -> None:
        """The server keeps what it has stored, so everything up to the last conflict is stored there."""
        points = journey.forget(min(max(conflicts), journey.tip))
        lost = min(points, len(set(conflicts)))
        self._kept_points -= points
        self.stats.conflicts += lost
        self.stats.acknowledged += points - lost

    def _move_on(self, journey: DriverJourney) -> None:
        """The server takes no more of this journey: what is kept becomes the start of the next one."""
        if not journey.kept and journey.ended_ms is not None:
            self.journeys.popleft()
            self.stats.journeys_done += 1
            return
        self.journeys[0] = journey.following()
        self.stats.journeys += 1
        self.stats.journeys_done += 1

    def _give_up(self, journey: DriverJourney, code: str) -> None:
        """A permanent refusal: its points will never be taken, and must not hold up the next journey."""
        points = journey.refuse(code)
        self.stats.refused += points
        self._kept_points -= points

    def _lose_oldest_unsent(self) -> None:
        if any(journey.lose_oldest_unsent("outbox_full") for journey in self.journeys):
            self._kept_points -= 1
            self.stats.lost += 1
