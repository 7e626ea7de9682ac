"""Slow spells, as far as a run has to be longer because of them: how long they are felt, and how many it has seen."""

from __future__ import annotations

from schedules.platform.computing import Stragglers
from schedules.platform.stragglers import Pace, pace


class Spells:
    """The slow spells of all ranks.

    Args:
        table: how they come and go.
        paces: of the ranks.
    Attributes:
        correlation_ns: how long it takes a rank to forget whether it was slow. A Markov process of two states forgets
            as exp(-t / c), 1 / c = 1 / mean_normal + 1 / mean_slow; where steps wait for several such ranks, nothing
            is remembered for longer.
    """

    def __init__(self, table: Stragglers, paces: list[Pace]) -> None:
        self.correlation_ns = 1e9 / (1 / table.mean_normal + 1 / table.mean_slow)
        self._paces = paces

    def seen(self, since: int, until: int) -> int:
        """How many began from one time until another, in nanoseconds, over all ranks."""
        return sum(since <= begin for each in self._paces for begin, _ in each.slow_spells(until))


def slow_spells(table: Stragglers | None, seed: int, num_ranks: int) -> Spells | None:
    """Those of a platform with `stragglers`; None where nothing is ever slow."""
    slow = [] if table is None else [rank for rank in range(num_ranks) if table.ranks is None or rank in table.ranks]
    if table is None or not slow or table.slowdown == 1:
        return None
    return Spells(table, [pace(table, seed, rank) for rank in slow])
