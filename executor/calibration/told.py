"""A quantity that was measured, how well, and what is to be said of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LEAST_SAMPLES = 8
"""Of fewer no mean is told."""

LARGEST_SPREAD = 0.5
"""A mean that is known to no more than this share of itself spreads too much, where it is off by `NOTEWORTHY_S`."""

NOTEWORTHY_S = 50e-6
"""Less than this many seconds is not worth a doubt."""


class Told(NamedTuple):
    """A quantity and its interval: two standard errors to either side; and what is to be said of it."""

    value: float
    low: float
    high: float
    doubt: str = ""

    @property
    def interval(self) -> list[float]:
        """From, to."""
        return [self.low, self.high]


def mean_of(name: str, samples: Numbers) -> Told:
    """The mean of how late threads were, in seconds."""
    if len(samples) < LEAST_SAMPLES:
        return Told(0.0, 0.0, 0.0, f"{name}: {len(samples)} samples tell no mean: 0 s is assumed")
    mean, error = float(samples.mean()), 2 * float(samples.std(ddof=1)) / len(samples) ** 0.5
    is_wide = error > max(LARGEST_SPREAD * abs(mean), NOTEWORTHY_S)
    doubt = f"{name}: {mean * 1e6:.0f} µs is known to ±{error * 1e6:.0f} µs only" if is_wide else ""
    return Told(max(mean, 0.0), max(mean - error, 0.0), max(mean + error, 0.0), doubt)


def median_of(samples: Numbers) -> Told:
    """With two standard errors, those of a median of normal numbers: what holds a few up tells nothing of bytes."""
    middle, error = float(np.median(samples)), 2 * 1.2533 * float(samples.std(ddof=1)) / len(samples) ** 0.5
    return Told(middle, middle - error, middle + error)
