"""Who holds which stage, and computes which micro-batches of it, in the two forms of cyclic data parallelism.

Micro-batches are numbered through the run: k = t N + i is that of worker i in step t. The m ranks that hold a stage
take turns: the (k mod m)-th of them has micro-batch k.

* Data-parallel, `placement = "workers"`: every worker holds all N stages.
* Model-parallel, `placement = "stages"`: N - j devices hold stage j, as many as there are micro-batches between their F
  and B of it. So N (N + 1) / 2 devices do what takes plain data parallelism N^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import isqrt

Ranks = tuple[int, ...]


@dataclass(frozen=True)
class Turns:
    """Whose turn it is, as one rank asks.

    Attributes:
        rank: who asks.
        holders: of every stage the ranks that hold it, in turn.
    """

    rank: int
    holders: tuple[Ranks, ...]

    @property
    def num_stages(self) -> int:
        """N."""
        return len(self.holders)

    @property
    def stages(self) -> list[int]:
        """Those that this rank holds, ascending."""
        return [stage for stage, ranks in enumerate(self.holders) if self.rank in ranks]

    def micro_batches(self, num_steps: int) -> range:
        """Those of this rank: of all its stages the same."""
        ranks = self.holders[self.stages[0]]
        return range(ranks.index(self.rank), num_steps * self.num_stages, len(ranks))

    def holder(self, stage: int, micro_batch: int) -> int:
        """The rank that has the micro-batch at a stage."""
        ranks = self.holders[stage]
        return ranks[micro_batch % len(ranks)]

    def is_mine(self, stage: int, micro_batch: int) -> bool:
        """Whether this rank has it."""
        return self.holder(stage, micro_batch) == self.rank

    def following(self, stage: int) -> list[int]:
        """The other ranks that hold a stage, the one whose turn is next first."""
        ranks = self.holders[stage]
        place = ranks.index(self.rank)
        return [*ranks[place + 1 :], *ranks[:place]]


def num_stages(placement: str, num_ranks: int) -> int:
    """N, for so many ranks.

    Raises:
        ValueError: if there is no N of so many devices, with the key first.
    """
    if placement == "workers":
        return num_ranks
    number = (isqrt(8 * num_ranks + 1) - 1) // 2
    if devices(number) != num_ranks:
        told = f"expected N (N + 1) / 2 devices for N stages, such as {devices(number)} or {devices(number + 1)}"
        raise ValueError(f"topology.workers: {told}, found {num_ranks}")
    return number


def devices(num_stages: int) -> int:
    """How many the model-parallel form takes."""
    return num_stages * (num_stages + 1) // 2


def holders(placement: str, num_ranks: int) -> tuple[Ranks, ...]:
    """The ranks that hold each stage.

    Raises:
        ValueError: as `num_stages`.
    """
    number = num_stages(placement, num_ranks)
    if placement == "workers":
        return (tuple(range(number)),) * number
    ends = [devices(number) - devices(left) for left in range(number, -1, -1)]
    return tuple(tuple(range(begin, end)) for begin, end in pairwise(ends))
