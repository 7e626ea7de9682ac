"""Optimizers on flat parameter vectors, numpy and torch alike: they return the change instead of making it.

A²CiD² has to add exactly the same change to x and to x-tilde, so an optimizer hands it back and keeps only its own
state. That is local to a worker and is never exchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypedDict, Unpack

from array_api_compat import array_namespace

from schedules.operations import Array
from schedules.training.optimizers.clipping import clipping_factor, squared_norm
from schedules.training.optimizers.decay import decays
from schedules.training.optimizers.learning_rate import LearningRate
from schedules.training.optimizers.methods import Adam, Arrays, Method, Momentum
from topologies.checks import real_number


class Optimizer:
    """One worker's optimizer, of the whole vector of parameters or of one consecutive part of it.

    `copy.copy` gives a tentative one, whose steps change nothing here: what is remembered is replaced, never written
    in place. All parts of a model are to be handed the whole model's norm where `clip_norm` is set.

    With `has_master` the optimizer remembers in float32 what rounding has taken from x, so x plus that is a master
    copy in float32: the method works on it, in float32, and its result is rounded to the dtype of x. The caller's
    x + delta is that rounding exactly wherever no number has changed its sign or by more than a factor of two (IEEE
    subtraction is exact then), else it is off by the rounding of delta, which the next step makes good. As it is
    what was taken that is remembered, and not the master, whatever else moves x (an average with a peer, a model that
    is adopted) moves the master with it.

    Args:
        method: the arithmetic.
        learning_rate: gamma, or gamma as a function of the step, such as a `LearningRate`.
        weight_decay: at least 0.
        undecayed: ranges of the part that do not decay.
        clip_norm: the largest norm of the whole model's gradient that is let through; longer ones are scaled to it.
        is_part: whether the vector is not the whole model's.
        has_master: for x in half precision.
    Attributes:
        num_steps: made so far.
        remembered: what the method does: the momentum, or the two moments.
        remainder: what rounding has taken: float32, as long as x; None before the first step and without a master.
    Raises:
        ValueError: if a setting is impossible, naming it.
    """

    __slots__ = (
        "_decays", "clip_norm", "has_master", "is_part", "learning_rate", "method", "num_steps", "remainder",
        "remembered", "undecayed", "weight_decay",
    )  # fmt: skip

    def __init__(
        self,
        method: Method,
        learning_rate: float | Callable[[int], float],
        *,
        weight_decay: float = 0.0,
        undecayed: Sequence[slice] = (),
        clip_norm: float | None = None,
        is_part: bool = False,
        has_master: bool = False,
    ) -> None:
        if not callable(learning_rate):
            learning_rate = LearningRate(learning_rate, total=1)  # a constant has no length
        self.method = method
        self.learning_rate = learning_rate
        self.weight_decay = real_number("weight_decay", weight_decay, 0)
        self.undecayed = tuple(undecayed)
        self.clip_norm = None if clip_norm is None else real_number("clip_norm", clip_norm, 0, strictly=True)
        self.is_part = is_part
        self.has_master = has_master
        self.num_steps = 0
        self.remembered: Arrays = ()
        self.remainder: Array = None
        self._decays: Array = None

    def delta(self, x: Array, gradient: Array, squared_norm: Array | float | None = None) -> Array:
        """The change to add to x (and, the same, to x-tilde); one step is counted.

        Args:
            x: parameters as they are now, [size], floating.
            gradient: of the same shape and device, and of the same dtype (with a master, of any).
            squared_norm: |g|^2 of the whole model's gradient where `clip_norm` is set: a number, or an array [1], the
                sum of the parts' `schedules.training.optimizers.squared_norm`; None: that of `gradient`.
        Returns:
            A new array like x; neither argument is written to or kept.
        Raises:
            ValueError: if there is no norm for a part that is to be clipped.
        """
        if not self.has_master:
            return self._change(x, gradient, squared_norm)
        xp = array_namespace(x)
        master = self.master(x)
        master = master + self._change(master, xp.astype(gradient, xp.float32, copy=False), squared_norm)
        change = xp.astype(master, x.dtype) - x
        self.remainder = master - xp.astype(x + change, xp.float32)
        return change

    def master(self, x: Array) -> Array:
        """x with what rounding has taken from it: float32 [size]."""
        xp = array_namespace(x)
        full = xp.astype(x, xp.float32)
        return full if self.remainder is None else full + self.remainder

    def bytes_per_parameter(self, item_size: int) -> int:
        """Bytes that are held from the first step on, for every number of x, which itself takes `item_size`."""
        held = self.method.num_arrays * (4 if self.has_master else item_size)
        return held + 4 * self.has_master + bool(self.undecayed and self.weight_decay)

    def _change(self, x: Array, gradient: Array, squared: Array | float | None) -> Array:
        rate = float(self.learning_rate(self.num_steps))  # one of numpy's floats would make float32 arrays float64
        if self.clip_norm is not None:
            gradient = self._clipped(gradient, squared)
        decay = self._decay(x) if self.weight_decay else None
        change, self.remembered = self.method.change(gradient, decay, self.remembered, rate, self.num_steps)
        self.num_steps += 1
        return change

    def _clipped(self, gradient: Array, squared: Array | float | None) -> Array:
        assert self.clip_norm is not None
        if squared is None:
            if self.is_part:
                raise ValueError("squared_norm: expected the whole model's, to clip a part by clip_norm, found none")
            squared = squared_norm(gradient)
        factor = clipping_factor(self.clip_norm, squared)
        return gradient if factor == 1 else factor * gradient

    def _decay(self, x: Array) -> Array:
        decay = self.weight_decay * x
        if not self.undecayed:
            return decay
        if self._decays is None:
            self._decays = decays(x, self.undecayed)
        return array_namespace(x).where(self._decays, decay, 0.0)


class Common(TypedDict, total=False):
    """The settings of an `Optimizer` that do not belong to its method."""

    weight_decay: float
    undecayed: Sequence[slice]
    clip_norm: float | None
    is_part: bool
    has_master: bool


def sgd(
    learning_rate: float | Callable[[int], float],
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
    **common: Unpack[Common],
) -> Optimizer:
    """Stochastic gradient descent: see `Momentum` and `Optimizer`."""
    return Optimizer(Momentum(momentum, nesterov), learning_rate, **common)


def adamw(
    learning_rate: float | Callable[[int], float],
    *,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    eps: float = 1e-8,
    **common: Unpack[Common],
) -> Optimizer:
    """Adam with decoupled weight decay: see `Adam` and `Optimizer`."""
    return Optimizer(Adam(beta_1, beta_2, eps), learning_rate, **common)
