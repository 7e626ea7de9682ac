"""`schedule.events`: a file that is found, kept and compared as others are, and what cannot stand beside it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from schedules.result import load_run
from schedules.runs.followed import read_replay
from schedules.scenario import ScenarioError, load
from simulator import simulate

LIST = "time,kind,i,j\n0.5,exchange,0,1\n0.75,gradient,2,\n1.5,exchange,2,1\n2,gradient,2,\n"
SCENARIO = """
[schedule]
program = "a2cid2"
events = "mine/events.csv"
[topology]
graph = "ring"
workers = 3
[platform]
gradient = { mean = "1 s" }
[workload]
parameters = 10
"""


@pytest.fixture
def room(tmp_path: Path) -> Path:
    (tmp_path / "room" / "mine").mkdir(parents=True)
    (tmp_path / "room" / "mine" / "events.csv").write_text(LIST, encoding="utf-8")
    (tmp_path / "room" / "scenario.toml").write_text(SCENARIO, encoding="utf-8")
    return tmp_path / "room"


def test_the_list_says_how_many_gradients_there_are(room: Path) -> None:
    scenario = load(room / "scenario.toml")
    assert scenario.plan.lengths == (0, 0, 2)
    assert scenario.schedule.events == str(room / "mine" / "events.csv")
    assert scenario.schedule.gradient_clock == "poisson"
    assert load(scenario.tables()) == scenario  # as `run.json` keeps it


def test_a_run_is_read_and_followed_wherever_one_stands(
    room: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = simulate(room / "scenario.toml").save(tmp_path / "run")
    moved = Path(shutil.copytree(room, tmp_path / "another")) / "scenario.toml"
    assert simulate(moved, replay=run).fingerprint == load_run(run).fingerprint
    (room / "mine" / "events.csv").write_text(LIST.replace("1.5", "1.6"), encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"found one of .*events\.csv with another text"):
        read_replay(run, load(room / "scenario.toml"))


def test_another_list_may_follow_later(room: Path) -> None:
    (room / "other.csv").write_text("time,kind,i,j\n0.5,gradient,1,\n", encoding="utf-8")
    other = load(load(room / "scenario.toml"), {"schedule.events": str(room / "other.csv")})
    assert other.plan.lengths == (0, 1, 0)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"schedule.pairing": "first-come"}, "schedule.events: expected pairing = 'edge-clock', or none, beside it"),
        ({"schedule.gradient_clock": "free"}, "schedule.events: expected gradient_clock = 'poisson', or none, beside"),
        (
            {"schedule.gradients": 2},
            "schedule.gradients: expected none beside schedule.events, which has [0, 0, 2], found 2",
        ),
        ({"run.until": "precision"}, "run.until: expected 'end' or 'time' beside schedule.events, found 'precision'"),
        (
            {"run.until": "gradients", "run.total": 3},
            "run.until: expected 'end' or 'time' beside schedule.events, found 'gradients'",
        ),
        ({"run.samples": 64}, "run.samples: expected none beside schedule.events, found 64"),
        (
            {"topology.graph": "star", "topology.workers": 3},
            "events.csv, line 4: expected an exchange along an edge of the graph, found 2 and 1",
        ),
        ({"topology.workers": 2}, "events.csv, line 3: i: expected a worker from 0 to 1, found '2'"),
        ({"schedule.program": "all-reduce"}, "schedule.events: unknown key"),
        ({"schedule.program": "d-psgd"}, "schedule.events: unknown key"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(room: Path, more: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=re.escape(told)):
        load(room / "scenario.toml", more)


def test_a_list_that_is_out_of_order_is_told_by_its_line(room: Path) -> None:
    (room / "mine" / "events.csv").write_text("time,kind,i,j\n1,gradient,0,\n0.5,gradient,1,\n", encoding="utf-8")
    told = r"schedule\.events: .*events\.csv, line 3: expected a time of at least 1\.0, .*, found 0\.5$"
    with pytest.raises(ScenarioError, match=told):
        load(room / "scenario.toml")


def test_a_time_ends_the_list(room: Path) -> None:
    scenario = load(room / "scenario.toml", {"run.until": "time", "run.duration": "1.5 s"})
    assert scenario.plan.lengths == (0, 0, 1)
    result = simulate(scenario)
    assert result.summary["exchanges"] == 1  # that at 1.5 s begins no more
    assert result.summary["makespan_s"] == pytest.approx(1.75, abs=1e-3)  # what began before has ended
