"""What is to be in the mirror: values of its nodes by path. Pure."""

from collections.abc import Container, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from alerts.alert import Alert
from realtime.live.presence import PresenceState
from realtime.live.redis_state import StoredValue
from realtime.live.topics import parse_position
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
Nodes: TypeAlias = dict[str, bytes]
"""JSON by path."""


class _Presence(Struct):
    state: str
    since_ms: int


_presence: Final = msgspec.json.Decoder(_Presence).decode
_NO_PRESENCE: Final = b""


class _Known(Struct):
    """What was made of a driver's values the last time, so that a second look costs next to nothing."""

    fragment: bytes
    presence: bytes
    state: _Presence | None
    path: str
    node: bytes


class VendorNodes:
    """The drivers of a vendor who are there: the latest position and state of each."""

    def __init__(self, tenant: str, vendor: str) -> None:
        self._tenant = tenant
        self._vendor = vendor
        self._known: dict[str, _Known] = {}

    def of(self, positions: Iterable[StoredValue], presence: Mapping[str, bytes], now_ms: int) -> Nodes:
        """The nodes of ``positions``, some of the vendor's; ``presence`` is what is known of each driver."""
        nodes = {}
        for (driver, _, fragment), origin in positions:
            known = self._look(driver, fragment, presence.get(driver, _NO_PRESENCE), origin)
            if known is not None and _is_there(known.state, _received_ms(origin), now_ms):
                nodes[known.path] = known.node
        return nodes

    @property
    def drivers(self) -> AbstractSet[str]:
        """Everybody who had a position at the last look."""
        return self._known.keys()

    def keep_only(self, drivers: Container[str]) -> None:
        """Forget everybody else."""
        self._known = {name: known for name, known in self._known.items() if name in drivers}

    def _look(self, driver: str, fragment: bytes, presence: bytes, origin: str) -> _Known | None:
        known = self._known.get(driver)
        if known is not None and known.fragment == fragment and known.presence == presence:
            return known
        try:
            _, journey_id, point = parse_position(fragment)
        except msgspec.MsgspecError:
            return None
        state = _read_presence(presence)
        value: Value = msgspec.structs.asdict(point)
        value |= {"journey": journey_id, "received_ms": _received_ms(origin)}
        if state is not None:
            value |= {"state": state.state, "since_ms": state.since_ms}
        path = path_of(LIVE, self._tenant, self._vendor, driver)
        known = self._known[driver] = _Known(fragment, presence, state, path, _encoded(value))
        return known


def _received_ms(origin: str) -> int:
    return int(origin) if origin.isdigit() else 0


def _read_presence(fragment: bytes) -> _Presence | None:
    if not fragment:
        return None
    try:
        return _presence(fragment)
    except msgspec.MsgspecError:
        return None


def _is_there(known: _Presence | None, received_ms: int, now_ms: int) -> bool:
    """Connected; or not (or no more) connected, and sending by other ways."""
    if known is not None and known.state != PresenceState.OFFLINE:
        return True
    if known is not None and received_ms <= known.since_ms + SKEW_MS:
        return False
    return now_ms - received_ms < WITHOUT_PRESENCE_MS


def journey_nodes(journeys: Iterable[JourneyRow]) -> Nodes:
    """The open journeys."""
    return {
        path_of(JOURNEYS, j.tenant, j.vendor, str(j.journey_id)): _encoded(
            {"driver": j.driver, "started_ms": j.started_ms, "vehicle": j.vehicle}
        )
        for j in journeys
    }


def alert_nodes(alerts: Iterable[Alert]) -> Nodes:
    """The open alerts. Duress is not in it: who reads the mirror may stand beside the driver."""
    return {path_of(ALERTS, a.tenant, a.vendor, str(a.alert_id)): _alert(a) for a in alerts}


def _alert(alert: Alert) -> bytes:
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
        "accuracy_m": None if place is None else place.accuracy_m,
        "place_ms": None if place is None else place.t_ms,
        "place_source": None if place is None else place.source or None,
        "acknowledged_ms": alert.acknowledged_ms,
        "acknowledged_by": None if by is None else by.name or None,
        "exhausted_ms": alert.exhausted_ms,
    }
    return _encoded(value)


def _encoded(value: Value) -> bytes:
    """Without nulls: Firebase keeps none."""
    return msgspec.json.encode({name: content for name, content in value.items() if content is not None})
