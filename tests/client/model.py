"""The server's side of a journey's log, in memory: what the rules of the protocol say, and nothing else.

Used by the fake server and, without any I/O, by the property tests of the outbox.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4


def refused(code: str, *, retryable: bool, **extra: Any) -> dict[str, Any]:
    """An error answer."""
    return {"ok": False, "error": {"code": code, "message": code, "retryable": retryable, **extra}}


@dataclass
class Log:
    """One journey: the content of its seqs 1…n; a void is None."""

    journey_id: str
    contents: list[Any] = field(default_factory=list)
    final_seq: int | None = None
    expired: bool = False


@dataclass
class Model:
    """Answers the events of ``/driver`` as the real server must."""

    by_client_id: dict[str, Log] = field(default_factory=dict)
    by_id: dict[str, Log] = field(default_factory=dict)

    def answer(self, event: str, payload: dict[str, Any]) -> dict[str, Any]:
        """The ack to one event."""
        match event:
            case "journey:start":
                return self.start(payload)
            case "positions":
                return self.positions(payload)
            case "journey:end":
                return self.end(payload)
        return refused("unknown_event", retryable=False)

    def start(self, payload: dict[str, Any]) -> dict[str, Any]:
        log = self.by_client_id.get(payload["client_journey_id"])
        if log is None:
            log = Log(str(uuid4()))
            self.by_client_id[payload["client_journey_id"]] = self.by_id[log.journey_id] = log
        return {"ok": True, "journey_id": log.journey_id, "next_seq": len(log.contents) + 1}

    def positions(self, payload: dict[str, Any]) -> dict[str, Any]:
        log = self.by_id.get(payload["journey_id"])
        if log is None:
            return refused("not_found", retryable=False)
        if log.expired:
            return refused("journey_expired", retryable=False)
        batch: dict[int, Any] = {}
        if "skip" in payload:
            first, last, _ = payload["skip"]
            batch.update(dict.fromkeys(range(first, last + 1)))
        batch.update({point[0]: _content(point) for point in payload["points"]})
        seqs = list(batch)
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), f"not contiguous: {seqs}"
        stored = len(log.contents)
        if seqs[0] > stored + 1:
            return refused("expected_seq", retryable=True, expected=stored + 1)
        if log.final_seq is not None and seqs[-1] > log.final_seq:
            return refused("journey_ended", retryable=False)
        conflicts = [s for s in seqs if s <= stored and log.contents[s - 1] != batch[s]]
        if conflicts:
            return refused("conflict", retryable=False, conflicts=conflicts)
        log.contents.extend(batch[s] for s in seqs if s > stored)
        points = {point[0] for point in payload["points"]}
        voided = [[s, "lat_out_of_range"] for s in seqs if s in points and batch[s] is None]
        return {"ok": True, "through": max(len(log.contents), seqs[-1]), "voided": voided}

    def end(self, payload: dict[str, Any]) -> dict[str, Any]:
        log = self.by_id[payload["journey_id"]]
        if log.final_seq is None:
            log.final_seq = max(payload["last_seq"], len(log.contents))
        return {"ok": True}


def _content(point: list[Any]) -> Any:
    return point[1:] if -90 <= point[2] <= 90 else None
