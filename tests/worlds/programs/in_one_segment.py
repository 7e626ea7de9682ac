"""Three gradients that are applied between two waits."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Await, Compute, Count, Program, Start, Table, Worker, descend

SOURCE = "a test of ends"


class Settings(Table):
    gradients: Count


def streams(worker: Worker) -> Mapping[str, Program]:
    return {"compute": steps(worker)}


def steps(worker: Worker) -> Program:
    for _ in range(worker.settings.gradients):
        handles = []
        for _ in range(3):
            handle, _ = yield Start(Compute("gradient"))
            handles.append(handle)
        yield Await(tuple(handles))
        for handle in handles:
            arrivals, _ = yield Await((handle,))  # it is there: over at once
            worker.model.apply(descend, arrivals.results[0])
