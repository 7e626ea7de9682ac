"""Simulated operations per second, beside a hand-written SimPy model of the same events, in one run.

Asynchronous gossip on a ring, timing only: every worker computes back to back and averages at the ticks of its edges.
The bare model is what one writes by hand: plain processes (one for the gradients and one for the gossip of each worker),
timeouts and events, nothing else: no trace, no staleness, no utilisation, no other schedule. It draws the same clocks and
durations (drawing is timed in both), and must come to the same number of operations.

    python -m benchmarks.gossip_speed --out benchmarks/results/gossip_speed.json
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import simpy

from schedules.clocks import Clocks
from schedules.durations import durations
from schedules.result import host, versions
from schedules.scenario import Scenario, load
from schedules.setup import Setup
from schedules.trace import Recorder
from simulator.run import build_world

SIZES = {64: 1000, 1024: 60, 10_000: 12}
"""Workers, and gradients a worker, so that each run takes some seconds."""


def scenario(workers: int, gradients: int) -> Scenario:
    return load(
        {
            "schedule": {"program": "gossip", "gradients": gradients, "rate": 1.0},
            "topology": {"graph": "ring", "workers": workers},
            "platform": {
                "link": {"bandwidth": "10 Gbit/s", "latency": "50 us"},
                "gradient": {"distribution": "lognormal", "mean": "120 ms", "cv": 0.1},
            },
            "workload": {"parameters": 25_557_032},
        }
    )


class BareModel:
    """Gossip in plain SimPy."""

    def __init__(self, case: Scenario) -> None:
        self.env = simpy.Environment()
        self.gradient_ns = case.gradient_s * 1e9
        link = case.platform.link
        self.transfer_ns = round(link.latency * 1e9) + round((case.parameter_bytes or 0) / link.bandwidth * 1e9)
        self.waiting: dict[tuple[int, int, int], simpy.Event] = {}
        self.num_operations = 0
        clocks = Setup(case, is_recorded=False).clocks
        for rank in range(case.topology.workers):
            self.env.process(self.compute(durations(case, rank, "gradient"), case.schedule.gradients))
            self.env.process(self.gossip(rank, clocks))

    def compute(self, drawn: Iterator[int], gradients: int) -> Any:
        for _ in range(gradients):
            yield self.env.timeout(next(drawn))
            self.num_operations += 1

    def gossip(self, rank: int, clocks: Clocks) -> Any:
        env, waiting, gradient_ns = self.env, self.waiting, self.gradient_ns
        for at, peer, index in clocks.edges(rank):
            delay = int(at * gradient_ns + 0.5) - env.now
            if delay > 0:
                yield env.timeout(delay)
            key = (rank, peer, index) if rank < peer else (peer, rank, index)
            done = waiting.pop(key, None)
            if done is None:
                done = waiting[key] = env.event()
                yield done
            else:
                yield env.timeout(self.transfer_ns)
                done.succeed()
            self.num_operations += 2


def run_bare(case: Scenario) -> tuple[float, int]:
    model = BareModel(case)
    seconds = timed(model.env.run)
    return seconds, model.num_operations


def run_ours(case: Scenario, *, trace: bool) -> tuple[float, int]:
    world = build_world(Setup(case, is_recorded=trace), Recorder() if trace else None)
    seconds = timed(world.run)
    gradients = len(world.ledger.staleness()[0])
    return seconds, gradients + 2 * int(world.ledger.num_exchanges().sum())


def timed(call: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    gc.collect()
    begin = time.process_time()
    call()
    return time.process_time() - begin


def measure(workers: int, gradients: int, repeats: int) -> dict[str, Any]:
    case = scenario(workers, gradients)
    rates: dict[str, list[float]] = {"bare": [], "ours": [], "traced": []}
    for _ in range(repeats):
        seconds, count = run_bare(case)
        rates["bare"].append(count / seconds)
        for name in ("ours", "traced"):
            seconds, ours = run_ours(case, trace=name == "traced")
            assert ours == count, f"expected the same {count} operations, found {ours}"
            rates[name].append(ours / seconds)
    ratios = {
        name: statistics.median(a / b for a, b in zip(rates[name], rates["bare"], strict=True))
        for name in ("ours", "traced")
    }
    return {"workers": workers, "operations": count, **{k: statistics.median(v) for k, v in rates.items()}, "ratios": ratios}


def memory(workers: int, gradients: int) -> dict[str, float]:
    """Bytes a worker and bytes a row of the trace."""
    tracemalloc.start()
    world = build_world(Setup(scenario(workers, gradients)), recorder := Recorder())
    built = tracemalloc.get_traced_memory()[0]
    world.run()
    ended = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    num_rows = len(recorder.rows) // 112
    return {"workers": workers, "bytes_a_worker": built / workers, "rows": num_rows, "bytes_a_row": (ended - built) / num_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", help="write the figures to this JSON file")
    arguments = parser.parse_args()
    print(f"{'workers':>8} {'operations':>11} {'bare/s':>10} {'ours/s':>10} {'ratio':>6} {'traced/s':>10} {'ratio':>6}")
    rows = []
    for workers, gradients in SIZES.items():
        row = measure(workers, gradients, arguments.repeats)
        rows.append(row)
        print(
            f"{workers:>8} {row['operations']:>11} {row['bare']:>10.0f} {row['ours']:>10.0f} {row['ratios']['ours']:>6.2f} "
            f"{row['traced']:>10.0f} {row['ratios']['traced']:>6.2f}",
            flush=True,
        )
    used = [memory(workers, 20) for workers in (64, 256, 1024)]
    for each in used:
        print("{workers:>8} workers: {bytes_a_worker:.0f} bytes a worker, {bytes_a_row:.0f} bytes a row".format(**each))
    if arguments.out:
        info = {"date": datetime.now(UTC).isoformat(), "host": host(), "versions": versions()}
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump({**info, "speed": rows, "memory": used}, file, indent=2)


if __name__ == "__main__":
    main()
