"""Which of the places that are known of a driver counts. Pure.

There are four kinds of places: that of a press, the last position of each journey, the live position, and the
place that an open alert has already. `choose` decides between all of them, in this order:

1. A place that cannot be is set aside: no fix, off the earth, at 0, 0 (`is_usable`); latitude and longitude
   exchanged, or a sign lost, when another place shows it (`is_garbled`).
2. Of two positions of one journey the one with the higher seq counts when their times contradict that.
3. Else the newer place counts. A place without a credible time counts as an hour older than its arrival, one
   that the phone itself calls older than 30 days as that old (`order_ms`). One of a journey whose time is
   ahead of its arrival counts as a minute older than that: the clock is wrong, not the position.
4. A place counts as older by the time in which a driver may have left its circle: a second for each 10 m of
   its accuracy (`rank_ms`). So a place of 3 km does not replace one of 5 m from two seconds ago.
"""

from collections.abc import Iterable
from enum import StrEnum
from math import isfinite
from typing import Final, TypeGuard
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from alerts.values import Place, Press
from geo.distance import distance_m
from geo.position import is_null_island

FUTURE_MS: Final = 60_000
"""A clock that is further ahead than this says nothing."""
ANCIENT_MS: Final = 30 * 86_400_000
"""A time further back than this says nothing but that the place is old, or the clock wrong."""
UNKNOWN_AGE_MS: Final = 3_600_000
"""How much older than its arrival a place without a credible time counts: the phone may have stored it."""
AHEAD_AGE_MS: Final = 60_000
"""The same of a position of a journey whose time is ahead. No phone can store a position of the future, so
its clock is wrong; positions are sent as they are taken, and one of a right clock beats it within a minute.
"""
MAX_ACCURACY_M: Final = 1e7
"""A circle of more than this is half the earth: no place."""
MAX_NUMBER: Final = 10**15
"""An integer beyond it is neither a coordinate nor an accuracy, and may be too large for a float."""
PRECISE_M: Final = 30.0
"""Places within this, and those of unknown accuracy, are as good as each other: the newer counts."""
SPEED_MPS: Final = 10.0
"""How fast a driver leaves the circle of a place: the mean speed of a car in a city."""
GARBLED_M: Final = 100_000.0
"""Further than this from another one, a place is garbled when an exchange or a sign brings it nearer."""

POINT: Final = "point"
POINT_TIME: Final = "point_time"
POINT_ANCIENT: Final = "point_ancient"
POINT_ACCURACY: Final = "point_accuracy"
"""What is noted of a press: its point cannot be used; the time of its point is missing or ahead, or too long
ago; the accuracy of its point is no number.
"""

OLD_MS: Final = 60_000
INEXACT_M: Final = 100.0
"""A place that is older, or worse, is said to be."""
WELL_KNOWN_MS: Final = 10_000
FOLLOW_MS: Final = 20_000
"""How often an open alert says anew that its driver was seen, also of one who stands still."""
MOVED_MS: Final = 10_000
MOVED_M: Final = 50.0
"""A driver who moves is followed so often, if it is further than this."""
FAR_MOVED_M: Final = 250.0
"""A driver who is further off than this is followed at once."""


class PlaceSource(StrEnum):
    """Where a place is from."""

    PRESS = "press"
    """The phone sent it with its press."""
    JOURNEY = "journey"
    """The last committed position of a journey."""
    LIVE = "live"
    """The live position of the driver."""
    EARLIER = "earlier"
    """An earlier press of the driver."""


class SetAside(StrEnum):
    """Why the place of a press does not count: what is noted of the press."""

    GARBLED = "point_garbled"
    """Latitude and longitude were exchanged, or a sign lost."""
    UNKNOWN_AGE = "point_unknown_age"
    OLDER = "point_older"
    INEXACT = "point_inexact"


class Choice(Struct, frozen=True):
    """The place that counts, and why that of the press does not: None when it does, or there is none."""

    place: Place | None
    set_aside: SetAside | None = None


def is_usable(lat: object, lon: object) -> bool:
    """Whether ``lat, lon`` can be a position: finite WGS84 degrees, on this earth, not about 0, 0."""
    if not _is_number(lat) or not _is_number(lon):
        return False
    if not -90.0 <= lat <= 90.0 or not -180.0 <= lon <= 180.0:
        return False
    return not is_null_island(lat, lon)


def accuracy_of(metres: object) -> float | None:
    """An accuracy that can be, in metres; None where it is unknown: no number, not positive, not finite."""
    return float(metres) if _is_number(metres) and 0.0 < metres <= MAX_ACCURACY_M else None


def credible_ms(t_ms: int | None, arrived_ms: int) -> int | None:
    """The time of a fix that arrived at ``arrived_ms``; None when it is missing or cannot be."""
    if t_ms is None or not arrived_ms - ANCIENT_MS <= t_ms <= arrived_ms + FUTURE_MS:
        return None
    return min(t_ms, arrived_ms)


def place_of(
    lat: float | None,
    lon: float | None,
    accuracy_m: float | None,
    t_ms: int | None,
    battery_pct: float | None,
    *,
    source: PlaceSource,
    arrived_ms: int,
    journey_id: UUID | None = None,
    seq: int | None = None,
) -> Place | None:
    """A position that the system knows, as a place; None when it cannot be one.

    ``t_ms`` is by the phone's clock, ``arrived_ms`` by ours.
    """
    if not is_usable(lat, lon):
        return None
    assert lat is not None and lon is not None
    time_ms = credible_ms(t_ms, arrived_ms)
    order_ms_ = None
    if time_ms is None:
        is_ancient = t_ms is not None and t_ms < arrived_ms
        order_ms_ = _order_of_unknown_ms(arrived_ms, is_ancient=is_ancient)
        if t_ms is not None and t_ms > arrived_ms and source in (PlaceSource.JOURNEY, PlaceSource.LIVE):
            order_ms_ = arrived_ms - AHEAD_AGE_MS
    return Place(
        lat=lat,
        lon=lon,
        accuracy_m=accuracy_of(accuracy_m),
        t_ms=time_ms,
        battery_pct=battery_pct,
        source=source,
        order_ms=order_ms_,
        journey_id=journey_id,
        seq=seq,
    )


def of_press(press: Press) -> Place | None:
    """The place of ``press``, with its source and what its age counts as."""
    place = press.place
    if place is None or not is_usable(place.lat, place.lon):
        return None
    order_ms_ = place.order_ms
    if place.t_ms is None and order_ms_ is None:
        order_ms_ = _order_of_unknown_ms(press.received_ms, is_ancient=POINT_ANCIENT in press.noted)
    return replace(place, source=place.source or PlaceSource.PRESS, order_ms=order_ms_)


def as_earlier(place: Place) -> Place:
    """The place of another alert of the driver, as one of those that are known at a press."""
    return replace(
        place, source=PlaceSource.EARLIER, order_ms=None if place.t_ms is not None else order_ms(place)
    )


def order_ms(place: Place) -> int:
    """What decides which of two places is the newer. −1 for a place of an earlier release without a time."""
    if place.t_ms is not None:
        return place.t_ms
    return -1 if place.order_ms is None else place.order_ms


def rank_ms(place: Place) -> float:
    """`order_ms`, less the time in which its driver may have left the circle of its accuracy."""
    metres = PRECISE_M if place.accuracy_m is None else max(place.accuracy_m, PRECISE_M)
    return order_ms(place) - (metres - PRECISE_M) / SPEED_MPS * 1000


def better(a: Place | None, b: Place | None) -> Place | None:
    """The one of two places that counts, whichever comes first; ``a`` where both are as good."""
    if a is None or b is None:
        return b if a is None else a
    if _contradicts(a, b):
        return max(a, b, key=lambda place: place.seq or 0)
    return max(a, b, key=_rank)


def choose(known: Iterable[Place | None]) -> Choice:
    """The place that counts of all that are known, in any order.

    Those that a later position of their journey contradicts are left out first: pairs alone, one after the
    other, would make the order of ``known`` decide.
    """
    places = [place for place in known if place is not None and is_usable(place.lat, place.lon)]
    pressed = next((place for place in places if place.source == PlaceSource.PRESS), None)
    others = [place for place in places if place.source != PlaceSource.PRESS]
    garbled = pressed is not None and any(is_garbled(pressed, other) for other in others)
    counted = others if garbled else places
    agreed = [place for place in counted if not any(_is_contradicted(place, other) for other in counted)]
    best = max(agreed, key=_rank, default=None)
    return Choice(best, SetAside.GARBLED if garbled else set_aside(pressed, best))


def set_aside(pressed: Place | None, best: Place | None) -> SetAside | None:
    """Why the place of a press does not count where ``best`` does; None when that is the same fix."""
    if pressed is None or best is None or _is_same_fix(pressed, best):
        return None
    if pressed.t_ms is None:
        return SetAside.UNKNOWN_AGE
    return SetAside.OLDER if order_ms(pressed) < order_ms(best) else SetAside.INEXACT


def is_garbled(place: Place, other: Place) -> bool:
    """Whether ``place`` is far from ``other`` and one of its exchanges or signs is near it: latitude and
    longitude exchanged, a sign lost, or a coordinate that is exactly 0.
    """
    if _distance_m(place.lat, place.lon, other) <= GARBLED_M + _reach_m(place, other):
        return False
    lat, lon = place.lat, place.lon
    repaired = [(lon, lat), (-lat, lon), (lat, -lon), (-lat, -lon)]
    if lat == 0.0 or lon == 0.0:
        repaired.append((lat or other.lat, lon or other.lon))
    return any(abs(x) <= 90.0 and _distance_m(x, y, other) <= GARBLED_M for x, y in repaired)


def is_old(place: Place, now_ms: int) -> bool:
    """Whether ``place`` is older than a minute, or of unknown age."""
    return place.t_ms is None or now_ms - place.t_ms >= OLD_MS


def is_inexact(place: Place) -> bool:
    """Whether the accuracy of ``place`` is worse than 100 m."""
    return place.accuracy_m is not None and place.accuracy_m > INEXACT_M


def is_well_known(place: Place | None, now_ms: int) -> bool:
    """Whether ``place`` is so new and exact that the live position is not asked for."""
    return (
        place is not None
        and place.t_ms is not None
        and now_ms - place.t_ms < WELL_KNOWN_MS
        and not is_inexact(place)
    )


# --- the place of an open alert follows its driver


def is_worth_following(ours: Place | None, theirs: Place) -> bool:
    """Whether ``theirs`` counts, and is so much newer, further off or more exact than ``ours`` that an open
    alert is changed for it.
    """
    if ours is None:
        return True
    if better(ours, theirs) is not theirs or _is_same_fix(ours, theirs):
        return False
    newer_ms = order_ms(theirs) - order_ms(ours)
    if newer_ms >= FOLLOW_MS or (is_inexact(ours) and not is_inexact(theirs)) or newer_ms < 0:
        return True
    moved_m = _distance_m(ours.lat, ours.lon, theirs)
    return moved_m >= FAR_MOVED_M or (newer_ms >= MOVED_MS and moved_m >= MOVED_M)


def _is_number(value: object) -> TypeGuard[float]:
    if not isinstance(value, float | int) or isinstance(value, bool):
        return False
    return isfinite(value) if isinstance(value, float) else abs(value) <= MAX_NUMBER


def _order_of_unknown_ms(arrived_ms: int, *, is_ancient: bool) -> int:
    return arrived_ms - (ANCIENT_MS if is_ancient else UNKNOWN_AGE_MS)


def _rank(place: Place) -> tuple[float, float, bool, bytes]:
    """An order of all places: two copies of an alert come to the same."""
    exact = -(MAX_ACCURACY_M if place.accuracy_m is None else place.accuracy_m)
    return rank_ms(place), exact, place.source in ("", PlaceSource.PRESS), msgspec.json.encode(place)


def _contradicts(a: Place, b: Place) -> bool:
    """Whether these are positions of one journey whose times are not in the order of their seqs."""
    if a.journey_id is None or a.journey_id != b.journey_id or a.seq is None or b.seq is None:
        return False
    return (a.seq - b.seq) * (order_ms(a) - order_ms(b)) < 0


def _is_contradicted(place: Place, other: Place) -> bool:
    """Whether ``other`` is a later position of the same journey by seq, and an earlier one by time."""
    return _contradicts(place, other) and (other.seq or 0) > (place.seq or 0)


def _is_same_fix(a: Place, b: Place) -> bool:
    return (a.lat, a.lon, a.t_ms) == (b.lat, b.lon, b.t_ms)


def _reach_m(a: Place, b: Place) -> float:
    """How far apart two right places may be: both circles, and what an aircraft flies in the time between."""
    apart_s = abs(order_ms(a) - order_ms(b)) / 1000
    return (a.accuracy_m or 0.0) + (b.accuracy_m or 0.0) + apart_s * 300.0


def _distance_m(lat: float, lon: float, other: Place) -> float:
    return distance_m(lat, lon, other.lat, other.lon)
