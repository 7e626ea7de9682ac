"""Simulated operations per second, beside hand-written SimPy models of the same events, in one run.

Asynchronous gossip on a ring, timing only: every worker computes back to back and averages at the ticks of its edges.

* `bare` is what one writes by hand: plain processes (one for the gradients and one for the gossip of a worker),
timeouts
  and events, and nothing else: it says when things end, and no more.
* `counting` is the same with the totals that our summary has: staleness in versions and seconds, busy, waiting and
  transfer times, bytes.

All draw the same clocks and durations (drawing is timed) and must come to the same number of operations.

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
from schedules.platform.durations import durations
from schedules.record.origin import host, versions
from schedules.record.trace import Recorder
from schedules.scenario import Scenario, load
from schedules.setup import Setup
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
        self.size = case.parameter_bytes or 0
        link = case.platform.link
        self.transfer_ns = round(link.latency * 1e9) + round(self.size / link.bandwidth * 1e9)
        self.waiting: dict[tuple[int, int, int], simpy.Event] = {}
        self.num_operations = 0
        clocks = Setup(case, is_recorded=False).clocks
        for rank in range(case.topology.workers):
            drawn = durations(case.platform, case.run.seed, rank, "gradient")
            self.env.process(self.compute(rank, drawn, case.schedule.gradients))
            self.env.process(self.gossip(rank, clocks))

    def compute(self, rank: int, drawn: Iterator[int], gradients: int) -> Any:
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


class CountingModel(BareModel):
    """The same, with the totals of a summary."""

    def __init__(self, case: Scenario) -> None:
        workers = case.topology.workers
        self.version = [0] * workers
        self.staleness: list[tuple[int, int]] = []
        self.computing, self.transferring, self.waited, self.sent = ([0] * workers for _ in range(4))
        super().__init__(case)

    def compute(self, rank: int, drawn: Iterator[int], gradients: int) -> Any:
        env = self.env
        for _ in range(gradients):
            read, since = self.version[rank], env.now
            duration = next(drawn)
            yield env.timeout(duration)
            self.staleness.append((self.version[rank] - read, env.now - since))
            self.version[rank] += 1
            self.computing[rank] += duration
            self.num_operations += 1

    def gossip(self, rank: int, clocks: Clocks) -> Any:
        env, waiting, gradient_ns = self.env, self.waiting, self.gradient_ns
        for at, peer, index in clocks.edges(rank):
            delay = int(at * gradient_ns + 0.5) - env.now
            if delay > 0:
                yield env.timeout(delay)
            key = (rank, peer, index) if rank < peer else (peer, rank, index)
            since = env.now
            done = waiting.pop(key, None)
            if done is None:
                done = waiting[key] = env.event()
                yield done
            else:
                yield env.timeout(self.transfer_ns)
                done.succeed()
            self.waited[rank] += env.now - since - self.transfer_ns
            self.transferring[rank] += self.transfer_ns
            self.sent[rank] += self.size
            self.version[rank] += 1
            self.num_operations += 2


def run_model(case: Scenario, kind: type[BareModel]) -> tuple[float, int]:
    model = kind(case)
    seconds = timed(model.env.run)
    return seconds, model.num_operations


def run_ours(case: Scenario, *, trace: bool) -> tuple[float, int]:
    world = build_world(Setup(case, is_recorded=trace), Recorder() if trace else None)
    seconds = timed(world.run)
    gradients = world.ledger.contributions.num_gradients
    return seconds, gradients + 2 * int(world.ledger.totals().num_exchanges.sum())


def timed(call: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    gc.collect()
    begin = time.process_time()
    call()
    return time.process_time() - begin


def measure(workers: int, gradients: int, repeats: int) -> dict[str, Any]:
    case = scenario(workers, gradients)
    runs: dict[str, Callable[[], tuple[float, int]]] = {
        "bare": lambda: run_model(case, BareModel),
        "counting": lambda: run_model(case, CountingModel),
        "ours": lambda: run_ours(case, trace=False),
        "traced": lambda: run_ours(case, trace=True),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    counts = set()
    for _ in range(repeats):
        for name, run in runs.items():
            seconds, count = run()
            rates[name].append(count / seconds)
            counts.add(count)
    assert len(counts) == 1, f"expected the same number of operations from all, found {counts}"
    row: dict[str, Any] = {"workers": workers, "operations": counts.pop()}
    row |= {f"{name}_per_s": statistics.median(values) for name, values in rates.items()}
    for ours in ("ours", "traced"):
        for model in ("bare", "counting"):
            pairs = zip(rates[ours], rates[model], strict=True)
            row[f"{ours}_over_{model}"] = statistics.median(mine / theirs for mine, theirs in pairs)
    return row


def memory(workers: int) -> dict[str, float]:
    """Bytes a worker of the built world, and bytes that each further row of the trace adds."""
    built, short, few = _traced_bytes(workers, 20)
    _, long, many = _traced_bytes(workers, 60)
    return {"workers": workers, "bytes_a_worker": built / workers, "bytes_a_row": (long - short) / (many - few)}


def _traced_bytes(workers: int, gradients: int) -> tuple[int, int, int]:
    tracemalloc.start()
    world = build_world(Setup(scenario(workers, gradients)), recorder := Recorder())
    built = tracemalloc.get_traced_memory()[0]
    world.run()
    ended = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return built, ended, len(recorder.rows) // 112


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", help="write the figures to this JSON file")
    arguments = parser.parse_args()
    rows = []
    for workers, gradients in SIZES.items():
        row = measure(workers, gradients, arguments.repeats)
        rows.append(row)
        for key, value in row.items():
            print(f"{key:>22} {value:>12.2f}" if "over" in key else f"{key:>22} {value:>12.0f}", flush=True)
        print()
    used = [memory(workers) for workers in (64, 256, 1024)]
    for each in used:
        print("{workers:>5} workers: {bytes_a_worker:.0f} bytes a worker, {bytes_a_row:.0f} bytes a row".format(**each))
    if arguments.out:
        info = {"date": datetime.now(UTC).isoformat(), "host": host(), "versions": versions()}
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump({**info, "speed": rows, "memory": used}, file, indent=2)


if __name__ == "__main__":
    main()
