"""A journey as GPX 1.1, piece by piece, so that a long one is never held in memory.

Programs that read GPX take a segment for one movement and its times for rising. So a gap begins a segment,
and a time that would run backwards is replaced.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from xml.sax.saxutils import escape

from geo.position import Point, is_located, order_ms
from realtime.store.journeys.points import Record

CONTENT_TYPE: Final = "application/gpx+xml"
EXTENSION_NAMESPACE: Final = "urn:wayguard:gpx:1"
TAIL: Final = "</trkseg></trk></gpx>\n"
GAP_MS: Final = 15 * 60_000
"""Between two points of a segment at most. A phone that stands still with a low battery reports every two
minutes."""

_EXTRAS: Final = ("seq", "speed_mps", "heading_deg", "accuracy_m", "battery_pct")


def head(name: str, created_ms: int) -> str:
    """Everything before the first point; ``name`` is the track's."""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<gpx version="1.1" creator="Wayguard" xmlns="http://www.topografix.com/GPX/1/1"'
        f' xmlns:wg="{EXTENSION_NAMESPACE}">'
        f"<metadata><time>{_time(created_ms)}</time></metadata>"
        f"<trk><name>{escape(name)}</name><trkseg>\n"
    )


class Track:
    """The points of one track, given in seq order; it remembers the time of the last."""

    def __init__(self) -> None:
        self._last_ms: int | None = None

    def points(self, records: Iterable[Record]) -> str:
        """``records`` as ``trkpt`` elements; voids left out. A gap of more than `GAP_MS` begins a segment."""
        return "".join(self._element(record) for record in records if is_located(record.point))

    def _element(self, record: Record) -> str:
        last_ms, at_ms = self._last_ms, self._time(record)
        self._last_ms = at_ms
        gap = last_ms is not None and at_ms - last_ms > GAP_MS
        return ("</trkseg><trkseg>\n" if gap else "") + _track_point(record.point, at_ms)

    def _time(self, record: Record) -> int:
        """When the point was taken, never before the one in front of it.

        By the phone's clock, at most its arrival. Where that runs backwards the clock was set: then its
        arrival counts, and where that is earlier too, the time of the point in front.
        """
        assert record.point.t_ms is not None
        at_ms = order_ms(record.point.t_ms, record.received_ms)
        if self._last_ms is None or at_ms >= self._last_ms:
            return at_ms
        return max(record.received_ms, self._last_ms)


def _track_point(point: Point, at_ms: int) -> str:
    assert point.lat is not None
    assert point.lon is not None
    # GPX longitudes end just before 180; the antimeridian is -180 there.
    lon = -180.0 if point.lon == 180.0 else point.lon
    altitude = "" if point.altitude_m is None else f"<ele>{decimal(point.altitude_m)}</ele>"
    extras = "".join(
        f"<wg:{name}>{decimal(value)}</wg:{name}>"
        for name in _EXTRAS
        if (value := getattr(point, name)) is not None
    )
    return (
        f'<trkpt lat="{decimal(point.lat)}" lon="{decimal(lon)}">{altitude}<time>{_time(at_ms)}</time>'
        f"<extensions>{extras}</extensions></trkpt>\n"
    )


def decimal(value: float) -> str:
    """``value`` exactly, as xsd:decimal, which knows no exponent."""
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def _time(t_ms: int) -> str:
    seconds, ms = divmod(t_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{ms:03d}Z"
