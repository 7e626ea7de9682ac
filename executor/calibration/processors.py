"""What a schedule takes of the processors, and what an exchange takes while nothing else does.

A simulation has a core for whoever wants one. Where ranks share the cores of one machine, a case may ask for more than
there are: whether it does is asked of these numbers before it is executed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from executor.calibration.calibrate import check_has_links, probe
from executor.calibration.probes import ALONE, MOST
from executor.launching.launch import Ranks, execute
from schedules.operations import Exchange
from schedules.result import Result
from schedules.scenario import Source, load


def exchange_alone_s(scenario: Source, ranks: Ranks | None = None) -> float:
    """The median of what an exchange of the scenario's model takes between two ranks while all others wait, in seconds.

    Raises:
        ScenarioError: if the scenario is wrong, or has one worker.
        ScheduleError: if the run fails.
    """
    resolved = load(scenario)
    check_has_links(resolved)
    size = int(probe(resolved).schedule.size)
    # Only its first phases: no kernels beside, and no messages but these.
    fewer = {"schedule.sizes": [size], "schedule.kinds": [], "schedule.gradients": 1}
    trace = execute(probe(resolved), overrides=fewer, ranks=ranks).trace
    assert trace is not None  # the probe asks for one
    rows = trace[trace["op"].eq(Exchange.__name__) & (trace["tag"] // MOST).eq(ALONE)]
    return float((rows["end_ns"] - rows["ready_ns"]).median() / 1e9)


class ProcessorTimes(NamedTuple):
    """Seconds of a core."""

    gradient_s: float
    """A gradient, with what its rank does for it."""
    averaging_s: float
    """An exchange, at each of its two ends: the message, and what the schedule computes of it."""

    def of(self, exchange_rate: float) -> float:
        """Seconds of a core that a rank takes for a gradient and so many averagings."""
        return self.gradient_s + exchange_rate * self.averaging_s


def processor_times(runs: Sequence[Result]) -> ProcessorTimes:
    """What a gradient and an averaging take, by least squares over runs whose exchange rates differ.

    Args:
        runs: measured ones, of one model.
    Raises:
        ValueError: if there are fewer than two.
    """
    if len(runs) < 2:
        raise ValueError(f"processor_times: expected at least 2 runs, found {len(runs)}")
    counts = np.array([[run.summary["gradients"], 2 * run.summary["exchanges"]] for run in runs], dtype=np.float64)
    taken = np.array([_taken_s(run.info) for run in runs])
    gradient_s, averaging_s = np.linalg.lstsq(counts, taken)[0].tolist()
    return ProcessorTimes(max(gradient_s, 0.0), max(averaging_s, 0.0))


def _taken_s(info: Mapping[str, object]) -> float:
    """Processor time of all ranks of a run."""
    ranks = info["ranks"]
    assert isinstance(ranks, list)
    return float(sum(each["cpu_s"] for each in ranks))
