"""Waiting well: precise sleeps, and threads that wait for others so that the loop need not."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue

# From <linux/prctl.h>.
_PR_SET_TIMERSLACK = 29
_PR_SET_PDEATHSIG = 1
_SWITCH_INTERVAL_S = 2e-4


def sharpen() -> None:
    """Have this thread, and the threads that it starts, woken without the kernel's 50 us of slack.

    Python's threads are made to hand over sooner, too: a thread that wants to read the clock should not wait 5 ms.
    """
    _prctl(_PR_SET_TIMERSLACK, 1)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


def die_with_parent(signal_number: int) -> None:
    """Have this process killed when its parent ends.

    For Linux the parent is the *thread* that forked: it must be one that lives as long as its process.
    """
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)  # Python has no call for it


def sleep_until(deadline_ns: int) -> None:
    """Sleep until `time.perf_counter_ns()` has reached the deadline."""
    # An instant, not a time: what passed before the call, and by how much the last sleep was late, do not add up.
    while (left := deadline_ns - time.perf_counter_ns()) > 0:
        time.sleep(left / 1e9)


class Waiters:
    """Threads that wait in a blocking call: as many as there are calls under way, each kept for the next."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()
        # How many threads wait for a call: the queue's length says how many calls wait, not whether somebody is there.
        self._idle = threading.Semaphore(0)
        self._num_threads = 0

    def submit(self, call: Callable[[], None]) -> None:
        """Make the call on a thread of its own."""
        if not self._idle.acquire(blocking=False):
            self._num_threads += 1
            threading.Thread(target=self._work, name=f"waiter-{self._num_threads}", daemon=True).start()
        self._calls.put(call)

    def _work(self) -> None:
        while True:
            self._calls.get()()
            self._idle.release()


class Lane:
    """Calls made one after the other, in the order of asking: at once where nothing is before them, else on a
    thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._num_waiting = 0
        self._calls: SimpleQueue[Callable[[], None]] | None = None

    def post(self, call: Callable[[], None], *, is_long: bool) -> None:
        """Make the call; a long one is not made on the thread that asks."""
        with self._lock:
            # A short call behind a long one must wait for it: posted first it would be first on the wire, too.
            is_inline = not is_long and self._num_waiting == 0
            self._num_waiting += not is_inline
        if is_inline:
            call()
            return
        if self._calls is None:  # no thread where nothing long is ever asked for
            self._calls = SimpleQueue()
            threading.Thread(target=self._work, args=(self._calls,), name=self._name, daemon=True).start()
        self._calls.put(call)

    def _work(self, calls: SimpleQueue[Callable[[], None]]) -> None:
        while True:
            calls.get()()
            with self._lock:
                self._num_waiting -= 1  # only now: what comes while it is made must queue behind it
