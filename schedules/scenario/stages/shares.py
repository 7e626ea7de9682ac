"""What the stages of a rank share of what is said of its whole part: times, and bytes of activations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from schedules import catalogue
from schedules.errors import MisuseError
from schedules.platform.durations import Cuts, mean_s
from schedules.training.parts import WIDEST, buckets

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


def num_layers(scenario: Scenario) -> int:
    """How many layers a step goes through one by one; 0 where it does not."""
    is_layered = catalogue.find(scenario.program).is_layered or getattr(scenario.schedule, "overlap", None) == "layers"
    return (scenario.workload.layers or 0) if is_layered else 0


def check_layers(scenario: Scenario) -> None:
    """Refuse layers that cannot be.

    Raises:
        ValueError: with the key first.
    """
    schedule: Any = scenario.schedule
    given, fragments, size = scenario.workload.layers, getattr(schedule, "fragments", 0), scenario.parameter_bytes
    if given is None:
        if getattr(schedule, "overlap", None) == "layers":
            told = "expected how many the model has, for schedule.overlap = 'layers'"
            raise ValueError(f"workload.layers: {told}, found none")
        return
    if fragments > given:
        raise ValueError(f"schedule.fragments: expected at most workload.layers = {given}, found {fragments}")
    if size is not None and num_layers(scenario) > size // WIDEST:
        told = f"expected at most {size // WIDEST} of {WIDEST} bytes or more, in a model of {size}"
        raise ValueError(f"workload.layers: {told}, found {given}")


def cuts(scenario: Scenario, rank: int) -> Cuts:
    """Into how many parts the computations of a rank are cut."""
    schedule: Any = scenario.schedule
    layers, stages = num_layers(scenario), num_sharing(scenario, rank)
    size = scenario.parameter_bytes if getattr(schedule, "overlap", None) is True else None
    if size is None:
        return Cuts(layers or int(getattr(schedule, "fragments", 1)), layers=layers, stages=stages)
    found = buckets(size, schedule.bucket_size, schedule.first_bucket)
    first = found[0] / size if schedule.first_bucket is not None else 0.0
    return Cuts(len(found), first, stages=stages)


def mean_time(scenario: Scenario, rank: int, kernel: str, stage: int) -> float:
    """How long a kernel takes on average on a rank at full speed, in gradient times.

    Raises:
        MisuseError: if the platform does not say it.
    """
    number = num_sharing(scenario, rank) if stage >= 0 else 0
    try:
        found = mean_s(scenario.platform, kernel, stage, cuts(scenario, rank)._replace(stages=number))
    except LookupError as error:
        raise MisuseError(f"worker.mean_time: {error}, found {kernel!r}, stage {stage}") from None
    return found / scenario.gradient_s
