"""A CSV becomes trips: one vehicle a driver, one trip a journey."""

import csv
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from realtime.client.recording import read_trips, trips_of

ROUTE_14 = Path(os.environ.get("WAYGUARD_DATA", "tests/data/liverpool_route14.csv"))


def row(**changes: str) -> dict[str, str]:
    return {
        "vehicle_id": "7",
        "trip_id": "t1",
        "timestamp": "2026-01-26 15:57:02",
        "latitude": "53.4",
        "longitude": "-2.9",
        "bearing": "",
        **changes,
    }


def test_route_14_has_every_fix_of_the_file_on_16_trips_of_8_vehicles() -> None:
    trips = read_trips(ROUTE_14)
    assert len(trips) == 16 and len({trip.vehicle for trip in trips}) == 8
    with ROUTE_14.open(newline="") as lines:
        rows = [(r["vehicle_id"], r["trip_id"], float(r["latitude"])) for r in csv.DictReader(lines)]
    played = [(trip.vehicle, trip.trip, fix.lat) for trip in trips for fix in trip.fixes]
    assert sorted(played) == sorted(rows) and len(played) == 1533
    assert [trip.fixes[0].t_ms for trip in trips] == sorted(trip.fixes[0].t_ms for trip in trips)


def test_times_are_utc_and_a_missing_bearing_is_unknown() -> None:
    (trip,) = trips_of([row(), row(bearing="53", timestamp="2026-01-26 15:57:24")])
    assert trip.fixes[0].t_ms == datetime(2026, 1, 26, 15, 57, 2, tzinfo=UTC).timestamp() * 1000
    assert [fix.heading_deg for fix in trip.fixes] == [None, 53.0]


@pytest.mark.parametrize("change", [{"timestamp": "yesterday"}, {"latitude": "north"}, {"bearing": "left"}])
def test_a_line_that_cannot_be_read_is_named(change: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="line 3"):
        trips_of([row(), row(**change)])


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.csv"
    file.write_text("vehicle_id,timestamp,latitude,longitude\n")
    with pytest.raises(ValueError, match="no column trip_id"):
        read_trips(file)
