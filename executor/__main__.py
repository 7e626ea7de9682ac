"""One rank of a cluster: `torchrun ... -m executor SCENARIO`, `srun python -m executor SCENARIO`.

Without a launcher's environment it starts all ranks on this machine, as `twinclock execute` does. Every rank keeps its
records on its own machine while it runs; afterwards they go to rank 0, which writes the run directory: no shared
directory is needed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from schedules.errors import ScheduleError
from schedules.record.files import check_target
from schedules.result import read_replay
from schedules.scenario import Scenario, ScenarioError, read_value

if TYPE_CHECKING:
    from executor.agreement.news import News

CHUNK = 1 << 22
"""Bytes of a file that go through the store at once."""


class Place(NamedTuple):
    """What a cluster's launcher says of a rank, and where rank 0's store is (or the launcher's own)."""

    rank: int
    num_workers: int
    local_rank: int
    local_size: int
    host: str
    port: int
    run: str
    is_store_kept: bool


def place_in_cluster(environment: dict[str, str]) -> Place | None:
    """From the variables of torchrun or of Slurm; None if neither has started this process."""
    if "RANK" in environment and "MASTER_ADDR" in environment:
        return _of_torchrun(environment)
    if "SLURM_PROCID" in environment and int(environment.get("SLURM_NTASKS", "1")) > 1:
        return _of_slurm(environment)
    return None


def _of_torchrun(environment: dict[str, str]) -> Place:
    size = int(environment["WORLD_SIZE"])
    run = f"{environment.get('TORCHELASTIC_RUN_ID', 'run')}-{environment.get('TORCHELASTIC_RESTART_COUNT', '0')}"
    return Place(
        rank=int(environment["RANK"]),
        num_workers=size,
        local_rank=int(environment.get("LOCAL_RANK", environment["RANK"])),
        local_size=int(environment.get("LOCAL_WORLD_SIZE", size)),
        host=environment["MASTER_ADDR"],
        port=int(environment["MASTER_PORT"]),
        run=run,
        is_store_kept=environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
    )


def _of_slurm(environment: dict[str, str]) -> Place:
    job, step = int(environment.get("SLURM_JOB_ID", "0")), environment.get("SLURM_STEP_ID", "0")
    tasks = environment.get("SLURM_STEP_TASKS_PER_NODE", environment.get("SLURM_TASKS_PER_NODE", "1"))
    return Place(
        rank=int(environment["SLURM_PROCID"]),
        num_workers=int(environment["SLURM_NTASKS"]),
        local_rank=int(environment.get("SLURM_LOCALID", "0")),
        local_size=tasks_of_node(tasks, int(environment.get("SLURM_NODEID", "0"))),
        host=environment.get("MASTER_ADDR") or _first_host(environment.get("SLURM_JOB_NODELIST", "localhost")),
        port=int(environment.get("MASTER_PORT", 20_000 + job % 20_000)),
        run=f"{job}.{step}",
        is_store_kept=False,
    )


def tasks_of_node(text: str, node: int) -> int:
    """Slurm's `2(x3),1`: how many tasks the node of that number has."""
    counts: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if match is None:
            raise ValueError(f"SLURM_TASKS_PER_NODE: expected a list such as 2(x3),1, found {text!r}")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts[min(node, len(counts) - 1)]


def _first_host(nodes: str) -> str:
    """The first of Slurm's `node[01-04,07]`."""
    try:
        shown = subprocess.run(["scontrol", "show", "hostnames", nodes], capture_output=True, text=True, check=True)
        return shown.stdout.split()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        return re.sub(r"\[(\d+).*", r"\1", nodes.split(",")[0] if "[" not in nodes else nodes)


def run_in_cluster(scenario: Scenario, place: Place, out: Path, replay: str | None) -> int:
    """Run one rank; rank 0 collects what all have recorded and writes the run directory. Returns the exit status."""
    from executor.rank import Order, Seat, run_rank

    if place.num_workers != scenario.topology.workers:
        found = f"{place.num_workers} processes"
        raise ScenarioError(
            f"scenario: topology.workers = {scenario.topology.workers}: expected as many, found {found}"
        )
    store = _store(place)
    directory = Path(tempfile.mkdtemp(prefix=f"twinclock-rank{place.rank}-"))
    order = Order(scenario.tables(), *_replay(scenario, replay, directory))
    seat = Seat(*place[:6], prefix=f"twinclock/{place.run}", directory=directory)
    status = run_rank(order, seat)
    if status == 0:
        status = _collect(scenario, seat, out, is_replay=replay is not None)
        shutil.rmtree(directory)
    else:
        _complain(seat, _news(seat))
        print(f"rank {seat.rank}: what was recorded until then is in {directory}", file=sys.stderr)
    _leave(seat)
    del store
    return status


def _store(place: Place) -> Any:
    """Rank 0 keeps the store, unless torchrun does."""
    from executor.agreement.control import keep_store

    if place.rank == 0 and not place.is_store_kept:
        return keep_store(place.host, place.port)
    return None


def _replay(scenario: Scenario, replay: str | None, directory: Path) -> tuple[str | None, float]:
    if replay is None:
        return None, 1.0
    trace, gradient_s = read_replay(replay, scenario)
    path = directory / "replay.parquet"
    trace.to_parquet(path)
    return str(path), gradient_s


def _collect(scenario: Scenario, seat: Any, out: Path, *, is_replay: bool) -> int:
    from executor import rank_report as report
    from executor.agreement.control import connect

    store = connect(seat.host, seat.port, seat.prefix)
    suffixes = (".npz", ".rows", ".names") if scenario.run.trace else (".npz",)
    paths = [report.stem(seat.directory, seat.rank).with_suffix(suffix) for suffix in suffixes]
    if seat.rank != 0:
        for path in paths:
            _hand_in(store, path)
        return 0
    for rank in range(1, seat.num_workers):
        for suffix in suffixes:
            _fetch(store, report.stem(seat.directory, rank).with_suffix(suffix))
    result = report.merge(scenario, seat.directory, {"launcher": "executor", "is_replay": is_replay})
    result.save(out)
    makespan, speed = result.summary["makespan_s"], result.summary["gradients_per_s"]
    print(f"{seat.num_workers} ranks: {makespan:.3f} s, {speed:.1f} gradients/s; written to {out}")
    return 0


def _hand_in(store: Any, path: Path) -> None:
    """Put a file into the store, a chunk a key."""
    data = path.read_bytes()
    chunks = [data[begin : begin + CHUNK] for begin in range(0, len(data), CHUNK)]
    for number, chunk in enumerate(chunks):
        store.set(f"file/{path.name}/{number}", chunk)
    store.set(f"file/{path.name}", str(len(chunks)))


def _fetch(store: Any, path: Path) -> None:
    """Inverse of `_hand_in`; the chunks are removed."""
    with path.open("wb") as file:
        for number in range(int(store.get(f"file/{path.name}"))):
            key = f"file/{path.name}/{number}"
            file.write(store.get(key))
            store.delete_key(key)


def _news(seat: Any) -> News:
    from executor.agreement.control import connect
    from executor.agreement.news import DEAD, News, decode

    store = connect(seat.host, seat.port, seat.prefix)
    return decode(store.get("news")) if store.check(["news"]) else News(DEAD, seat.rank, "the run ended without news")


def _complain(seat: Any, news: News) -> None:
    if seat.rank == 0 or news.rank == seat.rank:
        print(f"executor: {news.message}{news.detail and chr(10) + news.detail}", file=sys.stderr)


def _leave(seat: Any) -> None:
    """Who keeps the store waits until nobody needs it any more."""
    from executor.agreement.control import connect

    store = connect(seat.host, seat.port, seat.prefix)
    store.set(f"left/{seat.rank}", "")
    if seat.rank == 0:
        from datetime import timedelta

        try:
            store.wait([f"left/{rank}" for rank in range(seat.num_workers)], timedelta(seconds=10))
        except Exception as error:  # somebody died: there is nobody to wait for
            print(f"executor: {error}", file=sys.stderr)


def main() -> int:
    """The command line. Exit status 0, 1 (the run failed) or 2 (bad input)."""
    from executor.launching.launch import executable

    parser = argparse.ArgumentParser(prog="python -m executor", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("scenario", help="TOML file")
    parser.add_argument("--out", default="runs/measured", help="run directory (default: %(default)s)")
    parser.add_argument("--replay", help="run directory whose trace is to be followed")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the scenario")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON (single machine)")
    options = parser.parse_args()
    try:
        pairs = [each.partition("=")[::2] for each in options.set]
        scenario = executable(options.scenario, {key: read_value(value) for key, value in pairs})
        check_target(Path(options.out))
        place = place_in_cluster(dict(os.environ))
        if place is not None:
            return run_in_cluster(scenario, place, Path(options.out), options.replay)
        return _run_here(scenario, options)
    except ScenarioError as error:
        print(f"executor: {error}", file=sys.stderr)
        return 2
    except ScheduleError as error:
        print(f"executor: {error}", file=sys.stderr)
        return 1


def _run_here(scenario: Scenario, options: argparse.Namespace) -> int:
    from executor.launching.launch import execute

    result = execute(scenario, out=options.out, replay=options.replay)
    if options.json:
        print(json.dumps(result.summary))
    else:
        makespan, speed = result.summary["makespan_s"], result.summary["gradients_per_s"]
        print(f"{makespan:.3f} s, {speed:.1f} gradients/s; written to {options.out}")
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # threads may wait for a rank that is gone
