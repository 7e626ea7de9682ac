"""Runs of older versions replay: what stood elsewhere in their traces is where it is today."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from schedules.errors import DivergenceError
from schedules.record.files import open_run, read_trace, write_parquet
from schedules.result import Result
from simulator import simulate

TABLES = {
    "schedule": {"program": "all-reduce", "overlap": True, "bucket_size": 300, "gradients": 4},
    "topology": {"graph": "complete", "workers": 3},
    "platform": {"gradient": {"mean": "10 ms", "distribution": "gamma", "cv": 0.3}},
    "workload": {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 100}},
}


def rewritten(result: Result, place: Path, *, has_target: bool) -> Path:
    """The run's directory as it was written when a bucket's number stood in `stage`."""
    directory = result.save(place)
    run = open_run(directory)
    frame = run.trace()
    is_bucket = frame["kernel"] == "backward"
    assert set(frame.loc[is_bucket, "micro_batch"]) == {0, 1, 2}
    frame.loc[is_bucket, "stage"] = frame.loc[is_bucket, "micro_batch"]
    frame.loc[is_bucket, "micro_batch"] = -1
    frame = frame.drop(columns=[] if has_target else ["target", "gradients"])
    write_parquet(frame, directory / "trace.parquet", run.info)
    return directory


def test_an_overlapped_run_whose_buckets_were_stages_replays(tmp_path: Path) -> None:
    result = simulate(TABLES)
    directory = rewritten(result, tmp_path / "old", has_target=False)
    read = open_run(directory).trace()
    columns = ["rank", "stream", "index", "op", "kernel", "stage", "micro_batch"]
    assert read[columns].equals(result.trace[columns])
    again = simulate(TABLES, replay=directory)
    assert np.array_equal(again.parameters, result.parameters)


def test_a_stage_in_a_trace_of_today_stays_one(tmp_path: Path) -> None:
    directory = rewritten(simulate(TABLES), tmp_path / "today", has_target=True)
    assert set(open_run(directory).trace()["stage"]) == {-1, 0, 1, 2}
    with pytest.raises(DivergenceError):
        simulate(TABLES, replay=directory)


def test_what_reads_few_columns_reads_them_alike(tmp_path: Path) -> None:
    directory = rewritten(simulate(TABLES), tmp_path / "old", has_target=False)
    assert set(read_trace(directory, ("op", "kernel", "stage"))[0]["stage"]) == {-1}
