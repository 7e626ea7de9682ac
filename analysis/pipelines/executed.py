"""The order that a pipeline's run had, as `schedules.orders` has orders, with what its cells took."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.steps import WHOLE
from schedules.orders import Cell, Order, Pair, Step, build, replicated
from schedules.orders.steps import Kind

if TYPE_CHECKING:
    import pandas as pd

Nanoseconds = NDArray[np.int64]
Held = tuple[int, int]
"""A stage of the model and the rank that holds it: copies on several ranks are stages of their own to an order."""


IN_PAIRS: Final = ("dualpipe", "dualpipe-v")
"""The schedules whose orders have pairs."""


@dataclass(frozen=True)
class Executed:
    """What a run did.

    Attributes:
        order: its cells by rank; a stage's copies on several ranks have a number each. What belongs to no micro-batch
            (an optimizer's step) is a step of a stage of its own, which needs nothing but its place on the rank.
        durations: of `order.cells`, in nanoseconds.
    """

    order: Order
    durations: Nanoseconds


class _Row(NamedTuple):
    rank: int
    kind: str
    stage: int
    micro_batch: int
    length: int
    half: int


class Joint(NamedTuple):
    """A forward and the backward behind it on a rank that wait for each other's messages and send when both are done:
    a pair whose steps are computed one after the other. Stages are of the model, micro-batches those of the order."""

    rank: int
    forward: tuple[int, int]
    backward: tuple[int, int]


def joints_of(program: str, workers: int, micro_batches: int, replicas: int = 1) -> frozenset[Joint]:
    """The pairs of a schedule's order, by stage and micro-batch; none of a schedule without any.

    Args:
        workers: of all replicas.
        micro_batches: of one iteration, on each of them.
    """
    if program not in IN_PAIRS:
        return frozenset()
    order = replicated(build(program, workers // replicas, micro_batches), replicas)
    depth = {stage: at for chain in order.chains for at, stage in enumerate(chain)}
    return frozenset(
        Joint(rank, *((depth[each.stage], each.micro_batch) for each in cell))
        for rank, cells in enumerate(order.ranks)
        for cell in cells
        if isinstance(cell, Pair)
    )


def executed_order(
    steps: pd.DataFrame, joints: Collection[Joint] = (), micro_batches: int | None = None
) -> Executed | None:
    """The order of a run.

    A stage that is computed again before its backward is one cell with it: it waits for the gradient, too.

    Args:
        steps: as `analysis.pipelines.steps.steps_of_run` returns them.
        joints: pairs of the schedule's order, whose steps may have been computed one after the other.
        micro_batches: of one iteration, of all replicas, by which those numbers go on.
    Returns:
        None of a run that no order says: whose ranks do two things at a time, in which nothing goes from rank to rank,
        or in which a stage hands its micro-batches to several.
    """
    after = _links(steps)
    if after is None or all(early[1] == late[1] for early, late in after.items()) or _is_abreast(steps):
        return None
    used = steps[steps["stage"] >= 0][["stage", "rank"]].drop_duplicates().sort_values(["stage", "rank"])
    held: list[Held] = [(int(stage), int(rank)) for stage, rank in used.itertuples(index=False)]
    number = {each: at for at, each in enumerate(held)}
    num_ranks = int(steps["rank"].max()) + 1
    cells: list[list[Cell]] = [[] for _ in range(num_ranks)]
    lengths: list[list[int]] = [[] for _ in range(num_ranks)]
    before: _Row | None = None
    for row in _joined(steps):
        step = _step(row, number, len(held) + row.rank, len(cells[row.rank]))
        if row.half == 1 or (before is not None and _is_joint(before, row, joints, micro_batches)):
            cells[row.rank][-1] = Pair(cast(Step, cells[row.rank][-1]), step)
            lengths[row.rank][-1] += 0 if row.half == 1 else row.length
        else:
            cells[row.rank].append(step)
            lengths[row.rank].append(row.length)
        before = row
    own = tuple((len(held) + rank,) for rank in range(num_ranks))
    place = (*(rank for _, rank in held), *range(num_ranks))
    order = Order(tuple(map(tuple, cells)), place, (*_chains(after, number), *own))
    return Executed(order, np.array([each for rank in lengths for each in rank], dtype=np.int64))


def _is_joint(one: _Row, other: _Row, joints: Collection[Joint], micro_batches: int | None) -> bool:
    """Whether two rows, one after the other, are a pair of the schedule's order."""
    if not joints or micro_batches is None or (one.rank, one.kind, other.kind) != (other.rank, "F", "D"):
        return False
    forward, backward = ((each.stage, each.micro_batch % micro_batches) for each in (one, other))
    return one.half == WHOLE and Joint(one.rank, forward, backward) in joints


def _step(row: _Row, number: Mapping[Held, int], own_stage: int, position: int) -> Step:
    if row.kind in ("F", "D", "B", "W"):
        return Step(cast(Kind, row.kind), number[row.stage, row.rank], row.micro_batch)
    return Step("F", own_stage, position)  # the first of a chain: it waits for no other


def _joined(steps: pd.DataFrame) -> list[_Row]:
    """The rows of all ranks, with what a stage was computed again for added to its backward."""
    again: dict[tuple[int, int, int], int] = {}
    found = []
    for rank, kind, stage, micro_batch, start, end, half in steps[
        ["rank", "kind", "stage", "micro_batch", "start_ns", "end_ns", "half"]
    ].itertuples(index=False):
        key = rank, stage, micro_batch
        if kind == "R":
            again[key] = again.get(key, 0) + end - start
            continue
        more = again.pop(key, 0) if kind in ("D", "B") else 0
        found.append(_Row(rank, kind, stage, micro_batch, end - start + more, half))
    return found


def _links(steps: pd.DataFrame) -> dict[Held, Held] | None:
    """Which stage, on which rank, hands its micro-batches to which; None where one hands them to several, or has them
    of several."""
    after: dict[Held, Held] = {}
    forwards = steps[steps["kind"] == "F"].sort_values(["micro_batch", "stage"], kind="stable")
    for _, path in forwards.groupby("micro_batch", sort=False):
        stages = [(int(stage), int(rank)) for stage, rank in zip(path["stage"], path["rank"], strict=True)]
        for early, late in pairwise(stages):
            if after.setdefault(early, late) != late:
                return None
    return after if len({*after.values()}) == len(after) else None


def _chains(after: Mapping[Held, Held], number: Mapping[Held, int]) -> list[tuple[int, ...]]:
    """The stages one after the other, from each that has none before it."""
    late = {*after.values()}
    chains = []
    for first in (each for each in number if each not in late):
        chain = [first]
        while chain[-1] in after:
            chain.append(after[chain[-1]])
        chains.append(tuple(number[each] for each in chain))
    return chains


def _is_abreast(steps: pd.DataFrame) -> bool:
    """Whether a rank computes two steps at a time, on two engines."""
    whole = steps[steps["half"] < 1]
    before = whole.groupby("rank")["end_ns"].cummax().groupby(whole["rank"]).shift()
    return bool((whole["start_ns"] < before).any())


def is_in_pairs(steps: pd.DataFrame) -> bool:
    """Whether some steps are two in one."""
    return bool((steps["half"] != WHOLE).any())
