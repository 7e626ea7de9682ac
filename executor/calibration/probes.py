"""What calibration runs: gradients on all ranks at once, then exchanges in pairs, then all-reduces, at several sizes.

It is a schedule like any other, so what is measured is what a run will do, with the same threads on the same cores.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from schedules.operations import AllReduce, Barrier, Compute, Exchange, Payload, Program
from schedules.platform.durations import WHOLE
from schedules.settings import Count, Table
from schedules.worker import Worker

SOURCE = "real-hardware.md, section 4: two sizes and ten exchanges a link give latency and bandwidth"
VARYING_GRAPHS = True  # it does not look at the graph


class Settings(Table):
    """The keys of [schedule]."""

    gradients: Count = 30
    """Gradients per worker."""
    repeats: Count = 20
    """Exchanges and all-reduces of each size."""
    sizes: list[int] = Field(default_factory=lambda: [4096, 65_536, 1_048_576, 4_194_304])
    """In bytes."""


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"probe": _probe(worker)}


def _probe(worker: Worker) -> Program:
    settings = worker.settings
    for _ in range(settings.gradients):
        yield Compute(WHOLE)
    # 0 with 1, 2 with 3: every rank talks to one other, all pairs at once. Of an odd number the last has nobody.
    peer = worker.rank ^ 1
    for number, size in enumerate(settings.sizes):
        for repeat in range(settings.repeats):
            yield Barrier()
            if peer < worker.num_workers:
                yield Exchange(peer, Payload(size), number * settings.repeats + repeat)
    for size in settings.sizes:
        for _ in range(settings.repeats):
            yield AllReduce(Payload(size), "sum")
