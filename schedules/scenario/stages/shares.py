"""What the stages of a rank share of what is said of its whole part: times, and bytes of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schedules.errors import MisuseError
from schedules.platform.durations import mean_s

if TYPE_CHECKING:
    from schedules.scenario.resolved import Scenario


def num_sharing(scenario: Scenario, rank: int) -> int:
    """How many stages share it; 0 in a schedule without stages."""
    plan = scenario.plan
    if plan.is_pipeline:
        return plan.chunks(rank)
    return sum(rank in ranks for ranks in plan.stages)


def kernel_activations(scenario: Scenario, rank: int) -> int:
    """Bytes that a backward pass (of a stage, or of a bucket) lets go; of a pipeline 0, as its programs enter them."""
    given = scenario.workload.activations  # with a unit, so as floats
    number = num_sharing(scenario, rank)
    if number == 0:
        return 0 if isinstance(given, list) else round(given)
    whole = given[0] if isinstance(given, list) else given
    return 0 if scenario.plan.is_pipeline else round(whole / number)


def mean_time(scenario: Scenario, rank: int, kernel: str, stage: int) -> float:
    """How long a kernel takes on average on a rank at full speed, in gradient times.

    Raises:
        MisuseError: if the platform does not say it.
    """
    number = num_sharing(scenario, rank) if stage >= 0 else 0
    try:
        found = mean_s(scenario.platform, kernel, stage, num_buckets=scenario.num_buckets, num_stages=number)
    except LookupError as error:
        raise MisuseError(f"worker.mean_time: {error}, found {kernel!r}, stage {stage}") from None
    return found / scenario.gradient_s
