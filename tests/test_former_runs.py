"""Runs of former versions are read, compared, exported and replayed: what people have measured stays of use.

`tests/data/before-the-house` holds a simulated and a measured run of one scenario, as commit f6b5a27 wrote them; only
what names the machine was replaced.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import compare, export, load_run
from analysis.exports.formats import FORMATS
from analysis.measures.explanation import explain_run
from executor import execute
from schedules.record.quantities import DETAILS, QUANTITIES
from schedules.record.trace import COLUMNS
from schedules.scenario import load
from simulator import simulate
from twinclock.printing.run_summary import rows, title

FORMER = Path(__file__).parent / "data" / "before-the-house"
WORLDS = ("simulated", "measured")


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


@pytest.mark.parametrize("world", WORLDS)
def test_it_is_read(world: str) -> None:
    run = load_run(FORMER / world)
    assert (run.world, run.seed, run.gradient_s) == (world, 0, 0.01)
    assert run.info["host"]["name"] == "machine"
    assert run.kept_trace.columns.tolist() == list(COLUMNS)
    assert Counter(run.kept_trace["op"])["Compute"] == run.summary["gradients"] == 48
    assert run.series is not None
    assert len(run.series) == 7  # five between the start and the end
    assert run.parameters is not None
    assert run.parameters.shape == (4, 8)
    assert run.memory is not None
    assert (run.links is not None, run.network is not None) == (world == "simulated",) * 2
    assert set(run.summary) <= {*QUANTITIES, *DETAILS}


@pytest.mark.parametrize("world", WORLDS)
def test_its_scenario_is_still_the_one_in_the_file(world: str) -> None:
    run, scenario = load_run(FORMER / world), load(FORMER / "scenario.toml")
    assert run.fingerprint == scenario.fingerprint()
    assert run.scenario == scenario


@pytest.mark.parametrize("world", WORLDS)
def test_it_is_explained(world: str) -> None:
    run = load_run(FORMER / world)
    explanation = explain_run(run)
    assert explanation.path is not None
    assert explanation.path.length_ns == pytest.approx(run.summary["makespan_s"] * 1e9, rel=1e-6)
    assert explanation.parts[0]["category"] == "compute"


@pytest.mark.parametrize("world", WORLDS)
def test_it_is_printed(world: str) -> None:
    run = load_run(FORMER / world)
    assert title(run) == f"a2cid2 on ring, 4 workers, 48 gradients, seed 0, {world}"
    assert dict(rows(run.summary))["sent"] == "2.688 kB, 21 exchanges"


def test_the_two_are_compared_and_reported(tmp_path: Path) -> None:
    comparison = compare(FORMER / "simulated", FORMER / "measured", tmp_path / "report")
    assert comparison.claim == (
        "Simulated throughput 385 gradients/s, measured 350 (error +10.0 %, 95 % interval of the error -2.4 % to "
        "+20.6 % from 5 paired differences)."
    )
    # The barrier, a first exchange that was not warm, and four ranks on two cores.
    assert len(comparison.caveats) == 4
    assert comparison.settings.empty
    page = comparison.files[0].read_text()
    for section in ("timeline", "breakdown", "network", "memory", "memory_measured", "staleness", "ages", "curves"):
        assert f'id="{section}-' in page
        assert (tmp_path / "report" / f"{section}.png") in comparison.files


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("format_", FORMATS)
def test_it_is_exported(world: str, format_: str, tmp_path: Path) -> None:
    written = export(FORMER / world, format_, tmp_path / "exported")
    assert written.stat().st_size > 0
    if format_ == "csv":
        assert len(pd.read_csv(written)) == len(load_run(FORMER / world).kept_trace)
    if format_ == "perfetto":
        assert json.loads(written.read_text())["traceEvents"]


@pytest.mark.parametrize("world", WORLDS)
def test_the_simulator_replays_it_to_the_same_parameters(world: str) -> None:
    replayed = simulate(FORMER / "scenario.toml", replay=FORMER / world)
    former = load_run(FORMER / world).parameters
    assert former is not None
    assert replayed.parameters is not None
    assert distance(replayed.parameters, former) < 1e-12


@pytest.mark.slow
def test_the_executor_replays_the_simulated_one_to_the_same_parameters() -> None:
    replayed = execute(FORMER / "scenario.toml", replay=FORMER / "simulated")
    former = load_run(FORMER / "simulated").parameters
    assert former is not None
    assert replayed.parameters is not None
    assert distance(replayed.parameters, former) < 1e-12


@pytest.mark.parametrize("world", WORLDS)
def test_written_again_it_is_the_same_run(world: str, tmp_path: Path) -> None:
    shutil.copytree(FORMER / world, tmp_path / "former")
    again = load_run(load_run(tmp_path / "former").save(tmp_path / "former"))
    former = load_run(FORMER / world)
    assert (again.info, again.summary) == (former.info, former.summary)
    pd.testing.assert_frame_equal(again.kept_trace, former.kept_trace)
