"""What an answer says of its payload, and gradients that do not say what they were read from."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from schedules.operations import (
    AllGather,
    AllReduce,
    AllToAll,
    Broadcast,
    Compute,
    Exchange,
    Operation,
    Payload,
    Program,
    Receive,
    ReduceScatter,
    Send,
    Until,
)
from schedules.payload import GRADIENT, What
from schedules.scenario import Count, Table
from schedules.training.state import descend
from schedules.worker import Worker

SOURCE = "a test of facts"


class Settings(Table):
    gradients: Count = 1
    case: str


def streams(worker: Worker) -> Mapping[str, Program]:
    case = worker.settings.case
    return {"compute": _stale(worker) if case == "stale" else _one(worker, case)}


def given(worker: Worker) -> Payload:
    """Its facts tell the ranks apart."""
    rank, model = worker.rank, worker.model
    array = model.state.x[:4] if model.state is not None else None
    made = Payload(32, array, version=10 + rank, step=20 + rank, read_ns=30 + rank, what=what(rank))
    made.number = 50 + rank
    return made


def what(rank: int) -> What:
    return ("gradient", "average", "change", "change")[rank], f"target-{rank}", 40 + rank


CASES: dict[str, tuple[Callable[[Worker], Operation], Callable[[int], int]]] = {
    "exchange": (lambda worker: Exchange(worker.rank ^ 1, given(worker)), lambda rank: rank ^ 1),
    "send": (lambda worker: Send(0, given(worker)) if worker.rank else Receive(1, 32), lambda rank: 1),
    "broadcast": (lambda worker: Broadcast(given(worker), root=2), lambda rank: 2),
    "all-reduce": (lambda worker: AllReduce(given(worker), "sum"), lambda rank: rank),
    "reduce-scatter": (lambda worker: ReduceScatter(given(worker), "sum"), lambda rank: rank),
    "all-gather": (lambda worker: AllGather(given(worker)), lambda rank: rank),
    "all-to-all": (lambda worker: AllToAll(given(worker)), lambda rank: rank),
}
"""By name: what every rank issues, and whose facts its answer has."""


def _one(worker: Worker, case: str) -> Program:
    make, whose = CASES[case]
    if case == "send" and worker.rank > 1:
        return
    answer, _ = yield make(worker)
    if answer is not None:
        rank = whose(worker.rank)
        found = (answer.version, answer.step, answer.read_ns, answer.what, answer.number)
        assert found == (10 + rank, 20 + rank, 30 + rank, what(rank), 50 + rank), found


def _stale(worker: Worker) -> Program:
    """One gradient that says its version alone, and one read 12 ms before it is applied, or a little less."""
    gradient, _ = yield Compute("gradient")
    worker.model.apply(descend, Payload(gradient.size, gradient.array, version=0, what=GRADIENT))
    yield Until(6.0)  # gradient times, of 2 ms
    worker.model.apply(descend, gradient)
