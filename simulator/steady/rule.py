"""When a run is stopped, told its samples at each look.

A platform with slow spells says more than samples do: how long they are felt, which makes batches long, and how many
there were. A run that has seen few is not stopped, and its interval has to be narrow at two looks one after the other:
where few spells happened to come, throughput is high and its spread small at the same time.
"""

from __future__ import annotations

import math

from simulator.steady.precision import Estimate, Samples, estimate
from simulator.steady.spells import Spells

MIN_SPELLS = 50
"""Slow spells of all ranks together, after the warm-up, before a run is stopped."""


class StoppingRule:
    """Says when throughput is known well enough.

    Args:
        precision: width of its 95 % confidence interval to be reached, relative to the mean.
        spells: the slow ones of the platform, if it has any.
    """

    def __init__(self, precision: float, spells: Spells | None = None) -> None:
        self._precision = precision
        self._spells = spells
        self._was_narrow = spells is None  # without spells one look is enough

    def is_reached(self, samples: Samples) -> bool:
        """Whether to stop at this look: one or more samples, float64 [num_samples], ns, all since the start."""
        found = self.estimate(samples)
        num_spells = self.num_spells(samples, found)
        is_enough = found.is_settled and (num_spells is None or num_spells >= MIN_SPELLS)
        is_narrow = is_enough and self._is_narrow(found)
        is_reached = is_narrow and self._was_narrow
        self._was_narrow = is_narrow or self._spells is None
        return is_reached

    def estimate(self, samples: Samples) -> Estimate:
        """The mean sample, in ns, as it is known by now."""
        total = float(samples.sum())
        if self._spells is None or total == 0:  # in no time nothing is slow
            return estimate(samples)
        return estimate(samples, self._spells.correlation_ns * len(samples) / total)

    def num_spells(self, samples: Samples, found: Estimate) -> int | None:
        """Slow spells that began after the warm-up, up to the end of the last sample; None on a platform without."""
        if self._spells is None:
            return None
        return self._spells.seen(int(samples[: found.warm_up].sum()), int(samples.sum()))

    def _is_narrow(self, found: Estimate) -> bool:
        """The width of throughput's interval is 1 / low - 1 / high of the samples', beside 1 / mean."""
        if found.low <= 0 or math.isinf(found.high):
            return False
        return 1 / found.low - 1 / found.high <= self._precision / found.mean
