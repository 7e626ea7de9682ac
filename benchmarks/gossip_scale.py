"""What large simulations of gossip cost: time and memory, a process a run, two at a time.

* `published`: A²CiD² with the numbers of ImageNet, 64 workers and 14,075 gradients each (90 epochs of batches of 128),
  on three graphs at three rates, timing only. `end`: every worker makes its gradients; `precision`: the same until its
  throughput is known to 2 %; `total`: until all have made as many together, as the official code ends.
* `large`: 10,000 workers on a random regular graph, 100 gradients each.
* `spectra`: chi_1 and chi_2 of 10,000 workers.

Wall time is that of a run, with building; where the machine has other work, processor time, which has the imports too,
says more. Memory is the highest resident set of the process, all of it.

    python -m benchmarks.gossip_scale --out benchmarks/results/gossip_scale.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from itertools import product
from multiprocessing import get_context
from typing import Any

from schedules.record.origin import host, versions
from schedules.scenario import load

GRAPHS = ("complete", "exponential", "ring")
RATES = (0.5, 1.0, 2.0)
SEEDS = (0, 1, 2)
WORKERS, GRADIENTS = 64, 14_075
LARGE, FEW = 10_000, 100
SPECTRA = ("random-regular", "ring", "torus", "exponential")
KEPT = ("gradients", "gradients_per_s", "throughput_mean", "exchange_rate", "makespan_s", "precision_reached", "events")

Row = dict[str, Any]


def scenario(graph: str, rate: float, seed: int, run: Mapping[str, object], **sizes: object) -> dict[str, Any]:
    """ResNet-50 on links of 100 Gbit/s."""
    workers, gradients = sizes.get("workers", WORKERS), sizes.get("gradients", GRADIENTS)
    return {
        "schedule": {"program": sizes.get("program", "a2cid2"), "gradients": gradients, "rate": rate},
        "topology": {"graph": graph, "workers": workers},
        "platform": {
            "link": {"bandwidth": "100 Gbit/s", "latency": "50 us"},
            "gradient": {"distribution": "lognormal", "mean": "120 ms", "cv": 0.1},
        },
        "workload": {"parameters": 25_557_032},
        "run": {"seed": seed, "trace": False, **run},
    }


def simulated(tables: dict[str, Any]) -> Row:
    """Simulate, in this process."""
    from simulator import simulate

    summary = simulate(load(tables, is_forced=True)).summary
    return {key: summary[key] for key in KEPT if key in summary}


def spectrum(graph: str, workers: int) -> Row:
    """chi_1 and chi_2 of a graph with the rate 1 a worker."""
    import topologies

    rated = topologies.with_rates(topologies.build(graph, workers))
    begin = time.perf_counter()
    chi_1 = topologies.chi_1(rated)
    between = time.perf_counter()
    chi_2 = topologies.chi_2(rated)
    end = time.perf_counter()
    return {"chi_1": chi_1, "chi_2": chi_2, "chi_1_s": between - begin, "chi_2_s": end - between}


def costing(call: Callable[..., Row], *arguments: object) -> Row:
    """What a call gave, and what it cost a process of its own."""
    wall = time.perf_counter()
    told = call(*arguments)
    own = resource.getrusage(resource.RUSAGE_SELF)
    cost = {"wall_s": time.perf_counter() - wall, "cpu_s": own.ru_utime + own.ru_stime}
    return {**cost, "peak_mb": own.ru_maxrss * 1024 / 1e6, **told}


def published(gradients: int) -> Iterator[tuple[Row, dict[str, Any]]]:
    """The runs of 64 workers."""
    ends: dict[str, dict[str, object]] = {
        "precision": {"until": "precision", "precision": 0.02},
        "end": {},
        "total": {"until": "gradients", "total": WORKERS * gradients},
    }
    for end, graph, rate, seed in product(ends, GRAPHS, RATES, SEEDS):
        if end != "total" or (rate, seed) == (1.0, 0):
            named = {"end": end, "graph": graph, "rate": rate, "seed": seed}
            yield named, scenario(graph, rate, seed, ends[end], gradients=gradients)


def rows_of(jobs: Iterable[tuple[Row, Callable[..., Row], tuple[object, ...]]], at_a_time: int) -> list[Row]:
    """A process a job, so that one's memory is not another's; in the order of the jobs."""
    found: dict[int, Row] = {}
    jobs = list(jobs)
    with ProcessPoolExecutor(at_a_time, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        running = {pool.submit(costing, call, *given): place for place, (_, call, given) in enumerate(jobs)}
        for future in as_completed(running):
            place = running[future]
            found[place] = row = {**jobs[place][0], **future.result()}
            told = " ".join(
                f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in row.items()
            )
            print(told, file=sys.stderr, flush=True)
    return [found[place] for place in range(len(jobs))]


def totals(rows: Iterable[Row], wall_s: float) -> Row:
    rows = list(rows)
    return {
        "runs": len(rows),
        "wall_s": wall_s,
        "cpu_s": sum(row["cpu_s"] for row in rows),
        "peak_mb": max(row["peak_mb"] for row in rows),
        "gradients": sum(row["gradients"] for row in rows),
    }


def measure_published(gradients: int, at_a_time: int) -> Row:
    jobs = list(published(gradients))
    told: Row = {}
    for end in ("precision", "end", "total"):
        begin = time.perf_counter()
        rows = rows_of([(named, simulated, (tables,)) for named, tables in jobs if named["end"] == end], at_a_time)
        told[end] = {**totals(rows, time.perf_counter() - begin), "rows": rows}
    return told


def measure_large(workers: int, gradients: int, at_a_time: int) -> list[Row]:
    sizes = {"workers": workers, "gradients": gradients}
    return rows_of(
        [
            (
                {"program": program, **sizes},
                simulated,
                (scenario("random-regular", 1.0, 0, {}, program=program, **sizes),),
            )
            for program in ("gossip", "a2cid2")
        ],
        at_a_time,
    )


def measure_spectra(workers: int) -> list[Row]:
    return rows_of([({"graph": graph, "workers": workers}, spectrum, (graph, workers)) for graph in SPECTRA], 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=("published", "large", "spectra"), help="all unless said")
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the gradients, or of the workers of a large run"
    )
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument(
        "--out", help="write the figures to this JSON file; parts that are not measured stay as they are there"
    )
    arguments = parser.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    gradients, workers = max(1, round(GRADIENTS * arguments.scale)), max(100, round(LARGE * arguments.scale))
    parts: dict[str, Callable[[], object]] = {
        "published": lambda: measure_published(gradients, arguments.jobs),
        "large": lambda: measure_large(workers, FEW, 1),
        "spectra": lambda: measure_spectra(workers),
    }
    for part in arguments.part or parts:
        begin = os.getloadavg()[0]
        figures = parts[part]()
        told = {
            "command": f"python -m benchmarks.gossip_scale --part {part} --scale {arguments.scale:g}",
            "date": datetime.now(UTC).isoformat(),
            "host": {"processor": processor(), **{key: host()[key] for key in ("system", "cores")}},
            "versions": versions(),
            "load_before": begin,
            "figures": figures,
        }
        keep(arguments.out, part, told)


def processor() -> str:
    """The model of the machine's processors."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        return next((line.partition(":")[2].strip() for line in file if line.startswith("model name")), "unknown")


def keep(path: str | None, part: str, told: Row) -> None:
    """Print a part, and write it beside what the file has of others."""
    print(json.dumps({part: told}, indent=2))
    if path is None:
        return
    found: Row = {}
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**found, part: told}, file, indent=2)
        file.write("\n")


if __name__ == "__main__":
    main()
