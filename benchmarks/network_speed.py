"""Contended transfers per second: the network's two solvers beside a naive global re-solve in numpy.

A ring of workers joined by full-duplex links of equal bandwidth. Every worker sends all the time, over 8 consecutive
links; a new transfer of random size starts the moment the old one ends. Two traffics:

* "one way": always clockwise, so the sharing is the same after each hand-over, if one looks;
* "either way": clockwise or back, drawn anew for each transfer, so every hand-over moves rates.

The naive network knows the same shortcut about instants (it solves once for all that begins or ends in one), but then
shares all bandwidth among all flows anew. Its progressive filling is vectorised over flows and links, and in one round
fixes every link that is the tightest for each of its flows, so that it needs a handful of rounds where the textbook's
one level a round needs up to hundreds. Every solver must handle the same number of transfers, and each transfer must
end at the same time (1e-6 relative).

Rates are transfers per second of this process's CPU time (nothing here uses a second thread), which keeps out most of
what else the machine does; the median of all runs, and the slowest and fastest. Timing starts when four times as many
transfers have ended as there are workers, so that what is done once is over.

    python benchmarks/network_speed.py --out network_speed.json
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from simulator.network.calls import CallClock
from simulator.network.links import LinkId, LinkSpec
from simulator.network.network import Network
from simulator.network.sharing import Solver

NUM_HOPS = 8
BANDWIDTH = 1.25e9
TICKS_PER_SECOND = 10**15
"""Traffic like this amplifies small differences: a nanosecond's rounding grows to microseconds within 30 transfers."""
WARM_UP = 4  # transfers a worker, on average
FAST_RUNS = 2  # of the two quick solvers for each of the naive one, which takes longer than all of them
RINGS = (64, 256, 1024)
TRAFFICS = ("one way", "either way")
SOLVERS = ("naive", "python", "numba")
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Carrier(Protocol):
    """What the two kinds of network have in common, as the benchmark uses them."""

    def route(self, links: Sequence[LinkId], /) -> Any: ...
    def start(self, route: Any, size: float, now: int, done: Callable[[], object], /) -> object: ...


class Demand(NamedTuple):
    """Which link sequences each worker may use, and its transfers in order: sizes in bytes, and which sequence."""

    routes: list[list[list[int]]]
    sizes: list[list[float]]
    turns: list[list[int]]


class Result(NamedTuple):
    seconds: float
    num_flows: int
    num_calls: int
    ends: list[list[int]]  # by worker, ticks


def ring_demand(num_workers: int, traffic: str, num_flows: int, seed: int = 0) -> Demand:
    """Transfers enough for every worker; links 0 ... n-1 run clockwise, the others back."""
    rng = np.random.default_rng([seed, num_workers])
    length = 4 * (num_flows // num_workers + WARM_UP)
    sizes = rng.uniform(0.5e6, 1.5e6, (num_workers, length)).round()
    turns = rng.integers(0, 2 if traffic == "either way" else 1, (num_workers, length))
    forth = [[(worker + hop) % num_workers for hop in range(NUM_HOPS)] for worker in range(num_workers)]
    back = [[num_workers + (worker - hop) % num_workers for hop in range(NUM_HOPS)] for worker in range(num_workers)]
    return Demand([list(pair) for pair in zip(forth, back, strict=True)], sizes.tolist(), turns.tolist())


def run_ring(make: Callable[[CallClock], Carrier], demand: Demand, num_flows: int) -> Result:
    """Keep every worker sending; time `num_flows` transfers, after the warm-up."""
    clock = CallClock()
    network = make(clock)
    routes = [[network.route(links) for links in choice] for choice in demand.routes]
    ends: list[list[int]] = [[] for _ in routes]
    num_ended, started_at, warm_up = 0, 0.0, WARM_UP * len(routes)
    seconds, num_calls = 0.0, 0

    def sender(worker: int) -> Callable[[], None]:
        transfers = iter(zip(demand.sizes[worker], demand.turns[worker], strict=True))
        choice, ended = routes[worker], ends[worker]

        def send_next() -> None:
            size, turn = next(transfers)
            network.start(choice[turn], size, clock.now, done)

        def done() -> None:
            nonlocal num_ended, started_at, num_calls
            ended.append(clock.now)
            num_ended += 1
            if num_ended == warm_up:
                started_at, num_calls = time.process_time(), clock.num_calls
            elif num_ended == warm_up + num_flows:
                raise _EnoughError
            send_next()

        return send_next

    for worker in range(len(routes)):
        clock.call_at(0, sender(worker))
    try:
        clock.run()
    except _EnoughError:
        seconds = time.process_time() - started_at
    return Result(seconds, num_ended - warm_up, clock.num_calls - num_calls, ends)


class _EnoughError(Exception):
    pass


class NaiveNetwork:
    """Transfers over routes of equal length; everything is shared out anew whenever anything begins or ends."""

    def __init__(self, bandwidths: Floats, num_slots: int, clock: CallClock) -> None:
        self._bandwidths = bandwidths / TICKS_PER_SECOND  # bytes per tick
        self._clock = clock
        self._routes = np.zeros((num_slots, NUM_HOPS), np.int64)
        self._remaining = np.zeros(num_slots)
        self._rates = np.zeros(num_slots)
        self._finish = np.full(num_slots, np.inf)
        self._done: list[Callable[[], object] | None] = [None] * num_slots
        self._free = list(range(num_slots - 1, -1, -1))
        self._since = self._settle_at = self._version = -1

    def route(self, links: Sequence[LinkId], /) -> Ints:
        return np.array(links)

    def start(self, route: Ints, size: float, now: int, done: Callable[[], object], /) -> None:
        self._advance(now)
        slot = self._free.pop()
        self._routes[slot], self._remaining[slot], self._done[slot] = route, size, done
        self._change(now)

    def _advance(self, now: int) -> None:
        if now != self._since:
            self._remaining -= self._rates * (now - self._since)
            self._since = now

    def _change(self, now: int) -> None:
        if self._settle_at != now:
            self._settle_at = now
            self._clock.call_at(now, self._settle)

    def _settle(self) -> None:
        now, self._settle_at = self._settle_at, -1
        in_use = np.array([done is not None for done in self._done]) if self._free else slice(None)
        self._rates[in_use] = max_min_rates(self._routes[in_use], self._bandwidths)
        self._finish.fill(np.inf)
        self._finish[in_use] = now + self._remaining[in_use] / self._rates[in_use]
        at = max(now, round(self._finish.min()))
        self._version += 1
        version = self._version
        self._clock.call_at(at, lambda: self._end(at, version))

    def _end(self, now: int, version: int) -> None:
        if version != self._version:
            return
        self._advance(now)
        slots = np.flatnonzero(self._finish <= now + 0.5).tolist()
        callbacks = [self._done[slot] for slot in slots]
        for slot in slots:
            self._done[slot], self._rates[slot], self._finish[slot] = None, 0.0, np.inf
        self._free += slots
        self._change(now)
        for done in callbacks:
            assert done is not None
            done()


def max_min_rates(routes: Ints, bandwidths: Floats) -> Floats:
    """Max-min fair rates of flows whose routes (links [num_flows, num_hops]) are of equal length.

    A link whose level is the least for all its flows can be fixed at once, whatever happens elsewhere.
    """
    num_links, num_hops = len(bandwidths), routes.shape[1]
    rates = np.zeros(len(routes))
    rising = np.arange(len(routes))
    room = bandwidths.copy()
    count = np.bincount(routes.ravel(), minlength=num_links)
    while len(rising):
        level = np.divide(room, count, out=np.full(num_links, np.inf), where=count > 0)
        full = level <= level.min() * (1 + 1e-12)
        flow_level = level[routes].min(axis=1)
        if not full[count > 0].all():
            least = np.full(num_links, np.inf)
            np.minimum.at(least, routes.ravel(), np.repeat(flow_level, num_hops))
            full = (count > 0) & (level <= least * (1 + 1e-12))
        fixed = full[routes].any(axis=1)
        rates[rising[fixed]] = flow_level[fixed]
        links = routes[fixed].ravel()
        room -= np.bincount(links, np.repeat(flow_level[fixed], num_hops), minlength=num_links)
        count -= np.bincount(links, minlength=num_links)
        rising, routes = rising[~fixed], routes[~fixed]
    return rates


def make_carrier(solver: str, num_workers: int, clock: CallClock) -> Carrier:
    num_links = 2 * num_workers
    if solver == "naive":
        return NaiveNetwork(np.full(num_links, BANDWIDTH), num_workers, clock)
    links: dict[LinkId, LinkSpec] = {link: LinkSpec(BANDWIDTH) for link in range(num_links)}
    choice: Solver = "numba" if solver == "numba" else "python"
    return Network(links, clock.call_at, solver=choice, ticks_per_second=TICKS_PER_SECOND)


def measure(num_workers: int, demand: Demand, num_flows: int, repeats: int) -> dict[str, tuple[Result, list[float]]]:
    """Runs of each solver in turn, so that they meet the same weather: the last result and all durations."""
    seconds: dict[str, list[float]] = {solver: [] for solver in SOLVERS}
    results = {}
    for solver in ("naive", *["python", "numba"] * FAST_RUNS) * repeats:
        gc.collect()
        results[solver] = run_ring(partial(make_carrier, solver, num_workers), demand, num_flows)
        seconds[solver].append(results[solver].seconds)
    return {solver: (results[solver], seconds[solver]) for solver in SOLVERS}


def check_same(solver: str, result: Result, reference: Result) -> None:
    """Each transfer ends when it does with the naive network. Only those that both runs saw to their end count."""
    if result.num_flows != reference.num_flows:
        raise SystemExit(f"{solver} handled {result.num_flows} transfers, naive {reference.num_flows}")
    for ends, expected in zip(result.ends, reference.ends, strict=True):
        both = min(len(ends), len(expected))
        if max(len(ends), len(expected)) - both > 1:  # two ends in one instant may be told in either order
            raise SystemExit(f"{solver}: a worker ended {len(ends)} transfers, {len(expected)} with naive")
        if not np.allclose(ends[:both], expected[:both], rtol=1e-6, atol=0):
            raise SystemExit(f"{solver}: transfers end at other times than with naive")


def measure_all(num_flows: int, repeats: int) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    measure(16, ring_demand(16, "either way", 64), 64, 1)  # compiles
    for traffic in TRAFFICS:
        for num_workers in RINGS:
            measured = measure(num_workers, ring_demand(num_workers, traffic, num_flows), num_flows, repeats)
            reference, naive_seconds = measured["naive"]
            for solver, (result, seconds) in measured.items():
                check_same(solver, result, reference)
                rows.append(row(traffic, num_workers, solver, result, seconds, naive_seconds))
                print_row(rows[-1])
    return rows


def row(
    traffic: str, workers: int, solver: str, result: Result, seconds: list[float], naive_seconds: list[float]
) -> dict[str, Any]:
    return {
        "traffic": traffic,
        "workers": workers,
        "solver": solver,
        "flows": result.num_flows,
        "flows_per_s": result.num_flows / median(seconds),
        "flows_per_s_range": [result.num_flows / max(seconds), result.num_flows / min(seconds)],
        "times_naive": median(naive_seconds) / median(seconds),
        "engine_calls": result.num_calls,
        "seconds": seconds,
    }


def print_row(row: dict[str, Any]) -> None:
    slowest, fastest = row["flows_per_s_range"]
    print(
        f"{row['traffic']:<11}{row['workers']:>8}  {row['solver']:<7}{row['flows']:>7}{row['flows_per_s']:>10,.0f}"
        f"{slowest:>11,.0f} -{fastest:>8,.0f}{row['times_naive']:>8.1f} x",
        flush=True,
    )


def surroundings() -> dict[str, Any]:
    cpu = [line.split(":")[1].strip() for line in _cpu_info() if line.startswith("model name")]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu[0] if cpu else platform.processor(),
        "cores": len(cpu),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "numpy": version("numpy"),
        "numba": version("numba"),
    }


def _cpu_info() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--flows", type=int, default=2048, help="transfers timed in each run (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of the naive network in each case")
    options = parser.parse_args()
    about = surroundings()
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    print(f"{'traffic':<11}{'workers':>8}  {'solver':<7}{'flows':>7}{'flows/s':>10}{'range':>21}{'naive':>10}")
    rows = measure_all(options.flows, options.repeats)
    if options.out:
        options.out.write_text(json.dumps({"about": about, "hops": NUM_HOPS, "rows": rows}, indent=2) + "\n")
        print(f"wrote {options.out}")


if __name__ == "__main__":
    main()
