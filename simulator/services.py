"""What the world asks of the services that it joins, and of what interrupts them."""

from __future__ import annotations

from typing import Any, Protocol

from schedules.driving.driver import Handler, Running
from schedules.operations import Operation
from simulator.messages.exchanges import Losses


class Service(Protocol):
    """What carries out some of the operations."""

    def handlers(self) -> dict[type[Operation], Handler]:
        """Which ones, and how."""

    def withdraw(self, running: Running, now: int) -> None:
        """One of them is cancelled: it gives back what it holds."""


class Outages(Losses, Protocol):
    """Ranks that fail and come back (`simulator.faults`), as the world knows them."""

    def end_of(self, running: Running, at: int) -> int | None:
        """When an operation ends that would end at `at`, were its rank there; None: never."""

    @property
    def gone(self) -> set[int]:
        """Ranks that never come back."""

    def summary(self, makespan_ns: int) -> dict[str, Any]:
        """What became of them."""
