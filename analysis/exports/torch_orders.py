"""The order of a pipeline in the format of torch's pipelines, whose runtime loads and runs it."""

from __future__ import annotations

from pathlib import Path

from schedules.orders import write_csv
from schedules.programs.pipelines.settings import Flushed, workers_of
from schedules.programs.pipelines.tracks import order_of
from schedules.record.files import is_run
from schedules.result import load_run
from schedules.scenario import load


def torch_csv(source: Path) -> str:
    """torch's `compute_only` CSV of one iteration: `_PipelineScheduleRuntime(...)._load_csv(file)` takes it.

    Args:
        source: a scenario's file, or a run directory.
    Raises:
        ValueError: if its program is no pipeline with a flush, or one of two chains, which torch cannot run.
        OSError: if the file cannot be read.
    """
    scenario = load_run(source).scenario if source.is_dir() and is_run(source) else load(source)
    settings, program = scenario.schedule, scenario.program
    if not isinstance(settings, Flushed):
        raise ValueError(f"{source}: schedule.program: expected a pipeline with a flush, found {program!r}")
    one = settings.model_copy(update={"replicas": 1})  # torch's copies of a pipeline run one file
    order = order_of(program, one, workers_of(settings, scenario.topology.workers))
    if len(order.chains) > 1:
        raise ValueError(
            f"{source}: schedule.program: expected a pipeline in which every micro-batch passes all stages, as torch's "
            f"do, found {program!r}"
        )
    return write_csv(order)
