"""What is to be in the mirror: values of its nodes by path. Pure."""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from alerts.alert import Alert
from realtime.live.channels import parse_position
from realtime.live.presence import State
from realtime.live.state import Stored
from realtime.mirror.keys import path_of
from realtime.store.mirror import JourneyRow

LIVE: Final = "live"
JOURNEYS: Final = "journeys"
ALERTS: Final = "alerts"
SECTIONS: Final = (LIVE, JOURNEYS, ALERTS)
"""``{section}/{tenant}/{vendor}/{driver, journey or alert}`` each."""
WITHOUT_PRESENCE_MS: Final = 15 * 60_000
"""A driver without a connection (an app that sends by HTTP) stays this long after the last position."""

SKEW_MS: Final = 2_000
"""How far the clocks of two instances may differ."""

Value: TypeAlias = dict[str, Any]
Nodes: TypeAlias = dict[str, Value]


class _Presence(Struct):
    driver: str
    state: str
    since_ms: int


_presence: Final = msgspec.json.Decoder(_Presence).decode


def live_nodes(
    tenant: str, vendor: str, positions: Iterable[Stored], presence: Iterable[Stored], now_ms: int
) -> Nodes:
    """The drivers of a vendor who are there: the latest position and state of each."""
    states = {known.driver: known for known in _read_presence(presence)}
    nodes = {}
    for item, origin in positions:
        known = states.get(item.key)
        received_ms = int(origin) if origin.isdigit() else 0
        if not _is_there(known, received_ms, now_ms):
            continue
        try:
            driver, journey_id, point = parse_position(item.fragment)
        except msgspec.MsgspecError:
            continue
        value: Value = msgspec.structs.asdict(point)
        value |= {"journey": journey_id, "received_ms": received_ms}
        if known is not None:
            value |= {"state": known.state, "since_ms": known.since_ms}
        nodes[path_of(LIVE, tenant, vendor, driver)] = _without_nulls(value)
    return nodes


def _read_presence(presence: Iterable[Stored]) -> Iterable[_Presence]:
    for item, _ in presence:
        try:
            yield _presence(item.fragment)
        except msgspec.MsgspecError:
            continue


def _is_there(known: _Presence | None, received_ms: int, now_ms: int) -> bool:
    """Connected; or not (or no more) connected, and sending by other ways."""
    if known is not None and known.state != State.OFFLINE:
        return True
    if known is not None and received_ms <= known.since_ms + SKEW_MS:
        return False
    return now_ms - received_ms < WITHOUT_PRESENCE_MS


def journey_nodes(journeys: Iterable[JourneyRow]) -> Nodes:
    """The open journeys."""
    return {
        path_of(JOURNEYS, j.tenant, j.vendor, str(j.journey_id)): _without_nulls(
            {"driver": j.driver, "started_ms": j.started_ms, "vehicle": j.vehicle}
        )
        for j in journeys
    }


def alert_nodes(alerts: Iterable[Alert]) -> Nodes:
    """The open alerts. Duress is not in it: who reads the mirror may stand beside the driver."""
    return {path_of(ALERTS, a.tenant, a.vendor, str(a.alert_id)): _alert(a) for a in alerts}


def _alert(alert: Alert) -> Value:
    place = alert.place
    by = alert.acknowledged_by
    value = {
        "driver": alert.driver,
        "kind": str(alert.kind),
        "severity": int(alert.severity),
        "state": str(alert.state),
        "version": alert.version,
        "drill": alert.drill,
        "silent": alert.silent,
        "pressed_ms": alert.pressed_ms,
        "raised_ms": alert.raised_ms,
        "journey": None if alert.journey_id is None else str(alert.journey_id),
        "lat": None if place is None else place.lat,
        "lon": None if place is None else place.lon,
        "acknowledged_ms": alert.acknowledged_ms,
        "acknowledged_by": None if by is None else by.name or None,
        "exhausted_ms": alert.exhausted_ms,
    }
    return _without_nulls(value)


def _without_nulls(value: Value) -> Value:
    """Firebase keeps no null: a node with one would never equal what was written."""
    return {name: content for name, content in value.items() if content is not None}
