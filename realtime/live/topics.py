"""Names of the bus channels and Redis keys, and the ready JSON that travels on them.

A vendor's channel carries what is conflated by driver; a journey's channel carries its committed log.
Identifiers hold no slash, so ``tenant/vendor`` and ``tenant/journey`` cannot be forged by another tenant.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec

from geo.position import Point
from realtime.bus.bus import BusItem
from realtime.fanout.engineio.frames import json_bytes

POSITIONS: Final = "positions"
PRESENCE: Final = "presence"
JOURNEY: Final = "journey"
STARTED: Final = "started"
ENDED: Final = "ended"
EXPIRED: Final = "expired"
HASHED: Final = {POSITIONS: "latest", PRESENCE: "presence"}
"""The kinds that are kept in Redis for newcomers, and the hash of each."""

_ENCODER: Final = msgspec.json.Encoder()


def vendor_channel(tenant: str, vendor: str) -> str:
    """The conflated channel of a vendor."""
    return f"v:{tenant}/{vendor}"


def journey_channel(tenant: str, journey_id: UUID | str) -> str:
    """The lossless channel of a journey."""
    return f"j:{tenant}/{journey_id}"


def parts(channel: str) -> tuple[str, str]:
    """``(tenant, vendor or journey id)`` of a channel."""
    tenant, _, name = channel[2:].partition("/")
    return tenant, name


def state_key(tenant: str, vendor: str, what: str) -> str:
    """The Redis key of a vendor's ``latest``, ``presence`` or ``built``; one hash slot a vendor."""
    return f"wg:{{{tenant}/{vendor}}}:{what}"


def position_item(driver: str, journey_id: str, point: Point, order: int) -> BusItem:
    """A position for a conflated feed, where the newest stands for the driver; ``order``:
    `precedence.order_of`."""
    return BusItem(driver, order, json_bytes((driver, journey_id, point)))


def log_items(driver: str, journey_id: str, points: Sequence[Point]) -> list[BusItem]:
    """`log_item` of each, encoded together."""
    head = json_bytes((driver, journey_id))[:-1] + b","
    lines = _ENCODER.encode_lines(points).splitlines()
    return [BusItem("", point.seq, head + line + b"]") for point, line in zip(points, lines, strict=True)]


def log_item(driver: str, journey_id: str, point: Point) -> BusItem:
    """An entry of a journey's log, ordered by its seq."""
    return BusItem("", point.seq, json_bytes((driver, journey_id, point)))


def presence_item(driver: str, order: int, state: str, since_ms: int, reason: str) -> BusItem:
    """A driver's presence."""
    body = {"driver": driver, "state": state, "since_ms": since_ms, "reason": reason}
    return BusItem(driver, order, json_bytes(body))


def presences(fragments: Iterable[bytes]) -> bytes:
    """Presence fragments as a snapshot has them: ready JSON of driver → the rest."""
    by_driver = {}
    for fragment in fragments:
        body = msgspec.json.decode(fragment, type=dict[str, Any])
        by_driver[body.pop("driver")] = body
    return json_bytes(by_driver)


def journey_item(driver: str, journey_id: str, state: str, at_ms: int) -> BusItem:
    """A journey that started, ended or expired, for the feeds of its vendor and driver."""
    body = {"journey": journey_id, "driver": driver, "state": state, "at_ms": at_ms}
    return BusItem(driver, at_ms, json_bytes(body))


def journey_note(driver: str, journey_id: str, state: str, at_ms: int) -> BusItem:
    """The same for the journey's own feed, where each state is told once."""
    return journey_item(driver, journey_id, state, at_ms)._replace(key=state)


_POSITION: Final = msgspec.json.Decoder(tuple[str, str, Point])


def parse_position(fragment: bytes) -> tuple[str, str, Point]:
    """``(driver, journey id, point)`` of a position's ready JSON. Raises msgspec.MsgspecError."""
    return _POSITION.decode(fragment)
