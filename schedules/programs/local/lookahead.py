"""DiLoCo with one replica: steps are data-parallel, and every H of them there is an outer step without a message."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Compute, Program, Worker, descend
from schedules.programs.averaging import averaged
from schedules.programs.local import outer
from schedules.programs.local.outer import change, outer_step

SOURCE = "Charles et al. 2025, Scaling Laws for DiLoCo (arXiv:2503.09799), M = 1; Zhang et al. 2019 (arXiv:1907.08610)"
STALENESS = "none: every step waits for all gradients"
IN_STEP, LENGTH = True, "rounds"

STATE, Settings, length, read_out = outer.STATE, outer.Outer, outer.length, outer.read_out


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": rounds(worker)}


def rounds(worker: Worker) -> Program:
    """The algorithm of a worker."""
    model, settings = worker.model, worker.settings
    for _ in range(settings.rounds):
        for _ in range(settings.local_steps):
            gradient, _ = yield Compute("gradient")
            mean = yield from averaged(worker, gradient)
            model.apply(descend, mean)
        delta = model.payload(change, to="theta")
        model.apply(outer_step, delta, settings.outer_learning_rate, settings.outer_momentum)
