"""Steps of pipelines per second: simulated, of a SimPy model by hand, of torch's own dry run, and re-timed; in one run.

Workers by micro-batches, of `1f1b`, `zb-h2` and `interleaved-1f1b` (2 chunks) under a pure latency. A step is what one
rank computes at a time (F, B, W or D).

* `world` is the simulated world without trace, from its first event to its last.
* `bare` is what one writes by hand in SimPy: a process a rank, a timeout a step, an event a message. It says when
  things end, and no more. It is timed likewise: both are given the order, and are made before the clock starts.
* `torch` is `_simulate_comms_compute` with the lowering that it needs, `_add_send_recv`. It has no times: an action is
  a step of its clock.
* `retime` is the longest path over the order with one variant, from a fresh order: what each cell waits for is worked
  out anew. `again` is a further variant of the same order.

Building the order is timed apart. Then 1,000 variants of 8 workers and 32 micro-batches, each with its own durations of
every stage and its own latency, beside the simulations of 50 of them, which come to the same nanoseconds at every step.

    python -m benchmarks.pipeline_speed --out benchmarks/results/pipeline_speed.json
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import simpy

from schedules.orders import Order, Step, build, retime, steps_of
from schedules.record.origin import host, versions
from schedules.record.trace import Recorder
from schedules.scenario import Scenario, load
from schedules.setup import Setup
from simulator.run import build_world

SIZES = ((8, 32), (32, 256), (64, 512))
PROGRAMS = {"1f1b": 1, "zb-h2": 1, "interleaved-1f1b": 2}
"""With their chunks."""
KERNELS = {"F": "forward", "B": "backward-input", "W": "backward-weight", "D": "backward"}
TORCH = {"F": "F", "B": "I", "W": "W", "D": "B"}
NANOSECONDS = {"forward": 1_000_003, "backward": 2_000_011, "backward-input": 1_000_033, "backward-weight": 999_979}
LATENCY_NS = 500_009
VARIANTS, COMPARED = 1000, 50


def scenario(program: str, workers: int, micro_batches: int, kernels: dict[str, Any], latency_ns: int) -> Scenario:
    chunks = PROGRAMS[program]
    return load(
        {
            "schedule": {"program": program, "micro_batches": micro_batches}
            | ({"chunks": chunks} if chunks > 1 else {}),
            "topology": {"workers": workers},
            "platform": {
                "transport": "latency",
                "link": {"latency": latency_ns / 1e9, "bandwidth": "1 TB/s"},
                "kernels": kernels,
            },
            "workload": {},
        }
    )


def even(chunks: int) -> dict[str, float]:
    """The seconds of a worker's whole part, which its chunks share."""
    return {name: chunks * ns / 1e9 for name, ns in NANOSECONDS.items()}


def durations_of(order: Order) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([NANOSECONDS[KERNELS[steps_of(cell)[0].kind]] for cell in order.cells])


class BareModel:
    """A pipeline in plain SimPy, whose messages are timeouts that begin when they are sent."""

    def __init__(self, order: Order) -> None:
        self.env = simpy.Environment()
        self.order = order
        self.sent: dict[Step, simpy.Event] = {}
        self.wanted: dict[Step, simpy.Event] = {}
        for rank in range(len(order.ranks)):
            self.env.process(self.rank(rank))

    def rank(self, rank: int) -> Iterator[simpy.Event]:
        env, order, sent, wanted = self.env, self.order, self.sent, self.wanted
        for step in order.ranks[rank]:
            kind, stage, k = step
            source, target = order.before(stage), order.after(stage)
            if kind != "F":
                source, target = target, source
            if kind != "W" and source is not None and order.place[source] != rank:
                message = sent.pop(step, None)
                if message is None:  # not sent yet
                    wanted[step] = env.event()
                    message = yield wanted[step]
                if not message.processed:
                    yield message
            yield env.timeout(NANOSECONDS[KERNELS[kind]])
            if kind != "W" and target is not None and order.place[target] != rank:
                message, to = env.timeout(LATENCY_NS), Step(kind, target, k)
                if to in wanted:
                    wanted.pop(to).succeed(message)
                else:
                    sent[to] = message


def run_bare(order: Order) -> float:
    model = BareModel(order)
    seconds = timed(model.env.run)
    assert model.env.now == retime(order, durations_of(order), LATENCY_NS)[1].max()
    return seconds


def run_world(case: Scenario, order: Order) -> float:
    world = build_world(Setup(case, is_recorded=False), None)
    seconds = timed(world.run)
    assert world.ledger.now == retime(order, durations_of(order), LATENCY_NS)[1].max()
    return seconds


def run_torch(order: Order) -> float:
    from torch.distributed.pipelining.schedules import (
        _Action,
        _add_send_recv,
        _ComputationType,
        _simulate_comms_compute,
    )

    actions = {
        rank: [_Action(stage, _ComputationType(TORCH[kind]), k) for kind, stage, k in cells]
        for rank, cells in enumerate(order.ranks)
    }
    stages, place = len(order.place), order.place.__getitem__
    return timed(lambda: _simulate_comms_compute(_add_send_recv(actions, place, stages), place, stages))


def timed(call: Callable[[], object]) -> float:
    """Processor seconds of a call."""
    gc.collect()
    begin = time.process_time()
    call()
    return time.process_time() - begin


def measure(program: str, workers: int, micro_batches: int, repeats: int) -> dict[str, Any]:
    """Steps per second, and their quotients: medians of repetitions that take turns."""
    chunks = PROGRAMS[program]
    case = scenario(program, workers, micro_batches, even(chunks), LATENCY_NS)
    order = build(program, workers, micro_batches, chunks=chunks)
    durations = durations_of(order)
    runs: dict[str, Callable[[], float]] = {
        "build": lambda: timed(lambda: build(program, workers, micro_batches, chunks=chunks)),
        "world": lambda: run_world(case, order),
        "bare": lambda: run_bare(order),
        "torch": lambda: run_torch(order),
        "retime": lambda: timed(lambda: retime(replace(order), durations, LATENCY_NS)),
        "again": lambda: timed(lambda: retime(order, durations, LATENCY_NS)),
    }
    rates: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            rates[name].append(len(order.cells) / run())
    row: dict[str, Any] = {"program": program, "workers": workers, "micro_batches": micro_batches}
    row |= {"steps": len(order.cells)} | {f"{name}_per_s": statistics.median(its) for name, its in rates.items()}
    for one, other in (("world", "bare"), ("retime", "torch")):
        pairs = zip(rates[one], rates[other], strict=True)
        row[f"{one}_over_{other}"] = statistics.median(mine / theirs for mine, theirs in pairs)
    return row


def variants(program: str, repeats: int) -> dict[str, Any]:
    """Many variants at once beside simulations, and whether these agree."""
    workers, micro_batches, chunks = 8, 32, PROGRAMS[program]
    order = build(program, workers, micro_batches, chunks=chunks)
    random = np.random.default_rng(5)
    kinds = sorted({steps_of(cell)[0].kind for cell in order.cells})
    lasts = {kind: random.integers(1_000, 3_000_000, (len(order.place), VARIANTS)) for kind in kinds}
    latencies = random.integers(0, 2_000_000, VARIANTS)
    durations = np.array([lasts[kind][stage] for kind, stage, _ in (steps_of(cell)[0] for cell in order.cells)])
    seconds = statistics.median(timed(lambda: retime(replace(order), durations, latencies)) for _ in range(repeats))
    start, end = retime(order, durations, latencies)
    simulated, equal = [], 0
    for each in range(COMPARED):
        kernels = {KERNELS[kind]: [int(ns) / 1e9 for ns in its[:, each]] for kind, its in lasts.items()}
        case = scenario(program, workers, micro_batches, kernels, int(latencies[each]))
        world = build_world(Setup(case, is_recorded=False), None)
        simulated.append(timed(world.run))
        build_world(Setup(case), recorder := Recorder()).run()
        trace = recorder.table("", "simulated")
        rows = trace[trace["op"] == "Compute"].sort_values(["rank", "start_ns"], kind="stable")
        equal += bool((rows["start_ns"] == start[:, each]).all() and (rows["end_ns"] == end[:, each]).all())
    whole = statistics.mean(simulated) * VARIANTS
    return {
        "program": program,
        "variants": VARIANTS,
        "retime_s": seconds,
        "simulations_s": whole,
        "share": seconds / whole,
        "equal_to_the_ns": f"{equal} of {COMPARED}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", type=int, default=len(SIZES), help="how many sizes, from the smallest")
    parser.add_argument("--out", help="write the figures to this JSON file")
    arguments = parser.parse_args()
    speed, load = [], os.getloadavg()[0]
    gc.freeze()  # what is imported is not looked through before each run
    for workers, micro_batches in SIZES[: arguments.sizes]:
        for program in PROGRAMS:
            speed.append(measure(program, workers, micro_batches, arguments.repeats))
            show(speed[-1])
    many = []
    for program in PROGRAMS:
        many.append(variants(program, arguments.repeats))
        show(many[-1])
    if arguments.out:
        command = f"python -m benchmarks.pipeline_speed --repeats {arguments.repeats} --sizes {arguments.sizes}"
        info = {"date": datetime.now(UTC).isoformat(), "command": command, "load_before": load}
        info |= {"host": host(), "versions": versions()}
        with open(arguments.out, "w", encoding="utf-8") as file:
            json.dump({**info, "speed": speed, "variants": many}, file, indent=2)


def show(row: dict[str, Any]) -> None:
    for key, value in row.items():
        digits = 0 if "per_s" in key else 5
        print(f"{key:>18} {value:>14.{digits}f}" if isinstance(value, float) else f"{key:>18} {value:>14}", flush=True)
    print()


if __name__ == "__main__":
    main()
