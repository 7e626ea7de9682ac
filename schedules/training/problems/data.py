"""Data sets that are split among workers: the digits, and who gets which sample."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schedules.clocks import StreamKey, stream
from topologies.checks import one_of, real_number, whole_number

Indices = NDArray[np.int64]

PARTITIONS = ("iid", "dirichlet")

_SPLIT_SEED = 1797
_NUM_TEST = 360  # a fifth
_PARTITION = 2
"""Of the streams `(seed, DATA, i, j)`, j = 2 is the partition's; quadratics have 0 and 1."""


class Digits(NamedTuple):
    """8 x 8 grey images of handwritten digits, read-only.

    Attributes:
        train_features, test_features: float64 [1437, 64] and [360, 64], scaled from 0..16 to [0, 1].
        train_labels, test_labels: int64 [1437] and [360], 0 to 9.
    """

    train_features: NDArray[np.float64]
    train_labels: Indices
    test_features: NDArray[np.float64]
    test_labels: Indices


@functools.cache
def digits() -> Digits:
    """The digits, with one fixed split: it does not depend on the seed of the run, so that runs can be compared.

    Source: E. Alpaydin and C. Kaynak, UCI Optical Recognition of Handwritten Digits; as shipped with scikit-learn.
    """
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(labels))
    train, test = order[:-_NUM_TEST], order[-_NUM_TEST:]
    features, labels = features / 16.0, labels.astype(np.int64)
    found = Digits(features[train], labels[train], features[test], labels[test])
    for array in found:
        array.flags.writeable = False  # the one copy is everybody's
    return found


def partition(
    labels: ArrayLike, num_workers: int, how: str = "iid", *, alpha: float = 0.3, seed: int = 0
) -> list[Indices]:
    """Split samples among workers: every sample goes to exactly one, and nobody goes empty.

    `iid`: a random permutation, cut into parts whose sizes differ by one at most.
    `dirichlet`: of every class, worker i gets the share p_i, p ~ Dirichlet(alpha, ..., alpha); the smaller alpha, the
    fewer classes a worker sees. A worker that would go empty gets one sample from whoever has most.

    Args:
        labels: whole numbers [num_samples].
        alpha: above 0, without unit; for `dirichlet` only.
    Returns:
        One int64 array a worker: positions in `labels`, ascending.
    Raises:
        ValueError: if there are fewer samples than workers, or a setting is impossible.
    Source: T.-M. H. Hsu et al. 2019 (arXiv:1909.06335) for `dirichlet`; alpha = 0.3 as in the code of A²CiD².
    """
    classes = np.asarray(labels)
    num_workers = whole_number("num_workers", num_workers, 1)
    alpha = real_number("alpha", alpha, 0, strictly=True)
    how = one_of("partition", how, PARTITIONS)
    if len(classes) < num_workers:
        raise ValueError(f"num_workers: expected at most one worker a sample ({len(classes)}), found {num_workers}")
    generator = stream(seed, StreamKey.DATA, 0, _PARTITION)
    if how == "iid":
        parts = np.array_split(generator.permutation(len(classes)), num_workers)
    else:
        parts = _dirichlet(classes, num_workers, alpha, generator)
    return [np.sort(part) for part in parts]


def _dirichlet(
    classes: NDArray[np.generic], num_workers: int, alpha: float, generator: np.random.Generator
) -> list[Indices]:
    """Every class is cut at the cumulative shares, rounded to whole samples."""
    parts: list[list[Indices]] = [[] for _ in range(num_workers)]
    for label in np.unique(classes):
        samples = generator.permutation(np.flatnonzero(classes == label))
        shares = generator.dirichlet(np.full(num_workers, alpha))
        # Of cumulative shares: every sample is in exactly one part.
        cuts = np.round(np.cumsum(shares[:-1]) * len(samples)).astype(np.int64)
        for part, piece in zip(parts, np.split(samples, cuts), strict=True):
            part.append(piece)
    return _without_empty([np.concatenate(part) for part in parts])


def _without_empty(parts: list[Indices]) -> list[Indices]:
    """Give every empty part the last sample of the largest."""
    for position, part in enumerate(parts):
        if not len(part):
            largest = max(range(len(parts)), key=lambda each: len(parts[each]))  # the first of equals, on any machine
            parts[position], parts[largest] = parts[largest][-1:], parts[largest][:-1]
    return parts
