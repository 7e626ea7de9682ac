"""The ledger: unions of intervals rank by rank, and totals that folding does not change."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from schedules import payload
from schedules.operations import Compute, Payload
from schedules.record.ledger import UNKNOWN, Account, Ledger
from schedules.record.memory import KIND, merged
from schedules.record.summary import _by_target

GRADIENT = Compute("gradient")
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
            ledger.computed(rank, start, start + length, GRADIENT)
            ledger.transferred(rank, start, start + 1, start + length + 1, sent=7, is_exchange=True, held=14)
        if number in folds:
            folded.now = 10 * number
            folded.fold()
    assert plain.totals().compute_ns.tolist() == folded.totals().compute_ns.tolist()
    assert plain.totals().busy_ns.tolist() == folded.totals().busy_ns.tolist()
    assert plain.totals().waiting_ns.tolist() == folded.totals().waiting_ns.tolist()
    assert plain.totals().bytes_sent.tolist() == folded.totals().bytes_sent.tolist()
    assert plain.totals().num_exchanges.tolist() == folded.totals().num_exchanges.tolist()


def test_busy_is_the_union_of_computing_and_transferring() -> None:
    ledger = Ledger(2)
    ledger.computed(0, 0, 10, GRADIENT)
    ledger.computed(0, 10, 15, GRADIENT)
    ledger.transferred(0, 5, 12, 20, sent=100, is_exchange=True, held=200)
    assert ledger.totals().compute_ns.tolist() == [15, 0]
    assert ledger.totals().transfer_ns.tolist() == [8, 0]
    assert ledger.totals().busy_ns.tolist() == [20, 0]
    assert ledger.totals().waiting_ns.tolist() == [7, 0]


def test_an_exchange_is_two_transfers() -> None:
    one, other = Ledger(2), Ledger(2)
    one.exchanged(1, 0, 1, 4, 8, 9, 5)  # rank 1 comes last, at 4
    other.transferred(0, 1, 4, 9, sent=5, is_exchange=True, held=10)
    other.transferred(1, 4, 4, 8, sent=5, is_exchange=True, held=10)
    for ledger in (one, other):
        assert ledger.totals().transfer_ns.tolist() == [5, 4]
        assert ledger.totals().waiting_ns.tolist() == [3, 0]
        assert ledger.totals().bytes_sent.tolist() == [5, 5]
        assert ledger.totals().num_exchanges.tolist() == [1, 1]
    assert (one.peak_memory() == other.peak_memory()).all()


def test_an_abandoned_computation_counts_up_to_then() -> None:
    for folds in (False, True):
        ledger = Ledger(1)
        ledger.activations = {"gradient": 3}
        ledger.computed(0, 0, 10, Compute("gradient"))
        ledger.computed(0, 20, 30, Compute("gradient"))
        ledger.now = 22
        if folds:
            ledger.fold()
        ledger.shorten(0, 20, 30, 24)
        assert held(ledger, "activations")[-1] == (20, 24, 3)
        assert ledger.totals().compute_ns.tolist() == [14]


def test_activations_are_those_of_gradients_and_of_passes() -> None:
    ledger = Ledger(1, keeps_curve=True)
    ledger.activations = {"gradient": 100, "backward": 100}
    ledger.computed(0, 5, 10, Compute("gradient"))
    ledger.computed(0, 10, 20, Compute("optimizer"))
    sizes, read = [8, 8], Payload(16, None, 0, 0, read_ns=30)
    ledger.computed(0, 31, 40, Compute("forward"))
    assert held(ledger, "activations") == [(5, 10, 100)]
    ledger.computed(0, 40, 50, Compute("backward", micro_batch=0, inputs=(read, sizes)))
    ledger.computed(0, 55, 60, Compute("backward", micro_batch=1, inputs=(read, sizes)))
    assert held(ledger, "activations") == [(5, 10, 100), (30, 50, 100), (50, 60, 100)]
    later = Payload(16, None, 1, 1, read_ns=70)
    ledger.computed(0, 80, 90, Compute("backward", micro_batch=0, inputs=(later, sizes)))
    assert held(ledger, "activations")[-1] == (70, 90, 100)


def test_a_gradient_is_held_from_its_read_until_it_is_applied() -> None:
    ledger = Ledger(2, keeps_curve=True)
    account = Account(1, ledger)
    ledger.memory.owns(1, {"parameters": 40, "vectors": 40, "optimizer": 0})
    ledger.now = 9
    made, place = ledger.contributions, ledger.contributions.places[1, -1, 40]
    made.enter(place, version=7, step=3, now=9, given=Payload(8, version=5, step=2, read_ns=4, what=payload.GRADIENT))
    account.held("stashes", 7, since_ns=3)
    account.held("received", 8, since_ns=3, until_ns=11)
    assert (len(made), made.num_gradients) == (1, 1)
    applied = made.applied()
    assert [column.tolist() for column in applied[:6]] == [[1], [0], [2], [1], [5], [9]]
    assert (applied.gradients.tolist(), applied.size.tolist()) == ([1], [40])
    rows = ledger.memory_table()
    assert list(rows.itertuples(index=False, name=None)) == [
        (1, 0, "gradients", 0), (1, 4, "gradients", 40), (1, 9, "gradients", 0),
        (1, 0, "parameters", 40),
        (1, 0, "received", 0), (1, 3, "received", 8), (1, 11, "received", 0),
        (1, 0, "stashes", 0), (1, 3, "stashes", 7), (1, 9, "stashes", 0),
        (1, 0, "vectors", 40),
    ]  # fmt: skip
    assert ledger.peak_memory().tolist() == [[0] * 8, [0, 40, 0, 0, 40, 8, 7, 40]]


def held(ledger: Ledger, kind: str) -> list[tuple[int, int, int]]:
    """Since when, until when and how many bytes of a kind rank 0 has held, as entered so far."""
    numbers = np.frombuffer(bytes(ledger.buffers), dtype="<i8").reshape(-1, 5).tolist()
    return [(since, until, size) for rank, number, since, until, size in numbers if (rank, number) == (0, KIND[kind])]


def test_a_gradient_whose_reading_is_unknown_has_no_staleness_and_no_past() -> None:
    ledger = Ledger(1, keeps_curve=True)
    ledger.memory.owns(0, {"parameters": 40})
    ledger.now = 9
    made, place = ledger.contributions, ledger.contributions.places[0, -1, 40]
    made.enter(place, version=7, step=3, now=9, given=Payload(8, version=5, what=payload.GRADIENT))
    assert [column.tolist() for column in made.applied()[:6]] == [[0], [0], [2], [UNKNOWN], [UNKNOWN], [9]]
    assert "gradients" not in set(ledger.memory_table().query("bytes > 0")["kind"])


def test_staleness_may_be_negative_throughout() -> None:
    """What comes from another rank may be ahead: the largest of -3 and -2 is -2, with entries, tallies, and both."""
    average, account = ("average", "x", 0), Account(0)
    found = account.ledger.contributions
    for behind in (-3, -2):
        found.behind[average].append(behind)
    assert found.all_tallies()[average].largest == -2
    merged_from = Ledger(1).contributions
    merged_from.extend(found.packed, found.told())
    assert merged_from.all_tallies()[average].largest == -2
    (row,) = _by_target(merged_from.all_tallies())
    assert (row["staleness_max"], row["staleness_mean"]) == (-2, -2.5)
