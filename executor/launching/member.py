"""One rank of a cluster, from its place to the run directory.

Every rank keeps its records on its own machine while it runs; afterwards they go through the store to rank 0, which
writes the run directory.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from executor import rank_report as report
from executor.agreement.news import DEAD, News, decode
from executor.agreement.store import KeptStore, SharedStore, connect, keep_store
from executor.launching.cluster import Place
from executor.rank import run_rank
from executor.seat import Seat, Task
from schedules.errors import ScheduleError
from schedules.record.files import Info
from schedules.record.quantities import throughput, with_unit
from schedules.record.words.quantity import SECONDS
from schedules.runs.followed import Followed, read_replay
from schedules.runs.kept import keep_run, time_of_run
from schedules.scenario import Scenario, ScenarioError

NOTHING = "nothing"
"""In the place of a file's number of chunks: its rank has failed, and there is none."""

CHUNK = 1 << 22
"""Bytes of a file that go through the store at once."""


def run_in_cluster(scenario: Scenario, place: Place, out: Path, replay: str | None) -> int:
    """Run one rank; rank 0 collects what all have recorded and writes the run directory. Returns the exit status."""
    if place.num_workers != scenario.topology.workers:
        found = f"{place.num_workers} processes"
        raise ScenarioError(
            f"scenario: topology.workers = {scenario.topology.workers}: expected as many, found {found}"
        )
    kept, before = _keep_store(place), time_of_run(out)
    directory = Path(tempfile.mkdtemp(prefix=f"twinclock-rank{place.rank}-"))
    followed = None if replay is None else read_replay(replay, scenario)
    scenario = scenario if followed is None else followed.scenario
    order = _order(scenario, followed, directory)
    # The first six fields of a `Place` are the first six of a `Seat`.
    seat = Seat(*place[:6], prefix=f"twinclock/{place.run}", directory=directory)
    status = run_rank(order, seat)
    store = connect(seat.host, seat.port, seat.prefix)
    if status == 0:
        try:
            told = {} if followed is None else followed.told()
            _collect(store, scenario, seat, (out, before), {"is_replay": followed is not None, **told})
        except ScheduleError as error:  # another rank has failed after the run, or the run is kept in another place
            print(f"executor: {error}", file=sys.stderr)
            status = 1
        shutil.rmtree(directory)  # its files are in the run directory by now, or in the store
    else:
        store.set(f"file/{report.stem(directory, seat.rank).name}.npz", NOTHING)
        _complain(seat, _news(store, seat))
        print(f"rank {seat.rank}: what was recorded until then is in {directory}", file=sys.stderr)
    _leave(store, seat)
    del kept  # it has been kept until here
    return status


def _keep_store(place: Place) -> KeptStore | None:
    """Rank 0 keeps the store, unless torchrun does."""
    return keep_store(place.host, place.port) if place.rank == 0 and not place.is_store_kept else None


def _order(scenario: Scenario, followed: Followed | None, directory: Path) -> Task:
    if followed is None:
        return Task(scenario.tables())
    path = directory / "replay.parquet"
    followed.trace.to_parquet(path)
    return Task(scenario.tables(), str(path), followed[1:4])


def _collect(store: SharedStore, scenario: Scenario, seat: Seat, place: tuple[Path, int | None], told: Info) -> None:
    """`place`: of the run directory, and `time_of_run` of it before the run."""
    suffixes = (".npz", ".rows", ".names") if scenario.run.is_recorded else (".npz",)
    if seat.rank != 0:
        for suffix in suffixes:
            hand_in(store, report.stem(seat.directory, seat.rank).with_suffix(suffix))
        return
    for rank in range(1, seat.num_workers):
        for suffix in suffixes:
            fetch(store, report.stem(seat.directory, rank).with_suffix(suffix))
    result = report.merge(scenario, seat.directory, {"launcher": "executor", **told})
    out, before = place
    keep_run(result, out, found=before)
    makespan = with_unit(result.summary["makespan_s"], SECONDS)
    line = ", ".join(filter(None, (makespan, throughput(result.summary))))
    print(f"{seat.num_workers} ranks: {line}; written to {out}")


def hand_in(store: SharedStore, path: Path) -> None:
    """Put a file into the store, a chunk a key."""
    data = path.read_bytes()
    chunks = [data[begin : begin + CHUNK] for begin in range(0, len(data), CHUNK)]
    for number, chunk in enumerate(chunks):
        store.set(f"file/{path.name}/{number}", chunk)
    # Last: who fetches waits for this key, and then finds all chunks.
    store.set(f"file/{path.name}", str(len(chunks)))


def fetch(store: SharedStore, path: Path) -> None:
    """Inverse of `hand_in`; the chunks are removed, as the store keeps them in memory.

    Raises:
        ScheduleError: what the rank has told of itself, if there is no file as it has failed.
    """
    told = store.get(f"file/{path.name}").decode()
    if told == NOTHING:
        raise decode(store.get("news")).exception()
    with path.open("wb") as file:
        for number in range(int(told)):
            key = f"file/{path.name}/{number}"
            file.write(store.get(key))
            store.delete_key(key)


def _news(store: SharedStore, seat: Seat) -> News:
    return decode(store.get("news")) if store.check(["news"]) else News(DEAD, seat.rank, "the run ended without news")


def _complain(seat: Seat, news: News) -> None:
    # The news is the same for all: of n ranks two at most print it.
    if seat.rank == 0 or news.rank == seat.rank:
        print(f"executor: {news.message}{news.detail and chr(10) + news.detail}", file=sys.stderr)


def _leave(store: SharedStore, seat: Seat) -> None:
    """Who keeps the store waits until nobody needs it any more."""
    store.set(f"left/{seat.rank}", "")
    if seat.rank == 0:
        silent = _news(store, seat).silent
        try:
            store.wait(
                [f"left/{rank}" for rank in range(seat.num_workers) if rank not in silent], timedelta(seconds=10)
            )
        except Exception as error:  # somebody died: there is nobody to wait for
            print(f"executor: {error}", file=sys.stderr)
