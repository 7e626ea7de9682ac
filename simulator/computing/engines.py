"""What runs kernels one after the other."""

from __future__ import annotations

from collections import deque

from schedules.driving.driver import Running


class Engine:
    """The kernel that runs, until when, and those that wait."""

    __slots__ = ("current", "free_ns", "waiting")
    current: Running  # unset until its first kernel: nobody asks before

    def __init__(self) -> None:
        self.free_ns = 0
        self.waiting: deque[Running] = deque()
