"""A rank's signs of life, and its eye on those of others: on a thread with a store client of its own.

The loop of a rank must not wait for a store, nor must a beat be late because another thread waits with the same client
for a member of a process group. So the loop only counts its turns, and says what the thread is to tell.

A beat says that the process runs and, while the run is under way, that its loop turns. Before and after that (a rank
connects, loads data, warms up, writes its report) there is no loop, and a beat says that the process runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue

from torch.distributed import DistError

from executor.agreement.life.unchanged import Unchanged
from executor.agreement.store import SharedStore

NUM_WATCHED = 8
"""A rank looks after so many others, those with the next numbers: all after all would be a load on the store."""

SHORTEST_S = 2.0
"""A rank is taken for dead no sooner than this, however short the time limit: busy machines keep processes waiting."""

FIRST_SIGN_S = 10.0
"""The same of a rank that has not shown itself at all yet: it may be loading its libraries."""

CUT_OFF_S = 10.0
"""A store is taken for gone no sooner than this: it answers all ranks in turn, on a machine that they keep busy."""

_LONGEST_PERIOD_S, _SHORTEST_PERIOD_S = 1.0, 0.05


class Signs:
    """The thread of one rank.

    Args:
        connect: makes a client of the store.
        timeout_s: the time limit.
        found: is told, on this thread, which ranks are silent, and is handed the client.
    Attributes:
        limit_s: after how long without a sign a rank is silent.
    """

    def __init__(
        self,
        connect: Callable[[], SharedStore],
        rank: int,
        num_workers: int,
        timeout_s: float,
        found: Callable[[Sequence[int], SharedStore], None],
    ) -> None:
        self.limit_s = max(timeout_s, SHORTEST_S)
        self._connect, self._rank, self._found = connect, rank, found
        # Twenty looks fit into the limit, so that a silent rank is told soon after it.
        self._period_s = min(_LONGEST_PERIOD_S, max(_SHORTEST_PERIOD_S, timeout_s / 20))
        others = [(rank + step) % num_workers for step in range(1, min(NUM_WATCHED, num_workers - 1) + 1)]
        self._beats = {other: Unchanged(self.limit_s / 2) for other in others}
        self._shown: set[int] = set()
        self._calls: SimpleQueue[Callable[[SharedStore], object]] = SimpleQueue()
        self._is_turning, self._turns, self._told, self._number = False, 0, 0, 0
        self._rounds, self._round = 0, Unchanged(self.limit_s / 2)
        self._is_closed = False

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._work, name="signs of life", daemon=True).start()

    def close(self) -> None:
        """Look after nobody any more: from now on others may end."""
        self._is_closed = True

    # ------------------------------------------------------------------ from the rank's own thread

    def turn(self) -> None:
        """The loop turns. From the first turn on a beat stands for it."""
        self._is_turning = True
        self._turns += 1

    def rest(self) -> None:
        """The loop has ended: from now on a beat says that the process runs."""
        self._is_turning = False

    def post(self, call: Callable[[SharedStore], object]) -> None:
        """Have something told, in the order of asking. Waits for nobody."""
        self._calls.put(call)

    def is_cut_off(self) -> bool:
        """Whether the store has not answered this rank for the limit: whoever keeps it is gone, or its machine."""
        stands_s = self._round.seconds(self._rounds, time.monotonic())
        return stands_s > max(self.limit_s, CUT_OFF_S) + self._period_s and not self._is_closed

    # ------------------------------------------------------------------ the thread

    def _work(self) -> None:
        with suppress(DistError):  # the store is gone: `is_cut_off` says so
            self._serve(self._connect())

    def _serve(self, store: SharedStore) -> None:
        next_s = time.monotonic()
        while not self._is_closed:
            self._rounds += 1
            try:
                self._calls.get(timeout=max(0.0, next_s - time.monotonic()))(store)
            except Empty:
                next_s = time.monotonic() + self._period_s
                self._show(store)
                self._look(store)

    def _show(self, store: SharedStore) -> None:
        turns = self._turns
        if not self._is_turning or turns != self._told:
            self._told = turns
            self._number += 1
            store.set(_key(self._rank), str(self._number))

    def _look(self, store: SharedStore) -> None:
        silent = [rank for rank, beats in self._beats.items() if self._is_silent(rank, beats, store)]
        if silent and not self._is_closed:
            self._found(sorted(silent), store)

    def _is_silent(self, rank: int, beats: Unchanged, store: SharedStore) -> bool:
        # Beats are numbers and the time is this rank's own: a time told by another machine could not be compared.
        if rank not in self._shown and store.check([_key(rank)]):
            self._shown.add(rank)
        beat = store.get(_key(rank)) if rank in self._shown else b""
        limit_s = self.limit_s if rank in self._shown else max(self.limit_s, FIRST_SIGN_S)
        return beats.seconds(beat, time.monotonic()) > limit_s


def _key(rank: int) -> str:
    return f"beat/{rank}"
