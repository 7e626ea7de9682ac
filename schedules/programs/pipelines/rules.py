"""What a stage does with its gradients: one contribution of all micro-batches of an iteration."""

from __future__ import annotations

from schedules import ZERO, Array, State, Vector, descend

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
