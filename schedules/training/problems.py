"""What is trained in a numeric run: quadratics, logistic regression, a small perceptron. numpy and torch alike.

Parameters are one flat array. A stochastic gradient depends only on (seed, rank, step), never on the order of the
calls, so both worlds, a replay and a debugger get the same one. Random numbers are drawn by numpy, in float64, and
converted.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import numpy as np
from array_api_compat import array_namespace, to_device
from numpy.typing import NDArray

from schedules.clocks import StreamKey, stream
from schedules.operations import Array
from schedules.training.data import Digits, Indices, digits, partition
from topologies.checks import nearest, one_of, real_number, whole_number

DTYPES = ("float32", "float64")

_OWN, _SHARED = 0, 1
"""Of the streams `(seed, DATA, i, j)`, j = 0 is worker i's own and j = 1 is for all (`schedules.training.data` has
2)."""

_BLOCK_VALUES = 1 << 15
_MAX_BLOCK_STEPS = 64


class Problem(Protocol):
    """Minimise (1/n) sum_i f_i(x), of which worker i sees stochastic gradients of f_i."""

    @property
    def num_params(self) -> int:
        """Length of x."""

    def initial(self, seed: int) -> NDArray[np.float64]:
        """The starting point, common to all workers: numpy float64 [num_params]."""

    def convert(self, x: Array) -> Array:
        """A copy of x as an array of the kind, dtype and device of the problem, such as `gradient` takes."""

    def gradient(self, x: Array, rank: int, step: int) -> Array:
        """Stochastic gradient at x of worker `rank`, the `step`-th that it computes (from 0).

        Args:
            x: [num_params], of the array kind, dtype and device of the problem. It is not written to.
        Returns:
            A new array of the same kind: [num_params].
        """

    def loss(self, x: Array) -> float:
        """Training loss on all data, without noise; x may be a numpy array whatever the array kind of the problem."""

    def accuracy(self, x: Array) -> float | None:
        """Share of the held-out samples that are classified correctly, in [0, 1]; None where there are no classes."""


@dataclass(frozen=True, slots=True)
class ArrayKind:
    """numpy or torch arrays of one dtype on one device."""

    xp: Any
    dtype: Any
    device: Any

    def convert(self, values: Array) -> Array:
        """A floating array of this kind, copied."""
        return self.xp.asarray(values, dtype=self.dtype, device=self.device, copy=True)

    def positions(self, values: Indices) -> Array:
        """An int64 array of this kind, for indexing."""
        return self.xp.asarray(values, device=self.device, copy=True)


@dataclass(frozen=True, slots=True)
class _Setup:
    """What every builder is handed."""

    num_workers: int
    seed: int
    arrays: ArrayKind
    batch_size: int


@dataclass(frozen=True, slots=True)
class _LatestBlock:
    """Drawing in blocks of steps is much cheaper than a generator a step; the latest block of every rank is kept.

    What is handed out is a function of (rank, block) alone: what is kept only saves time.
    """

    draw: Callable[[int, int], Array]
    latest: dict[int, tuple[int, Array]] = field(default_factory=dict)

    def __call__(self, rank: int, block: int) -> Array:
        found = self.latest.get(rank)
        if found is None or found[0] != block:
            found = self.latest[rank] = (block, self.draw(rank, block))
        return found[1]


# ---- quadratics


@dataclass(frozen=True, slots=True)
class Quadratic:
    """f_i(x) = (x - b_i)^T A_i (x - b_i) / 2, and gradients A_i (x - b_i) + noise, noise ~ N(0, sigma^2 I).

    The mean of the f_i is minimum + (x - x*)^T A (x - x*) / 2 with A = mean A_i, A x* = mean A_i b_i.

    Attributes:
        hessians: A_i, one [num_params, num_params] a worker.
        centres: b_i, one [num_params] a worker.
        mean_hessian, minimiser, minimum: A, x* and the loss at x*.
    """

    arrays: ArrayKind
    num_params: int
    hessians: tuple[Array, ...]
    centres: tuple[Array, ...]
    mean_hessian: Array
    minimiser: Array
    minimum: float
    noise: Callable[[int, int], Array] | None

    def initial(self, seed: int) -> NDArray[np.float64]:
        """Standard normal: see `Problem`."""
        return stream(seed, StreamKey.INITIAL).standard_normal(self.num_params)

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


def _quadratic(
    setup: _Setup,
    *,
    dimension: int = 20,
    condition_number: float = 10.0,
    heterogeneity: float = 1.0,
    noise: float = 0.1,
    hessians: str = "common",
) -> Quadratic:
    """Quadratics f_i(x) = (x - b_i)^T A_i (x - b_i) / 2 with noisy gradients.

    `dimension` is the number of parameters; memory and time grow with its square. The eigenvalues of every A_i run
    geometrically from 1 / condition_number to 1 (so L = 1); the eigenvectors are random, and with `hessians` "common"
    those of all workers, with "own" each worker's. b_i ~ N(0, heterogeneity^2 I). `noise` is the standard deviation of
    every coordinate of a gradient's noise. There are no batches: `batch_size` changes nothing.
    """
    size = whole_number("dimension", dimension, 1)
    spread = real_number("heterogeneity", heterogeneity, 0)
    sigma = real_number("noise", noise, 0)
    is_common = one_of("hessians", hessians, ("common", "own")) == "common"
    eigenvalues = np.geomspace(1, 1 / real_number("condition_number", condition_number, 1), size)
    if size == 1 and condition_number != 1:
        raise ValueError(f"condition_number: expected 1, as the dimension is 1, found {condition_number!r}")
    shared = _hessian(eigenvalues, stream(setup.seed, StreamKey.DATA, 0, _SHARED))
    own = [stream(setup.seed, StreamKey.DATA, rank, _OWN) for rank in range(setup.num_workers)]
    centres = [spread * generator.standard_normal(size) for generator in own]
    matrices = [shared if is_common else _hessian(eigenvalues, generator) for generator in own]
    return _assemble(setup, centres, matrices, _gaussian(setup, size, sigma) if sigma else None)


def _hessian(eigenvalues: NDArray[np.float64], generator: np.random.Generator) -> NDArray[np.float64]:
    """Q diag(eigenvalues) Q^T, Q uniform among the rotations and reflections (QR of a Gaussian, Mezzadri 2007)."""
    size = len(eigenvalues)
    q, r = np.linalg.qr(generator.standard_normal((size, size)))
    q *= np.sign(np.diag(r))
    matrix: NDArray[np.float64] = (q * eigenvalues) @ q.T
    return 0.5 * (matrix + matrix.T)


def _gaussian(setup: _Setup, size: int, sigma: float) -> Callable[[int, int], Array]:
    """Noise as a function of (rank, step), drawn in blocks of steps."""
    num_steps = min(_MAX_BLOCK_STEPS, max(1, _BLOCK_VALUES // size))

    def draw(rank: int, block: int) -> Array:
        values = stream(setup.seed, StreamKey.BATCH, rank, block).standard_normal((num_steps, size))
        return setup.arrays.convert(sigma * values)

    blocks = _LatestBlock(draw)
    return lambda rank, step: blocks(rank, step // num_steps)[step % num_steps]


def _assemble(
    setup: _Setup,
    centres: Sequence[NDArray[np.float64]],
    matrices: Sequence[NDArray[np.float64]],
    noise: Callable[[int, int], Array] | None,
) -> Quadratic:
    pairs = list(zip(matrices, centres, strict=True))
    mean = sum(matrices[1:], matrices[0]) / len(pairs)
    minimiser = np.linalg.solve(mean, sum(matrix @ centre for matrix, centre in pairs) / len(pairs))
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


# ---- classifiers


class Activation(NamedTuple):
    """h = phi(v), and phi'(v) as a function of h."""

    apply: Callable[[Any, Array], Array]
    slope: Callable[[Array], Array]


ACTIVATIONS: Mapping[str, Activation] = MappingProxyType(
    {
        "tanh": Activation(lambda xp, values: xp.tanh(values), lambda outputs: 1 - outputs * outputs),
        "relu": Activation(lambda _, values: values * (values > 0), lambda outputs: outputs > 0),
    }
)


class Layer(NamedTuple):
    """Where a layer's weights [fan_in, fan_out] (row by row) and biases [fan_out] lie in the flat parameters."""

    start: int
    fan_in: int
    fan_out: int

    @property
    def stop(self) -> int:
        """One behind the last bias."""
        return self.start + (self.fan_in + 1) * self.fan_out

    def weights(self, x: Array) -> Array:
        """View [fan_in, fan_out]."""
        return x[self.start : self.stop - self.fan_out].reshape(self.fan_in, self.fan_out)

    def biases(self, x: Array) -> Array:
        """View [fan_out]."""
        return x[self.stop - self.fan_out : self.stop]


def _layers(sizes: Sequence[int]) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers.append(Layer(layers[-1].stop if layers else 0, fan_in, fan_out))
    return tuple(layers)


class Batches:
    """Mini-batches without replacement, as a function of (rank, step).

    In every epoch a worker goes through a new permutation of its samples, drawn from the stream (seed, BATCH, rank,
    epoch); what does not fill a last batch is left out of that epoch. A worker with fewer samples than `batch_size`
    takes all that it has, every time.
    """

    __slots__ = ("_epochs", "num_batches", "sizes")

    def __init__(self, shards: Sequence[Indices], batch_size: int, seed: int, arrays: ArrayKind) -> None:
        self.sizes = [min(batch_size, len(shard)) for shard in shards]
        self.num_batches = [len(shard) // size for shard, size in zip(shards, self.sizes, strict=True)]
        self._epochs = _LatestBlock(
            lambda rank, epoch: arrays.positions(stream(seed, StreamKey.BATCH, rank, epoch).permutation(shards[rank]))
        )

    def __call__(self, rank: int, step: int) -> Array:
        """Positions in the training data: int64 [sizes[rank]]."""
        epoch, batch = divmod(step, self.num_batches[rank])
        size = self.sizes[rank]
        return self._epochs(rank, epoch)[batch * size : (batch + 1) * size]


@dataclass(frozen=True, slots=True)
class Classifier:
    """Multi-layer perceptron with softmax and cross-entropy; without hidden layers, multinomial logistic regression.

    h_0 = features;  h_l = phi(h_{l-1} W_l + c_l);  logits = h_{L-1} W_L + c_L;
    loss(x) = -mean over all training samples of log softmax(logits)[label] + l2 |x|^2 / 2.
    f_i is the same mean over the samples of worker i. So where shards differ in size, the loss reported is not quite
    the mean of the f_i, which is what the workers minimise together.

    Attributes:
        features: [num_samples, num_features];  targets: one-hot [num_samples, num_classes].
        test_features: [num_test, num_features];  test_labels: numpy int64 [num_test].
        batches: the mini-batches, and `batches.sizes`, how large they are for each worker.
    """

    arrays: ArrayKind
    num_params: int
    layers: tuple[Layer, ...]
    activation: Activation
    l2: float
    features: Array
    targets: Array
    test_features: Array
    test_labels: Indices
    batches: Batches

    def initial(self, seed: int) -> NDArray[np.float64]:
        """Uniform in +-1/sqrt(fan_in), weights and biases alike (torch.nn.Linear's distribution): see `Problem`."""
        generator = stream(seed, StreamKey.INITIAL)
        drawn = [generator.uniform(-1, 1, layer.stop - layer.start) / layer.fan_in**0.5 for layer in self.layers]
        return np.concatenate(drawn)

    def convert(self, x: Array) -> Array:
        """x as this problem's kind of array: see `Problem`."""
        return self.arrays.convert(x)

    def gradient(self, x: Array, rank: int, step: int) -> Array:
        """Of the cross-entropy of one mini-batch, and of the penalty: see `Problem`."""
        batch = self.batches(rank, step)
        outputs = self._forward(x, self.features[batch])
        error = self.arrays.xp.exp(self._log_softmax(outputs[-1])) - self.targets[batch]
        gradient = self._backward(x, outputs[:-1], error / self.batches.sizes[rank])
        return gradient + self.l2 * x if self.l2 else gradient

    def loss(self, x: Array) -> float:
        """Mean cross-entropy over all training samples, and the penalty: see `Problem`."""
        x, xp = self.arrays.convert(x), self.arrays.xp
        with np.errstate(over="ignore", invalid="ignore"):
            likelihoods = self._log_softmax(self._forward(x, self.features)[-1]) * self.targets
            return 0.5 * self.l2 * float(x @ x) - float(xp.sum(likelihoods)) / len(self.targets)

    def accuracy(self, x: Array) -> float:
        """Of the most likely class, on the test samples: see `Problem`."""
        with np.errstate(over="ignore", invalid="ignore"):
            logits = self._forward(self.arrays.convert(x), self.test_features)[-1]
        return float(np.mean(to_numpy(self.arrays.xp.argmax(logits, axis=1)) == self.test_labels))

    def _forward(self, x: Array, inputs: Array) -> list[Array]:
        """The outputs of every layer: h_0 to h_{L-1}, and the logits."""
        outputs = [inputs]
        for layer in self.layers:
            values = outputs[-1] @ layer.weights(x) + layer.biases(x)
            is_last = layer is self.layers[-1]
            outputs.append(values if is_last else self.activation.apply(self.arrays.xp, values))
        return outputs

    def _backward(self, x: Array, inputs: Sequence[Array], error: Array) -> Array:
        """Gradient from the inputs of every layer and the derivative by the logits: [num_params]."""
        xp = self.arrays.xp
        parts: list[Array] = []
        for layer, values in zip(reversed(self.layers), reversed(inputs), strict=True):
            parts += [xp.sum(error, axis=0), xp.reshape(values.T @ error, (-1,))]
            if layer.start:
                error = (error @ layer.weights(x).T) * self.activation.slope(values)
        return xp.concat(parts[::-1])

    def _log_softmax(self, logits: Array) -> Array:
        xp = self.arrays.xp
        shifted = logits - xp.max(logits, axis=1, keepdims=True)
        return shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))


def _logistic_regression(setup: _Setup, *, l2: float = 0.0, partition: str = "iid", alpha: float = 0.3) -> Classifier:
    """Multinomial logistic regression on the digits (650 parameters).

    `l2` penalises all parameters, biases too, by l2 |x|^2 / 2, so that the loss is l2-strongly convex. `partition` is
    "iid" or "dirichlet", the latter with concentration `alpha`.
    """
    return _classifier(setup, (), "tanh", l2, (partition, alpha))


def _digits_mlp(
    setup: _Setup,
    *,
    hidden: Sequence[int] = (32,),
    activation: str = "tanh",
    l2: float = 0.0,
    partition: str = "iid",
    alpha: float = 0.3,
) -> Classifier:
    """Multi-layer perceptron on the digits (2410 parameters with one hidden layer of 32).

    `hidden` are the widths of the hidden layers, `activation` is "tanh" or "relu", `l2` penalises all parameters by
    l2 |x|^2 / 2. `partition` is "iid" or "dirichlet", the latter with concentration `alpha`.
    """
    if isinstance(hidden, str) or not isinstance(hidden, Sequence):
        raise ValueError(f"hidden: expected a list of layer widths, such as [32], found {hidden!r}")
    widths = tuple(whole_number("hidden", width, 1) for width in hidden)
    return _classifier(setup, widths, activation, l2, (partition, alpha))


def _classifier(
    setup: _Setup, hidden: tuple[int, ...], activation: str, l2: float, split: tuple[str, float]
) -> Classifier:
    penalty = real_number("l2", l2, 0)
    phi = ACTIVATIONS[one_of("activation", activation, ACTIVATIONS)]
    data: Digits = digits()
    how, alpha = split
    shards = partition(data.train_labels, setup.num_workers, how, alpha=alpha, seed=setup.seed)
    num_classes = int(data.train_labels.max()) + 1
    layers = _layers((data.train_features.shape[1], *hidden, num_classes))
    convert = setup.arrays.convert
    return Classifier(
        arrays=setup.arrays,
        num_params=layers[-1].stop,
        layers=layers,
        activation=phi,
        l2=penalty,
        features=convert(data.train_features),
        targets=convert(np.eye(num_classes)[data.train_labels]),
        test_features=convert(data.test_features),
        test_labels=data.test_labels,
        batches=Batches(shards, setup.batch_size, setup.seed, setup.arrays),
    )


# ---- the registry


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One entry of `PROBLEMS`: the keyword-only parameters of the builder are the options."""

    builder: Callable[..., Problem]

    @property
    def description(self) -> str:
        """One line for people."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[0]

    @property
    def details(self) -> str:
        """What the options mean."""
        return (inspect.getdoc(self.builder) or "").partition("\n")[2].strip()

    @property
    def options(self) -> dict[str, object]:
        """Accepted options with their defaults."""
        parameters = inspect.signature(self.builder).parameters.values()
        return {each.name: each.default for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}


PROBLEMS: Mapping[str, ProblemKind] = MappingProxyType(
    {
        "quadratic": ProblemKind(_quadratic),
        "logistic-regression": ProblemKind(_logistic_regression),
        "digits-mlp": ProblemKind(_digits_mlp),
    }
)


def build_problem(
    name: str,
    *,
    num_workers: int,
    seed: int,
    xp: Any = np,
    dtype: str = "float64",
    device: Any = None,
    batch_size: int = 32,
    **options: Any,
) -> Problem:
    """Build a problem of `PROBLEMS` for all workers of a run.

    Args:
        seed: of the run: data, partition, batches and noise follow from it.
        xp: the array library: the module `numpy` or `torch`, or an array API namespace.
        dtype: "float64" or "float32".
        device: where the arrays are to be, in the library's own terms; None is its default.
        batch_size: samples of one gradient.
        options: those of the problem, see `PROBLEMS[name].options`.
    Raises:
        ValueError: for an unknown name or option or an impossible value, naming it.
    """
    if name not in PROBLEMS:
        raise ValueError(f"problem: expected one of {', '.join(PROBLEMS)}, found {name!r}{nearest(name, PROBLEMS)}")
    kind = PROBLEMS[name]
    for option in options:
        if option not in kind.options:
            known = ", ".join(kind.options)
            raise ValueError(
                f"problem {name!r}: expected one of {known}, found {option!r}{nearest(option, kind.options)}"
            )
    try:
        namespace = array_namespace(xp.empty(0))
        arrays = ArrayKind(namespace, getattr(namespace, one_of("dtype", dtype, DTYPES)), device)
        counts = whole_number("num_workers", num_workers, 1), whole_number("seed", seed, 0)
        setup = _Setup(*counts, arrays, whole_number("batch_size", batch_size, 1))
        return kind.builder(setup, **options)
    except ValueError as error:
        raise ValueError(f"problem {name!r}: {error}") from error


def to_numpy(array: Array) -> NDArray[Any]:
    """A copy on the host, as numpy and of the same dtype; never a view of the array."""
    found: NDArray[Any] = np.asarray(to_device(array, "cpu")).copy()
    return found
