"""The pipelines with a flush, one row each."""

from __future__ import annotations

from collections.abc import Mapping

from schedules import Program, Table, Worker
from schedules.programs.pipelines.flushing import iterations
from schedules.programs.pipelines.pipeline import Pipeline
from schedules.programs.pipelines.settings import Flushed
from schedules.programs.pipelines.tracks import Tracks


def _streams(worker: Worker, tracks: Tracks) -> Mapping[str, Program]:
    return {"compute": iterations(worker, tracks)}


def _flushed(program: str, line: str, source: str, keys: type[Table] = Flushed) -> Pipeline:
    return Pipeline(program, line, source, keys, _streams)


_ROWS = (
    _flushed(
        "gpipe",
        "GPipe: all forward passes, then all backward passes.",
        "Huang et al. 2019, GPipe (arXiv:1811.06965)",
    ),
    _flushed(
        "1f1b",
        "1F1B: after the warm-up a backward and a forward pass in turns (PipeDream-Flush, DAPPLE).",
        "Narayanan et al. 2021, Memory-efficient pipeline-parallel DNN training (arXiv:2006.09503)",
    ),
)

PROGRAMS: Mapping[str, Pipeline] = {each.program: each for each in _ROWS}
