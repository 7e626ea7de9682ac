"""The null model of a simulation: the same run in a world without a network.

What a prediction is worth is what it adds to this one, which knows of the schedule, the clocks and the kernels only.
"""

from __future__ import annotations

from schedules.errors import ScenarioError, ScheduleError
from schedules.result import Result
from schedules.scenario import load
from simulator.run import simulate

NULL = "null"
"""Where a report keeps it, below its own directory."""

_CHANGES = {"platform.transport": "none", "platform.host": None, "run.numerics": False, "run.trace": True}


def null_model(run: Result) -> tuple[Result | None, str]:
    """Simulate a run's resolved scenario, with its seed, where every transfer ends when its last member is there;
    timing only.

    Returns:
        the null model and ""; or None and the reason, as where a scenario needs a module of the user's that is not
        here: what else is told of a prediction is told without it.
    """
    try:
        return simulate(load(run.tables, _CHANGES, is_forced=True)), ""
    except (ScenarioError, ScheduleError) as error:
        return None, f"No error without a network is told, as that could not be simulated: {error}"
