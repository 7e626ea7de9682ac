"""What is held over time: against counting, nanosecond by nanosecond, however often the past is folded."""

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Barrier,
    Broadcast,
    Compute,
    Exchange,
    Payload,
    Receive,
    ReduceScatter,
    Send,
)
from schedules.record.memory import KIND, KINDS, LATEST, Buffers, Memory, envelope, in_flight, received

RANKS, END = 3, 40
Held = tuple[int, int, int, int, int]
"""Rank, start, end, kind, size."""

HELD = st.lists(
    st.tuples(
        st.integers(0, RANKS - 1),
        st.integers(0, END - 1),
        st.integers(1, 30),
        st.integers(0, len(KINDS) - 1),
        st.integers(0, 4),
    ).map(lambda each: (each[0], each[1], min(END, each[1] + each[2]), *each[3:])),
    max_size=25,
)


def columns(held: list[Held]) -> Buffers:
    return Buffers(*np.array(held, dtype=np.int64).reshape(-1, 5).T)


def counted(held: list[Held], rank: int, kind: int | None = None) -> list[int]:
    """Bytes that a rank holds, of one kind or of all, at every time up to END."""
    chosen = [each for each in held if each[0] == rank and kind in (None, each[3])]
    return [sum(size for _, start, end, _, size in chosen if start <= at < end) for at in range(END + 1)]


def counted_peak(held: list[Held], always: np.ndarray) -> list[list[int]]:
    """By kind, the last time that a rank holds most."""
    peaks = []
    for rank in range(RANKS):
        total = counted(held, rank)
        last = max(at for at, size in enumerate(total) if size == max(total))
        peaks.append([int(always[rank, kind]) + counted(held, rank, kind)[last] for kind in range(len(KINDS))])
    return peaks


@given(HELD)
def test_the_envelope_is_the_most_that_is_still_to_come(held: list[Held]) -> None:
    made = [tuple(map(int, row)) for row in zip(*envelope(columns(held)), strict=True)]
    for rank in range(RANKS):
        total = counted(held, rank)
        assert counted(made, rank) == [max(total[at:]) for at in range(END + 1)]


@settings(max_examples=400)
@given(HELD, st.lists(st.integers(0, END), min_size=1, max_size=6), st.booleans())
def test_folding_keeps_the_peak(held: list[Held], folds: list[int], keeps_curve: bool) -> None:
    """What is over by a fold is entered before it, in any order; the rest, which ends later, after it."""
    memory = Memory(RANKS, keeps_curve=keeps_curve)
    memory.always[1, KIND["parameters"]] = 5
    rest = held
    for fold in sorted(folds):
        memory.enter(*columns([each for each in rest if each[2] <= fold]))
        rest = [each for each in rest if each[2] > fold]
        memory.fold()
    memory.enter(*columns(rest))
    assert memory.peak().tolist() == counted_peak(held, memory.always)


def test_what_is_held_since_before_a_fold_lifts_a_lower_level_above_the_peak() -> None:
    """10 bytes up to 5, 8 up to 10; then 5 more are found to have been held since 6: 13 at once."""
    memory = Memory(1)
    memory.enter(*columns([(0, 0, 5, 1, 10), (0, 5, 10, 2, 8)]))
    memory.fold()
    assert memory.peak()[0].tolist() == [0, 10, 0, 0, 0, 0, 0, 0]
    memory.enter(*columns([(0, 6, 10, 1, 5)]))
    memory.fold()
    assert memory.peak()[0].tolist() == [0, 5, 8, 0, 0, 0, 0, 0]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 3)), min_size=50, max_size=50))
def test_what_is_kept_of_a_long_past_is_small(held: list[tuple[int, int]]) -> None:
    """At most one step a level: here levels are at most the sum of what overlaps."""
    memory = Memory(1)
    for turn in range(20):
        rows = [(0, 100 * turn + start, 100 * turn + start + 7, 2, size) for start, size in held]
        memory.enter(*columns(rows))
        memory.fold()
    (kept,) = memory._entered
    most = int(memory.peak().sum())
    assert len(kept.rank) <= most <= 150


@given(HELD)
def test_the_curve_is_what_counting_says(held: list[Held]) -> None:
    memory = Memory(RANKS, keeps_curve=True)
    memory.always[0, KIND["optimizer"]] = memory.always[2, KIND["gradients"]] = 9
    memory.enter(*columns(held))
    table = memory.table()
    ordered = table.sort_values(["rank", "kind", "time_ns"], kind="stable")
    assert ordered.index.tolist() == list(range(len(table)))
    assert (table["bytes"] >= 0).all()
    found = defaultdict(dict)
    for rank, time, kind, size in table.itertuples(index=False, name=None):
        assert time not in found[rank, kind]
        found[rank, kind][time] = size
    expected = {}
    for rank in range(RANKS):
        for kind, name in enumerate(KINDS):
            level = [size + int(memory.always[rank, kind]) for size in counted(held, rank, kind)]
            steps = {at: size for at, size in enumerate(level) if at == 0 or size != level[at - 1]}
            if any(level):
                expected[rank, name] = steps
    assert found == expected
    is_last = table.groupby(["rank", "kind"]).tail(1)
    always = [int(memory.always[rank, KIND[kind]]) for rank, kind in zip(is_last["rank"], is_last["kind"], strict=True)]
    assert is_last["bytes"].tolist() == always


def test_nothing_held_is_an_empty_table() -> None:
    memory = Memory(2, keeps_curve=True)
    table = memory.table()
    assert list(table.columns) == ["rank", "time_ns", "kind", "bytes"]
    assert len(table) == 0
    assert memory.peak().tolist() == [[0] * len(KINDS)] * 2


def test_what_ends_as_another_begins_is_not_counted_twice() -> None:
    memory = Memory(1, keeps_curve=True)
    memory.enter(*columns([(0, 0, 5, 1, 8), (0, 5, 9, 1, 8), (0, 9, 9, 1, 100)]))
    assert memory.peak()[0].sum() == 8
    assert memory.table().to_numpy().tolist() == [[0, 0, "gradients", 8], [0, 9, "gradients", 0]]


def test_long_times_many_ranks_and_large_buffers_do_not_overflow() -> None:
    """A run of 10 days with 100,000 ranks, and buffers of a petabyte: rank * time and rank * bytes exceed 2^63."""
    day, petabyte, rank = 86_400 * 10**9, 10**15, 10**5
    held = [
        (rank, 1, 10 * day, 2, petabyte),
        (rank - 14_000, 5, 6, 1, 1),
        (rank, 9 * day, 10 * day - 1, 1, 3),
        (7, 2, 3, 2, 4),
        (7, 1, 2, 2, 6),
    ]
    made = sorted(tuple(map(int, row)) for row in zip(*envelope(columns(held)), strict=True))
    assert made == [
        (7, 0, 2, 2, 6), (7, 2, 3, 2, 4),
        (rank - 14_000, 0, 6, 1, 1),
        (rank, 0, 10 * day - 1, 1, 3), (rank, 0, 10 * day - 1, 2, petabyte),
        (rank, 10 * day - 1, 10 * day, 2, petabyte),
    ]  # fmt: skip


def test_the_last_change_of_the_curve_has_no_end() -> None:
    memory = Memory(1)
    memory.enter(*columns([(0, 3, 5, 1, 8)]))
    _, start, end, _, size = memory.curve()
    assert [*zip(start.tolist(), end.tolist(), size.tolist(), strict=True)] == [(0, 3, 0), (3, 5, 8), (5, LATEST, 0)]


@pytest.mark.parametrize(
    ("operation", "held"),
    [
        ("Exchange", 200), ("Send", 100), ("Receive", 100), ("AllGather", 300), ("ReduceScatter", 25),
        ("AllToAll", 100), ("AllReduce", 0), ("Broadcast", 0), ("Barrier", 0), ("Meet", 0),
    ],
)  # fmt: skip
def test_what_an_operation_holds_with_four_ranks(operation: str, held: int) -> None:
    assert in_flight(operation, 4, 100) == held


@pytest.mark.parametrize(
    ("operation", "result", "size"),
    [
        (Exchange(1, Payload(100)), Payload(100), 100),
        (Receive(1, 100), Payload(100), 100),
        (Receive(1, 100), Payload(60), 60),
        (AllGather(Payload(100)), Payload(400), 300),
        (AllGather(Payload(100)), Payload(450), 350),
        (ReduceScatter(Payload(100)), Payload(34), 34),
        (AllToAll(Payload(100), parts=(40, 60)), Payload(70), 70),
        (Send(1, Payload(100)), None, 0),
        (AllReduce(Payload(100)), Payload(100), 0),
        (Broadcast(Payload(100)), Payload(100), 0),
        (Barrier(), None, 0),
        (Compute("gradient"), Payload(100), 0),
    ],
    ids=str,
)
def test_what_a_result_takes_beside_what_was_handed_over(operation: object, result: object, size: int) -> None:
    assert received(operation, result) == size
