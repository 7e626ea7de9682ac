"""Simulated operations per second of DiLoCo, beside a bare SimPy model of the same, in one run.

256 workers, 20 rounds of 100 local steps and an all-reduce, timing only. `bare` is what one writes by hand: a process a
worker, a timeout a step, an event a round that the last to come sets off after the ring's time. It says when things
end, and no more: no staleness, no bytes, no shares of time. All draw the same durations (drawing is timed) and must
come to the same number of operations, steps and all-reduces of each worker, and to the same end.

    python -m benchmarks.low_communication --out benchmarks/results/low_communication.json
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import simpy

from schedules.operations import AllReduce
from schedules.platform.durations import durations
from schedules.platform.transports import TRANSPORTS
from schedules.record.origin import host, versions
from schedules.record.trace import Recorder
from schedules.scenario import Scenario, load
from schedules.setup import Setup
from simulator.run import build_world, makespan_of

WORKERS, ROUNDS, LOCAL_STEPS = 256, 20, 100


def scenario(workers: int = WORKERS, rounds: int = ROUNDS, local_steps: int = LOCAL_STEPS) -> Scenario:
    """What both simulate."""
    return load(
        {
            "schedule": {"program": "diloco", "rounds": rounds, "local_steps": local_steps},
            "topology": {"graph": "complete", "workers": workers},
            "platform": {
                "link": {"bandwidth": "10 Gbit/s", "latency": "50 us"},
                "gradient": {"distribution": "lognormal", "mean": "120 ms", "cv": 0.1},
                "collectives": {"all_reduce": "ring"},
            },
            "workload": {"parameters": 25_557_032},
        }
    )


class BareRounds:
    """DiLoCo in plain SimPy."""

    def __init__(self, case: Scenario) -> None:
        self.env = simpy.Environment()
        self.workers = case.topology.workers
        self.num_operations = 0
        self.num_come = 0
        self.over = self.env.event()
        link, size = case.platform.link, case.parameter_bytes or 0
        took = TRANSPORTS[case.platform.transport].collective_seconds
        self.ring_ns = round(took(AllReduce, self.workers, size, link.bandwidth, link.latency, algorithm="ring") * 1e9)
        for rank in range(self.workers):
            drawn = durations(case.platform, case.run.seed, rank, "gradient")
            self.env.process(self.work(drawn, case.schedule.rounds, case.schedule.local_steps))

    def work(self, drawn: Iterator[int], rounds: int, local_steps: int) -> Any:
        env = self.env
        for _ in range(rounds):
            for _ in range(local_steps):
                yield env.timeout(next(drawn))
                self.num_operations += 1
            over = self.over
            self.num_come += 1
            if self.num_come < self.workers:
                yield over
            else:
                self.num_come, self.over = 0, env.event()
                yield env.timeout(self.ring_ns)
                over.succeed()
            self.num_operations += 1


Run = tuple[float, int, int]
"""Processor seconds, operations, and the nanosecond at which all has ended."""


def run_bare(case: Scenario) -> Run:
    """The model by hand."""
    model = BareRounds(case)
    seconds = timed(model.env.run)
    return seconds, model.num_operations, model.env.now


def run_ours(case: Scenario, *, trace: bool) -> Run:
    """The simulator's loop, as the command runs it."""
    world = build_world(Setup(case, is_recorded=trace), Recorder() if trace else None)
    seconds = timed(world.run)
    rounds = case.schedule.rounds * case.topology.workers
    return seconds, world.ledger.contributions.num_gradients + rounds, makespan_of(world)


def timed(call: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    gc.collect()
    begin = time.process_time()
    call()
    return time.process_time() - begin


def measure(case: Scenario, repeats: int) -> dict[str, Any]:
    """Medians over interleaved repetitions, and of the ratios within each."""
    runs: dict[str, Callable[[], Run]] = {
        "bare": lambda: run_bare(case),
        "ours": lambda: run_ours(case, trace=False),
        "traced": lambda: run_ours(case, trace=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    ends = set()
    for _ in range(repeats):
        for name, run in runs.items():
            seconds, count, end_ns = run()
            rates[name].append(count / seconds)
            ends.add((count, end_ns))
    assert len(ends) == 1, f"expected the same operations and the same end from all, found {ends}"
    row: dict[str, Any] = {"workers": case.topology.workers, "operations": ends.pop()[0], "repeats": repeats}
    row |= {f"{name}_per_s": statistics.median(values) for name, values in rates.items()}
    for ours in ("ours", "traced"):
        found = [mine / theirs for mine, theirs in zip(rates[ours], rates["bare"], strict=True)]
        row |= {f"{ours}_over_bare": statistics.median(found), f"{ours}_over_bare_range": [min(found), max(found)]}
    return row


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", help="write the figures to this JSON file")
    arguments = parser.parse_args()
    row = measure(scenario(), arguments.repeats)
    for key, value in row.items():
        shown = ", ".join(f"{each:.3f}" for each in value) if isinstance(value, list) else f"{value:,.3f}"
        print(f"{key:>22} {shown}", flush=True)
    if arguments.out:
        command = f"python -m benchmarks.low_communication --repeats {arguments.repeats}"
        info = {"date": datetime.now(UTC).isoformat(), "command": command, "load": os.getloadavg()}
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump({**info, "host": host(), "versions": versions(), "speed": row}, file, indent=2)
            file.write("\n")


if __name__ == "__main__":
    main()
