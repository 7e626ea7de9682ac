"""What a problem is, and the arrays that it computes with: numpy and torch alike.

Parameters are one flat array. A stochastic gradient depends only on (seed, rank, step), never on the order of the
calls, so both worlds, a replay and a debugger get the same one. Random numbers are drawn by numpy, in float64, and
converted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from array_api_compat import array_namespace, to_device
from numpy.typing import NDArray

from schedules.operations import Array
from schedules.training.problems.data import Indices
from schedules.training.vectors import Tensor


class Trained(Protocol):
    """What is trained: a problem, or the user's own module."""

    @property
    def num_params(self) -> int:
        """Length of x."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """What x consists of, by name."""

    def initial(self, seed: int, rank: int = 0) -> Array:
        """The starting point of a worker: [num_params]; of a problem numpy float64.

        It is common to all workers, but for a quadratic whose workers start apart.
        """

    def convert(self, x: Array) -> Array:
        """A copy of x as an array of the kind, dtype and device of the run, such as `gradient` takes."""

    def gradient(self, x: Array, rank: int, step: int) -> Array:
        """Stochastic gradient at x of worker `rank`, the `step`-th that it computes (from 0).

        Args:
            x: [num_params], of the array kind, dtype and device of the run. It is not written to.
        Returns:
            A new array of the same kind: [num_params].
        """


class Problem(Trained, Protocol):
    """Minimise (1/n) sum_i f_i(x), of which worker i sees stochastic gradients of f_i."""

    def loss(self, x: Array) -> float:
        """Training loss on all data, without noise; x may be a numpy array whatever the array kind of the problem."""

    def accuracy(self, x: Array) -> float | None:
        """Share of the held-out samples that are classified correctly, in [0, 1]; None where there are no classes."""


@dataclass(frozen=True, slots=True)
class ArrayKind:
    """numpy or torch arrays of one dtype on one device."""

    xp: ModuleType
    dtype: object
    device: object

    def convert(self, values: Array) -> Array:
        """A floating array of this kind, copied."""
        return self.xp.asarray(values, dtype=self.dtype, device=self.device, copy=True)

    def positions(self, values: Indices) -> Array:
        """An int64 array of this kind, for indexing."""
        return self.xp.asarray(values, device=self.device, copy=True)


@dataclass(frozen=True, slots=True)
class ProblemSetup:
    """What every builder is handed."""

    num_workers: int
    seed: int
    arrays: ArrayKind
    batch_size: int


@dataclass(frozen=True, slots=True)
class LatestBlock:
    """Drawing in blocks of steps is much cheaper than a generator a step; the latest block of every rank is kept.

    What is handed out is a function of (rank, block) alone: what is kept only saves time.
    """

    draw: Callable[[int, int], Array]
    latest: dict[int, tuple[int, Array]] = field(default_factory=dict)

    def __call__(self, rank: int, block: int) -> Array:
        """What is drawn for a block of steps of a rank."""
        found = self.latest.get(rank)
        if found is None or found[0] != block:
            found = self.latest[rank] = (block, self.draw(rank, block))
        return found[1]


def to_numpy(array: Array) -> NDArray[Any]:
    """A copy on the host, as numpy and of the same dtype (float32 for bfloat16, which numpy lacks); never a view."""
    if str(array.dtype).endswith("bfloat16"):
        xp = array_namespace(array)
        array = xp.astype(array, xp.float32)
    # A torch tensor on the host shares its memory with numpy's view of it, so it is copied.
    found: NDArray[Any] = np.asarray(to_device(array, "cpu")).copy()
    return found
