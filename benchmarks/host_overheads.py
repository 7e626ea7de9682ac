"""What ranks' software costs: nine schedules executed on this machine, beside what Twinclock predicts of them.

For each schedule `calibrate` measures the machine at that schedule's concurrency, and the schedule itself is executed
three times, with seeds of its own, paced. Each run is then simulated under the calibrated table, and, to compare with,
without the table's software (`platform.host`) and without a network (`transport = "none"`). An error is simulated over
measured gradients per second, minus 1: above 0 the prediction is too fast. What a machine whose cores are busy measures
says nothing of one whose are not: the share of its cores' time that the ranks took stands beside each run.

    python -m benchmarks.host_overheads --out benchmarks/results/host_overheads.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from benchmarks._shaped_hosts import busy_core_seconds
from benchmarks.shaped_links import surroundings
from executor.calibration.calibrate import Measurement, measure, num_cores
from executor.launching.launch import Ranks
from simulator import simulate

BUSY = 0.6
"""Share of the cores' time above which a run is not counted in the worst error."""

QUIET = 0.1
"""Cores that other processes may take meanwhile: a measurement beside more is made again."""

ATTEMPTS = 2
"""How often, unless the command says; the quietest counts."""

Scenario = dict[str, Any]
Measured = TypeVar("Measured")


def scenario(graph: str, workers: int, size: float, gradient_s: float, **schedule: object) -> Scenario:
    """One of the nine: messages of so many bytes, gradients that scatter by a tenth."""
    return {
        "schedule": schedule,
        "topology": {"graph": graph, "workers": workers},
        "platform": {"gradient": {"distribution": "lognormal", "mean": gradient_s, "cv": 0.1}},
        "workload": {"parameters": int(size) // 4},
        "run": {"observations": 0},
    }


CASES: Mapping[str, Scenario] = {
    "a2cid2, ring of 4, 1 MB, 30 ms": scenario("ring", 4, 1e6, 0.03, program="a2cid2", gradients=100),
    "gossip, ring of 3, 10 kB, 10 ms": scenario("ring", 3, 1e4, 0.01, program="gossip", gradients=300),
    "gossip, ring of 6, 1 MB, 20 ms": scenario("ring", 6, 1e6, 0.02, program="gossip", gradients=150),
    "a2cid2, ring of 5, 10 MB, 50 ms": scenario("ring", 5, 1e7, 0.05, program="a2cid2", gradients=60),
    "first-come gossip, ring of 4, 100 kB, 10 ms": scenario(
        "ring", 4, 1e5, 0.01, program="gossip", gradients=300, pairing="first-come"
    ),
    "d-psgd, ring of 4, 1 MB, 20 ms": scenario("ring", 4, 1e6, 0.02, program="d-psgd", gradients=150),
    "d-psgd, ring of 3, 10 MB, 30 ms": scenario("ring", 3, 1e7, 0.03, program="d-psgd", gradients=100),
    "all-reduce, 4 ranks, 10 MB, 50 ms": scenario("complete", 4, 1e7, 0.05, program="all-reduce", gradients=60),
    "overlapped all-reduce, 5 ranks, 10 MB, 30 ms": scenario(
        "complete", 5, 1e7, 0.03, program="all-reduce", gradients=100, overlap=True
    ),
}


# ---- measuring


def measured(names: Sequence[str], repeats: int, attempts: int) -> Iterator[dict[str, Any]]:
    """The table of the machine and the runs of each of these schedules."""
    with Ranks() as ranks:
        for name in names:
            print(f"{name}: calibrating", flush=True)
            found, others = quietest(lambda name=name: measure(CASES[name], ranks=ranks), attempts)
            about = {"case": name, "date": datetime.now(UTC).isoformat(timespec="seconds")}
            row = {**about, **_told(found), "others_cores": others, "runs": []}
            for seed in range(repeats):
                run, others = quietest(lambda name=name, seed=seed: _run(ranks, CASES[name], seed), attempts)
                row["runs"].append(run | {"others_cores": others})
            yield row


def quietest(make: Callable[[], Measured], attempts: int) -> tuple[Measured, float]:
    """What `make` returns, made again while others are busy beside it; and how many cores these took then."""
    found: list[tuple[float, int, Measured]] = []
    for attempt in range(attempts):
        began, before = time.monotonic(), _cpu_of_others()
        measured = make()
        others = (_cpu_of_others() - before) / (time.monotonic() - began)
        found.append((round(others, 3), attempt, measured))
        if others < QUIET:
            break
    others, _, measured = min(found, key=lambda each: each[:2])
    return measured, others


def _cpu_of_others() -> float:
    """Seconds that processes other than this one and those below it have taken of all cores."""
    return busy_core_seconds() - sum(map(_cpu_of, _with_those_below(str(os.getpid()))))


def _with_those_below(pid: str) -> Iterator[str]:
    yield pid
    with suppress(OSError):  # it is over by now
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _with_those_below(child)


def _cpu_of(pid: str) -> float:
    """Of a process and of those that it has started and that are over."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # over, and in the account of who has started it
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def _told(found: Measurement) -> dict[str, Any]:
    return {"platform": found.platform, "intervals": found.info["intervals"], "doubts": found.doubts}


def _run(ranks: Ranks, tables: Scenario, seed: int) -> dict[str, Any]:
    result = ranks.execute(tables, overrides={"run.seed": seed})
    of_ranks: Any = result.info["ranks"]
    summary = result.summary
    cpu = sum(each["cpu_s"] for each in of_ranks)
    return {
        "seed": seed,
        "gradients_per_s": summary["gradients_per_s"],
        "makespan_s": summary["makespan_s"],
        "cores_time": cpu / (summary["makespan_s"] * num_cores()),
    }


# ---- comparing


def compare(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Enter the errors of each run, and return what they come to."""
    for row in rows:
        for run in row["runs"]:
            run |= _errors(row, run)
    runs = [run for row in rows for run in row["runs"]]
    quiet = [run for row in rows for run in row["runs"] if max(row["others_cores"], run["others_cores"]) < QUIET]
    return {"all": _summary(runs), "beside_nobody": _summary(quiet) if quiet else None}


def _summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    free = [run for run in runs if run["cores_time"] < BUSY]
    found: dict[str, Any] = {"runs": len(runs), "runs_with_free_cores": len(free)}
    for key in ("error", "error_without_host", "error_without_network"):
        errors = [run[key] for run in runs]
        found[key] = {
            "median_absolute": statistics.median(map(abs, errors)),
            "mean": statistics.mean(errors),
            "worst": max(map(abs, errors)),
            "worst_where_cores_are_free": max((abs(run[key]) for run in free), default=None),
        }
    return found


def _errors(row: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, float]:
    platform = {f"platform.{key}": value for key, value in row["platform"].items() if key != "gradient"}
    plain = {key: value for key, value in platform.items() if key not in ("platform.host", "platform.collectives")}
    worlds = {
        "error": platform,
        "error_without_host": plain,
        "error_without_network": {"platform.transport": "none"},
    }
    return {
        key: simulate(CASES[row["case"]], overrides={"run.seed": run["seed"], "run.trace": False, **changes}).summary[
            "gradients_per_s"
        ]
        / run["gradients_per_s"]
        - 1
        for key, changes in worlds.items()
    }


def show(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]) -> None:
    print(f"{'':<46}{'errors':<26}{'without host':<26}{'no network':<26}cores' time (others' cores)")
    for row in rows:
        texts = [
            " ".join(f"{run[key]:+.2%}" for run in row["runs"])
            for key in ("error", "error_without_host", "error_without_network")
        ]
        shares = " ".join(f"{run['cores_time']:.0%} ({run['others_cores']:.2f})" for run in row["runs"])
        print(f"{row['case']:<46}" + "".join(f"{text:<26}" for text in texts) + shares)
        for doubt in row["doubts"]:
            print(f"  in doubt: {doubt}")
    print(json.dumps(summary, indent=1))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="the JSON file of the figures, which keeps its other cases")
    parser.add_argument("--repeats", type=int, default=3, help="of each schedule (default %(default)s)")
    parser.add_argument(
        "--attempts", type=int, default=ATTEMPTS, help="at a quiet machine, for each measurement (default %(default)s)"
    )
    parser.add_argument("--cases", type=int, nargs="*", help="only these, counted from 1")
    parser.add_argument("--of", type=Path, help="measure nothing: simulate again what this file has measured")
    options = parser.parse_args()
    if options.of:
        told = json.loads(options.of.read_text())
        about, rows = told["about"], told["cases"]
    else:
        about = surroundings() | {"command": " ".join(["python -m benchmarks.host_overheads", *sys.argv[1:]])}
        names = [list(CASES)[number - 1] for number in options.cases or range(1, len(CASES) + 1)]
        rows = [row for row in _kept(options.out) if row["case"] not in names]
        for row in measured(
            names, options.repeats, options.attempts
        ):  # written as they come: a machine may be wanted back
            rows = sorted([*rows, row], key=lambda each: list(CASES).index(each["case"]))
            _write(options.out, {"about": about, "cases": rows})
    summary = compare(rows)
    show(rows, summary)
    _write(options.out, {"about": about, "summary": summary, "cases": rows})
    return 0


def _kept(path: Path | None) -> list[dict[str, Any]]:
    """What is measured already, of other schedules."""
    rows: list[dict[str, Any]] = json.loads(path.read_text())["cases"] if path is not None and path.exists() else []
    return rows


def _write(path: Path | None, told: Mapping[str, object]) -> None:
    if path is not None:
        path.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
