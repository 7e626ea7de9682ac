"""Classifiers of the digits: logistic regression and a small perceptron."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType, ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schedules.clocks import StreamKey, stream
from schedules.operations import Array
from schedules.training.problems.data import Digits, Indices, digits, partition
from schedules.training.problems.problem import ArrayKind, LatestBlock, ProblemSetup, to_numpy
from schedules.training.vectors import Tensor, tensors
from topologies.checks import one_of, real_number, whole_number


class Activation(NamedTuple):
    """h = phi(v), and phi'(v) as a function of h."""

    apply: Callable[[ModuleType, Array], Array]
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
        self._epochs = LatestBlock(
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

    @property
    def tensors(self) -> dict[str, Tensor]:
        """`layers.0.weight` [fan_in, fan_out], `layers.0.bias` [fan_out], and so on."""
        shapes: dict[str, tuple[int, ...]] = {}
        for number, layer in enumerate(self.layers):
            shapes[f"layers.{number}.weight"] = layer.fan_in, layer.fan_out
            shapes[f"layers.{number}.bias"] = (layer.fan_out,)
        return tensors(shapes)

    def initial(self, seed: int, rank: int = 0) -> NDArray[np.float64]:
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
        gradient = self._backward(x, outputs[:-1], error / self.batches.sizes[rank])  # logits go into no layer
        return gradient + self.l2 * x if self.l2 else gradient

    def loss(self, x: Array) -> float:
        """Mean cross-entropy over all training samples, and the penalty: see `Problem`."""
        x, xp = self.arrays.convert(x), self.arrays.xp
        with np.errstate(over="ignore", invalid="ignore"):  # a loss that diverges is told as a number, not by warnings
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
            # Biases first, since all is turned round below.
            parts += [xp.sum(error, axis=0), xp.reshape(values.T @ error, (-1,))]
            if layer.start:  # below the first layer are the features, which do not learn
                error = (error @ layer.weights(x).T) * self.activation.slope(values)
        return xp.concat(parts[::-1])

    def _log_softmax(self, logits: Array) -> Array:
        xp = self.arrays.xp
        # The exponential of a large logit would overflow; the result is the same.
        shifted = logits - xp.max(logits, axis=1, keepdims=True)
        return shifted - xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))


def logistic_regression(
    setup: ProblemSetup, *, l2: float = 0.0, partition: str = "iid", alpha: float = 0.3
) -> Classifier:
    """Multinomial logistic regression on the digits (650 parameters).

    `l2` penalises all parameters, biases too, by l2 |x|^2 / 2, so that the loss is l2-strongly convex. `partition` is
    "iid" or "dirichlet", the latter with concentration `alpha`.
    """
    return _classifier(setup, (), "tanh", l2, (partition, alpha))


def digits_mlp(
    setup: ProblemSetup,
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
    setup: ProblemSetup, hidden: tuple[int, ...], activation: str, l2: float, split: tuple[str, float]
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
