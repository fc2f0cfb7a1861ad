"""Distances on the earth, and a flat plane of metres around a place.

Short distances only need to be right to well under a percent; the exact ones are geopy's.
"""

from dataclasses import dataclass
from math import asin, atan2, cos, degrees, radians, sin, sqrt
from typing import Final

MEAN_RADIUS_M: Final = 6_371_008.8
"""Mean radius R1 of the earth (Moritz, "Geodetic Reference System 1980", 2000)."""

WGS84_A_M: Final = 6_378_137.0
WGS84_E2: Final = 6.694_379_990_14e-3
"""Semi-major axis and first eccentricity squared of WGS84 (NGA.STND.0036)."""


def distance_m(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Great-circle distance by the haversine formula (Sinnott 1984), at most 0.6 % off the ellipsoid."""
    phi_a, phi_b = radians(lat_a), radians(lat_b)
    half_phi, half_lambda = (phi_b - phi_a) / 2.0, radians(lon_b - lon_a) / 2.0
    h = sin(half_phi) ** 2 + cos(phi_a) * cos(phi_b) * sin(half_lambda) ** 2
    return 2.0 * MEAN_RADIUS_M * asin(sqrt(min(1.0, h)))


@dataclass(frozen=True, slots=True)
class Plane:
    """Metres east (x) and north (y) of a place: the tangent plane of the ellipsoid, good for some 50 km.

    One degree is ``pi/180 * M`` north and ``pi/180 * N * cos(lat)`` east, with the meridian's radius of
    curvature M and the prime vertical's N (Torge, "Geodesy", 4.1). Not for the poles.
    """

    lat: float
    lon: float

    def scales_m(self) -> tuple[float, float]:
        """Metres a degree, east and north."""
        w2 = 1.0 - WGS84_E2 * sin(radians(self.lat)) ** 2
        prime_vertical_m = WGS84_A_M / sqrt(w2)
        meridian_m = WGS84_A_M * (1.0 - WGS84_E2) / w2**1.5
        return radians(prime_vertical_m * cos(radians(self.lat))), radians(meridian_m)

    def to_degrees(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Latitude and longitude of a place on the plane."""
        east_m, north_m = self.scales_m()
        return self.lat + y_m / north_m, self.lon + x_m / east_m

    def to_metres(self, lat: float, lon: float) -> tuple[float, float]:
        """x and y of a place."""
        east_m, north_m = self.scales_m()
        return (lon - self.lon) * east_m, (lat - self.lat) * north_m


def heading_deg(dx_m: float, dy_m: float) -> float:
    """Degrees clockwise from north, 0 ≤ h < 360, of a step on the plane."""
    return degrees(atan2(dx_m, dy_m)) % 360.0


def turn_deg(before_deg: float, after_deg: float) -> float:
    """How sharp a turn is, 0 to 180 degrees."""
    return abs((after_deg - before_deg + 180.0) % 360.0 - 180.0)
