"""What the world asks of ranks that fail: a declared interruption, which `simulator.faults` is."""

from __future__ import annotations

from typing import Any, Protocol

from schedules.driving.driver import Running
from simulator.messages.exchanges import Losses


class Outages(Losses, Protocol):
    """Ranks that fail and come back (`simulator.faults`), as the world knows them."""

    def end_of(self, running: Running, at: int) -> int | None:
        """When an operation ends that would end at `at`, were its rank there; None: never."""

    @property
    def gone(self) -> set[int]:
        """Ranks that never come back."""

    def summary(self, makespan_ns: int) -> dict[str, Any]:
        """What became of them."""
