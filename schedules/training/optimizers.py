"""Optimizers on flat parameter vectors, numpy and torch alike: they return the update instead of making it.

A²CiD² has to add exactly the same update to x and to x-tilde, so an optimizer hands back the difference and keeps only
its own state. Momentum is local to a worker and is never exchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from array_api_compat import array_namespace

from schedules.operations import Array
from topologies.checks import one_of, probability, real_number, whole_number

SCHEDULES = ("constant", "step", "cosine")


@dataclass(frozen=True, slots=True)
class LearningRate:
    """Learning rate gamma at a worker's k-th gradient step (from 0) of `total` = T.

    With W = round(warmup T), s = warmup_start and d the schedule:
      k < W:  gamma = peak (s + (1 - s) k / W) d(k)
      else:   gamma = peak d(k)
    constant: d = 1.  step: d = factor^(how many of the `drops` are over), a drop f being over from k = round(f T) on.
    cosine: d = (1 + cos(pi (k - W) / (T - W))) / 2 for k > W, else 1.
    A worker that makes more than T steps (the faster ones, when the count is global) stays at the value of k = T.

    Args:
        peak: gamma after the warm-up, at least 0 (0: gossip alone).
        total: T, the worker's own steps, at least 1.
        schedule: "constant", "step" or "cosine".
        drops: fractions of T in [0, 1].
        factor: of one drop.
        warmup: fraction of T in [0, 1), linear.
        warmup_start: fraction of the peak at k = 0.
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

    def __post_init__(self) -> None:
        real_number("learning_rate", self.peak, 0)
        whole_number("total", self.total, 1)
        one_of("schedule", self.schedule, SCHEDULES)
        real_number("factor", self.factor, 0)
        probability("warmup_start", self.warmup_start)
        for drop in self.drops:
            probability("drops", drop)
        if probability("warmup", self.warmup) == 1:
            raise ValueError(f"warmup: expected a fraction below 1, found {self.warmup!r}")

    def __call__(self, step: int) -> float:
        """Gamma at the worker's step number `step`, counted from 0."""
        step = min(step, self.total)
        num_warmup = round(self.warmup * self.total)
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
        return 0.5 * (1 + math.cos(math.pi * elapsed))


class SGD:
    """Stochastic gradient descent with momentum, weight decay and Nesterov's variant, for one worker.

    d = g + weight_decay x;  buffer = momentum buffer + d;
    delta = -gamma buffer, or with `nesterov` -gamma (d + momentum buffer).

    Args:
        learning_rate: gamma, or gamma as a function of the step, such as a `LearningRate`.
        momentum: in [0, 1].
        weight_decay: at least 0.
        nesterov: needs momentum.
        schedule: where `learning_rate` is a number, the further settings of its `LearningRate`; none: it is constant.
    Raises:
        ValueError: if a setting is impossible, naming it.
    Source: torch.optim.SGD without dampening.
    """

    __slots__ = ("buffer", "learning_rate", "momentum", "nesterov", "weight_decay")

    def __init__(
        self,
        learning_rate: float | Callable[[int], float],
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        **schedule: Any,
    ) -> None:
        if callable(learning_rate) and schedule:
            raise ValueError(f"learning_rate: expected a number, as {', '.join(schedule)} is given, found a function")
        if not callable(learning_rate):
            learning_rate = LearningRate(learning_rate, **(schedule or {"total": 1}))  # a constant has no length
        self.learning_rate = learning_rate
        self.momentum = probability("momentum", momentum)
        self.weight_decay = real_number("weight_decay", weight_decay, 0)
        self.nesterov = nesterov
        self.buffer: Array = None
        if nesterov and not momentum:
            raise ValueError("momentum: expected a number above 0, as nesterov is on, found 0")

    def delta(self, x: Array, gradient: Array, step: int) -> Array:
        """The update to add to x (and, the same, to x-tilde); the momentum buffer advances.

        Args:
            x: parameters as they are now, [num_params], floating.
            gradient: of the same shape, dtype and device.
            step: gradient steps that this worker has made before.
        Returns:
            A new array like `gradient`; neither argument is written to or kept.
        """
        rate = float(self.learning_rate(step))  # one of numpy's floats would make float32 arrays float64
        if self.weight_decay:
            gradient = gradient + self.weight_decay * x
        if not self.momentum:
            return -rate * gradient
        if self.buffer is None:
            self.buffer = array_namespace(gradient).asarray(gradient, copy=True)
        else:
            self.buffer = self.momentum * self.buffer + gradient
        return -rate * (gradient + self.momentum * self.buffer if self.nesterov else self.buffer)
