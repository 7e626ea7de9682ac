"""The order that a pipeline's run had, as `schedules.orders` has orders, with what its cells took."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from analysis.pipelines.steps import WHOLE
from schedules.orders import Cell, Order, Pair, Step, build, replicated, steps_of
from schedules.orders.steps import Kind
from schedules.programs.pipelines.streaming import most_ahead

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
        order: its cells by rank, or by engine of a rank that computes on two at a time; a stage's copies on several
            ranks have a number each. What belongs to no micro-batch (an optimizer's step) is a step of a stage of its
            own, which needs nothing but its place on the rank.
        durations: of `order.cells`, in nanoseconds.
        ranks: of each of `order.ranks`, the rank that it is of.
    """

    order: Order
    durations: Nanoseconds
    ranks: NDArray[np.int64]


class _Row(NamedTuple):
    rank: int
    engine: int
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


def ahead_of(schedule: Mapping[str, Any], workers: int) -> dict[int, int]:
    """Of ranks with two engines, how many forward passes are begun, at most, whose backward pass is not over: the lock
    between the two.

    Args:
        schedule: the table [schedule].
        workers: of all replicas.
    """
    if schedule.get("engines") != 2:
        return {}
    own = workers // int(schedule.get("replicas", 1))
    stream, last = schedule["micro_batches"] * schedule["iterations"], schedule.get("overlap_last", False)
    order = build(str(schedule["program"]), own, stream, overlap_last=last)
    kinds = [[step.kind for cell in cells for step in steps_of(cell)] for cells in order.ranks]
    return {rank: most_ahead(kinds[rank % own]) for rank in range(workers)}


def executed_order(
    steps: pd.DataFrame,
    joints: Collection[Joint] = (),
    micro_batches: int | None = None,
    ahead: Mapping[int, int] | None = None,
) -> Executed | None:
    """The order of a run.

    A stage that is computed again before its backward is one cell with it: it waits for the gradient, too.

    Args:
        steps: as `analysis.pipelines.steps.steps_of_run` returns them.
        joints: pairs of the schedule's order, whose steps may have been computed one after the other.
        micro_batches: of one iteration, of all replicas, by which those numbers go on.
        ahead: by rank, see `ahead_of`.
    Returns:
        None of a run that no order says: in which a program of a rank does two things at a time, nothing goes from rank
        to rank, or a stage hands its micro-batches to several.
    """
    after, (engine, ranks) = _links(steps), _engines(steps)
    if after is None or all(early[1] == late[1] for early, late in after.items()) or _is_abreast(steps, engine):
        return None
    used = steps[steps["stage"] >= 0][["stage", "rank"]].drop_duplicates().sort_values(["stage", "rank"])
    held: list[Held] = [(int(stage), int(rank)) for stage, rank in used.itertuples(index=False)]
    number = {each: at for at, each in enumerate(held)}
    cells: list[list[Cell]] = [[] for _ in ranks]
    lengths: list[list[int]] = [[] for _ in ranks]
    before: _Row | None = None
    for row in _joined(steps.assign(engine=engine)):
        step = _step(row, number, len(held) + row.engine, len(cells[row.engine]))
        if row.half == 1 or (before is not None and _is_joint(before, row, joints, micro_batches)):
            cells[row.engine][-1] = Pair(cast(Step, cells[row.engine][-1]), step)
            lengths[row.engine][-1] += 0 if row.half == 1 else row.length
        else:
            cells[row.engine].append(step)
            lengths[row.engine].append(row.length)
        before = row
    own = tuple((len(held) + at,) for at in range(len(ranks)))
    place = (*(rank for _, rank in held), *ranks.tolist())
    order = Order(tuple(map(tuple, cells)), place, (*_chains(after, number), *own), _locks(cells, ranks, ahead or {}))
    return Executed(order, np.array([each for engine in lengths for each in engine], dtype=np.int64), ranks)


def _locks(
    cells: Sequence[Sequence[Cell]], ranks: Nanoseconds, ahead: Mapping[int, int]
) -> tuple[tuple[Step, Step], ...]:
    """The forward passes of a rank's one engine, and the backward passes of its other for which they wait."""
    found: list[tuple[Step, Step]] = []
    for rank, number in ahead.items():
        own = [cells[engine] for engine in np.flatnonzero(ranks == rank).tolist()]
        if len(own) == 2:
            steps = [step for each in own for cell in each for step in steps_of(cell)]
            forwards, backwards = ([step for step in steps if step.kind == kind] for kind in "FD")
            found += zip(forwards[number:], backwards, strict=False)
    return tuple(found)


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
    for rank, engine, kind, stage, micro_batch, start, end, half in steps[
        ["rank", "engine", "kind", "stage", "micro_batch", "start_ns", "end_ns", "half"]
    ].itertuples(index=False):
        key = rank, stage, micro_batch
        if kind == "R":
            again[key] = again.get(key, 0) + end - start
            continue
        more = again.pop(key, 0) if kind in ("D", "B") else 0
        found.append(_Row(rank, engine, kind, stage, micro_batch, end - start + more, half))
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


def _engines(steps: pd.DataFrame) -> tuple[Nanoseconds, Nanoseconds]:
    """The engine of each step, and the rank of each engine: all of a rank that does one thing at a time is one, else
    each of its programs has one."""
    program, names = steps["stream"].factorize()
    number = len(names) * steps["rank"].to_numpy(dtype=np.int64)
    alone = ~steps["rank"].isin(_abreast(steps, steps["rank"].to_numpy())).to_numpy()
    key = number + np.where(alone, 0, program)
    present, engine = np.unique(
        np.concatenate((key, len(names) * np.arange(steps["rank"].max() + 1))), return_inverse=True
    )
    return engine[: len(steps)], present // len(names)


def _is_abreast(steps: pd.DataFrame, engine: Nanoseconds) -> bool:
    """Whether an engine computes two steps at a time."""
    return bool(len(_abreast(steps, engine)))


def _abreast(steps: pd.DataFrame, engine: Nanoseconds) -> Nanoseconds:
    """The engines that compute two steps at a time."""
    whole = steps.assign(engine=engine)[steps["half"] < 1]
    before = whole.groupby("engine")["end_ns"].cummax().groupby(whole["engine"]).shift()
    found: Nanoseconds = whole.loc[whole["start_ns"] < before, "engine"].unique()
    return found


def is_in_pairs(steps: pd.DataFrame) -> bool:
    """Whether some steps are two in one."""
    return bool((steps["half"] != WHOLE).any())
