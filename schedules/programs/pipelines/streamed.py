"""The pipelines without a flush, one row each: which parameters a micro-batch sees, `policies` has in a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from schedules import Program, Table, Worker
from schedules.programs.pipelines.pipeline import Pipeline
from schedules.programs.pipelines.policies import Policy
from schedules.programs.pipelines.settings import Delayed, Petra, PipeDream, Streamed
from schedules.programs.pipelines.streaming import one_engine, two_engines
from schedules.programs.pipelines.tracks import Tracks

Check = Callable[[Any, int], None]
"""(settings, workers): refuses what does not fit."""


def _pipedream(settings: Any) -> Policy:
    """Vertical sync: the version that comes with the micro-batch; at the first stage the newest there was."""
    if not settings.vertical_sync:
        return Policy(settings.accumulate)
    return Policy(settings.accumulate, version=lambda _, seen: seen)


def _two_buffers(settings: Any) -> Policy:
    """max(k // a - 1, 0)."""
    a = settings.accumulate
    return Policy(a, version=lambda k, _: max(k // a - 1, 0))


def _delayed(settings: Any) -> Policy:
    keeps = "graph" if not settings.checkpoint else "inputs" if settings.overlap_last else "queue"
    return Policy(settings.accumulate, remakes=settings.checkpoint, keeps=keeps)


def _petra(settings: Any) -> Policy:
    return Policy(settings.accumulate, remakes=True, returns_outputs=True, buffered=settings.buffered, keeps="nothing")


def check_buffered(settings: Any, workers: int) -> None:
    """The stages that keep their inputs must be there.

    Raises:
        ValueError: if one is not.
    """
    for stage in settings.buffered:
        if stage >= workers:
            raise ValueError(f"schedule.buffered: expected stages from 0 to {workers - 1}, found {stage}")


def check_buffers(settings: Any, workers: int) -> None:
    """Two versions are enough where an update has as many gradients as there are stages.

    Raises:
        ValueError: if it has fewer.
    """
    if settings.accumulate < workers:
        told = f"expected at least topology.workers = {workers}"
        raise ValueError(f"schedule.accumulate: {told}, found {settings.accumulate}")


def _streamed(
    program: str,
    line: str,
    source: str,
    keys: type[Table],
    policy: Callable[[Any], Policy],
    staleness: str,
    check: Check | None = None,
) -> Pipeline:
    def streams(worker: Worker, tracks: Tracks) -> Mapping[str, Program]:
        walked = two_engines if getattr(worker.settings, "engines", 1) == 2 else one_engine
        return walked(worker, tracks, policy(worker.settings))

    return Pipeline(program, line, source, keys, streams, check, policy, staleness)


_TWICE = "of stage i of p, counted from 0: 2 (p - 1 - i) micro-batches"

_ROWS = (
    _streamed(
        "pipedream",
        "PipeDream: 1F1B without a flush; a backward pass sees the stashed parameters of its forward pass.",
        "Harlap et al. 2018, PipeDream (arXiv:1806.03377)",
        PipeDream,
        _pipedream,
        "of stage i of p, counted from 0: p - 1 - i micro-batches (vertical sync: p - 1 of every stage)",
    ),
    _streamed(
        "pipedream-2bw",
        "PipeDream-2BW: 1F1B without a flush and with two versions of the parameters, one update behind.",
        "Narayanan et al. 2021, Memory-efficient pipeline-parallel DNN training (arXiv:2006.09503), section 3.1",
        Streamed,
        _two_buffers,
        "one update, of every stage",
        check_buffers,
    ),
    _streamed(
        "delayed-gradients",
        "Delayed gradients: every stage does a forward and a backward pass a tick, of micro-batches far apart.",
        "The family of DDG, DSP and PipeMare, as PETRA accounts for it (arXiv:2406.02052, table 1)",
        Delayed,
        _delayed,
        _TWICE,
    ),
    _streamed(
        "petra",
        "PETRA: the same with reversible stages, which work their inputs out again and keep nothing.",
        "Rivaud et al. 2024, PETRA (arXiv:2406.02052), algorithm 1 and equation 5",
        Petra,
        _petra,
        _TWICE,
        check_buffered,
    ),
)

PROGRAMS: Mapping[str, Pipeline] = {each.program: each for each in _ROWS}
