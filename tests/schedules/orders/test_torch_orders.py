"""Orders against torch's, cell by cell: the orders that its `_schedule_visualizer` has, without what idles or sends."""

from __future__ import annotations

from typing import Any

import pytest

from schedules import orders
from schedules.orders import Cell, Order, Pair, Step

visualizer = pytest.importorskip("torch.distributed.pipelining._schedule_visualizer", reason="torch has moved it")

LETTERS = {"F": "F", "I": "B", "W": "W", "B": "D"}
"""torch's letters: its B is the whole backward."""

SIZES = {
    "gpipe": ("GPipe", [(2, 3, 1), (4, 8, 1), (8, 5, 1)]),
    "interleaved-1f1b": ("Interleaved1F1B", [(2, 4, 2), (4, 8, 3), (4, 12, 2), (8, 16, 4)]),
    "interleaved-zb": ("InterleavedZeroBubble", [(2, 4, 2), (4, 8, 3), (4, 12, 2), (8, 16, 4)]),
    "looped-bfs": ("LoopedBFS", [(2, 4, 2), (4, 8, 3), (4, 10, 2)]),
    "zb-v": ("ZBVZeroBubble", [(2, 3, 2), (4, 2, 2), (4, 8, 2), (8, 30, 2)]),
    "dualpipe-v": ("DualPipeV", [(1, 2, 2), (2, 4, 2), (4, 11, 2), (5, 30, 2)]),
}
"""Their name, and (workers, micro-batches, chunks)."""


@pytest.mark.parametrize(
    ("program", "name", "size"),
    [(program, name, size) for program, (name, sizes) in SIZES.items() for size in sizes],
)
def test_torch_has_the_same_order(program: str, name: str, size: tuple[int, int, int]) -> None:
    workers, micro_batches, chunks = size
    order = orders.build(program, workers, micro_batches, chunks=chunks)
    order.check(micro_batches)
    assert [list(cells) for cells in order.ranks] == torchs(name, *size)


@pytest.mark.parametrize("size", [(2, 3), (4, 8), (8, 16)])
def test_1f1b_is_torchs_but_on_the_last_rank_where_torchs_is_wrong(size: tuple[int, int]) -> None:
    """`Schedule1F1B._get_pipeline_order` counts its last rank's forwards from 1: they are of one micro-batch too late,
    and of one that is not there. What torch runs is another loop, which is right."""
    workers, micro_batches = size
    ours, theirs = orders.build("1f1b", workers, micro_batches), torchs("1F1B", workers, micro_batches, 1)
    assert [list(cells) for cells in ours.ranks[:-1]] == theirs[:-1]
    assert Step("F", workers - 1, micro_batches) in theirs[-1]
    wrong = Order((*ours.ranks[:-1], tuple(theirs[-1])), ours.place, ours.chains)
    with pytest.raises(orders.OrderError):
        wrong.check(micro_batches)


def torchs(name: str, workers: int, micro_batches: int, chunks: int) -> list[list[Cell]]:
    """The cells of its ranks."""
    found = visualizer.get_schedule_ops(name, workers, micro_batches, chunks)
    return [[cell(action) for action in actions if action is not None and action.is_compute_op] for actions in found]


def cell(action: Any) -> Cell:
    """Of torch's action."""
    if action.sub_actions:
        forward, backward = map(cell, action.sub_actions)
        assert isinstance(forward, Step)
        assert isinstance(backward, Step)
        return Pair(forward, backward)
    return Step(LETTERS[action.computation_type.value], action.stage_index, action.microbatch_index)  # type: ignore[arg-type]
