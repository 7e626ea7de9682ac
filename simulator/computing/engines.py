"""What runs kernels one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from schedules.driving.board import not_a_kernel
from schedules.driving.driver import Running
from schedules.errors import ProgramError, UnknownKernelError

Draw = Callable[[], int]
"""How long a kernel takes at full speed, in nanoseconds: the next draw."""


class Engine:
    """The kernel that runs, until when, and those that wait."""

    __slots__ = ("current", "free_ns", "waiting")
    current: Running  # unset until its first kernel: nobody asks before

    def __init__(self) -> None:
        self.free_ns = 0
        self.waiting: deque[Running] = deque()


def look_up(durations: dict[str, Draw], running: Running) -> None:
    """Have a rank's durations of a kernel at hand, at its first issue.

    Raises:
        ProgramError: if the platform does not know it; the program's line is named.
    """
    try:
        durations[running.operation.kernel]
    except UnknownKernelError as error:
        raise ProgramError(not_a_kernel(running, error.known)) from None
