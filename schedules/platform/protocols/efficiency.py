"""What part of its links' bandwidth a collective of NCCL has, by its size and by the number of nodes.

Efficiency is bus bandwidth (as nccl-tests define it) over the bandwidth of a node's links. What is lost is mostly one
time a collective that grows with the number of nodes; at large sizes little but headers is left. So the default is

    E / (1 + h N^q / size)      on N > 1 nodes,      E_1 / (1 + h_1 / size)      on one,

with the numbers that fit one half of what others measured on nodes of eight GPUs, every second size from 16 MiB on. The
other half comes within 3 % in the median, 42 % at worst (64 nodes, 32 MiB). It is taken for nodes whose links carry
100 GB/s together (eight NICs of 100 Gbit/s) or more; whoever published it applies it to those of 200 and 400 Gbit/s. On
slower ones the time that is lost stays what it is there, and so is less of the whole: else a few bytes over a slow link
would take seconds. A platform's own table, or number, takes its place.

Source: `aliyun/SimAI`, bus bandwidths of all-reduces on 1 to 64 nodes of eight GPUs.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

LIMIT, HALF, GROWTH = 0.966, 14.75e6, 0.957
"""E, h in bytes, and q."""

LIMIT_OF_ONE, HALF_OF_ONE = 0.784, 12.67e6
"""E_1 and h_1."""


SLOW = 100e9
"""Bytes/s of a node's links below which the time that is lost does not grow any more."""


def default_efficiency(size: float, num_nodes: int, limit: float = SLOW) -> float:
    """That of a collective of `size` bytes, as nccl-tests count them; 1 without bytes.

    Args:
        num_nodes: on how many nodes.
        limit: bytes/s of a node's links together.
    """
    if size <= 0:
        return 1.0
    size *= max(1.0, SLOW / limit)
    if num_nodes == 1:
        return LIMIT_OF_ONE / (1 + HALF_OF_ONE / size)
    return LIMIT / (1 + HALF * math.pow(num_nodes, GROWTH) / size)


class EfficiencyGrid(NamedTuple):
    """A table of efficiencies.

    Attributes:
        sizes: in bytes, ascending.
        nodes: numbers of nodes, ascending.
        values: a row a number of nodes, with a value a size.
    """

    sizes: tuple[float, ...]
    nodes: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, size: float, num_nodes: int) -> float:
        """Between its entries a line in logarithms of size, nodes and efficiency; beyond them, as at the last one."""
        by_nodes = [_between(self.sizes, row, size) for row in self.values]
        return _between(self.nodes, by_nodes, num_nodes)


def _between(places: Sequence[float], values: Sequence[float], at: float) -> float:
    after = bisect_right(places, at)
    if after == 0 or after == len(places):
        return values[min(after, len(places) - 1)]
    low, high = places[after - 1], places[after]
    share = math.log(at / low) / math.log(high / low)
    return math.exp((1 - share) * math.log(values[after - 1]) + share * math.log(values[after]))


def check_grid(grid: EfficiencyGrid) -> EfficiencyGrid:
    """A table that has a value for every size and number of nodes, and does not fall with size.

    Raises:
        ValueError: saying what was expected, and where it is not so.
    """
    sizes, nodes, values = grid
    for name, found in (("sizes", sizes), ("nodes", nodes)):
        if found[0] <= 0:  # between two entries its logarithm is asked for
            raise ValueError(f"{name}: expected numbers above 0, found {found[0]:.12g}")
        for one, other in pairwise(found):
            if other <= one:
                raise ValueError(f"{name}: expected them to rise, found {other:.12g} after {one:.12g}")
    if len(values) != len(nodes):
        raise ValueError(f"values: expected a row for each of {len(nodes)} numbers of nodes, found {len(values)}")
    for number, row in zip(nodes, values, strict=True):
        if len(row) != len(sizes):
            raise ValueError(f"values: expected {len(sizes)} a row, one a size, found {len(row)} (nodes: {number})")
        for (one, other), size in zip(pairwise(row), sizes[1:], strict=True):
            if other < one:
                raise ValueError(
                    f"values: expected efficiencies that do not fall with size, found {other:.12g} at {size:.12g} B "
                    f"after {one:.12g} (nodes: {number})"
                )
    return grid
