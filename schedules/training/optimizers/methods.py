"""The arithmetic of the optimizers, without any state: what comes in is read, and what goes out is new."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from array_api_compat import array_namespace

from schedules.operations import Array
from topologies.checks import probability, real_number

Arrays = tuple[Array, ...]
"""What a method remembers from step to step: arrays as long as the gradient; none before the first step."""


class Method(Protocol):
    """What an optimizer does with a gradient."""

    @property
    def num_arrays(self) -> int:
        """How many arrays it remembers from its first step on."""

    def change(
        self, gradient: Array, decay: Array | None, remembered: Arrays, rate: float, step: int
    ) -> tuple[Array, Arrays]:
        """The change of x, and what is to be remembered: new arrays.

        Args:
            gradient: [size], floating. It is not written to, and no array that is handed back shares its memory.
            decay: weight_decay x, as long as the gradient; None where nothing decays.
            remembered: of the step before.
            rate: gamma, the learning rate of this step.
            step: its number, from 0.
        """


@dataclass(frozen=True, slots=True)
class Momentum:
    """Stochastic gradient descent, with momentum or without.

    d = g + weight_decay x;  buffer = momentum buffer + d;
    delta = -gamma buffer, or with `nesterov` -gamma (d + momentum buffer).

    Args:
        momentum: in [0, 1].
        nesterov: needs momentum.
    Raises:
        ValueError: if a setting is impossible, naming it.
    Source: torch.optim.SGD without dampening.
    """

    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        probability("momentum", self.momentum)
        if self.nesterov and not self.momentum:
            raise ValueError("momentum: expected a number above 0, as nesterov is on, found 0")

    @property
    def num_arrays(self) -> int:
        """The buffer, where there is momentum."""
        return 1 if self.momentum else 0

    def change(
        self, gradient: Array, decay: Array | None, remembered: Arrays, rate: float, step: int
    ) -> tuple[Array, Arrays]:
        """See `Method.change`."""
        if decay is not None:
            gradient = gradient + decay
        if not self.momentum:
            return -rate * gradient, ()
        if remembered:
            buffer = self.momentum * remembered[0] + gradient
        else:
            buffer = array_namespace(gradient).asarray(gradient, copy=True)
        return -rate * (gradient + self.momentum * buffer if self.nesterov else buffer), (buffer,)


@dataclass(frozen=True, slots=True)
class Adam:
    """Adam with decoupled weight decay: the decay goes past the moments.

    m = beta_1 m + (1 - beta_1) g;  v = beta_2 v + (1 - beta_2) g^2;  with k the steps made, this one included,
    delta = -gamma (m / (1 - beta_1^k) / (sqrt(v / (1 - beta_2^k)) + eps) + weight_decay x).

    Args:
        beta_1, beta_2: in [0, 1).
        eps: at least 0.
    Raises:
        ValueError: if a setting is impossible, naming it.
    Source: Loshchilov and Hutter 2019 (arXiv:1711.05101), algorithm 2; torch.optim.AdamW.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        real_number("eps", self.eps, 0)
        for name, beta in (("beta_1", self.beta_1), ("beta_2", self.beta_2)):
            if probability(name, beta) == 1:
                raise ValueError(f"{name}: expected a number below 1, found {beta!r}")

    @property
    def num_arrays(self) -> int:
        """The two moments."""
        return 2

    def change(
        self, gradient: Array, decay: Array | None, remembered: Arrays, rate: float, step: int
    ) -> tuple[Array, Arrays]:
        """See `Method.change`."""
        xp = array_namespace(gradient)
        first, second = (1 - self.beta_1) * gradient, (1 - self.beta_2) * (gradient * gradient)
        if remembered:
            first, second = self.beta_1 * remembered[0] + first, self.beta_2 * remembered[1] + second
        rate_of_first = rate / (1 - self.beta_1 ** (step + 1))
        scale_of_second = math.sqrt(1 - self.beta_2 ** (step + 1))
        change = -rate_of_first * (first / (xp.sqrt(second) / scale_of_second + self.eps))
        return change if decay is None else change - rate * decay, (first, second)
