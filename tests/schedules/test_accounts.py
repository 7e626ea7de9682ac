"""The ledger: unions of intervals rank by rank, and totals that folding does not change."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schedules.accounts import Ledger, merged, pack_computation, pack_transfer

INTERVALS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 50), st.integers(0, 20)), max_size=30)


def covered(intervals: list[tuple[int, int, int]], rank: int) -> int:
    """Length of the union, second by second."""
    return len({at for each, start, length in intervals if each == rank for at in range(start, start + length)})


@given(INTERVALS)
def test_union_is_what_counting_says(intervals: list[tuple[int, int, int]]) -> None:
    columns = np.array(intervals, dtype=np.int64).reshape(-1, 3).T
    rank, start, end = merged(columns[0], columns[1], columns[1] + columns[2])
    for each in range(3):
        assert (end - start)[rank == each].sum() == covered(intervals, each)
    is_same = rank[1:] == rank[:-1]
    assert (start[1:][is_same] > end[:-1][is_same]).all()


@given(INTERVALS, st.sets(st.integers(0, 29)))
def test_folding_changes_nothing(intervals: list[tuple[int, int, int]], folds: set[int]) -> None:
    plain, folded = Ledger(3), Ledger(3)
    for number, (rank, start, length) in enumerate(intervals):
        for ledger in (plain, folded):
            ledger.computations += pack_computation(rank, start, start + length)
            ledger.transfers += pack_transfer(rank, start, start + 1, start + length + 1, 7, 1)
        if number in folds:
            folded.fold()
    assert plain.compute_ns().tolist() == folded.compute_ns().tolist()
    assert plain.busy_ns().tolist() == folded.busy_ns().tolist()
    assert plain.waiting_ns().tolist() == folded.waiting_ns().tolist()
    assert plain.bytes_sent().tolist() == folded.bytes_sent().tolist()


def test_busy_is_the_union_of_computing_and_transferring() -> None:
    ledger = Ledger(2)
    ledger.computations += pack_computation(0, 0, 10) + pack_computation(0, 10, 15)
    ledger.transfers += pack_transfer(0, 5, 12, 20, 100, 1)
    assert ledger.compute_ns().tolist() == [15, 0]
    assert ledger.transfer_ns().tolist() == [8, 0]
    assert ledger.busy_ns().tolist() == [20, 0]
    assert ledger.waiting_ns().tolist() == [7, 0]


def test_an_abandoned_computation_counts_up_to_then() -> None:
    ledger = Ledger(1)
    ledger.computations += pack_computation(0, 0, 10) + pack_computation(0, 20, 30)
    ledger.shorten(0, 20, 30, 24)
    assert ledger.compute_ns().tolist() == [14]
