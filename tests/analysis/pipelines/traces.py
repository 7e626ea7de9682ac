"""Traces of pipelines made by hand: the cells of an order where their longest path has them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from schedules.orders import Cell, Order, Pair, retime, steps_of
from tests.analysis.fake_runs import trace_of

KERNELS = {"F": "forward", "D": "backward", "B": "backward-input", "W": "backward-weight"}
UNIT = {"F": 1000, "D": 2000, "B": 1000, "W": 1000}
"""Nanoseconds."""


def length_of(cell: Cell, lengths: dict[str, int], paired: int = 3000) -> int:
    return paired if isinstance(cell, Pair) else lengths[cell.kind]


def trace_of_order(order: Order, lengths: dict[str, int] = UNIT, latency: int = 0, *, begins: int = 0) -> pd.DataFrame:
    """As a run in latency mode leaves it: a row a cell, a pair by its forward; stages by their depth in their chain.

    Args:
        begins: when the whole of it begins, in nanoseconds.
    """
    depth = {stage: at for chain in order.chains for at, stage in enumerate(chain)}
    durations = np.array([length_of(cell, lengths) for cell in order.cells])
    start, end = (each[:, 0] + begins for each in retime(order, durations, latency))
    rows = []
    for rank, cells in enumerate(order.ranks):
        for cell in cells:
            first, at = steps_of(cell)[0], len(rows)
            kernel = "overlapped" if isinstance(cell, Pair) else KERNELS[first.kind]
            what = {"kernel": kernel, "stage": depth[first.stage], "micro_batch": first.micro_batch}
            rows.append({"rank": rank, "op": "Compute", **what, "at": (int(start[at]), int(start[at]), int(end[at]))})
    return trace_of(*rows)
