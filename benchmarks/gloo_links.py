"""gloo's collectives on emulated hosts with delay, measured, beside what Twinclock predicts.

Four ranks of torch with gloo, one a network namespace, whose packets a relay (`benchmarks._delay_relay`) shapes: a rate
for what leaves a host, and a delay. One cell an operation calibrates (the first below), the others are predicted by the
transport's formulas. Bandwidths are those of payload: of an IP packet of 9000 bytes 8948. Connections are warm (each
cell goes once before it is timed) and reno, whose windows no lost packet closes.

No traffic leaves the namespaces, which are gone afterwards. Root, Linux, iproute2 and torch.

    python -m benchmarks.gloo_links --out benchmarks/results/gloo_links.json
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._shaped_hosts import HostsError, _ip, _processes, _run, _set, busy_core_seconds, why_not
from benchmarks.shaped_links import surroundings
from schedules.operations import AllReduce, Broadcast
from schedules.platform.transports import gloo_reduce_seconds, gloo_seconds

NUM_HOSTS, MTU, HEADERS = 4, 9000, 52
START_TIMEOUT_S, MOST_S = 120.0, 90.0
MIB = 1 << 20


class Cell(NamedTuple):
    """What is measured: one-way delay and rate of what leaves a host."""

    operation: str
    mib: int
    delay_ms: float
    mbit: float

    @property
    def size(self) -> int:
        return self.mib * MIB

    @property
    def bandwidth(self) -> float:
        """Bytes of payload a second."""
        return self.mbit * 1e6 / 8 * (MTU - HEADERS) / MTU


CELLS = (
    Cell("all-reduce", 32, 10, 200),
    Cell("all-reduce", 8, 10, 200),
    Cell("all-reduce", 16, 10, 100),
    Cell("all-reduce", 8, 10, 50),
    Cell("all-reduce", 16, 30, 100),
    Cell("all-reduce", 8, 50, 100),
    Cell("all-reduce", 64, 30, 200),
    Cell("all-reduce", 16, 100, 200),
    Cell("all-reduce", 8, 100, 50),
    Cell("broadcast", 8, 10, 200),
    Cell("broadcast", 16, 10, 50),
    Cell("broadcast", 16, 50, 100),
    Cell("broadcast", 32, 30, 200),
    Cell("reduce", 8, 10, 200),
    Cell("reduce", 16, 30, 100),
    Cell("reduce", 8, 100, 200),
)
OVERHEADS = [float(each) * 1e-3 for each in np.arange(0.1, 3.0, 0.1)]


def predicted(cell: Cell, overhead: float) -> float:
    """Seconds, by the transport's formulas. What enters a host is not shaped."""
    link = cell.bandwidth, cell.delay_ms / 1e3, overhead
    if cell.operation == "reduce":
        return gloo_reduce_seconds(NUM_HOSTS, cell.size, *link, into=1e12)
    return gloo_seconds(AllReduce if cell.operation == "all-reduce" else Broadcast, NUM_HOSTS, cell.size, *link)


def plain(cell: Cell) -> float:
    """What people use: ring or tree, latency and bandwidth."""
    n, latency, wire = NUM_HOSTS, cell.delay_ms / 1e3, cell.size / cell.bandwidth
    return {
        "all-reduce": 2 * (n - 1) * (latency + wire / n),
        "broadcast": 2 * (latency + wire),
        "reduce": 2 * (latency + wire),
    }[cell.operation]


# ---- the hosts


@contextmanager
def namespaces(number: int) -> Iterator[list[str]]:
    """Empty hosts."""
    names: list[str] = []
    with ExitStack() as stack:
        for host in range(number):
            name = f"twinclock-{os.getpid()}-delayed{host}"
            _run(f"ip netns add {name}")
            stack.callback(_run, f"ip netns del {name}")
            names.append(name)
        yield names


def prepare(name: str, number: int) -> None:
    """Address and TCP of a host whose device is there."""
    settings = {
        "net.ipv6.conf.all.disable_ipv6": "1",
        "net.ipv4.tcp_congestion_control": "reno",
        "net.ipv4.tcp_slow_start_after_idle": "0",
        "net.ipv4.tcp_no_metrics_save": "1",
        "net.ipv4.tcp_rmem": "4096 131072 6291456",
        "net.ipv4.tcp_wmem": "4096 131072 6291456",
    }
    _set(name, settings)
    _ip(name, "link set lo up")
    _ip(name, f"link set data mtu {MTU} txqueuelen 20000")
    _ip(name, f"address add 10.78.0.{number + 1}/24 dev data")
    _ip(name, "link set data up")


class Talk:
    """A process that is told lines and answers lines."""

    def __init__(self, started: list[Any], command: Sequence[str], **more: str) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "data", **more},
            start_new_session=True,
        )
        started.append(self._process)

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def hear(self, timeout_s: float) -> str:
        """The next line.

        Raises:
            HostsError: if none comes in time, or the process has ended.
        """
        assert self._process.stdout is not None
        ready, _, _ = select.select([self._process.stdout], [], [], timeout_s)
        line = self._process.stdout.readline() if ready else ""
        if not line:
            raise HostsError(f"expected an answer within {timeout_s:g} s, found none")
        return line.strip()


def measure(cells: Sequence[Cell], repeats: int) -> list[dict[str, Any]]:
    """Seconds of every cell, repeated: from the common start until the last rank is through (a reduce: its root)."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, namespaces(NUM_HOSTS) as names, _processes() as started:
        relay = Talk(started, [sys.executable, "-m", "benchmarks._delay_relay", *names])
        relay.hear(START_TIMEOUT_S)
        for number, name in enumerate(names):
            prepare(name, number)
        rank = [sys.executable, "-m", "benchmarks._gloo_rank"]
        ranks = [
            Talk(started, ["ip", "netns", "exec", name, *rank, str(number), str(NUM_HOSTS), str(Path(folder, "store"))])
            for number, name in enumerate(names)
        ]
        for each in ranks:
            each.hear(START_TIMEOUT_S)
        for cell in cells:
            relay.tell(f"{cell.mbit * 1e6 / 8} {cell.delay_ms / 1e3}")
            relay.hear(START_TIMEOUT_S)
            rows.append(run_cell(cell, ranks, repeats))
            print(f"{cell}: {rows[-1]['seconds']}", flush=True)
    return rows


def run_cell(cell: Cell, ranks: Sequence[Talk], repeats: int) -> dict[str, Any]:
    """One cell, once to warm up and then timed."""
    found, began, busy = [], time.monotonic(), busy_core_seconds()
    for _ in range(repeats + 1):
        start = time.monotonic() + 0.3
        for each in ranks:
            each.tell(f"{cell.operation} {cell.size} {start}")
        ends = [float(each.hear(MOST_S)) for each in ranks]
        found.append((ends[0] if cell.operation == "reduce" else max(ends)) - start)
    load = (busy_core_seconds() - busy) / (time.monotonic() - began)
    return {"cell": cell._asdict(), "seconds": found[1:], "busy_cores": round(load, 2)}


# ---- the comparison


def compare(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Predictions of all cells but the first of each operation, which calibrates how late threads are."""
    summary: dict[str, Any] = {}
    for operation in dict.fromkeys(row["cell"]["operation"] for row in rows):
        first, *others = (row for row in rows if row["cell"]["operation"] == operation)
        measured = statistics.median(first["seconds"])
        overhead = min(OVERHEADS, key=lambda each: abs(predicted(Cell(**first["cell"]), each) - measured))
        for row in (first, *others):
            cell, taken = Cell(**row["cell"]), statistics.median(row["seconds"])
            row |= {"measured": taken, "predicted": predicted(cell, overhead), "is_calibration": row is first}
            row |= {"error": row["predicted"] / taken - 1, "error_plain": plain(cell) / taken - 1}
        errors = [abs(row["error"]) for row in others]
        summary[operation] = {"overhead_s": overhead, "cells": len(errors)}
        if errors:
            summary[operation] |= {"mean": statistics.mean(errors), "worst": max(errors)}
    return summary


def show(rows: Sequence[dict[str, Any]], summary: dict[str, Any]) -> None:
    for row in rows:
        cell = Cell(**row["cell"])
        mark = "calibrates" if row["is_calibration"] else f"{row['error']:+.1%}, plain {row['error_plain']:+.1%}"
        print(
            f"{cell.operation:<11}{cell.mib:>3} MiB {cell.delay_ms:>4g} ms {cell.mbit:>4g} Mbit/s"
            f"{row['measured']:>9.3f} s  {row['predicted']:>8.3f} s  {mark}"
        )
    for operation, told in summary.items():
        print(operation, ", ".join(f"{key} {value:.4g}" for key, value in told.items()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    parser.add_argument("--repeats", type=int, default=3, help="of each cell (default %(default)s)")
    parser.add_argument("--cells", type=int, default=len(CELLS), help="only so many, from the first on")
    options = parser.parse_args()
    if (lacking := why_not()) is not None:
        print(f"gloo_links: {lacking}", file=sys.stderr)
        return 2
    try:
        rows = measure(CELLS[: options.cells], options.repeats)
    except HostsError as failure:
        print(f"gloo_links: {failure}", file=sys.stderr)
        return 1
    summary = compare(rows)
    show(rows, summary)
    if options.out:
        about = surroundings() | {"command": " ".join(["python -m benchmarks.gloo_links", *sys.argv[1:]])}
        options.out.write_text(json.dumps({"about": about, "summary": summary, "cells": rows}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
