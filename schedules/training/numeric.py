"""The parameters of a worker with their values: SGD, pairwise averaging, A²CiD²'s mixing, D-PSGD's neighbour average.

`x` and `x_tilde` are replaced, never written in place: whoever holds the array that a computation started from holds
the version that it read, whatever has been applied since. numpy and torch alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace
from numpy.typing import NDArray

from schedules.operations import Array, Payload
from schedules.record.ledger import Account
from schedules.training.optimizers import SGD
from schedules.training.problems import Problem, to_numpy
from schedules.training.state import Model
from topologies.checks import real_number

_WEIGHTS_TOLERANCE = 1e-6


Observation = tuple[int, float, NDArray[np.float64]]
"""A read-out: its number, when (in gradient times), and x mixed up to then [num_params], on the host."""


class NumericModel(Model):
    """Parameters of one worker in a numeric run; versions and staleness are counted as in `Model`.

    Args:
        x: [num_params], floating; copied.
        optimizer: of this worker alone (it keeps the momentum).
        eta: rate of the mixing of x and x-tilde, in 1/gradient time; needs `has_tilde`.
        alpha_tilde: step of x-tilde at an exchange, without unit. That of x is 1/2.
        has_tilde: whether x-tilde is kept. Starts as x; without, `x_tilde` is None.
    Attributes:
        x, x_tilde: the parameters as they are now.
        xp: the array API namespace of x.
        tau: up to when x and x-tilde are mixed, in gradient times.
        observations: the read-outs, in the order in which they were made.
    Raises:
        ValueError: if x is not one-dimensional, eta or alpha_tilde is negative, or eta is set without x-tilde.
    Source: A²CiD² (arXiv:2306.08289), gossip.md section 2; eta = 0 and alpha_tilde = 1/2 is the asynchronous baseline.
    """

    is_numeric = True
    __slots__ = ("alpha_tilde", "eta", "observations", "optimizer", "tau", "x", "x_tilde", "xp")

    def __init__(
        self,
        *,
        x: Array,
        optimizer: SGD,
        account: Account,
        is_recorded: bool = False,
        eta: float = 0.0,
        alpha_tilde: float = 0.5,
        has_tilde: bool = False,
    ) -> None:
        if x.ndim != 1:
            raise ValueError(f"x: expected a one-dimensional array, found the shape {tuple(x.shape)}")
        super().__init__(int(x.nbytes), account, is_recorded=is_recorded)
        self.xp = array_namespace(x)
        self.x: Array = self.xp.asarray(x, copy=True)
        self.x_tilde: Array = self.x if has_tilde else None  # no copy, as neither is ever written in place
        self.optimizer = optimizer
        self.eta = real_number("eta", eta, 0)
        self.alpha_tilde = real_number("alpha_tilde", alpha_tilde, 0)
        self.tau = 0.0
        self.observations: list[Observation] = []
        if eta and not has_tilde:
            raise ValueError(f"eta: expected 0, as no x-tilde is kept, found {eta!r}")

    def snapshot(self) -> Array:
        """x as it is now, for a computation to start from. Not a copy: x is never written in place."""
        return self.x

    def outgoing(self) -> Payload:
        """A copy of x as it is now, to be sent, with its version."""
        payload = super().outgoing()
        payload.array = self.xp.asarray(self.x, copy=True)
        return payload

    def step(self, gradient: Payload) -> None:
        """x += delta, x_tilde += delta, with the optimizer's delta at x as it is now.

        For A²CiD², `mix` up to the time of the step first.
        """
        self._add(self.optimizer.delta(self.x, gradient.array, self.steps))  # before `super` counts this step
        super().step(gradient)

    def average(self, mine: Payload, theirs: Payload) -> None:
        """m = mine - theirs, the two values that were sent;  x -= m / 2, x_tilde -= alpha_tilde m, as they are now.

        The sum over the pair is kept, even if a gradient landed while the exchange was under way. Each end may form m
        in its own order: IEEE subtraction rounds symmetrically, so a - b is bit for bit -(b - a) (but for the sign of a
        zero, which changes no sum), and the ends need not agree on who is first (gossip.md, pitfall 6).
        For A²CiD², `mix` up to the time of the exchange before `outgoing` is called.
        """
        m = mine.array - theirs.array
        self.x = self.x - 0.5 * m
        if self.x_tilde is not None:
            self.x_tilde = self.x_tilde - self.alpha_tilde * m
        super().average(mine, theirs)

    def mix(self, time: float) -> None:
        """dx = eta (x_tilde - x) dt, dx_tilde = eta (x - x_tilde) dt, from tau up to `time`, in gradient times.

        In closed form, with b = (1 - e^{-2 eta (time - tau)}) / 2:  x += b (x_tilde - x), x_tilde -= b (x_tilde - x).
        A time before tau mixes nothing, and tau stays. Mixing does not advance the version.
        """
        self.x, self.x_tilde = self._mixed(time)
        self.tau = max(self.tau, time)

    def mix_neighbours(self, gradient: Payload, models: Sequence[Payload], weights: Sequence[float]) -> None:
        """D-PSGD: x <- sum_j W_ij x_j - gamma g, with the x_j that were sent; `models[0]` is the worker's own.

        As W_i0 = 1 - sum_{j>0} W_ij, this is x += sum_{j>0} W_ij (x_j - x_0) + delta, which loses nothing that was
        applied since x_0 was sent, and with symmetric weights keeps the mean of all workers.

        Args:
            weights: one a model, summing to 1, without unit.
        Raises:
            ValueError: if the weights do not sum to 1, or x-tilde is kept (D-PSGD does not say what to do with it).
        """
        if len(weights) != len(models) or abs(sum(weights) - 1) > _WEIGHTS_TOLERANCE:
            raise ValueError(f"weights: expected {len(models)} numbers that sum to 1, found {list(weights)}")
        if self.x_tilde is not None:
            raise ValueError("mix_neighbours: expected a model without x-tilde, found one with it")
        change = self.optimizer.delta(self.x, gradient.array, self.steps)
        for model, weight in zip(models[1:], weights[1:], strict=True):
            # Numpy's own floats would make float32 arrays float64.
            change = change + float(weight) * (model.array - models[0].array)
        self._add(change)
        super().mix_neighbours(gradient, models, weights)

    def joined(self, read: Payload, buckets: Sequence[Payload]) -> Payload:
        """The gradient put together again from its buckets, which are consecutive parts of it."""
        payload = super().joined(read, buckets)
        payload.array = self.xp.concat([bucket.array for bucket in buckets])
        return payload

    def observe(self, index: int, time: float) -> None:
        """Read out x mixed up to `time`, as the `index`-th observation. The state stays as it is."""
        x = to_numpy(self._mixed(time)[0]).astype(np.float64, copy=False)
        self.observations.append((index, time, x))

    def parameters(self) -> NDArray[np.floating]:
        """A copy of x as it is now (mix first to have it mixed): numpy [num_params], of the dtype of x."""
        return to_numpy(self.x)

    def _add(self, change: Array) -> None:
        self.x = self.x + change
        if self.x_tilde is not None:
            self.x_tilde = self.x_tilde + change

    def _mixed(self, time: float) -> tuple[Array, Array]:
        """x and x-tilde at `time`."""
        x, x_tilde, elapsed = self.x, self.x_tilde, time - self.tau
        if x_tilde is None or not self.eta or elapsed <= 0:
            return x, x_tilde
        # 1 - exp loses its digits between close events.
        moved = -0.5 * math.expm1(-2 * self.eta * elapsed) * (x_tilde - x)
        return x + moved, x_tilde - moved


def consensus_distance(stack: NDArray[np.floating]) -> float:
    """sum_i |x_i - mean x|^2, the squared Frobenius norm of (I - 11^T/n) X.

    Args:
        stack: [num_workers, num_params].
    Source: gossip.md section 8, which asks for this sum and for the sum divided by n: `series` has both.
    """
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges shows it in its numbers, not in warnings
        # From the first worker: equal models are at distance zero exactly, and close ones lose no digits.
        offsets = stack - stack[0]
        return float(np.sum((offsets - offsets.mean(axis=0)) ** 2))


def series(
    observations_by_rank: Sequence[Sequence[Observation]],
    problem: Problem,
    gradient_s: float,
) -> list[dict[str, float | int | None]]:
    """Loss, accuracy and consensus distance against time, from the observations that every rank has made.

    Loss and accuracy are those of the mean of the workers' models.

    Args:
        observations_by_rank: (index, time, x) in any order; of two with the same index the later one counts.
        gradient_s: one gradient time in seconds.
    Returns:
        One dict an index, ascending: `index`, `time` (gradient times, mean over ranks), `time_s`, `loss`, `accuracy`
        (None where there is none), `consensus_distance` (the sum over workers), `consensus_distance_mean` (over n).
    """
    tables = [{index: (time, x) for index, time, x in observations} for observations in observations_by_rank]
    # Read-outs end with their worker, and workers do not end together.
    common = sorted(set.intersection(*map(set, tables))) if tables else []
    return [_summary(index, [table[index] for table in tables], problem, gradient_s) for index in common]


def _summary(
    index: int, readings: Sequence[tuple[float, NDArray[np.float64]]], problem: Problem, gradient_s: float
) -> dict[str, float | int | None]:
    stack = np.stack([x for _, x in readings])
    time = math.fsum(time for time, _ in readings) / len(readings)
    mean, distance = stack.mean(axis=0), consensus_distance(stack)
    return {
        "index": index,
        "time": time,
        "time_s": time * gradient_s,
        "loss": problem.loss(mean),
        "accuracy": problem.accuracy(mean),
        "consensus_distance": distance,
        "consensus_distance_mean": distance / len(stack),
    }
