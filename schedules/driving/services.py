"""What a world joins: services that carry out the operations, the same five in both."""

from __future__ import annotations

from typing import Protocol

from schedules.driving.driver import Handler, Running
from schedules.operations import Operation


class Service(Protocol):
    """What carries out some of the operations: computing, exchanges, sends, collectives or meetings."""

    def handlers(self) -> dict[type[Operation], Handler]:
        """Which operations, and how."""

    def withdraw(self, running: Running, now: int) -> None:
        """The program has cancelled one of them: free what it holds."""
