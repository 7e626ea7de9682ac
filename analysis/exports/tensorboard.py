"""A run as event files for TensorBoard: its learning curves, how far it was by when, and the numbers of its summary.

The writer is TensorBoard's own, which the extra `tensorboard` installs. Wall times are those of the run, so that runs
lie beside each other by `relative` time; a step is one gradient time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from analysis.claims import number_of
from analysis.measures.metrics import gradients_of_ranks
from schedules.record.whole import whole_directory

if TYPE_CHECKING:
    import pandas as pd

    from schedules.result import Result

SUFFIX: Final = ".twinclock"
"""Of our files' names: a new export takes the place of a former one, and not of what somebody else has written."""

_CLOCK: Final = ("index", "time", "time_s")
_NUM_POINTS: Final = 100


class Scalar(NamedTuple):
    """A point of a curve: its name, seconds since the run's begin, and value."""

    tag: str
    time_s: float
    value: float


def write(run: Result, directory: Path) -> None:
    """Write an event file into a directory, which is made if it is not there; other files in it are kept.

    Raises:
        ValueError: if TensorBoard is not installed, or `directory` is a file.
        OSError: if it cannot be written.
    """
    if find_spec("tensorboard") is None:
        raise ValueError("format tensorboard: expected TensorBoard installed (pip install tensorboard), found none")
    former = sorted(directory.glob(f"events.out.tfevents.*{SUFFIX}"))
    with whole_directory(directory, "") as place:
        _write(run, place)
    for each in former:
        each.unlink(missing_ok=True)


def _write(run: Result, place: Path) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    begin = _started(run)
    writer = EventFileWriter(str(place), filename_suffix=SUFFIX)
    for each in scalars(run):
        value = Summary.Value(tag=each.tag, simple_value=each.value)
        step = round(each.time_s / run.gradient_s)
        writer.add_event(Event(wall_time=begin + each.time_s, step=step, summary=Summary(value=[value])))
    writer.close()


def _started(run: Result) -> float:
    """In seconds since 1970; of a run that does not say, its own clock."""
    started = run.info.get("started")
    return datetime.fromisoformat(started).astimezone(UTC).timestamp() if started else 0.0


def scalars(run: Result) -> Iterator[Scalar]:
    """All points of a run: its series, `gradients` (done by all ranks so far), and `summary/KEY` at its end."""
    end = number_of(run.summary, "makespan_s") or 0.0
    if run.series is not None:
        yield from _of_series(run.series)
    if run.trace is not None and len(run.trace):
        yield from _gradients(run.trace, end)
    for key in run.summary:
        value = number_of(run.summary, key)
        if value is not None and isfinite(value):
            yield Scalar(f"summary/{key}", end, value)


def _of_series(series: pd.DataFrame) -> Iterator[Scalar]:
    times = series["time_s"].tolist()
    for key in series.columns:
        if key not in _CLOCK:
            values = zip(times, series[key].tolist(), strict=True)
            yield from (Scalar(str(key), time, float(value)) for time, value in values if isfinite(value))


def _gradients(trace: pd.DataFrame, end_s: float) -> Iterator[Scalar]:
    done = gradients_of_ranks(trace).values()
    times = np.sort(np.concatenate([*done, np.zeros(0, dtype=np.int64)])) / 1e9
    for time in np.linspace(0, end_s, _NUM_POINTS + 1).tolist():
        yield Scalar("gradients", time, float(np.searchsorted(times, time, side="right")))
