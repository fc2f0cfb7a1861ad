"""A journey as GeoJSON (RFC 7946), piece by piece, so that a long one is never held in memory."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct
from msgspec.json import Encoder

from geo.position import is_located
from realtime.store.journeys.points import Record

CONTENT_TYPE: Final = "application/geo+json"
HEAD: Final = b'{"type":"FeatureCollection","features":['
TAIL: Final = b"]}\n"

_ENCODER: Final = Encoder()


class Geometry(Struct, frozen=True, gc=False):
    """A position: longitude, latitude and, when known, altitude in metres."""

    coordinates: Annotated[list[float], Meta(min_length=2, max_length=3)]
    type: Literal["Point"] = "Point"


class Properties(Struct, frozen=True, gc=False):
    """Everything else of a point; unknown values are null."""

    seq: int
    t_ms: int
    speed_mps: float | None
    heading_deg: float | None
    accuracy_m: float | None
    altitude_m: float | None
    battery_pct: float | None
    received_ms: int
    clock_odd: bool


class Feature(Struct, frozen=True, gc=False):
    """One point of a journey."""

    geometry: Geometry
    properties: Properties
    type: Literal["Feature"] = "Feature"


class FeatureCollection(Struct, frozen=True):
    """The points of a journey in seq order, voids left out."""

    features: list[Feature]
    type: Literal["FeatureCollection"] = "FeatureCollection"


def features(records: Iterable[Record]) -> list[bytes]:
    """Each point as an encoded Feature, in the order given; voids left out."""
    return [_ENCODER.encode(_feature(record)) for record in records if is_located(record.point)]


def _feature(record: Record) -> Feature:
    point = record.point
    assert point.lat is not None
    assert point.lon is not None
    assert point.t_ms is not None
    altitude = [] if point.altitude_m is None else [point.altitude_m]
    return Feature(
        Geometry([point.lon, point.lat, *altitude]),
        Properties(
            point.seq,
            point.t_ms,
            point.speed_mps,
            point.heading_deg,
            point.accuracy_m,
            point.altitude_m,
            point.battery_pct,
            record.received_ms,
            record.clock_odd,
        ),
    )
