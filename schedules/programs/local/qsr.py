"""QSR: local steps whose number grows as the learning rate falls: H = max(H_base, floor((alpha / eta)^2)).

eta is that of the step that comes next. During the warm-up H is H_base; the last round ends with the last step, and all
rounds end with an average.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from schedules import Compute, Positive, Program, Worker, descend
from schedules.programs.local import local_sgd
from schedules.programs.local.local_sgd import average

SOURCE = "Gu et al. 2024, A Quadratic Synchronization Rule for Distributed Deep Learning (arXiv:2310.14423)"
STATE = local_sgd.STATE
STALENESS, NEEDS_DECAY = local_sgd.STALENESS, True
IN_STEP, LENGTH, length = True, local_sgd.LENGTH, local_sgd.length


class Settings(local_sgd.Settings):
    """The keys of [schedule]."""

    alpha: Positive
    """Of the rule; in the unit of the learning rate."""


def streams(worker: Worker) -> Mapping[str, Program]:
    """The programs of a worker."""
    return {"compute": steps(worker)}


def steps(worker: Worker) -> Program:
    """The algorithm of a worker."""
    model, step = worker.model, Compute("gradient")
    for local_steps in rounds(worker):
        for _ in range(local_steps):
            gradient, _ = yield step
            model.apply(descend, gradient)
        yield from average(worker)


def rounds(worker: Worker) -> Iterator[int]:
    """Steps of each round: alike on all workers, as they have one learning rate."""
    settings, step = worker.settings, 0
    while step < settings.steps:
        rate, local_steps = worker.learning_rate(step), settings.local_steps
        if step >= worker.warmup_steps:
            fewest = settings.steps if rate == 0 else math.floor((settings.alpha / rate) ** 2)
            local_steps = max(local_steps, fewest)
        local_steps = min(local_steps, settings.steps - step)
        yield local_steps
        step += local_steps
