"""What runs kernels one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from schedules.driving.driver import Running

Draw = Callable[[], int]
"""How long a kernel takes at full speed, in nanoseconds: the next draw."""


class Engine:
    """The kernel that runs, until when, and those that wait."""

    __slots__ = ("current", "free_ns", "waiting")
    current: Running

    def __init__(self) -> None:
        self.free_ns = 0
        self.waiting: deque[Running] = deque()
