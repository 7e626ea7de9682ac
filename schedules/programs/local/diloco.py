"""DiLoCo: Delta = mean (theta - x_i);  m <- mu m + Delta;  theta <- theta - nu (Delta + mu m)."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Compute, Program, Worker, descend
from schedules.programs.averaging import averaged
from schedules.programs.layered import joined
from schedules.programs.local import outer
from schedules.programs.local.outer import change, layered_round, outer_step

SOURCE = "Douillard et al. 2023, DiLoCo (arXiv:2311.08105), algorithm 1"
STALENESS = "none: all wait for the outer step"
IN_STEP, LAYERED, LENGTH = True, True, "rounds"

STATE, Settings, length, read_out = outer.STATE, outer.Outer, outer.length, outer.read_out


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": rounds(worker)}


def rounds(worker: Worker) -> Program:
    """The algorithm of a worker."""
    model, settings = worker.model, worker.settings
    step = Compute("gradient")
    for _ in range(settings.rounds):
        if worker.layers is not None:
            delta = yield from joined(worker, (yield from layered_round(worker)))
        else:
            for _ in range(settings.local_steps):
                gradient, _ = yield step
                model.apply(descend, gradient)
            delta = yield from averaged(worker, model.payload(change, to="theta"))
        model.apply(outer_step, delta, settings.outer_learning_rate, settings.outer_momentum)
