"""What the collectives of a run took."""

from __future__ import annotations

from typing import Any

from schedules.operations import Operation
from schedules.platform.volumes import bandwidths, latency_rounds
from simulator.collectives.gathering import Gathering
from simulator.messages.formulas import Formulas


class Tally:
    """Of every kind, number of ranks, bytes and algorithm: how many there were, their time, and its latency."""

    def __init__(self, transport: Formulas) -> None:
        self._transport = transport
        self._told: dict[tuple[str, int, int, str], list[float]] = {}

    def enter(self, gathering: Gathering, kind: type[Operation], size: int, seconds: float) -> None:
        """A collective is over: `seconds` from when its last member took part."""
        told = self._told.setdefault((kind.__name__, gathering.num_members, size, gathering.algorithm), [0, 0.0, 0.0])
        told[0] += 1
        told[1] += seconds
        told[2] = self._latency(gathering, kind, size)

    def _latency(self, gathering: Gathering, kind: type[Operation], size: int) -> float:
        if gathering.algorithm not in self._transport.row.relays.get(kind.__name__, ()):
            return _latency(gathering, kind.__name__, size)
        # What bytes hide of it is no part of the time.
        levels, n, algorithm = gathering.levels, gathering.num_members, gathering.algorithm
        took = self._transport.collective(kind, n, size, levels, algorithm)
        return took - self._transport.collective(kind, n, size, levels.without_latency(), algorithm)

    def rows(self, form: str) -> list[dict[str, Any]]:
        """One row a kind, number of ranks, bytes and algorithm: how many, their mean time, and their bandwidths.

        `latency_s` is the part of the time that is latency, `algbw` and `busbw` are in bytes/s as in nccl-tests.
        """
        rows = []
        for (kind, n, size, algorithm), (count, seconds, latency) in sorted(self._told.items()):
            mean = seconds / count
            row = {"kind": kind, "ranks": n, "bytes": size, "algorithm": algorithm}
            row |= {"form": form, "count": int(count), "mean_s": mean}
            # By flows rounds that were over before the last member came are in the latency, and not in the time.
            row["latency_s"] = min(mean, latency)
            rows.append(row | bandwidths(kind, n, size, mean))
        return rows


def _latency(gathering: Gathering, kind: str, size: int) -> float:
    """Seconds of latency that follow on one another; of a hierarchical one, those inside a node at their own."""
    levels, n = gathering.levels, gathering.num_members
    num_nodes = levels.num_nodes or n
    outside = levels.outside.latency
    if gathering.algorithm != "hierarchical" or levels.inside is None:
        return outside * latency_rounds(kind, gathering.algorithm, n, size, num_nodes=1)
    # Reduce-scatter and all-gather inside a node are together as many rounds as an all-reduce on a ring.
    across = latency_rounds(kind, "ring", num_nodes, size)
    return outside * across + levels.inside.latency * latency_rounds(kind, "ring", n // num_nodes, size)
