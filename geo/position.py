"""A reported position: its shape, what makes one unusable, and which of two is the newer.

A *point* on the wire is
``[seq, t_ms, lat, lon, speed_mps, heading_deg, accuracy_m, altitude_m, battery_pct]``, trailing values
optional. Coordinates are WGS84 degrees; times are integer milliseconds since the
epoch, UTC.
"""

from enum import StrEnum
from math import isfinite
from typing import Annotated, Final

from msgspec import Meta, Struct

SEQ_MAX: Final = 2**31 - 1
T_MS_MAX: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""

SECONDS_FROM: Final = 978_307_200
SECONDS_TO: Final = 4_102_444_800
"""The years 2001 to 2100 in seconds. As milliseconds these are days of early 1970, which no clock shows by
itself: such a time is one in seconds."""

CLOCK_PAST_MS: Final = 30 * 86_400_000
CLOCK_FUTURE_MS: Final = 86_400_000
NULL_ISLAND_DEG: Final = 0.01
"""Receivers and apps report 0, 0, or nearly that, without a fix. Nothing but a buoy is there."""

_SPEED_MPS: Final = (0.0, 350.0)
_HEADING_DEG: Final = (0.0, 360.0)
_ACCURACY_M: Final = (0.0, 100_000.0)
_ALTITUDE_M: Final = (-500.0, 20_000.0)
_BATTERY_PCT: Final = (0.0, 100.0)


def _between(ends: tuple[float, float]) -> Meta:
    return Meta(ge=ends[0], le=ends[1])


class Point(Struct, array_like=True, frozen=True, gc=False):
    """One fix as it is stored. ``lat`` and ``lon`` are null in a void, never in an accepted point.

    Decoding refuses values outside their range (not so the constructor), so that a fix that decodes needs no
    second look but `has_fix`; what does not decode is read as `Reported` and judged.
    """

    seq: int
    t_ms: Annotated[int, Meta(ge=0, le=T_MS_MAX)] | None
    lat: Annotated[float, Meta(ge=-90.0, le=90.0)] | None
    lon: Annotated[float, Meta(ge=-180.0, le=180.0)] | None
    speed_mps: Annotated[float, _between(_SPEED_MPS)] | None = None
    heading_deg: Annotated[float, _between(_HEADING_DEG)] | None = None
    accuracy_m: Annotated[float, _between(_ACCURACY_M)] | None = None
    altitude_m: Annotated[float, _between(_ALTITUDE_M)] | None = None
    battery_pct: Annotated[float, _between(_BATTERY_PCT)] | None = None


class Reported(Struct, array_like=True, frozen=True, gc=False):
    """A point as an app may send it: the right types, any value. `cleaned` rounds a time with a fraction."""

    seq: int
    t_ms: int | float | None
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
    TIME_IN_SECONDS = "time_in_seconds"
    LAT_OUT_OF_RANGE = "lat_out_of_range"
    LON_OUT_OF_RANGE = "lon_out_of_range"
    NO_FIX = "no_fix"
    UNSTORABLE = "unstorable"


def time_fault(t_ms: float | None) -> VoidReason | None:
    """Why ``t_ms`` is no time in milliseconds since the epoch, or None when it is one.

    Bad: null, NaN, before 1970, after the year 9999; a time in seconds has a reason of its own.
    """
    if t_ms is None or not 0 <= t_ms <= T_MS_MAX:
        return VoidReason.BAD_TIME
    return VoidReason.TIME_IN_SECONDS if SECONDS_FROM <= t_ms < SECONDS_TO else None


def refusal(point: Point | Reported) -> VoidReason | None:
    """Why ``point`` cannot be stored as a position, or None when it can.

    About 0, 0 is what receivers report before their first fix (`is_null_island`).
    """
    lat, lon = point.lat, point.lon
    fault = time_fault(point.t_ms)
    if fault is not None:
        return fault
    if lat is None or lon is None:
        return VoidReason.NO_FIX
    if not -90.0 <= lat <= 90.0:
        return VoidReason.LAT_OUT_OF_RANGE
    if not -180.0 <= lon <= 180.0:
        return VoidReason.LON_OUT_OF_RANGE
    if is_null_island(lat, lon):
        return VoidReason.NO_FIX
    return None


def is_null_island(lat: float, lon: float) -> bool:
    """Whether ``lat, lon`` in degrees are within `NULL_ISLAND_DEG` of 0, 0. The SQL has the same rule."""
    return -NULL_ISLAND_DEG < lat < NULL_ISLAND_DEG and -NULL_ISLAND_DEG < lon < NULL_ISLAND_DEG


def is_located(point: Point) -> bool:
    """Whether a stored point has a latitude and a longitude: one without the other is no place. The SQL has
    the same rule.
    """
    return point.lat is not None and point.lon is not None


def has_fix(point: Point) -> bool:
    """Whether a point that was decoded as `Point` is a position: `refusal` finds at most a time in
    seconds."""
    lat = point.lat
    lon = point.lon
    return point.t_ms is not None and lat is not None and lon is not None and not is_null_island(lat, lon)


def cleaned(point: Point | Reported) -> Point:
    """``point`` with optional values outside their physical range set to null, its time a whole number.

    Phones report −1 for an unknown speed, heading or accuracy; such a value says nothing and must not
    cost the position. Ranges: speed 0–350 m/s, heading 0–360°, accuracy 0–100 km, altitude −500–20 000 m,
    battery 0–100 %.
    """
    clean = Point(
        point.seq,
        None if point.t_ms is None else round(point.t_ms),
        point.lat,
        point.lon,
        _or_none(point.speed_mps, _SPEED_MPS),
        _or_none(point.heading_deg, _HEADING_DEG),
        _or_none(point.accuracy_m, _ACCURACY_M),
        _or_none(point.altitude_m, _ALTITUDE_M),
        _or_none(point.battery_pct, _BATTERY_PCT),
    )
    return point if isinstance(point, Point) and point == clean else clean


def _or_none(value: float | None, ends: tuple[float, float]) -> float | None:
    return value if value is not None and isfinite(value) and ends[0] <= value <= ends[1] else None


def void(seq: int) -> Point:
    """The point that stands for a seq without a position."""
    return Point(seq, None, None, None)


def clock_is_odd(t_ms: int, received_ms: int) -> bool:
    """Whether the app's clock is outside −30 days…+1 day of arrival. Such a point is stored and flagged."""
    return not received_ms - CLOCK_PAST_MS <= t_ms <= received_ms + CLOCK_FUTURE_MS


def order_ms(t_ms: int, received_ms: int) -> int:
    """How old a position is taken to be: the minimum of both clocks.

    A late backlog is as old as its fix, and a clock that runs ahead is no newer than its arrival. Within a
    journey seq decides which of two is the newer, not this (`realtime.live.precedence`).
    """
    return min(t_ms, received_ms)
