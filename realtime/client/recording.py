"""Recorded vehicles from a CSV: one vehicle a driver, one trip a journey. Pure but for opening the file.

Columns used: ``vehicle_id``, ``trip_id``, ``timestamp`` (``YYYY-MM-DD HH:MM:SS``, UTC), ``latitude``,
``longitude``, ``bearing`` (may be empty), ``destination``; others are ignored.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

COLUMNS: Final = ("vehicle_id", "trip_id", "timestamp", "latitude", "longitude")


class RecordedFix(NamedTuple):
    """One fix. What is not a number stays out of range, so that the server judges it."""

    t_ms: int
    lat: float
    lon: float
    heading_deg: float | None


@dataclass(slots=True)
class RecordedTrip:
    """One trip of one vehicle, its fixes in the order of the file."""

    vehicle: str
    trip: str
    destination: str | None
    fixes: list[RecordedFix] = field(default_factory=list)


def read_trips(file: Path) -> list[RecordedTrip]:
    """The trips of ``file`` by their first fix. Raises ValueError naming the line, OSError."""
    with file.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{file.name} has no column {', '.join(missing)}")
        return trips_of(reader)


def trips_of(rows: Iterable[Mapping[str, str]]) -> list[RecordedTrip]:
    """The trips of ``rows``, by their first fix. Raises ValueError naming the line, the header being 1."""
    trips: dict[tuple[str, str], RecordedTrip] = {}
    for number, row in enumerate(rows, 2):
        key = row["vehicle_id"], row["trip_id"]
        trip = trips.setdefault(key, RecordedTrip(*key, row.get("destination") or None))
        try:
            trip.fixes.append(_fix(row))
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from error
    return sorted(trips.values(), key=lambda trip: trip.fixes[0].t_ms)


def _fix(row: Mapping[str, str]) -> RecordedFix:
    stamp = datetime.fromisoformat(row["timestamp"])
    stamp = stamp.replace(tzinfo=UTC) if stamp.tzinfo is None else stamp
    bearing = row.get("bearing")
    return RecordedFix(
        round(stamp.timestamp() * 1000),
        float(row["latitude"]),
        float(row["longitude"]),
        float(bearing) if bearing else None,
    )
