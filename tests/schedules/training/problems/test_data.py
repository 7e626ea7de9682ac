"""The digits, and who gets which sample."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schedules.training.problems.data import digits, partition

LABELS = np.arange(200) % 10


def test_the_digits_are_scaled_and_split_once() -> None:
    found = digits()
    assert found.train_features.shape == (1437, 64)
    assert found.test_features.shape == (360, 64)
    assert (found.train_features.min(), found.train_features.max()) == (0, 1)
    assert sorted(set(found.test_labels.tolist())) == list(range(10))
    assert digits() is found


def test_the_split_never_moves() -> None:
    """Accuracies of different releases can only be compared on the same test samples."""
    found = digits()
    assert found.train_labels[:10].tolist() == [5, 7, 6, 5, 7, 0, 5, 3, 4, 5]
    assert found.test_labels[:10].tolist() == [5, 7, 9, 9, 4, 6, 4, 8, 6, 1]


def test_the_split_covers_the_data_set() -> None:
    from sklearn.datasets import load_digits

    found = digits()
    together = np.concatenate([found.train_features, found.test_features])
    original = load_digits().data / 16
    assert np.array_equal(np.sort(together.sum(axis=1)), np.sort(original.sum(axis=1)))


def test_the_digits_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        digits().train_features[0] = 0


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=60),
    data=st.data(),
    how=st.sampled_from(["iid", "dirichlet"]),
    alpha=st.floats(1e-6, 100),
    seed=st.integers(0, 2**32),
)
def test_every_sample_goes_to_exactly_one_worker(
    labels: list[int], data: st.DataObject, how: str, alpha: float, seed: int
) -> None:
    num_workers = data.draw(st.integers(1, len(labels)))
    parts = partition(labels, num_workers, how, alpha=alpha, seed=seed)
    assert len(parts) == num_workers
    assert all(len(part) for part in parts)
    assert all(part.dtype == np.int64 and np.all(np.diff(part) > 0) for part in parts)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))


def test_iid_parts_differ_by_one_sample_at_most() -> None:
    assert {len(part) for part in partition(LABELS, 7)} == {28, 29}


def test_a_small_alpha_gives_few_classes_a_worker_and_a_large_one_all() -> None:
    few = [len(set(LABELS[part])) for part in partition(LABELS, 5, "dirichlet", alpha=0.01)]
    many = [len(set(LABELS[part])) for part in partition(LABELS, 5, "dirichlet", alpha=1000)]
    assert sum(few) <= 15
    assert many == [10] * 5


@pytest.mark.parametrize("how", ["iid", "dirichlet"])
def test_a_partition_depends_on_the_seed_alone(how: str) -> None:
    first, again, other = (partition(LABELS, 5, how, seed=seed) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_workers": 201}, r"num_workers: expected at most one worker a sample \(200\), found 201"),
        ({"num_workers": 0}, "num_workers: expected a whole number of at least 1, found 0"),
        ({"num_workers": 2, "how": "even"}, "partition: expected one of 'iid', 'dirichlet', found 'even'"),
        ({"num_workers": 2, "alpha": 0}, "alpha: expected a finite number above 0, found 0"),
    ],
)
def test_impossible_partitions(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        partition(LABELS, **arguments)  # type: ignore[arg-type]
