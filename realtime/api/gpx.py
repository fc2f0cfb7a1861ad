"""A journey as GPX 1.1, piece by piece, so that a long one is never held in memory."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from xml.sax.saxutils import escape

from geo.position import Point

CONTENT_TYPE: Final = "application/gpx+xml"
EXTENSION_NAMESPACE: Final = "urn:wayguard:gpx:1"
TAIL: Final = "</trkseg></trk></gpx>\n"

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


def track_points(points: Iterable[Point]) -> str:
    """The points as ``trkpt`` elements in the order given; voids left out."""
    return "".join(_track_point(point) for point in points if point.lat is not None)


def _track_point(point: Point) -> str:
    assert point.lat is not None
    assert point.lon is not None
    assert point.t_ms is not None
    # GPX longitudes end just before 180; the antimeridian is -180 there.
    lon = -180.0 if point.lon == 180.0 else point.lon
    altitude = "" if point.altitude_m is None else f"<ele>{decimal(point.altitude_m)}</ele>"
    extras = "".join(
        f"<wg:{name}>{decimal(value)}</wg:{name}>"
        for name in _EXTRAS
        if (value := getattr(point, name)) is not None
    )
    return (
        f'<trkpt lat="{decimal(point.lat)}" lon="{decimal(lon)}">{altitude}<time>{_time(point.t_ms)}</time>'
        f"<extensions>{extras}</extensions></trkpt>\n"
    )


def decimal(value: float) -> str:
    """``value`` exactly, as xsd:decimal, which knows no exponent."""
    text = repr(value)
    return format(Decimal(text), "f") if "e" in text else text


def _time(t_ms: int) -> str:
    seconds, ms = divmod(t_ms, 1_000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{ms:03d}Z"
