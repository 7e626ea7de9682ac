"""The longest paths over an order, against a step by step account in plain Python."""

from __future__ import annotations

import numpy as np
import pytest

from schedules import orders
from schedules.orders import Order, Step

SIZES = [
    ("1f1b", 4, 8, 1),
    ("interleaved-1f1b", 3, 9, 3),
    ("zb-v", 4, 9, 2),
    ("dualpipe", 4, 10, 1),
    ("petra", 4, 9, 1),
]


def slow(order: Order, durations: list[int], latency: int) -> list[tuple[int, int]]:
    """Start and end of every cell of `order.cells`, one after the other."""
    over: dict[Step, tuple[int, int]] = {}
    free = [0] * len(order.ranks)
    times = {}
    lasts = dict(zip(order.cells, durations, strict=True))
    for cell in order.sequence():
        own = orders.steps_of(cell)
        rank = order.place[own[0].stage]
        needs = [over[need] for step in own for need in order.needs(step)]
        start = max([free[rank], *(end + latency * (other != rank) for other, end in needs)])
        free[rank] = start + lasts[cell]
        times[cell] = (start, free[rank])
        over |= dict.fromkeys(own, (rank, free[rank]))
    return [times[cell] for cell in order.cells]


@pytest.mark.parametrize(("program", "workers", "micro_batches", "chunks"), SIZES)
def test_every_variant_is_that_of_its_durations_and_latency(
    program: str, workers: int, micro_batches: int, chunks: int
) -> None:
    order = orders.build(program, workers, micro_batches, chunks=chunks)
    random = np.random.default_rng(7)
    durations, latency = random.integers(0, 1000, (len(order.cells), 5)), random.integers(0, 700, 5)
    start, end = orders.retime(order, durations, latency)
    for variant in range(5):
        expected = slow(order, durations[:, variant].tolist(), int(latency[variant]))
        assert list(zip(start[:, variant].tolist(), end[:, variant].tolist(), strict=True)) == expected
        alone = orders.retime(order, durations[:, variant], int(latency[variant]))
        assert [each[:, 0].tolist() for each in alone] == [start[:, variant].tolist(), end[:, variant].tolist()]


def test_one_row_of_durations_for_many_latencies_and_one_latency_for_many_durations() -> None:
    order = orders.build("1f1b", 2, 3)
    lengths = np.arange(1, 13)
    many = orders.retime(order, lengths, np.array([0, 5]))[1]
    assert many[:, 1].tolist() == orders.retime(order, lengths, 5)[1][:, 0].tolist()
    same = orders.retime(order, np.stack([lengths, lengths], axis=1), 5)[1]
    assert same[:, 0].tolist() == same[:, 1].tolist() == many[:, 1].tolist()
    assert orders.retime(order, lengths[:, None], np.array([5]))[1].tolist() == many[:, 1:].tolist()


def test_what_does_not_fit() -> None:
    order = orders.build("1f1b", 2, 3)
    with pytest.raises(ValueError, match="expected a row of durations a cell, 12, found 11"):
        orders.retime(order, np.ones(11, dtype=np.int64))
    with pytest.raises(ValueError, match="expected a latency, or 3, one a variant, found 2"):
        orders.retime(order, np.ones((12, 3), dtype=np.int64), np.array([1, 2]))
    blocked = Order(((Step("D", 0, 0), Step("F", 0, 0)),), (0,), ((0,),))
    with pytest.raises(orders.OrderError, match="expected 0F0 before 0D0 on rank 0, found it behind"):
        orders.retime(blocked, np.ones(2, dtype=np.int64))
