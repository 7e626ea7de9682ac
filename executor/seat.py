"""What a rank is told before it runs: where it sits, and what is to be run. Known without torch, for the launchers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

QUIET_TORCH: Final = {"TORCH_CPP_LOG_LEVEL": "ERROR"}
"""In the environment, before torch is loaded: it would warn that it knows no name of 127.0.0.1, for which nobody is
asked (`executor.agreement.store`). What a user has set himself goes before it."""


@dataclass(frozen=True)
class Seat:
    """Where a rank sits.

    Attributes:
        rank, num_workers: which one, of how many.
        local_rank, local_size: the same, of those on this machine.
        host, port, prefix: of the store, and of this run in it.
        directory: where it keeps its files.
    """

    rank: int
    num_workers: int
    local_rank: int
    local_size: int
    host: str
    port: int
    prefix: str
    directory: Path

    @property
    def is_local(self) -> bool:
        """Whether all ranks are on this machine."""
        return self.local_size == self.num_workers


@dataclass(frozen=True)
class Task:
    """What is to be run: the tables of a resolved scenario, and what a replay follows.

    Attributes:
        replay: a file with the rows to follow; None: none are.
        followed: beside the rows, what `schedules.result.Followed` has.
    """

    scenario: Mapping[str, object]
    replay: str | None = None
    followed: tuple[float, int | None, bool] = (1.0, None, True)
