"""How the ranks of a run agree when it begins and ends, over a store that all of them see.

A run ends once: the first news is the news. It is that all are done, or that one rank has failed, died, or found that
nobody moves. Every rank waits for it on a thread of its own, so that a failure anywhere stops all within
milliseconds. (One thing comes after good news: a rank that fails or falls silent before all have told what they did.)

Nobody can say alone that the run is stuck: a fast rank may well wait for minutes at the last barrier. A rank in which
nothing has happened for the time limit says so and shows its board; when all ranks that are not done say so, the run is
stuck. A rank that shows no sign of life (`executor.agreement.life.signs`) is told whatever the others do.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import NoReturn, TypeVar

from executor.agreement import boards
from executor.agreement.boards import Waiting
from executor.agreement.life.signs import Signs
from executor.agreement.news import DEAD, FINISHED, STUCK, News, Stopped, decode
from executor.agreement.store import A_DAY, SharedStore, wait_for

T = TypeVar("T")

GRACE_S = 3.0
"""How long a rank may take to end after bad news; then its process is ended."""

LOST = "lost"
"""The key that is set when a rank has failed or fallen silent after the good news: `news` says which."""


def tell(store: SharedStore, news: News) -> None:
    """Tell the news, unless there are some already: a rank that is stopped fails in its own way, which is no news.

    That a run is over is none to a rank that fails after it, in its read-out or report: what it tells takes the place.
    """
    told = store.compare_set("news", "", news.encode())
    if news.kind != FINISHED and decode(told).kind == FINISHED:
        store.compare_set("news", told.decode(), news.encode())
        store.set(LOST, "")


class Control:
    """One rank's part in the agreement.

    Args:
        connect: makes a client of the store; kept, for those who need one of their own.
        patience_s: how long a single operation may wait, or None.
    """

    def __init__(
        self,
        connect: Callable[[], SharedStore],
        rank: int,
        num_workers: int,
        timeout_s: float,
        patience_s: float | None = None,
    ) -> None:
        self.store = connect()
        self.rank, self.num_workers = rank, num_workers
        self.timeout_s, self.patience_s = timeout_s, patience_s
        self.connect = connect
        self._signs = Signs(connect, rank, num_workers, timeout_s, self._found_silent)
        self._end: Callable[[], None] = lambda: None
        self._clock: Callable[[], int] = lambda: 0
        self._ended: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def listen(self, hear: Callable[[News], None], end: Callable[[], None], now: Callable[[], int]) -> None:
        """Show signs of life, and call `hear(news)` on another thread; after bad news, `end()` once the time of grace
        is over. `now()` is the run's clock."""

        def wait() -> None:
            store = self.connect()  # of its own: while it waits, a client answers nobody else
            news = decode(wait_for(store, "news"))
            hear(news)
            if news.kind == FINISHED:
                self._signs.rest()
                wait_for(store, LOST)
                news = decode(store.get("news"))
            self._ended.put(partial(_stop, news))
            # The loop ends by itself, unless it is in a call that never returns: a gloo wait, a kernel, a connect.
            time.sleep(GRACE_S)
            end()

        self._end, self._clock = end, now
        threading.Thread(target=wait, name="news", daemon=True).start()
        self._signs.start()

    def during(self, call: Callable[[], T]) -> T:
        """What a call returns that waits for other ranks. It is made on another thread, so that news end the wait.

        Raises:
            Stopped: if there is bad news meanwhile.
        """
        answers: SimpleQueue[T] = SimpleQueue()

        def made() -> None:
            try:
                answers.put(call())
                self._ended.put(_nothing)
            except BaseException as error:  # raised again where it is waited for
                self._ended.put(partial(_throw, error))

        threading.Thread(target=made, name="waits for others", daemon=True).start()
        while True:
            try:
                self._ended.get(timeout=self._signs.limit_s / 4)()
                return answers.get_nowait()
            except Empty:
                self._check_store()

    def gather(self, name: str, value: T) -> list[T]:
        """Everybody's value, in the order of the ranks; a barrier, too. It goes through JSON."""
        self.store.set(f"{name}/{self.rank}", json.dumps(value))
        keys = [f"{name}/{rank}" for rank in range(self.num_workers)]
        self.store.wait(keys, A_DAY)
        return [json.loads(each) for each in self.store.multi_get(keys)]

    def part(self) -> None:
        """This rank has said all; waits until all others have, too. From then on each may end when it likes."""
        self.during(lambda: self.gather("reported", None))
        self._signs.close()

    def cut_ns(self) -> int | None:
        """When the run was cut on the last rank, in nanoseconds since its start; once it is finished. None: nowhere."""
        told = [_told(self.store, f"cut/{rank}") for rank in range(self.num_workers)]
        return max((int(each) for each in told if each), default=None)

    # ------------------------------------------------------------------ from the loop: none of these waits

    def cut(self, now_ns: int) -> None:
        """The run was cut here, at that time; to be said before `finish`."""
        self._signs.post(lambda store: store.set(f"cut/{self.rank}", str(now_ns)))

    def finish(self) -> None:
        """This rank's streams are over; the last to say so tells everybody."""

        def say(store: SharedStore) -> None:
            store.set(f"idle/{self.rank}", "done")
            if store.add("finished", 1) == self.num_workers:  # the store adds one by one: one rank is the last
                tell(store, News(FINISHED, self.rank))

        self._signs.post(say)

    def beat(self) -> None:
        """The loop turns."""
        self._signs.turn()
        self._check_store()

    def moved(self) -> None:
        """Something happened here: this rank is not idle."""
        self._signs.post(lambda store: store.set(f"idle/{self.rank}", ""))

    def show(self, waiting: Sequence[Waiting]) -> None:
        """Something waits here for a while: show who waits for what, for whoever finds a rank silent."""
        self._signs.post(lambda store: store.set(f"board/{self.rank}", json.dumps(waiting)))

    def idle(self, waiting: Sequence[Waiting], now_ns: int) -> None:
        """Nothing has happened here for the time limit: say so, and tell the news if nobody moves."""

        def say(store: SharedStore) -> None:
            store.set(f"idle/{self.rank}", json.dumps(waiting))
            # Only after its own is set: of ranks that fall idle at once the last to set it sees all.
            told = [_told(store, f"idle/{rank}") for rank in range(self.num_workers)]
            if all(told):
                head = f"TimeoutError at {now_ns / 1e6:.3f} ms: nothing has happened on any rank for "
                drawn = _board(told, now_ns, _done(told))
                tell(store, News(STUCK, self.rank, f"{head}{self.timeout_s:g} s.\n{drawn}"))

        self._signs.post(say)

    # ------------------------------------------------------------------ who is silent

    def _found_silent(self, ranks: Sequence[int], store: SharedStore) -> None:
        names = ("rank " if len(ranks) == 1 else "ranks ") + ", ".join(map(str, ranks))
        has = "has" if len(ranks) == 1 else "have"
        message = f"{names} {has} shown no sign of life for {self._signs.limit_s:g} s (found by rank {self.rank})."
        told = [_told(store, f"board/{rank}") for rank in range(self.num_workers)]
        done = _done([_told(store, f"idle/{rank}") for rank in range(self.num_workers)])
        drawn = _board(told, self._clock(), done)
        tell(store, News(DEAD, self.rank, f"{message}\n{drawn}", silent=tuple(ranks)))
        self._signs.close()

    def _check_store(self) -> None:
        """End where the store does not answer: nobody can be told, and nobody else tells this rank."""
        if self._signs.is_cut_off():
            told = f"the store of the run has not answered rank {self.rank} for {self._signs.limit_s:g} s"
            print(f"executor: {told}: the process that keeps it is gone or stopped.", file=sys.stderr, flush=True)
            self._end()


def _nothing() -> None:
    """A call that was waited for is over."""


def _throw(error: BaseException) -> NoReturn:
    raise error


def _stop(news: News) -> NoReturn:
    raise Stopped(news.message)


def _told(store: SharedStore, key: str) -> bytes:
    return bytes(store.get(key)) if store.check([key]) else b""


def _done(told: Sequence[bytes]) -> list[int]:
    """The ranks that are, of what all have told of being idle."""
    return [rank for rank, each in enumerate(told) if each == b"done"]


def _board(told: Sequence[bytes], now_ns: int, done: Sequence[int]) -> str:
    boards_told = [json.loads(each) for each in told if each not in (b"", b"done")]
    return boards.draw([[Waiting(*each) for each in rank] for rank in boards_told], now_ns, done)
