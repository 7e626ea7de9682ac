"""What the tables of a scenario say of a pipeline: what its stages hand on and keep, and whether that fits."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from schedules import catalogue
from schedules.catalogue import Schedule
from schedules.errors import nearest
from schedules.platform.computing import Duration
from schedules.platform.transports import TRANSPORTS
from schedules.programs.pipelines.settings import Capped, Costs, FromFile
from schedules.scenario.files import read_text
from schedules.scenario.stages.parameters import stage_parameters
from schedules.training import kernels
from schedules.training.vectors import ITEM_SIZE, Tie

if TYPE_CHECKING:
    from schedules.scenario.resolved import Scenario


def boundaries(scenario: Scenario) -> tuple[int, ...]:
    """Bytes that go from each stage to the next: one fewer than stages."""
    given, number = scenario.workload.boundary, len(scenario.plan.stages) - 1
    return tuple(map(round, given)) if isinstance(given, list) else (round(given),) * number


def ties(scenario: Scenario) -> tuple[Tie, ...]:
    """The parameters that stages share, as far as it is known without a module."""
    width = ITEM_SIZE[scenario.workload.dtype]
    return tuple(Tie(tuple(each.stages), width * each.parameters) for each in scenario.workload.tied)


def activations(scenario: Scenario, rank: int) -> tuple[int, int]:
    """Bytes that a micro-batch leaves on a stage of the rank: after its forward pass, and after the backward pass for
    the input alone. What is said is of the worker's whole part, which its chunks share."""
    given, chunks = scenario.workload.activations, scenario.plan.chunks(rank)
    after_forward, after_input = given if isinstance(given, list) else (given, given)
    return round(after_forward / chunks), round(after_input / chunks)


def with_order(scenario: Scenario) -> Scenario:
    """The scenario with all that the order of its pipeline depends on beside keys of [schedule]: a file, or the times
    of its steps.

    Raises:
        ValueError: if the file cannot be read; it begins with the key.
    """
    settings = scenario.schedule
    if isinstance(settings, FromFile):
        try:
            settings = settings.with_text(read_text(settings.file))
        except ValueError as error:
            raise ValueError(f"schedule.file: {error}") from None
    elif isinstance(settings, Capped):
        settings = settings.with_costs(_costs(scenario, settings.chunks_of_a_worker))
    return scenario if settings is scenario.schedule else scenario.model_copy(update={"schedule": settings})


def _costs(scenario: Scenario, chunks: int) -> Costs | None:
    """Mean times of all steps; None where a kernel lacks one, or a list has another length, which is told later."""
    # The replicas go by one order: that of the first. Too many of them are told by their key, where ranks are planned.
    workers, speed_of = max(1, scenario.topology.workers // scenario.schedule.replicas), scenario.platform.speed_of
    found = []
    for kind, name in (("F", "forward"), ("B", "backward-input"), ("W", "backward-weight")):
        means = _means(scenario.platform.kernels.get(name), workers, chunks)
        if len(means) != workers * chunks:
            return None
        ranks = [stage if stage < workers else 2 * workers - 1 - stage for stage in range(len(means))]
        times = zip(means, map(speed_of, ranks), strict=True)
        found.append((kind, tuple(round(mean / speed * 1e9) for mean, speed in times)))
    kept = scenario.workload.activations
    held = (kept[0], kept[1]) if isinstance(kept, list) else (kept, kept)
    return Costs(tuple(found), round(_message_s(scenario) * 1e9), held if held[0] else (1.0, 1.0))


def _means(given: Duration | list[Duration] | None, workers: int, chunks: int) -> list[float]:
    """Seconds of a kernel, one a stage."""
    if given is None:
        return []
    return [each.mean for each in given] if isinstance(given, list) else [given.mean / chunks] * (workers * chunks)


def _message_s(scenario: Scenario) -> float:
    """Seconds of the largest message between two stages, on a link of its own."""
    given, link = scenario.workload.boundary, scenario.platform.link
    size, row = max(given, default=0.0) if isinstance(given, list) else given, TRANSPORTS[scenario.platform.transport]
    return row.has_latency * link.latency + row.takes_bytes * size / link.bandwidth


def check_stages(scenario: Scenario, schedule: Schedule) -> None:
    """Refuse tables that do not fit the stages of a schedule; and where it is no pipeline, what that alone may lack.

    Raises:
        ValueError: with the key first.
    """
    try:
        stage_parameters(scenario)
    except ValueError as error:
        raise ValueError(f"workload.parameters: {error}") from None
    if not schedule.is_pipeline:
        _check_no_pipeline(scenario)
    workload, num_stages = scenario.workload, len(scenario.plan.stages)
    if schedule.is_pipeline and workload.problem is not None and scenario.run.numerics:
        told = f"expected none for {scenario.program}, whose stages have kernels of a module's, or durations alone"
        raise ValueError(f"workload.problem: {told}, found {workload.problem!r}")
    _check_clipping(scenario, num_stages)
    if workload.tied and "optimizer_sync" not in type(scenario.schedule).model_fields:
        told = f"expected none for {scenario.program}, which has no flush at which gradients are summed, found one"
        raise ValueError(f"workload.tied: {told}")
    for tie in workload.tied:
        if tie.stages[-1] >= num_stages:
            raise ValueError(f"workload.tied: expected stages from 0 to {num_stages - 1}, found {tie.stages}")
    for key, found, number, what in _lists(scenario, num_stages) if num_stages else ():
        if len(found) != number:
            raise ValueError(f"{key}: expected one value, or one a {what} ({number}), found {len(found)}")
    _check_kernels(scenario, schedule)


def _check_clipping(scenario: Scenario, num_stages: int) -> None:
    """Stages of ours that step alone know no norm of the whole gradient. (A program of the user's own may send it.)"""
    clip_norm, sync = scenario.optimizer.clip_norm, getattr(scenario.schedule, "optimizer_sync", None)
    has_numbers = (scenario.workload.module is not None or scenario.is_numeric) and scenario.run.numerics
    if clip_norm is None or num_stages < 2 or sync not in (None, "none") or not has_numbers:
        return
    if catalogue.own_text(scenario.program) is None:
        instead = "" if sync is None else " (schedule.optimizer_sync = 'barrier' has it)"
        told = f"expected none for {scenario.program}, whose stages step without the whole gradient's norm{instead}"
        raise ValueError(f"optimizer.clip_norm: {told}, found {clip_norm:g}")


def _check_no_pipeline(scenario: Scenario) -> None:
    """What belongs to stages alone, and what a pipeline alone may lack."""
    for key in ("split", "tied") if not scenario.plan.stages else ():
        if getattr(scenario.workload, key):
            told = f"expected none for {scenario.program}, which has no stages, found one"
            raise ValueError(f"workload.{key}: {told}")
    if not scenario.workload.is_sized:
        told = "expected one of the keys problem, parameters, tensors and module, found none of them"
        raise ValueError(f"workload: {told}")


def _lists(scenario: Scenario, num_stages: int) -> Iterator[tuple[str, list[float] | list[Duration], int, str]]:
    """The lists of what is said by boundary or by stage: key, list, how many there must be, of what."""
    if isinstance(scenario.workload.boundary, list):
        yield "workload.boundary", scenario.workload.boundary, num_stages - 1, "boundary"
    for name, found in scenario.platform.kernels.items():
        if isinstance(found, list):
            yield f"platform.kernels.{name}", found, num_stages, "stage"


def _check_kernels(scenario: Scenario, schedule: Schedule) -> None:
    """The kernels of every step must have durations, and their names must not be misspelt. Others' names may be there:
    a platform is measured for several programs, of which some may be the user's."""
    platform, found = scenario.platform, set(scenario.platform.kernels)
    unknown = found - kernels.NAMES if catalogue.own_text(scenario.program) is None else set()
    for name in sorted(unknown):
        if difflib.get_close_matches(name, kernels.NAMES, cutoff=0.85):
            told = f"expected one of {', '.join(sorted(kernels.NAMES))}, found {name!r}{nearest(name, kernels.NAMES)}"
            raise ValueError(f"platform.kernels.{name}: {told}")
    if platform.gradient is not None:
        found |= {"forward", "backward"}
    if {"backward-input", "backward-weight"} <= found:
        found.add("backward")
    needed = () if schedule.kernels is None else schedule.kernels(scenario.schedule, scenario.topology.workers)
    for name in sorted(needed):
        if name not in found:
            told = ", ".join(sorted(found)) or "none"
            raise ValueError(f"platform.kernels: expected a duration of {name} for {scenario.program}, found {told}")
