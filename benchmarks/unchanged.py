"""Whether a change of the code has changed any number: every schedule and example, here and at an earlier commit.

    python -m benchmarks.unchanged --base COMMIT            # prints what differs; exit status 1 if anything does
    python -m benchmarks.unchanged --base COMMIT --only gossip

The same cases are run twice on this machine, by this tree and by a work tree of the other commit, in processes of their
own. Compared are digests of every column of the traces, of the tables of links, memory and series, of every key of the
summaries, and of the final parameters, bit for bit. What is measured in real time cannot be equal, so of the executor
it is the parameters of replays that are compared: there the order decides, not the time.

Only what both trees have is compared; a case, column or key that one of them lacks is told.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TABLES = ("trace", "links", "memory", "series")
NO_DATA = ("run",)
"""The fingerprint of the scenario, which says what was run and not what came of it."""

BASE: dict[str, Any] = {
    "schedule": {"program": "gossip", "gradients": 12},
    "topology": {"graph": "exponential", "workers": 8},
    "platform": {
        "gradient": {"mean": "10 ms", "distribution": "lognormal", "cv": 0.3},
        "link": {"bandwidth": "1 Gbit/s", "latency": "200 us"},
        "overhead": "100 us",
    },
}
TIMING = {"workload.parameters": 100_000, "workload.activations": "1 MB"}
NUMERIC = {"workload.problem": "quadratic", "workload.dtype": "float64", "optimizer.momentum": 0.9}

PROGRAMS: dict[str, dict[str, Any]] = {
    "all-reduce": {},
    "all-reduce-overlap": {"schedule.program": "all-reduce", "schedule.overlap": True, "schedule.bucket_size": 1e5},
    "d-psgd": {},
    **{
        f"{name}-{pairing}-{clock}": {
            "schedule.program": name,
            "schedule.rate": rate,
            "schedule.pairing": pairing,
            "schedule.gradient_clock": clock,
        }
        for name, (pairing, rate), clock in product(
            ("gossip", "a2cid2"), (("edge-clock", 1.5), ("first-come", 0.7)), ("free", "poisson")
        )
    },
}

FAULTS = {"outages": [{"rank": 2, "at": "31 ms", "back": "83 ms"}, {"rank": 5, "at": 0, "back": "25 ms"}]}
PLATFORMS: dict[str, dict[str, Any]] = {
    "ideal": {},
    "gloo": {"platform.transport": "gloo"},
    "in-order-gloo": {"platform.transport": "gloo", "platform.order": "in-order"},
    "racks": {
        "platform.network": {"kind": "racks", "hosts_per_rack": 4, "uplink_bandwidth": "1 Gbit/s"},
        "topology.graph": "ring",
    },
    "racks-gloo": {
        "platform.network": {"kind": "racks", "hosts_per_rack": 4, "uplink_bandwidth": "1 Gbit/s"},
        "platform.transport": "gloo",
    },
    "gpu_nodes": {
        "platform.network": {"kind": "gpu_nodes", "gpus_per_node": 4, "bandwidth": "10 Gbit/s"},
        "platform.collectives": {"all_reduce": "hierarchical"},
    },
    "closed": {
        "platform.network": {"kind": "fabric", "bandwidth": "1 Gbit/s", "latency": "20 us"},
        "platform.collectives": {"form": "closed"},
    },
    "slow-ranks": {
        "platform.speed": {"3": 0.5},
        "platform.stragglers": {"slowdown": 3, "mean_normal": "60 ms", "mean_slow": "30 ms"},
        "platform.communication_slowdown": 1.4,
    },
    "faults": {"platform.faults": FAULTS},
    "faults-gloo": {"platform.faults": {**FAULTS, "detection": "5 ms"}, "platform.transport": "gloo"},
    "random-faults": {
        "platform.faults": {"mean_time_to_failure": "150 ms", "mean_time_to_repair": "20 ms"},
        "platform.network": {"kind": "fat_tree", "bandwidth": "1 Gbit/s"},
    },
}


def cases() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    """Name, scenario (a file, or tables) and overrides of every case."""
    for example in sorted(Path("examples").glob("*.toml")):
        if has_jobs(example):
            continue  # see `digests_of_jobs`
        few = {"run.numerics": False} if "module" in example.read_text(encoding="utf-8") else {}
        yield f"example {example.stem}", str(example), few
    for (program, settings), (platform, table) in product(PROGRAMS.items(), PLATFORMS.items()):
        name = settings.get("schedule.program", program)
        yield f"{program} on {platform}", BASE, {"schedule.program": name, **settings, **table, **TIMING}
    for (program, settings), numeric in product(PROGRAMS.items(), ("ideal", "racks-gloo", "faults")):
        name = settings.get("schedule.program", program)
        overrides = {"schedule.program": name, **settings, **PLATFORMS[numeric], **NUMERIC}
        yield f"{program} with numbers on {numeric}", BASE, overrides
    for graph, problem in product(("ring", "star", "complete"), ("digits-mlp", "logistic-regression")):
        overrides = {"topology.graph": graph, "schedule.program": "a2cid2", "workload.problem": problem}
        yield f"a2cid2 on {graph}, {problem}", BASE, overrides
    precise = {"run.until": "precision", "run.precision": 0.1, **TIMING}
    for program in ("all-reduce", "gossip"):
        yield f"{program} until a precision", BASE, {"schedule.program": program, **precise}


def has_jobs(example: Path) -> bool:
    """Whether a file has several scenarios on one network."""
    return "[[job]]" in example.read_text(encoding="utf-8")


def digests_of_jobs(only: str) -> dict[str, dict[str, str]]:
    """What every job of every example comes to, beside the others."""
    found = {}
    for example in filter(has_jobs, sorted(Path("examples").glob("*.toml"))):
        if only in f"example {example.stem}":
            from simulator import simulate_jobs  # earlier trees have neither

            for each in simulate_jobs(str(example)):
                found[f"example {example.stem}, job {each.job.name}"] = digest(each.together)
    return found


REPLAYED = ("all-reduce", "all-reduce-overlap", "d-psgd", "gossip-edge-clock-free", "a2cid2-first-come-free")


def digests(only: str) -> dict[str, dict[str, str]]:
    """What every case comes to, in the tree that is imported: digests by what they are of."""
    import numpy as np

    from simulator import simulate

    found = digests_of_jobs(only)
    for name, source, overrides in cases():
        if only in name:
            try:
                found[name] = digest(simulate(source, overrides=overrides))
            except Exception as error:
                found[name] = {"error": f"{type(error).__name__}: {error}"}
    if not any(only in f"replay of {program}" for program in REPLAYED):
        return found
    from executor import Ranks, execute

    with Ranks() as ranks:
        for program in REPLAYED:
            settings = PROGRAMS[program]
            overrides = {"schedule.program": settings.get("schedule.program", program), **settings, **NUMERIC}
            overrides |= {"topology.workers": 4, "topology.graph": "ring"}
            simulated = simulate(BASE, overrides=overrides)
            measured = execute(BASE, overrides=overrides, replay=simulated, ranks=ranks)
            found[f"replay of {program}"] = {"parameters": _hash(np.asarray(measured.parameters).tobytes())}
    return found


def digest(result: Any) -> dict[str, str]:
    """Of all data of a run."""
    told = {}
    for name in TABLES:
        table = getattr(result, name)
        for column in () if table is None else table.columns:
            if column not in NO_DATA:
                told[f"{name}.{column}"] = _hash(repr(table[column].tolist()).encode())
    for key, value in result.summary.items():
        told[f"summary.{key}"] = _hash(json.dumps(value, sort_keys=True).encode())
    if result.parameters is not None:
        told["parameters"] = _hash(result.parameters.tobytes())
    return told


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def run_in(tree: Path, only: str) -> dict[str, dict[str, str]]:
    """The digests of a tree, from a process of its own that imports nothing of another."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, str(Path(__file__).resolve()), "--digests", "--only", only]
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{tree}: {done.stderr}")
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def differences(before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """A line for whatever is not equal."""
    for case in dict.fromkeys([*before, *now]):
        ours, theirs = now.get(case, {}), before.get(case, {})
        for key in dict.fromkeys([*theirs, *ours]):
            if ours.get(key) != theirs.get(key):
                yield f"{case}: {key}: {theirs.get(key, 'absent')} before, {ours.get(key, 'absent')} now"


def main() -> int:
    """Exit status 0 if nothing differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--base", default="HEAD", help="the commit to compare with (default: the last)")
    parser.add_argument("--only", default="", metavar="TEXT", help="only cases whose name has this in it")
    parser.add_argument("--digests", action="store_true", help="print the digests of the tree that is imported")
    options = parser.parse_args()
    if options.digests:
        print(json.dumps(digests(options.only)))
        return 0
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place) / "before"
        subprocess.run(["git", "-C", ROOT, "worktree", "add", "--quiet", "--detach", tree, options.base], check=True)
        try:
            before = run_in(tree, options.only)
        finally:
            subprocess.run(["git", "-C", ROOT, "worktree", "remove", "--force", tree], check=True)
    now = run_in(ROOT, options.only)
    found = list(differences(before, now))
    for line in found:
        print(line)
    num_digests = sum(map(len, now.values()))
    failed = sum("error" in each for each in now.values())
    print(f"{len(now)} cases ({failed} of them end in an error), {num_digests} digests: {len(found)} differ")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
