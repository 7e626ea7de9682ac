"""One simulation, from a scenario to its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from schedules.durations import durations
from schedules.operations import Program
from schedules.pairing import Coordinator
from schedules.platform import PlatformTable
from schedules.replay import Replay
from schedules.result import SIMULATED, Result, read_replay, summarise
from schedules.scenario import Scenario, ScenarioError, load, physical_network
from schedules.setup import OBSERVE, Setup
from schedules.trace import Recorder
from schedules.worker import Worker
from simulator.fabric import Fabric
from simulator.transports import TRANSPORTS
from simulator.world import World


def simulate(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    *,
    replay: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Result:
    """Simulate a scenario: a file, tables of the same shape, or one that is resolved already.

    Args:
        scenario: what to simulate.
        replay: a run directory whose trace is to be followed: its order, times, peers and arrivals.
        overrides: dotted keys to change in the scenario, e.g. `{"schedule.rate": 2}`.
    Raises:
        ScenarioError: if the scenario is wrong, or the trace is unreadable or of another scenario.
        ScheduleError: if the run cannot go on (deadlock, replay divergence, a program's mistake).
    """
    resolved = scenario if isinstance(scenario, Scenario) else load(scenario, overrides)
    followed = Replay(*read_replay(replay, resolved)) if replay is not None else None
    recorder = Recorder() if resolved.run.trace else None
    setup = Setup(resolved, is_recorded=recorder is not None)
    world = build_world(setup, recorder, followed)
    world.run()
    return _result(setup, world)


def build_world(
    setup: Setup,
    recorder: Recorder | None = None,
    replay: Replay | None = None,
    programs: Callable[[Worker], Mapping[str, Program]] | None = None,
) -> World:
    """The simulated world of a set-up, ready to run; `programs` replaces those of its schedule."""
    scenario = setup.scenario
    workers = scenario.topology.workers
    world = World(
        ledger=setup.ledger,
        gradient_ns=scenario.gradient_s * 1e9,
        transport=TRANSPORTS[scenario.platform.transport](scenario.platform),
        coordinator=Coordinator(workers, scenario.run.seed),
        recorder=recorder,
        replay=replay,
        is_in_order=is_in_order(scenario.platform),
    )
    world.fabric = _fabric(setup, world)
    for rank in range(workers):
        worker = setup.worker(rank)
        world.add(worker, Durations(scenario, rank), (programs or setup.programs)(worker), daemons=(OBSERVE,))
    return world


def is_in_order(platform: PlatformTable) -> bool:
    """Whether sends and receives of one stream wait for those before them; gloo's go by their tags."""
    return platform.order == "in-order" or (platform.order == "auto" and platform.transport != "gloo")


def _fabric(setup: Setup, world: World) -> Fabric | None:
    table, graph = setup.scenario.platform.network, physical_network(setup.scenario)
    if table is None:
        return None
    try:
        fabric = Fabric(graph, table, world.schedule)
        fabric.connect(setup.graph.to_directed().edges)
    except ValueError as error:
        raise ScenarioError(f"scenario: platform.network: {error}") from None
    return fabric


class Durations(dict[str, Callable[[], int]]):
    """For each kernel of a rank: a function that draws how many nanoseconds it takes."""

    def __init__(self, scenario: Scenario, rank: int) -> None:
        super().__init__()
        self.scenario, self.rank = scenario, rank

    def __missing__(self, kernel: str) -> Callable[[], int]:
        drawn = self[kernel] = durations(self.scenario, self.rank, kernel).__next__
        return drawn


def _result(setup: Setup, world: World) -> Result:
    scenario = setup.scenario
    makespan = max((stream.end_ns for stream in world.streams if not stream.is_daemon), default=0)
    result = Result(scenario, SIMULATED, summarise(scenario, world.ledger, makespan))
    if world.recorder is not None:
        result.trace = world.recorder.table(run=scenario.fingerprint(), world=SIMULATED)
    if setup.problem is not None:
        _add_numbers(result, setup.problem, [worker.model for worker in world.workers])
    return result


def _add_numbers(result: Result, problem: Any, models: list[Any]) -> None:
    """Final parameters, and loss, accuracy and consensus distance against time."""
    import pandas as pd

    from schedules.numeric import series

    result.parameters = np.stack([np.asarray(model.parameters(), dtype=np.float64) for model in models])
    rows = series([model.observations for model in models], problem, result.scenario.gradient_s)
    result.series = pd.DataFrame(rows)
    for key in ("loss", "accuracy", "consensus_distance"):
        if rows:
            result.summary[key] = rows[-1][key]
