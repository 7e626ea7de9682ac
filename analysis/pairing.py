"""Whether two runs drew the same clocks and durations, so that what both owe to chance cancels in their difference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from schedules.record.files import MEASURED
from schedules.result import Result

_DRAWN: Final = ("gradient", "kernels", "gradient_time", "speed", "stragglers", "faults")
"""The keys of [platform] that say what is drawn; links and transports draw nothing."""


def drew_alike(first: Result, second: Result) -> bool:
    """Whether two runs drew the same clocks and durations.

    They do with one seed, schedule, graph, and assumptions of how long kernels take: a measured run where kernels are
    paced, and not where they take what they take, or in a replay, which does not wait for them.
    """
    if (first.seed, first.gradient_s) != (second.seed, second.gradient_s):
        return False
    ours, theirs = first.tables, second.tables
    platforms = [tables.get("platform") or {} for tables in (ours, theirs)]
    return (
        all(ours.get(table) == theirs.get(table) for table in ("schedule", "topology"))
        and all(platforms[0].get(key) == platforms[1].get(key) for key in _DRAWN)
        and _draws(first)
        and _draws(second)
    )


def _draws(run: Result) -> bool:
    return run.world != MEASURED or (_is_paced(run.tables) and not run.info.get("is_replay", False))


def _is_paced(tables: Mapping[str, Any]) -> bool:
    """As the executor decides it; of a run that does not say, nobody knows."""
    compute = (tables.get("execution") or {}).get("compute")
    workload, run = tables.get("workload") or {}, tables.get("run") or {}
    is_numeric = workload.get("module") is not None or (
        workload.get("problem") is not None and run.get("numerics", True)
    )
    return compute == "paced" or (compute == "auto" and not is_numeric)
