"""The answers to ``watch``: what is true now, as ready JSON."""

from typing import Any

import msgspec

from realtime.fanout.engineio import frames
from realtime.fanout.hub.joining import LogJoin
from realtime.live.topics import ENDED, EXPIRED, POSITIONS, PRESENCE, presences
from realtime.store.journeys import details, journeys


def board_answer(label: str, snapshot: dict[str, list[bytes]], alerts: bytes) -> bytes:
    """Of a vendor's or a driver's feed."""
    return b'{"ok":true,"feed":%s,"snapshot":{"positions":%s,"presence":%s,"alerts":%s}}' % (
        frames.json_bytes(label),
        frames.listed(snapshot.get(POSITIONS, ())),
        presences(snapshot.get(PRESENCE, ())),
        alerts,
    )


def journey_of(
    joined: LogJoin, head: journeys.JourneyHead, about: details.JourneyDetails, may_answer: bool
) -> dict[str, Any]:
    """What is told of a journey beside its points."""
    # The head was read before the join: an end that came in between was told to the others, and not to us.
    closing = joined.notes.get(EXPIRED) or joined.notes.get(ENDED)
    ended_ms = head.ended_ms
    if ended_ms is None and closing is not None:
        ended_ms = msgspec.json.decode(closing)["at_ms"]
    journey: dict[str, Any] = {
        "driver": head.driver,
        "name": about.name,
        "vendor": head.vendor,
        "created_ms": head.created_ms,
        "ended_ms": ended_ms,
        "expired": head.expired or EXPIRED in joined.notes,
        "destination": about.destination,
        "arrive_by": about.arrive_by_ms,
    }
    if may_answer:
        journey["phone"] = about.phone
    return journey


def hidden_answer(
    label: str, head: journeys.JourneyHead, about: details.JourneyDetails, may_answer: bool, alerts: bytes
) -> bytes:
    """Of a journey that ended a while ago, for a live link: that it has, and nothing of where."""
    nothing = LogJoin([], head.last_seq, False, {}, [])
    journey = journey_of(nothing, head, about, may_answer)
    return log_answer(label, nothing, journey | {"destination": None, "place_hidden": True}, alerts)


def log_answer(label: str, joined: LogJoin, journey: dict[str, Any], alerts: bytes) -> bytes:
    """Of a journey's feed; what stands beside its log is whether its driver is there."""
    return (
        b'{"ok":true,"feed":%s,"through":%d,"more":%s,"journey":%s,'
        b'"snapshot":{"positions":%s,"presence":%s,"alerts":%s}}'
    ) % (
        frames.json_bytes(label),
        joined.through,
        b"true" if joined.more else b"false",
        frames.json_bytes(journey),
        frames.listed(joined.fragments),
        presences(joined.beside),
        alerts,
    )
