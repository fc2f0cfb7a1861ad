"""Where ready positions are, for feeds of an area: `realtime.fanout.feeds.grid.Space` with H3 cells."""

from functools import lru_cache

import msgspec

from geo.cells import cell_of, centre_of, name_of
from realtime.fanout.engineio.frames import json_bytes
from realtime.live.topics import parse_position

Place = tuple[float, float]
LABELS_REMEMBERED = 65_536


class H3Index:
    """Places are (latitude, longitude) in degrees, levels H3 resolutions."""

    def place(self, fragment: bytes) -> Place | None:
        """Where the driver of a position is; None for what is no position."""
        try:
            _, _, point = parse_position(fragment)
        except msgspec.MsgspecError:
            return None
        lat, lon = point.lat, point.lon
        if lat is None or lon is None or not (-90.0 <= lat <= 90.0 and -180.0 <= lon <= 180.0):
            return None
        return lat, lon

    def cell(self, place: Place, level: int) -> int:
        """The H3 cell of ``place``."""
        return cell_of(place[0], place[1], level)

    def label(self, cell: int) -> bytes:
        """``"name",lat,lon`` of the cell's middle."""
        return _label(cell)


@lru_cache(maxsize=LABELS_REMEMBERED)
def _label(cell: int) -> bytes:
    return json_bytes((name_of(cell), *centre_of(cell)))[1:-1]
