"""The events of several runs in one order, as if they stood in one queue."""

from __future__ import annotations

import itertools

from schedules.errors import ScheduleError
from simulator.events import Events


class SharedClock:
    """The events of runs that go on beside each other, each in a time of its own that begins at its start.

    What comes first is made first. In one instant the order is that of asking, whoever asked: the numbers of calls are
    shared. So a run that is alone here goes as it would with a queue to itself, event by event.

    Attributes:
        wires: the events of what all share; its time is that of all.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self.wires = Events(self._numbers)
        self._runs: list[tuple[int, str, Events]] = []

    def add(self, start: int, name: str) -> Events:
        """The events of a run that begins at the tick `start`; `name` is what to call it in errors."""
        events = Events(self._numbers)
        self._runs.append((start, name, events))
        return events

    def run(self) -> None:
        """Make every call, in their order, those that they add too.

        Raises:
            ScheduleError: what a run raises, with its name.
        """
        while (found := self._first()) is not None:
            tick, number = found
            if number < 0:
                for start, _, events in self._runs:  # whose transfer is over is seen by the call
                    events.now = tick - start
                self.wires.make_first()
            else:
                _, name, events = self._runs[number]
                try:
                    events.make_first()
                except ScheduleError as error:
                    raise named(error, name) from error

    def _first(self) -> tuple[int, int] | None:
        """The tick of what comes first, and the number of its run; -1: the wires. None: nothing is to come."""
        best = None
        for number, (start, _, events) in enumerate(self._runs):
            first = events.first()
            if first is not None:
                entry = (first[0] + start, first[1], first[2], number)
                best = entry if best is None or entry < best else best
        first = self.wires.first()
        if first is not None and (best is None or first < best[:3]):
            return first[0], -1
        return None if best is None else (best[0], best[3])


def named(error: ScheduleError, name: str) -> ScheduleError:
    """An error of a job that says whose it is."""
    return type(error)(f"job {name}: {error}")
