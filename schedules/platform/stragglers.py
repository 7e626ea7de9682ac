"""Transient stragglers: how fast a rank computes over time, the same in both worlds."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator

import numpy as np

from schedules.clocks import StreamKey, stream
from schedules.platform.computing import Stragglers


class Pace:
    """The pace of a rank: kernels progress at full speed, or at 1 / slowdown in slow spells.

    Args:
        slowdown: how many times longer kernels take in a slow spell.
        changes: when the pace changes, in nanoseconds, ascending; without end, or after the last it stays as it is.
        starts_slow: whether a slow spell is under way at the start of the run.
    """

    def __init__(self, slowdown: float = 1.0, changes: Iterable[int] = (), *, starts_slow: bool = False) -> None:
        self._factors = (slowdown, 1.0) if starts_slow else (1.0, slowdown)
        self._changes = iter(changes)
        self._known: list[float] = [0]  # whole, but for the last: there may be an infinite one
        self._read()

    def end(self, start: int, work: float) -> int:
        """When a kernel is over.

        Args:
            start: when it begins, in nanoseconds.
            work: how long it takes at full speed, in nanoseconds.
        """
        for begin, until, factor in self._pieces(start):
            if work * factor <= until - begin:
                return begin + round(work * factor)
            work -= (until - begin) / factor
        raise AssertionError("the last piece has no end")

    def work(self, start: int, end: int) -> float:
        """What is done from `start` to `end`, in nanoseconds at full speed."""
        done = 0.0
        for begin, until, factor in self._pieces(start):
            if end <= until:
                return done + (end - begin) / factor
            done += (until - begin) / factor
        raise AssertionError("the last piece has no end")

    def slow_spells(self, end: int) -> list[tuple[int, int]]:
        """Begins and ends of the slow spells before `end`, in nanoseconds."""
        spells = []
        for begin, until, factor in self._pieces(0):
            if factor > 1 and begin < end:
                spells.append((begin, int(min(until, end))))
            if until >= end:
                break
        return spells

    def _pieces(self, start: int) -> Iterator[tuple[int, float, float]]:
        """From `start` on: begin and end of a piece at one pace, and how many times longer kernels take in it."""
        known = self._known
        while known[-1] <= start:
            self._read()
        index = bisect_right(known, start)
        begin = start
        while True:
            if index == len(known):
                self._read()
            yield begin, known[index], self._factors[(index - 1) % 2]  # normal and slow pieces take turns
            begin = int(known[index])
            index += 1

    def _read(self) -> None:
        self._known.append(next(self._changes, math.inf))


def pace(table: Stragglers | None, seed: int, rank: int) -> Pace:
    """The pace of a rank, from its own random stream; without stragglers it is full speed for ever."""
    if table is None or (table.ranks is not None and rank not in table.ranks):
        return Pace()
    generator = stream(seed, StreamKey.STRAGGLER, rank)
    starts_slow = bool(generator.random() < table.mean_slow / (table.mean_slow + table.mean_normal))
    return Pace(table.slowdown, _changes(table, generator, starts_slow), starts_slow=starts_slow)


def _changes(table: Stragglers, generator: np.random.Generator, is_slow: bool) -> Iterator[int]:
    """A Markov process of two states in continuous time: exponential sojourns. Started in its stationary distribution,
    it is slow for mean_slow / (mean_slow + mean_normal) of the time."""
    seconds = 0.0
    while True:
        seconds += generator.exponential(table.mean_slow if is_slow else table.mean_normal)
        is_slow = not is_slow
        yield round(seconds * 1e9)  # the sum, not each sojourn: rounding must not add up
