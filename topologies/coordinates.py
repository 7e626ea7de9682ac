"""Where nodes lie on the Earth, as files of real networks say it, and how long light takes between them."""

from __future__ import annotations

from collections.abc import Mapping
from math import asin, cos, radians, sin, sqrt
from typing import Any, TypeAlias

from topologies.checks import real_number

Place: TypeAlias = tuple[float, float]
"""Latitude and longitude, in degrees."""

EARTH_RADIUS_M = 6_371_000.0
SPEED_IN_FIBRE = 2e8
"""In m/s: that of light in vacuum by a refractive index of 1.5."""

_LATITUDE = ("latitude", "lat")
_LONGITUDE = ("longitude", "lon", "lng", "long")


def place(data: Mapping[str, Any]) -> Place | None:
    """Where a node lies by its attributes `Latitude` and `Longitude` (lat, lon, lng, long; in any case), or None.

    Raises:
        ValueError: if one of the two is missing, or is no angle.
    """
    named = {str(key).lower(): value for key, value in data.items()}
    latitude = next((named[key] for key in _LATITUDE if key in named), None)
    longitude = next((named[key] for key in _LONGITUDE if key in named), None)
    if latitude is None and longitude is None:
        return None
    return _angle("Latitude", latitude, 90), _angle("Longitude", longitude, 360)


def _angle(name: str, value: object, largest: float) -> float:
    found = real_number(name, value, -largest, unit="degrees")
    if found > largest:
        raise ValueError(f"{name}: expected at most {largest:g} degrees, found {value!r}")
    return found


def distance(a: Place, b: Place) -> float:
    """Metres along the great circle between two places.

    d = 2 R asin sqrt(sin^2((phi_a - phi_b) / 2) + cos phi_a cos phi_b sin^2((lambda_a - lambda_b) / 2)), on a sphere.

    Source: the haversine formula, which keeps its digits for places that are close.
    """
    (phi_a, lambda_a), (phi_b, lambda_b) = (tuple(map(radians, each)) for each in (a, b))
    half = sin((phi_a - phi_b) / 2) ** 2 + cos(phi_a) * cos(phi_b) * sin((lambda_a - lambda_b) / 2) ** 2
    return 2 * EARTH_RADIUS_M * asin(min(1.0, sqrt(half)))


def light_time(a: Place, b: Place) -> float:
    """Seconds that light takes one way in a fibre along the great circle, at `SPEED_IN_FIBRE`.

    A real cable makes detours: this is the least that there can be.
    """
    return distance(a, b) / SPEED_IN_FIBRE
