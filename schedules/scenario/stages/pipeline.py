"""What the tables of a scenario say of a pipeline: what its stages hand on and keep, and whether that fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from schedules.catalogue import Schedule
from schedules.platform.computing import Duration
from schedules.scenario.stages.parameters import stage_parameters

if TYPE_CHECKING:
    from schedules.scenario.resolved import Scenario


def boundaries(scenario: Scenario) -> tuple[int, ...]:
    """Bytes that go from each stage to the next: one fewer than stages."""
    given, number = scenario.workload.boundary, len(scenario.plan.stages) - 1
    return tuple(map(round, given)) if isinstance(given, list) else (round(given),) * number


def activations(scenario: Scenario, rank: int) -> tuple[int, int]:
    """Bytes that a micro-batch leaves on a stage of the rank: after its forward pass, and after the backward pass for
    the input alone. What is said is of the worker's whole part, which its chunks share."""
    given, chunks = scenario.workload.activations, scenario.plan.chunks(rank)
    after_forward, after_input = given if isinstance(given, list) else (given, given)
    return round(after_forward / chunks), round(after_input / chunks)


def check_stages(scenario: Scenario, schedule: Schedule) -> None:
    """Refuse tables that do not fit the stages of a schedule; and where it is no pipeline, what that alone may lack.

    Raises:
        ValueError: with the key first.
    """
    try:
        stage_parameters(scenario)
    except ValueError as error:
        raise ValueError(f"workload.parameters: {error}") from None
    workload, num_stages = scenario.workload, len(scenario.plan.stages)
    if not schedule.is_pipeline and not workload.is_sized:
        told = "expected one of the keys problem, parameters, tensors and module, found none of them"
        raise ValueError(f"workload: {told}")
    if schedule.is_pipeline and workload.problem is not None and scenario.run.numerics:
        told = f"expected none for {scenario.program}, whose stages have kernels of a module's, or durations alone"
        raise ValueError(f"workload.problem: {told}, found {workload.problem!r}")
    if num_stages and not schedule.is_pipeline and workload.module is not None and scenario.run.numerics:
        told = (
            f"expected none for {scenario.program}, whose stages are of a problem (run.numerics = false: times alone)"
        )
        raise ValueError(f"workload.module: {told}, found {workload.module!r}")
    for key, found, number, what in _lists(scenario, num_stages) if num_stages else ():
        if len(found) != number:
            raise ValueError(f"{key}: expected one value, or one a {what} ({number}), found {len(found)}")
    _check_kernels(scenario, schedule)


def _lists(scenario: Scenario, num_stages: int) -> Iterator[tuple[str, list[float] | list[Duration], int, str]]:
    """The lists of what is said by boundary or by stage: key, list, how many there must be, of what."""
    if isinstance(scenario.workload.boundary, list):
        yield "workload.boundary", scenario.workload.boundary, num_stages - 1, "boundary"
    for name, found in scenario.platform.kernels.items():
        if isinstance(found, list):
            yield f"platform.kernels.{name}", found, num_stages, "stage"


def _check_kernels(scenario: Scenario, schedule: Schedule) -> None:
    """The kernels of every step must have durations."""
    platform, found = scenario.platform, set(scenario.platform.kernels)
    if platform.gradient is not None:
        found |= {"forward", "backward"}
    if {"backward-input", "backward-weight"} <= found:
        found.add("backward")
    needed = () if schedule.kernels is None else schedule.kernels(scenario.schedule, scenario.topology.workers)
    for name in sorted(needed):
        if name not in found:
            told = ", ".join(sorted(found)) or "none"
            raise ValueError(f"platform.kernels: expected a duration of {name} for {scenario.program}, found {told}")
