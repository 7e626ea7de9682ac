"""Quadratics with noisy gradients: everything about them is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from schedules.clocks import StreamKey, stream
from schedules.operations import Array
from schedules.training.problems.problem import ArrayKind, LatestBlock, ProblemSetup
from schedules.training.vectors import Tensor, tensors
from topologies.checks import one_of, real_number, whole_number

T = TypeVar("T")

Point: TypeAlias = float | Sequence[float]
"""A number for all coordinates, or one a coordinate."""

_OWN, _SHARED = 0, 1
"""Of the streams `(seed, DATA, i, j)`, j = 0 is worker i's own and j = 1 is for all; the digits' partition has 2."""

_BLOCK_VALUES = 1 << 15
"""How many numbers a block of noise has, about. A block has a stream of its own, so with other sizes the noise would be
another."""

_MAX_BLOCK_STEPS = 64


@dataclass(frozen=True, slots=True)
class Quadratic:
    """f_i(x) = (x - b_i)^T A_i (x - b_i) / 2, and gradients A_i (x - b_i) + noise, noise ~ N(0, sigma^2 I).

    The mean of the f_i is minimum + (x - x*)^T A (x - x*) / 2 with A = mean A_i, A x* = mean A_i b_i.

    Attributes:
        hessians: A_i, one [num_params, num_params] a worker.
        centres: b_i, one [num_params] a worker.
        mean_hessian, minimiser, minimum: A, x* and the loss at x*; where A is zero the mean of the b_i stands for x*.
        is_spread: whether every worker has a starting point of its own.
        starts: where the workers start, float64 [num_params] each, where that is given.
    """

    arrays: ArrayKind
    num_params: int
    hessians: tuple[Array, ...]
    centres: tuple[Array, ...]
    mean_hessian: Array
    minimiser: Array
    minimum: float
    noise: Callable[[int, int], Array] | None
    is_spread: bool = False
    starts: tuple[NDArray[np.float64], ...] = ()

    @property
    def tensors(self) -> dict[str, Tensor]:
        """x itself."""
        return tensors({"x": (self.num_params,)})

    def initial(self, seed: int, rank: int = 0) -> NDArray[np.float64]:
        """Standard normal, or as given: see `Problem`. Of rank 0 it is the same for both kinds that are drawn."""
        if self.starts:
            return self.starts[rank]
        return stream(seed, StreamKey.INITIAL, rank if self.is_spread else 0).standard_normal(self.num_params)

    def convert(self, x: Array) -> Array:
        """x as this problem's kind of array: see `Problem`."""
        return self.arrays.convert(x)

    def gradient(self, x: Array, rank: int, step: int) -> Array:
        """A_i (x - b_i) + noise: see `Problem`."""
        gradient = self.hessians[rank] @ (x - self.centres[rank])
        return gradient if self.noise is None else gradient + self.noise(rank, step)

    def loss(self, x: Array) -> float:
        """Mean of the f_i: see `Problem`."""
        offset = self.arrays.convert(x) - self.minimiser
        with np.errstate(over="ignore", invalid="ignore"):
            return self.minimum + 0.5 * float(offset @ (self.mean_hessian @ offset))

    def accuracy(self, x: Array) -> float | None:
        """None: there are no classes."""
        return None


def quadratic(
    setup: ProblemSetup,
    *,
    dimension: int = 20,
    condition_number: float | None = None,
    heterogeneity: float = 1.0,
    noise: float = 0.1,
    hessians: str = "common",
    curvature: float = 1.0,
    start: str | Sequence[Point] = "common",
    curvatures: Sequence[float] | None = None,
    centres: Sequence[Point] | None = None,
) -> Quadratic:
    """Quadratics f_i(x) = (x - b_i)^T A_i (x - b_i) / 2 with noisy gradients.

    `dimension` is the number of parameters; memory and time grow with its square. The eigenvalues of every A_i run
    geometrically from curvature / condition_number to `curvature` (so L = 1, unless it is given; with 0 a gradient is
    its noise alone), where `condition_number` is 10 unless it is given, and 1 of one dimension; the eigenvectors are
    random, and with `hessians` "common" those of all workers, with "own" each worker's. b_i ~ N(0, heterogeneity^2
    I). `noise` is the standard deviation of every coordinate of a gradient's noise. Every coordinate of the starting
    point is N(0, 1), drawn from the run's seed: with `start` "common" once for all workers, with "spread" for each
    anew, so that they begin at an expected consensus distance of dimension (n - 1).
    Lists of one a worker say all this instead of chance: `curvatures` that A_i = a_i I, `centres` the b_i, and `start`
    the starting points, each a number for all coordinates or a list of them.
    There are no batches: `batch_size` changes nothing.
    """
    size = whole_number("dimension", dimension, 1)
    spread = real_number("heterogeneity", heterogeneity, 0)
    sigma = real_number("noise", noise, 0)
    is_common = one_of("hessians", hessians, ("common", "own")) == "common"
    largest = real_number("curvature", curvature, 0)
    starts = _points("start", start, setup, size) if isinstance(start, list | tuple) else ()
    is_spread = not starts and one_of("start", start, ("common", "spread")) == "spread"
    if condition_number is None:
        condition_number = 10.0 if size > 1 else 1.0
    eigenvalues = largest * np.geomspace(1, 1 / real_number("condition_number", condition_number, 1), size)
    if curvatures is None and size == 1 and condition_number != 1:
        raise ValueError(f"condition_number: expected 1, as the dimension is 1, found {condition_number!r}")
    shared = _hessian(eigenvalues, stream(setup.seed, StreamKey.DATA, 0, _SHARED))
    own = [stream(setup.seed, StreamKey.DATA, rank, _OWN) for rank in range(setup.num_workers)]
    # Before the Hessians, so that both kinds of these have equal centres.
    drawn = [spread * generator.standard_normal(size) for generator in own]
    matrices = [shared if is_common else _hessian(eigenvalues, generator) for generator in own]
    if curvatures is not None:
        matrices = [slope * np.eye(size) for slope in _slopes(curvatures, setup)]
    if centres is not None:
        drawn = list(_points("centres", centres, setup, size))
    built = _assemble(setup, drawn, matrices, _gaussian(setup, size, sigma) if sigma else None)
    return replace(built, is_spread=is_spread, starts=starts)


def _slopes(curvatures: Sequence[float], setup: ProblemSetup) -> list[float]:
    return [real_number("curvatures", each, 0) for each in _one_a_worker("curvatures", curvatures, setup)]


def _points(name: str, given: Sequence[Point], setup: ProblemSetup, size: int) -> tuple[NDArray[np.float64], ...]:
    """One point a worker: float64 [size] each."""
    points = []
    for each in _one_a_worker(name, given, setup):
        point = each if isinstance(each, list | tuple) else [each] * size
        if len(point) != size:
            raise ValueError(f"{name}: expected a number or {size} of them for each worker, found {len(point)}")
        points.append(np.array([_coordinate(name, value) for value in point]))
    return tuple(points)


def _coordinate(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, found {value!r}")
    return float(value)


def _one_a_worker(name: str, given: Sequence[T], setup: ProblemSetup) -> Sequence[T]:
    if not isinstance(given, list | tuple):
        raise ValueError(f"{name}: expected a list of one a worker, found {given!r}")
    if len(given) != setup.num_workers:
        raise ValueError(f"{name}: expected one for each of {setup.num_workers} workers, found {len(given)}")
    return given


def _hessian(eigenvalues: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Q diag(eigenvalues) Q^T, Q uniform among the rotations and reflections (QR of a Gaussian, Mezzadri 2007)."""
    size = len(eigenvalues)
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    q *= np.sign(np.diag(r))  # LAPACK's choice of signs is not uniform
    matrix: NDArray[np.float64] = (q * eigenvalues) @ q.T
    return 0.5 * (matrix + matrix.T)  # rounding leaves the product not quite symmetric


def _gaussian(setup: ProblemSetup, size: int, sigma: float) -> Callable[[int, int], Array]:
    """Noise as a function of (rank, step), drawn in blocks of steps."""
    num_steps = min(_MAX_BLOCK_STEPS, max(1, _BLOCK_VALUES // size))

    def draw(rank: int, block: int) -> Array:
        values = stream(setup.seed, StreamKey.BATCH, rank, block).standard_normal((num_steps, size))
        return setup.arrays.convert(sigma * values)

    blocks = LatestBlock(draw)
    return lambda rank, step: blocks(rank, step // num_steps)[step % num_steps]


def _assemble(
    setup: ProblemSetup,
    centres: Sequence[NDArray[np.float64]],
    matrices: Sequence[NDArray[np.float64]],
    noise: Callable[[int, int], Array] | None,
) -> Quadratic:
    pairs = list(zip(matrices, centres, strict=True))
    mean = sum(matrices[1:], matrices[0]) / len(pairs)
    # Without curvature all points are alike, and there is nothing to solve.
    pull = sum(matrix @ centre for matrix, centre in pairs) / len(pairs)
    minimiser = np.linalg.solve(mean, pull) if mean.any() else sum(centres[1:], centres[0]) / len(pairs)
    offsets = [(matrix, minimiser - centre) for matrix, centre in pairs]
    minimum = sum(0.5 * float(offset @ matrix @ offset) for matrix, offset in offsets) / len(pairs)
    convert = setup.arrays.convert
    # Workers with a common matrix share one array.
    converted = {id(matrix): convert(matrix) for matrix in matrices}
    return Quadratic(
        arrays=setup.arrays,
        num_params=len(minimiser),
        hessians=tuple(converted[id(matrix)] for matrix in matrices),
        centres=tuple(convert(centre) for centre in centres),
        mean_hessian=convert(mean),
        minimiser=convert(minimiser),
        minimum=minimum,
        noise=noise,
    )
