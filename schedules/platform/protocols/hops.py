"""The way from one rank to another, as formulas of collectives see it."""

from __future__ import annotations

from typing import Protocol


class Hop(Protocol):
    """From one rank to another; a link of the platform is one."""

    @property
    def bandwidth(self) -> float:
        """Bytes per second."""

    @property
    def latency(self) -> float:
        """Seconds."""
