"""The events of a run as a list that another run can go by (`topologies.event_lists`).

A worker's events keep the order in which it had them. An event's time is when it was over, of an exchange at both ends;
where that would come before an event that it follows, the time of that. Where workers go by the ticks of their clocks
(`schedule.events`, or `flow = "ticks"`), it is the tick itself, to the last digit: in a trace there are nanoseconds.
"""

from __future__ import annotations

import heapq
from collections import defaultdict, deque
from typing import TYPE_CHECKING

from schedules.driving.replay import LOST
from schedules.result import Result
from schedules.setup import Setup
from topologies.event_lists import EXCHANGE, GRADIENT, Event

if TYPE_CHECKING:
    import pandas as pd

Key = tuple[int, int, int]
"""Of a gradient: the worker, -1, its number. Of an exchange: its two workers, the lower one first, and its tag."""


def event_list(run: Result) -> list[Event]:
    """The gradients and exchanges of a run, in their order; of one that was cut, those that were over at both ends.

    Raises:
        ValueError: if it has none, or exchanges in an order that no list has.
    """
    queues, over_at = _by_worker(run.kept_trace, run.gradient_s * 1e9)
    if not over_at:
        raise ValueError("expected a run with gradients or exchanges of two workers, found neither")
    schedule = run.tables["schedule"]
    if schedule.get("events") is not None or schedule.get("flow") == "ticks":
        over_at |= _ticks(run, queues)
    found: list[Event] = []
    for key in _ordered(queues, over_at):
        time = max(over_at[key], found[-1].time if found else 0.0)
        i, j, _ = key
        found.append(Event(time, GRADIENT, i, None) if j < 0 else Event(time, EXCHANGE, i, j))
    return found


def _by_worker(trace: pd.DataFrame, gradient_ns: float) -> tuple[dict[int, deque[Key]], dict[Key, float]]:
    """Each worker's events in its own order, and when each was over, in gradient times."""
    rows = trace[((trace["op"] == "Compute") & (trace["kernel"] == "gradient")) | (trace["op"] == "Exchange")]
    rows = rows[rows["answer"] != LOST]
    queues: dict[int, deque[Key]] = defaultdict(deque)
    over_at: dict[Key, float] = {}
    num_ends: dict[Key, int] = defaultdict(int)
    num_gradients: dict[int, int] = defaultdict(int)
    for rank, peer, tag, end in zip(*(rows[name].tolist() for name in ("rank", "peer", "tag", "end_ns")), strict=True):
        if peer < 0:
            key = (rank, -1, num_gradients[rank])
            num_gradients[rank] += 1
        else:
            key = (min(rank, peer), max(rank, peer), tag)
        queues[rank].append(key)
        num_ends[key] += 1 if peer >= 0 else 2
        over_at[key] = max(over_at.get(key, 0.0), end / gradient_ns)
    whole = {key for key, number in num_ends.items() if number == 2}
    return (
        {rank: deque(key for key in queue if key in whole) for rank, queue in queues.items()},
        {key: time for key, time in over_at.items() if key in whole},
    )


def _ticks(run: Result, queues: dict[int, deque[Key]]) -> dict[Key, float]:
    """The ticks of workers that go by them: the k-th event of a worker is the k-th tick of its clocks."""
    clocks = Setup(run.scenario, is_recorded=False).clocks
    return {
        key: time
        for rank, queue in queues.items()
        for key, (time, _, _) in zip(queue, clocks.events(rank), strict=False)  # a run that was cut has fewer
    }


def _ordered(queues: dict[int, deque[Key]], over_at: dict[Key, float]) -> list[Key]:
    """All events: of those that are next at all their workers, always the one that was over first."""
    waiting = {rank: deque(queue) for rank, queue in queues.items() if queue}
    ready = [(over_at[queue[0]], queue[0]) for queue in waiting.values() if _is_next(queue[0], waiting)]
    ready = sorted(set(ready))
    found = []
    while ready:
        _, key = heapq.heappop(ready)
        found.append(key)
        workers = [each for each in key[:2] if each >= 0]
        for each in workers:
            waiting[each].popleft()
        heads = {waiting[each][0] for each in workers if waiting[each]}
        for head in heads:
            if _is_next(head, waiting):
                heapq.heappush(ready, (over_at[head], head))
    if any(waiting.values()):
        raise ValueError("expected exchanges one after the other, found some that wait for each other in a circle")
    return found


def _is_next(key: Key, waiting: dict[int, deque[Key]]) -> bool:
    return all(waiting[each] and waiting[each][0] == key for each in key[:2] if each >= 0)
