"""The way from one rank to another, and how ranks leave their nodes, as formulas of collectives see them."""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Hop(Protocol):
    """From one rank to another; a link of the platform is one."""

    @property
    def bandwidth(self) -> float:
        """Bytes per second."""

    @property
    def latency(self) -> float:
        """Seconds."""


class Leaving(NamedTuple):
    """How the ranks of a group, of whom a node has several, leave their nodes.

    Attributes:
        rings: NICs of the node that has the fewest.
        by_nic: most ranks that leave by one NIC.
        largest: most ranks on a node.
        crossing: of a collective in which everybody sends everybody a part of its own: parts that leave by the busiest
            NIC.
    """

    rings: int
    by_nic: int
    largest: int
    crossing: int
