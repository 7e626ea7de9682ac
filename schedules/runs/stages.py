"""What the summary of a pipeline has beside others: its bubble by three conventions, its period, and its stages.

The bubble is what is left of the makespan beside the work of the rank that has most. Three numbers of it are about:
bubble / ideal (Megatron's (p-1)/m), bubble / makespan (GPipe's (p-1)/(m+p-1)), and the bubble rate of Zero Bubble
(arXiv:2401.10241, section 5.3), (cost - ideal) / cost, whose cost is the longest time of a rank from its own first step
to its last.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from schedules import catalogue
from schedules.platform.computing import Duration
from schedules.record.contributions import Contributions
from schedules.record.ledger import Ledger
from schedules.record.memory import LATEST, Integers
from schedules.result import Result
from schedules.scenario import Scenario

BACKWARD = ("backward", "backward-input")
"""Kernels that hand on the gradient for a stage's input."""


def add_stages(run: Result, ledger: Ledger) -> None:
    """Add what a run of a pipeline says of its stages; nothing to another's."""
    if catalogue.find(run.scenario.program).is_pipeline:
        run.summary |= {**_bubbles(run, ledger), **_period(run), **_stages(ledger)}


def _bubbles(run: Result, ledger: Ledger) -> dict[str, float]:
    rank, start, end = ledger.computing
    if not len(rank):
        return {}
    first, last, work = (np.full(ledger.num_ranks, each, dtype=np.int64) for each in (LATEST, 0, 0))
    np.minimum.at(first, rank, start)
    np.maximum.at(last, rank, end)
    np.add.at(work, rank, end - start)
    cost = int((last - first)[work > 0].max()) / 1e9
    ideal = max(float(work[each]) / 1e9 - _optimizer_s(run.scenario, each) for each in range(ledger.num_ranks))
    makespan = run.summary["makespan_s"]
    return {
        "bubble_over_ideal": (makespan - ideal) / ideal if ideal > 0 else 0.0,
        "bubble_over_makespan": (makespan - ideal) / makespan if makespan else 0.0,
        "bubble_rate": (cost - ideal) / cost if cost else 0.0,
        "cost_s": cost,
    }


def _optimizer_s(scenario: Scenario, rank: int) -> float:
    """What a rank's updates take, which are no work of a micro-batch."""
    given, plan = scenario.platform.kernels.get("optimizer"), scenario.plan
    if given is None:
        return 0.0
    held = [stage for stage, ranks in enumerate(plan.stages) if rank in ranks]
    means = [given[stage].mean if isinstance(given, list) else _share(given, plan.chunks(rank)) for stage in held]
    return plan.updates[rank] * sum(means) / scenario.platform.speed_of(rank)


def _share(duration: Duration, chunks: int) -> float:
    return float(duration.mean) / chunks


def _period(run: Result) -> dict[str, float]:
    """Seconds between the backward passes of the first stage, over the half of the stream in its middle."""
    trace = run.trace
    if trace is None:
        return {}
    is_first = (trace["stage"] == 0) & trace["kernel"].isin(BACKWARD)
    # A pair has the stage of its forward pass; its backward pass is of the other stage of the rank.
    is_first |= (
        (trace["kernel"] == "overlapped") & (trace["stage"] != 0) & trace["rank"].isin(run.scenario.plan.ranks(0))
    )
    ends = np.sort(trace["end_ns"][(trace["op"] == "Compute") & is_first].to_numpy())
    low, high = len(ends) // 4, 3 * len(ends) // 4
    return {"period_s": float(ends[high] - ends[low]) / 1e9 / (high - low)} if high > low else {}


def _stages(ledger: Ledger) -> dict[str, Any]:
    behind = _staleness(ledger.contributions)
    return {
        "stage_staleness": [
            {"stage": stage, "min": int(each.min()), "mean": float(each.mean()), "max": int(each.max())}
            for stage, each in sorted(behind.items())
        ],
        "peak_activations": ledger.memory.peak_activations().tolist(),
        "bytes_per_link": {f"{rank}-{peer}": size for (rank, peer), size in sorted(ledger.messages.items())},
    }


def _staleness(found: Contributions) -> dict[int, Integers]:
    """Of gradients: versions of a stage's parameters written between read and apply, by stage."""
    if not len(found):
        return {}
    place, _, version, read = np.frombuffer(bytes(found.packed), dtype="<i8").reshape(len(found), -1).T[:4]
    stage = np.array([number for _, number, _ in found.places], dtype=np.int64)[place]
    return {each: (version - read)[stage == each] for each in np.unique(stage[stage >= 0]).tolist()}
