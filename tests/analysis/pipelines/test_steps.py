"""What a trace of a pipeline says: its steps, and the order that they make."""

import pytest

from analysis.pipelines.executed import executed_order
from analysis.pipelines.steps import chunk_of, steps_of_run
from schedules.orders import Pair, build, steps_of
from tests.analysis.fake_runs import gossip_trace, trace_of
from tests.analysis.pipelines.traces import trace_of_order

ORDERS = [
    ("gpipe", 3, 4, {}),
    ("1f1b", 4, 6, {}),
    ("interleaved-1f1b", 2, 4, {"chunks": 3}),
    ("zb-h2", 4, 8, {}),
    ("zb-v", 3, 6, {"chunks": 2}),
    ("dualpipe", 4, 8, {}),
    ("dualpipe-v", 2, 6, {}),
    ("petra", 4, 8, {}),
]


def as_run(order):
    """By rank what each cell is: kinds, depths in their chain, micro-batches."""
    depth = {stage: at for chain in order.chains for at, stage in enumerate(chain)}
    return [[[(each.kind, depth[each.stage], each.micro_batch) for each in steps_of(cell)] for cell in rank]
            for rank in order.ranks]  # fmt: skip


@pytest.mark.parametrize(("program", "workers", "micro_batches", "keys"), ORDERS)
def test_the_order_of_a_run_is_the_one_it_was_made_from(program, workers, micro_batches, keys):
    """Also the backwards of pairs, which have no row of their own."""
    order = build(program, workers, micro_batches, **keys)
    found = executed_order(steps_of_run(trace_of_order(order)))
    assert as_run(found.order) == as_run(order)
    assert sum(isinstance(cell, Pair) for cell in found.order.cells) == sum(
        isinstance(cell, Pair) for cell in order.cells
    )


def test_what_is_no_pipeline_has_no_steps():
    assert steps_of_run(gossip_trace(gradients=3)) is None
    bucket = {"op": "Compute", "kernel": "backward", "micro_batch": 0, "at": (0, 0, 1)}
    assert steps_of_run(trace_of(bucket, {**bucket, "kernel": "forward"})) is None  # of layers: it has no stages


def test_stages_of_a_rank_are_counted_in_the_order_of_the_model():
    steps = steps_of_run(trace_of_order(build("zb-v", 2, 4, chunks=2)))
    found = {(r, s, c) for r, s, c in zip(steps["rank"], steps["stage"], chunk_of(steps), strict=True)}
    assert found == {(0, 0, 0), (0, 3, 1), (1, 1, 0), (1, 2, 1)}


def step(rank, kernel, start, end, micro_batch=0, **columns):
    """On a stage that has the number of its rank."""
    what = {"stage": rank, "micro_batch": micro_batch, **columns}
    return {"rank": rank, "op": "Compute", "kernel": kernel, "at": (start, start, end), **what}


def test_what_no_micro_batch_is_for_is_a_cell_of_its_rank():
    trace = trace_of(
        step(0, "forward", 0, 2), step(1, "forward", 2, 4), step(1, "reconstruct", 4, 5), step(1, "backward", 5, 9),
        step(1, "optimizer", 9, 12, micro_batch=-1), step(0, "backward", 9, 13), step(0, "optimizer", 13, 14, -1),
    )  # fmt: skip
    found = executed_order(steps_of_run(trace))
    assert [list(map(str, cells)) for cells in found.order.ranks] == [["0F0", "0D0", "2F2"], ["1F0", "1D0", "3F2"]]
    assert found.durations.tolist() == [2, 4, 1, 2, 5, 3]


def test_a_run_that_no_order_says_has_none():
    alone = trace_of(step(0, "forward", 0, 2), step(0, "backward", 2, 4))
    abreast = trace_of(
        step(0, "forward", 0, 2), step(1, "forward", 2, 5), step(1, "backward", 4, 8),
        step(0, "backward", 8, 9),
    )  # fmt: skip
    split = trace_of(
        *(step(0, kernel, 0, 1, k) for k in (0, 1) for kernel in ("forward", "backward")),
        *(step(1 + k, kernel, 2, 3, k, stage=1) for k in (0, 1) for kernel in ("forward", "backward")),
    )  # fmt: skip
    assert [executed_order(steps_of_run(each)) for each in (alone, abreast, split)] == [None, None, None]
