"""Small runs of hand-written programs in the simulated world."""

from collections.abc import Callable, Mapping
from typing import Any

from schedules.operations import Program
from schedules.record.trace import Recorder
from schedules.scenario import load
from schedules.setup import Setup
from schedules.training.readout import ReadOuts
from schedules.worker import Worker
from simulator.run import build_world
from simulator.world import World

Programs = Callable[[Worker], Mapping[str, Program]]


def build(programs: Programs, workers: int = 2, *, recorder: Recorder | None = None, **overrides: Any) -> World:
    """A world of `workers` on a complete graph: gradients of 1 s, links of 1 MB/s and 1 ms, parameters of 8 kB."""
    scenario = load(
        {
            "schedule": {"program": "gossip", "gradients": 10},
            "topology": {"graph": "complete", "workers": workers},
            "platform": {"gradient": {"mean": 1.0}, "link": {"bandwidth": 1e6, "latency": 1e-3}},
            "workload": {"parameters": 2000},
        },
        {key.replace("__", "."): value for key, value in overrides.items()},
    )
    setup = Setup(scenario, is_recorded=recorder is not None)
    return build_world(setup, recorder, programs=programs)


def run(programs: Programs, workers: int = 2, **options: Any) -> World:
    """Build and run."""
    world = build(programs, workers, **options)
    world.run()
    return world


def read_outs(setup: Setup, rank: int) -> ReadOuts:
    """Of a worker with one model."""
    found: Any = setup.read_outs[rank]
    of_it: ReadOuts = found[0] if isinstance(found, list) else found
    return of_it
