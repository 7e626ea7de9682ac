"""Calls at ticks: what a network asks of its engine, and the smallest engine that can give it."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from simulator.network.fair_sharing import INFINITY

Callback = Callable[[], object]
CallAt = Callable[[int, Callback], object]
"""`call_at(tick, call)` has `call()` called at a tick that is not past; those of one tick in the order of asking."""


class CallClock:
    """The smallest engine that can drive a network: calls in the order of their time, then of their asking."""

    def __init__(self) -> None:
        self.now = 0
        self.num_calls = 0
        self._calls: list[tuple[int, int, Callback]] = []
        self._num_asked = 0

    def call_at(self, at: int, call: Callback) -> None:
        """Have `call()` called at tick `at`."""
        # The number keeps calls of one tick in their order, and the heap from ever comparing two functions.
        self._num_asked += 1
        heapq.heappush(self._calls, (at, self._num_asked, call))

    def run(self, until: float = INFINITY) -> None:
        """Make all calls up to and including tick `until`."""
        calls = self._calls
        while calls and calls[0][0] <= until:
            self.now, _, call = heapq.heappop(calls)
            self.num_calls += 1
            call()
