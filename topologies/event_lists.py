"""Lists of events: at which time which worker takes a gradient step, or which two exchange; and their files.

A file is CSV with the columns time (in gradient times), kind (gradient or exchange), i and j (empty for a gradient):

    time,kind,i,j
    0.5,exchange,0,1
    0.75,gradient,2,

Its lines are in the order of the events: times never go back, and of equal times the line above comes first.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from topologies.checks import real_number, whole_number

COLUMNS = ("time", "kind", "i", "j")
GRADIENT, EXCHANGE = KINDS = ("gradient", "exchange")


class Event(NamedTuple):
    """One event: a gradient step of worker `i`, or an exchange of `i` and `j`."""

    time: float
    kind: str
    i: int
    j: int | None


@dataclass(frozen=True, eq=False)  # arrays have no single truth to be equal by
class EventList:
    """Events in their order.

    Attributes:
        times: in gradient times, never going back: float64 [num_events].
        i, j: the workers; j is -1 of a gradient step: int64 [num_events].
        lines: where each stands in its file: int64 [num_events].
        text: of the file.
    """

    times: NDArray[np.float64]
    i: NDArray[np.int64]
    j: NDArray[np.int64]
    lines: NDArray[np.int64]
    text: str

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.times)

    def before(self, time: float) -> EventList:
        """The events before a time."""
        number = int(self.times.searchsorted(time, "left"))
        return EventList(self.times[:number], self.i[:number], self.j[:number], self.lines[:number], self.text)

    def gradients(self, num_workers: int) -> list[int]:
        """Gradient steps of each worker."""
        found: list[int] = np.bincount(self.i[self.j < 0], minlength=num_workers).tolist()
        return found


def dadao_events(n: int, edges: Iterable[tuple[int, int]], rate: float, t_max: float, seed: int) -> list[Event]:
    """The events of a run of DADAO as its official code draws them.

    Two Poisson processes, gradients of rate n and exchanges of rate `rate`, are drawn one after the other as gaps
    -log(1 - u) / rate, each up to its first event beyond `t_max`; merged, they end with the first such event, which is
    in the list. Then worker or edge of each event is drawn, all alike, in the order of the events.

    Args:
        n: workers.
        edges: of the graph, in the order in which they are numbered (networkx's, in the official code).
        rate: lambda_mix, exchanges of the whole network per gradient time: n / 2 times the rate of a worker.
        t_max: in gradient times.
        seed: of numpy's legacy generator.
    Raises:
        ValueError: if a number is out of its range, or an edge is none of these workers.
    Source: DADAO (arXiv:2208.00779), `AdelNabli/DADAO`, `data.py` and `run_optimizers.py`.

    Example: `dadao_events(3, [(0, 1), (1, 2), (0, 2)], 4.0, 1.5, 0)[0].time` is 0.14387979979...
    """
    whole_number("n", n, 1)
    real_number("t_max", t_max, 0, unit="gradient times")
    real_number("rate", rate, 0, strictly=True, unit="exchanges per gradient time")
    pairs = [_pair(n, edge) for edge in edges]
    if not pairs:
        raise ValueError("edges: expected at least one, found none")
    draw = np.random.RandomState(seed)
    gradients, exchanges = (deque(_process(draw, each, t_max)) for each in (float(n), rate))
    found = []
    while gradients and exchanges:  # one that is used up has passed t_max
        if exchanges[0] <= gradients[0]:
            found.append(Event(exchanges.popleft(), EXCHANGE, *pairs[int(draw.choice(len(pairs)))]))
        else:
            found.append(Event(gradients.popleft(), GRADIENT, int(draw.randint(0, n)), None))
    return found


def _pair(n: int, edge: tuple[int, int]) -> tuple[int, int]:
    i, j = (whole_number("edges", int(each), 0) for each in edge)
    if i == j or max(i, j) >= n:
        raise ValueError(f"edges: expected pairs of {n} workers, found {tuple(edge)}")
    return i, j


def _process(draw: np.random.RandomState, rate: float, t_max: float) -> list[float]:
    """The times of a Poisson process, up to the first beyond `t_max`."""
    gaps, time = [], 0.0
    while time < t_max:
        gaps.append(-np.log(1 - draw.rand()) / rate)
        time += gaps[-1]
    return [float(each) for each in np.cumsum(gaps)]


# ---- files


def event_text(events: Iterable[Event]) -> str:
    """The text of a file with these events, which `parse_events` reads back to the last digit."""
    lines = [",".join(COLUMNS)]
    lines += [f"{float(time)!r},{kind},{i},{'' if j is None else j}" for time, kind, i, j in events]
    return "\n".join(lines) + "\n"


def parse_events(text: str, path: str, num_workers: int) -> EventList:
    """The events in the text of a file.

    Raises:
        ValueError: if it is no such file, with the line: an unknown kind, a time that is none or goes back, or a worker
            that is none of these.
    """
    rows = csv.reader(io.StringIO(text), skipinitialspace=True)
    times, first, second, lines = [], [], [], []
    try:
        names = [name.strip() for name in next(rows, [])]
        if sorted(names) != sorted(COLUMNS):
            raise ValueError(f"expected the columns {', '.join(COLUMNS)}, found {', '.join(names) or 'none'}")
        places = [names.index(name) for name in COLUMNS]
        for row in rows:
            if not row:  # an empty line
                continue
            if len(row) != len(COLUMNS):
                raise ValueError(f"expected {len(COLUMNS)} values, found {len(row)}")
            time, i, j = _read_event([row[place].strip() for place in places], num_workers)
            times.append(time)
            first.append(i)
            second.append(j)
            lines.append(rows.line_num)
            if len(times) > 1 and time < times[-2]:
                raise ValueError(f"expected a time of at least {times[-2]!r}, which is before it, found {time!r}")
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{path}, line {max(rows.line_num, 1)}: {error}") from None
    if not times:
        raise ValueError(f"{path}: expected at least one event, found none")
    ends = np.array((first, second), dtype=np.int64)
    return EventList(np.array(times, dtype=np.float64), ends[0], ends[1], np.array(lines, dtype=np.int64), text)


def _read_event(row: list[str], num_workers: int) -> tuple[float, int, int]:
    time, kind, i, j = row
    if kind not in KINDS:
        raise ValueError(f"kind: expected {' or '.join(KINDS)}, found {kind!r}")
    first = _worker("i", i, num_workers)
    if kind == EXCHANGE:
        second = _worker("j", j, num_workers)
        if first == second:
            raise ValueError(f"j: expected another worker than {first}, found the same")
    elif j:
        raise ValueError(f"j: expected nothing for a gradient, found {j!r}")
    return _time(time), first, second if kind == EXCHANGE else -1


def _time(text: str) -> float:
    try:
        time = float(text) if "_" not in text and text.isascii() else -1.0  # Python's own way to write 10 is 1_0
    except ValueError:
        time = -1.0
    if not 0 <= time < float("inf"):
        raise ValueError(f"time: expected a number of at least 0, in gradient times, found {text!r}")
    return time


def _worker(name: str, text: str, num_workers: int) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) >= num_workers:
        raise ValueError(f"{name}: expected a worker from 0 to {num_workers - 1}, found {text!r}")
    return int(text)


def check_times(events: EventList, largest: float, path: str) -> None:
    """See that no event is later than a run can count.

    Args:
        largest: in gradient times.
    Raises:
        ValueError: naming the line of the first that is.
    """
    number = int(events.times.searchsorted(largest, "right"))
    if number < len(events):
        told = f"expected a time of at most {largest:.6g} gradient times, which 64 bits can count in nanoseconds"
        raise ValueError(
            f"{path}, line {int(events.lines[number])}: time: {told}, found {float(events.times[number])!r}"
        )


def check_edges(events: EventList, edges: Iterable[tuple[int, int]], path: str) -> None:
    """See that every exchange is of an edge.

    Raises:
        ValueError: naming the first line of which it is not so.
    """
    known = {(min(edge), max(edge)) for edge in edges}
    is_exchange = events.j >= 0
    told = zip(events.i[is_exchange].tolist(), events.j[is_exchange].tolist(), strict=True)
    for number, (i, j) in enumerate(told):
        if (min(i, j), max(i, j)) not in known:
            line = int(events.lines[is_exchange][number])
            raise ValueError(f"{path}, line {line}: expected an exchange along an edge of the graph, found {i} and {j}")
