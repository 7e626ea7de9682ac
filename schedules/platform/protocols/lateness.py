"""How late a thread is that a message has woken.

Operating systems wake threads late, by no fixed time: what follows is exponential with the mean that a platform gives
as its overhead. It is no noise on top of a collective, it decides its time: whether an announcement leaves before the
next segment or behind it hangs on such a delay (`schedules.platform.protocols.segments`). So it is drawn, from a hash
of who is late for which message: the same in every run, in any order of asking, by formula and message by message.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

MOST_MEMBERS = 1 << 20
LEAST_NS = 1000.0
"""A thread that sleeps is never woken sooner. It also decides what happens in one instant: who sends without being
woken is first."""


@lru_cache(maxsize=256)  # rows of the rings under way, which are large where members are many
def late(draws: int, n: int, number: int) -> Numbers:
    """How late each member is for its message of a number, in units of the mean: float64 [draws, n], read only."""
    draw, member = np.arange(draws, dtype=np.uint64)[:, None], np.arange(n, dtype=np.uint64)
    with np.errstate(over="ignore"):  # a hash is meant to wrap around
        key = (draw * np.uint64(MOST_MEMBERS) + member) * np.uint64(0x9E3779B97F4A7C15)
        found = -np.log1p(-_uniform(key + np.uint64(number * 0xD1B54A32D192ED03 % 2**64)))
    found.flags.writeable = False
    return found


def late_once(rank: int, number: int) -> float:
    """How late the thread of a rank is for its how-manieth waking, in units of the mean: of `platform.host`."""
    key = np.array([(rank * MOST_MEMBERS + number) * 0x9E3779B97F4A7C15 % 2**64], dtype=np.uint64)
    with np.errstate(over="ignore"):  # a hash is meant to wrap around
        return float(-np.log1p(-_uniform(key))[0])


def _uniform(key: NDArray[np.uint64]) -> Numbers:
    """Numbers in [0, 1) from whole ones: the finish of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((key ^ (key >> np.uint64(31))) >> np.uint64(11)) / 2.0**53
