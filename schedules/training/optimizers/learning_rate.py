"""How an optimizer's learning rate changes over its steps: in closed form, so that any step can be asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from topologies.checks import one_of, probability, real_number, whole_number

SCHEDULES = ("constant", "step", "cosine")


@dataclass(frozen=True, slots=True)
class LearningRate:
    """Learning rate gamma at a worker's k-th gradient step (from 0) of `total` = T.

    With W = round(warmup T), s = warmup_start and d the schedule:
      k < W:  gamma = peak (s + (1 - s) k / W) d(k)
      else:   gamma = peak d(k)
    constant: d = 1.  step: d = factor^(how many of the `drops` are over), a drop f being over from k = round(f T) on.
    cosine: d = minimum + (1 - minimum) (1 + cos(pi (k - W) / (T - W))) / 2 for k > W, else 1.
    A worker that makes more than T steps (the faster ones, when the count is global) stays at the value of k = T.

    Args:
        peak: gamma after the warm-up, at least 0 (0: gossip alone).
        total: T, the worker's own steps, at least 1.
        schedule: "constant", "step" or "cosine".
        drops: fractions of T in [0, 1].
        factor: of one drop.
        warmup: fraction of T in [0, 1), linear.
        warmup_start: fraction of the peak at k = 0.
        minimum: fraction of the peak at which a cosine ends, in [0, 1].
    Raises:
        ValueError: if a setting is impossible, naming it.
    Source: torch.optim.lr_scheduler (LinearLR, MultiStepLR, CosineAnnealingLR) in closed form; the defaults of `drops`
    and `factor` are those of the CIFAR-10 recipe of A²CiD² (gossip.md, section 5).
    """

    peak: float
    total: int
    schedule: str = "constant"
    drops: Sequence[float] = (0.5, 0.75)
    factor: float = 0.1
    warmup: float = 0.0
    warmup_start: float = 0.0
    minimum: float = 0.0

    def __post_init__(self) -> None:
        real_number("learning_rate", self.peak, 0)
        whole_number("total", self.total, 1)
        one_of("schedule", self.schedule, SCHEDULES)
        real_number("factor", self.factor, 0)
        probability("warmup_start", self.warmup_start)
        probability("minimum", self.minimum)
        for drop in self.drops:
            probability("drops", drop)
        if probability("warmup", self.warmup) == 1:
            raise ValueError(f"warmup: expected a fraction below 1, found {self.warmup!r}")

    @property
    def num_warmup(self) -> int:
        """Steps of the warm-up."""
        return round(self.warmup * self.total)

    def __call__(self, step: int) -> float:
        """Gamma at the worker's step number `step`, counted from 0."""
        step, num_warmup = min(step, self.total), self.num_warmup
        rate = float(self.peak) * self._decayed(step, num_warmup)
        if step < num_warmup:
            rate *= self.warmup_start + (1 - self.warmup_start) * step / num_warmup
        return rate

    def _decayed(self, step: int, num_warmup: int) -> float:
        if self.schedule == "constant":
            return 1.0
        if self.schedule == "step":
            return float(self.factor) ** sum(step >= round(drop * self.total) for drop in self.drops)
        elapsed = max(step - num_warmup, 0) / max(self.total - num_warmup, 1)  # short runs may round to warm-up alone
        return self.minimum + (1 - self.minimum) * (0.5 * (1 + math.cos(math.pi * elapsed)))
