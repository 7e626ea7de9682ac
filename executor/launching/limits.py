"""How many ranks this machine can start."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator

from schedules.errors import ScenarioError
from schedules.record.quantities import with_unit

BYTES_A_RANK = 40_000_000
"""Of its own, beside torch, which is loaded once: an allowance, for arrays of no size to speak of."""

THREADS_A_RANK = 8
"""About: its streams, its engine, what gloo and torch keep."""


def check_ranks(number: int, where: str = "scenario") -> None:
    """Refuse more ranks than this machine can start.

    Args:
        where: the file of the scenario that asks for them.
    Raises:
        ScenarioError: one line: what there is, and what they would need.
    """
    for most, why in _limits():
        if number > most:
            told = f"expected at most {most:,} ranks on this machine ({why}), found {number:,}"
            raise ScenarioError(f"{where}: topology.workers: {told}; --force goes on")


def _limits() -> Iterator[tuple[int, str]]:
    """How many ranks each limit leaves room for, and which it is."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    yield (
        memory // BYTES_A_RANK,
        f"{with_unit(memory, 'B', 2)} of memory, about {with_unit(BYTES_A_RANK, 'B', 2)} a rank",
    )
    processes, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    if processes != resource.RLIM_INFINITY:
        yield processes // THREADS_A_RANK, f"{processes:,} processes and threads a user, about {THREADS_A_RANK} a rank"
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files != resource.RLIM_INFINITY:
        yield max(1, (files - 64) // 2), f"{files:,} open files a process, and each rank is connected to all"
