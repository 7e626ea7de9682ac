"""What a stage does with its gradients: one contribution of all micro-batches of an iteration."""

from __future__ import annotations

import math

from schedules import ZERO, Array, State, Vector, descend, squared_norm
from schedules.training.optimizers.clipping import clipping_factor

STATE: dict[str, Vector] = {"gradient": ZERO}


def accumulate(s: State, gradient: Array) -> None:
    """One micro-batch more."""
    s.gradient = s.gradient + gradient


def mean_of(s: State, number: int) -> Array:
    """The mean of so many that were added up."""
    return s.gradient / number


def step(s: State, _: tuple[None, ...], number: int) -> None:
    """x <- x + delta, of the mean of so many; nothing is added up any more."""
    step_by(s, _, mean_of(s, number))


def step_by(s: State, _: tuple[None, ...], mean: Array) -> None:
    """The same, of a mean over copies."""
    descend(s, mean)
    s.gradient = s.xp.zeros_like(s.gradient)


# ---- where a step asks for the norm of the whole gradient


def be_mean(s: State, number: int) -> None:
    """What was added up is the mean of so many."""
    s.gradient = mean_of(s, number)


def adopt(s: State, mean: Array) -> None:
    """It is a mean over copies."""
    s.gradient = mean


def norm_with(s: State, others: Array | None, copies: int) -> Array:
    """The squared norm of the gradient, of which there are copies, and of others: float64 [1]."""
    own = squared_norm(s.gradient) / copies
    return own if others is None else own + others


def step_within(s: State, _: tuple[None, ...], squared: Array) -> None:
    """x <- x + delta, clipped by the whole norm; nothing where that is no number (an overflow)."""
    if math.isfinite(float(squared[0])):
        s.x = s.x + s.optimizer.delta(s.x, s.gradient, squared)
    s.gradient = s.xp.zeros_like(s.gradient)


def step_at_once(s: State, _: tuple[None, ...], squared: Array) -> None:
    """The same by a part of the norm, which can be taken back."""
    optimizer = s.optimizer
    kept = optimizer.num_steps, optimizer.remembered, optimizer.remainder
    s.undo = s.x, s.gradient, squared, kept
    step_within(s, _, squared)


def validate(s: State, squared: Array) -> None:
    """By the whole norm the step was right, or is taken back and made anew."""
    x, gradient, partial, kept = s.undo
    s.undo = None
    if _scaled_by(s, partial) == _scaled_by(s, squared):
        return
    optimizer = s.optimizer
    optimizer.num_steps, optimizer.remembered, optimizer.remainder = kept
    s.x = x
    if math.isfinite(float(squared[0])):
        s.x = x + optimizer.delta(x, gradient, squared)


def is_scaled(s: State, squared: Array) -> Array:
    """1 where the whole norm has a step clipped or skipped, else 0: then it is what it was by any part of the norm."""
    found: Array = s.xp.ones_like(squared) * (_scaled_by(s, squared) != 1.0)
    return found


def _scaled_by(s: State, squared: Array) -> float | None:
    """What a step multiplies the gradient by; None: it is skipped."""
    if not math.isfinite(float(squared[0])):
        return None
    return 1.0 if s.optimizer.clip_norm is None else clipping_factor(s.optimizer.clip_norm, squared)
