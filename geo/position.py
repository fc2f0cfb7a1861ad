"""A reported position: its shape, what makes one unusable, and which of two is the newer.

A *point* on the wire is
``[seq, t_ms, lat, lon, speed_mps, heading_deg, accuracy_m, altitude_m, battery_pct]``, trailing values
optional. Coordinates are WGS84 degrees; times are integer milliseconds since the
epoch, UTC.
"""

from enum import StrEnum
from math import isfinite
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

SEQ_MAX: Final = 2**31 - 1
T_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

CLOCK_PAST_MS: Final = 30 * 86_400_000
CLOCK_FUTURE_MS: Final = 86_400_000


class Point(Struct, array_like=True, frozen=True, gc=False):
    """One fix as the app reported it. ``lat`` and ``lon`` are null in a void, never in an accepted point."""

    seq: int
    t_ms: int | None
    lat: float | None
    lon: float | None
    speed_mps: float | None = None
    heading_deg: float | None = None
    accuracy_m: float | None = None
    altitude_m: float | None = None
    battery_pct: float | None = None


class VoidReason(StrEnum):
    """Why a seq holds no position."""

    BAD_TYPE = "bad_type"
    BAD_TIME = "bad_time"
    LAT_OUT_OF_RANGE = "lat_out_of_range"
    LON_OUT_OF_RANGE = "lon_out_of_range"
    NO_FIX = "no_fix"
    UNSTORABLE = "unstorable"


def refusal(point: Point) -> VoidReason | None:
    """Why ``point`` cannot be stored as a position, or None when it can.

    Latitude and longitude of exactly 0, 0 are what receivers report before their first fix.
    """
    t_ms, lat, lon = point.t_ms, point.lat, point.lon
    if t_ms is None or not 0 <= t_ms <= T_MS_MAX:
        return VoidReason.BAD_TIME
    if lat is None or lon is None:
        return VoidReason.NO_FIX
    if not -90.0 <= lat <= 90.0:
        return VoidReason.LAT_OUT_OF_RANGE
    if not -180.0 <= lon <= 180.0:
        return VoidReason.LON_OUT_OF_RANGE
    if lat == 0.0 and lon == 0.0:
        return VoidReason.NO_FIX
    return None


def _within(value: float | None, low: float, high: float) -> bool:
    return value is None or low <= value <= high


def cleaned(point: Point) -> Point:
    """``point`` with optional values outside their physical range set to null.

    Phones report −1 for an unknown speed, heading or accuracy; such a value says nothing and must not
    cost the position. Ranges: speed 0–350 m/s, heading 0–360°, accuracy 0–100 km, altitude −500–20 000 m,
    battery 0–100 %.
    """
    fine = (
        _within(point.speed_mps, 0.0, 350.0)
        and _within(point.heading_deg, 0.0, 360.0)
        and _within(point.accuracy_m, 0.0, 100_000.0)
        and _within(point.altitude_m, -500.0, 20_000.0)
        and _within(point.battery_pct, 0.0, 100.0)
    )
    if fine:
        return point
    return replace(
        point,
        speed_mps=_or_none(point.speed_mps, 0.0, 350.0),
        heading_deg=_or_none(point.heading_deg, 0.0, 360.0),
        accuracy_m=_or_none(point.accuracy_m, 0.0, 100_000.0),
        altitude_m=_or_none(point.altitude_m, -500.0, 20_000.0),
        battery_pct=_or_none(point.battery_pct, 0.0, 100.0),
    )


def _or_none(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and isfinite(value) and low <= value <= high else None


def void(seq: int) -> Point:
    """The point that stands for a seq without a position."""
    return Point(seq, None, None, None)


def clock_is_odd(t_ms: int, received_ms: int) -> bool:
    """Whether the app's clock is outside −30 days…+1 day of arrival. Such a point is stored and flagged."""
    return not received_ms - CLOCK_PAST_MS <= t_ms <= received_ms + CLOCK_FUTURE_MS


def order_ms(t_ms: int, received_ms: int) -> int:
    """What decides which of two positions of a driver is the newer.

    The minimum of both clocks: a late backlog is as old as its fix, and a clock that runs ahead is no
    newer than its arrival.
    """
    return min(t_ms, received_ms)
