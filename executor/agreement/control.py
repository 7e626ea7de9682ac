"""How the ranks of a run agree when it begins and ends, over a store that all of them see.

A run ends once: the first news is the news. It is that all are done, or that one rank has failed, died, or found that
nobody moves. Every rank waits for it on a thread of its own, so that a failure anywhere stops all within
milliseconds.

Nobody can say alone that the run is stuck: a fast rank may well wait for minutes at the last barrier. A rank in which
nothing has happened for the time limit says so and shows its board; when all ranks that are not done say so, the run is
stuck. A rank that neither says so nor shows signs of life any more is dead.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from torch.distributed import DistError

from executor.agreement import boards
from executor.agreement.boards import Waiting
from executor.agreement.news import DEAD, FINISHED, STUCK, News, decode
from executor.agreement.store import A_DAY, SharedStore

T = TypeVar("T")

GRACE_S = 3.0
"""How long a rank may take to end after bad news; then its process is ended."""


def tell(store: SharedStore, news: News) -> None:
    """Tell the news, unless there are some already: a rank that is stopped fails in its own way, which is no news.

    That a run is over is none to a rank that fails after it, in its read-out or report: what it tells takes the place.
    """
    told = store.compare_set("news", "", news.encode())
    if news.kind != FINISHED and decode(told).kind == FINISHED:
        store.compare_set("news", told.decode(), news.encode())


class Control:
    """One rank's part in the agreement.

    Args:
        connect: makes a client of the store; kept, for those who need one of their own.
    """

    def __init__(self, connect: Callable[[], SharedStore], rank: int, num_workers: int, timeout_s: float) -> None:
        self.store = connect()
        self.rank, self.num_workers = rank, num_workers
        self.timeout_s = timeout_s
        self.connect = connect
        self._beats = 0
        self._seen: dict[int, tuple[bytes, float]] = {}

    def listen(self, hear: Callable[[News], None], end: Callable[[], None]) -> None:
        """Call `hear(news)` on another thread; after bad news, `end()` once the time of grace is over."""

        def wait() -> None:
            store = self.connect()  # of its own: while it waits, a client answers nobody else
            while True:
                try:
                    store.wait(["news"], A_DAY)
                    break
                except DistError:  # a day without news
                    continue
            news = decode(store.get("news"))
            hear(news)
            if news.kind != FINISHED:
                # The loop ends by itself, unless it is in a call that never returns: a gloo wait, a kernel, a connect.
                time.sleep(GRACE_S)
                end()

        threading.Thread(target=wait, name="news", daemon=True).start()

    def gather(self, name: str, value: T) -> list[T]:
        """Everybody's value, in the order of the ranks; a barrier, too. It goes through JSON."""
        self.store.set(f"{name}/{self.rank}", json.dumps(value))
        keys = [f"{name}/{rank}" for rank in range(self.num_workers)]
        self.store.wait(keys, A_DAY)
        return [json.loads(each) for each in self.store.multi_get(keys)]

    def cut(self, now_ns: int) -> None:
        """The run was cut here, at that time; to be said before `finish`."""
        self.store.set(f"cut/{self.rank}", str(now_ns))

    def cut_ns(self) -> int | None:
        """When the run was cut on the last rank, in nanoseconds since its start; once it is finished. None: nowhere."""
        told = [self._told(f"cut/{rank}") for rank in range(self.num_workers)]
        return max((int(each) for each in told if each), default=None)

    def finish(self) -> None:
        """This rank's streams are over; the last to say so tells everybody."""
        self.store.set(f"idle/{self.rank}", "done")
        if self.store.add("finished", 1) == self.num_workers:  # the store adds one by one: one rank is the last
            tell(self.store, News(FINISHED, self.rank))

    def beat(self) -> None:
        """A sign of life."""
        self._beats += 1
        self.store.set(f"beat/{self.rank}", str(self._beats))

    def moved(self) -> None:
        """Something happened here: this rank is not idle."""
        self.store.set(f"idle/{self.rank}", "")

    def idle(self, waiting: Sequence[Waiting], now_ns: int) -> None:
        """Nothing has happened here for the time limit: say so, and tell the news if nobody moves or lives."""
        self.store.set(f"idle/{self.rank}", json.dumps(waiting))
        # Only after its own is set: of ranks that fall idle at once the last to set it sees all.
        told = [self._told(f"idle/{rank}") for rank in range(self.num_workers)]
        silent = [rank for rank, each in enumerate(told) if each == b"" and self._is_silent(rank)]
        if silent:
            names = ", ".join(map(str, silent))
            message = f"rank {names} has shown no sign of life for {self.timeout_s:g} s; rank {self.rank} waits for it."
            tell(self.store, News(DEAD, self.rank, f"{message}\n{_board(told, now_ns)}"))
        elif all(told):
            tell(self.store, News(STUCK, self.rank, self._stuck(told, now_ns)))

    def _told(self, key: str) -> bytes:
        return bytes(self.store.get(key)) if self.store.check([key]) else b""

    def _is_silent(self, rank: int) -> bool:
        """Whether a rank has not beaten since we saw it last, a time limit ago or longer."""
        # Beats are numbers and the time is this rank's own: a time told by another machine could not be compared.
        beat, now = self._told(f"beat/{rank}"), time.monotonic()
        seen = self._seen.get(rank)
        if seen is None or seen[0] != beat:
            self._seen[rank] = (beat, now)
            return False
        return now - seen[1] > self.timeout_s

    def _stuck(self, told: Sequence[bytes], now_ns: int) -> str:
        head = f"TimeoutError at {now_ns / 1e6:.3f} ms: nothing has happened on any rank for {self.timeout_s:g} s."
        return f"{head}\n{_board(told, now_ns)}"


def _board(told: Sequence[bytes], now_ns: int) -> str:
    boards_told = [json.loads(each) for each in told if each not in (b"", b"done")]
    return boards.draw([[Waiting(*each) for each in rank] for rank in boards_told], now_ns)
