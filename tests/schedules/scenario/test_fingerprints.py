"""What is the same scenario: by today's rule, and of runs whose fingerprint was made by the former one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from analysis import compare, load_run
from schedules import catalogue
from schedules.runs.followed import read_replay
from schedules.scenario import ScenarioError, load, recorded_fingerprint
from simulator import simulate
from tests.test_former_runs import FORMER

OWN = '''"""Nothing but gradients."""
from schedules import Compute, Count, Table

SOURCE = "this test"

class Settings(Table):
    gradients: Count

def streams(worker):
    def compute():
        for _ in range(worker.settings.gradients):
            yield Compute("gradient")
    return {"compute": compute()}
'''


def tables(**optimizer: Any) -> dict[str, Any]:
    return {
        "schedule": {"program": "gossip", "gradients": 3, "rate": 1.0},
        "topology": {"graph": "ring", "workers": 4},
        "platform": {"gradient": {"mean": 0.01}},
        "workload": {"parameters": 100},
        "optimizer": optimizer,
    }


def own(path: Path) -> dict[str, Any]:
    return {**tables(), "schedule": {"program": str(path), "gradients": 3}}


def test_it_is_of_the_keys_that_differ_from_their_defaults() -> None:
    assert load(tables(momentum=0.9)).deciding() == {
        "schedule": {"program": "gossip", "gradients": 3},  # a rate of 1 is the default
        "topology": {"graph": "ring", "workers": 4},
        "workload": {"parameters": 100},
        "optimizer": {"momentum": 0.9},
        "run": {},
    }


def test_a_default_that_is_said_is_as_one_that_is_not() -> None:
    said = {"name": "sgd", "beta_1": 0.9, "clip_norm": None, "no_decay": [], "minimum": 0, "schedule": "constant"}
    assert load(tables(**said)).fingerprint() == load(tables()).fingerprint()
    assert load(load(tables(momentum=0.9)).tables()).fingerprint() == load(tables(momentum=0.9)).fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        {"name": "adamw"},
        {"clip_norm": 1.0},
        {"no_decay": ["*.bias"]},
        {"schedule": "cosine"},
        {"schedule": "cosine", "minimum": 0.1},
        {"name": "adamw", "eps": 1e-6},
    ],
    ids=str,
)
def test_what_differs_is_another(changed: dict[str, Any]) -> None:
    assert load(tables(**changed)).fingerprint() != load(tables()).fingerprint()


def test_an_own_file_counts_by_its_text_and_not_by_its_path(tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "own.py").write_text(OWN + ("\n# another\n" if name == "third" else ""), encoding="utf-8")
    first, second, third = (
        load(own(tmp_path / name / "own.py")).fingerprint() for name in ("first", "second", "third")
    )
    assert first == second != third


def test_the_text_that_counts_is_the_one_that_runs(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN, encoding="utf-8")
    first = load(own(file))
    assert catalogue.find(str(file)).settings is type(first.schedule)
    file.write_text(OWN.replace("this test", "another one"), encoding="utf-8")
    assert (catalogue.find(str(file)).source, load(own(file)) == first) == ("another one", False)


def test_an_own_module_counts_by_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a_room").mkdir()
    (tmp_path / "a_room" / "a_schedule.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    by_file = load(own(tmp_path / "a_room" / "a_schedule.py")).fingerprint()
    by_name = {**tables(), "schedule": {"program": "a_room.a_schedule", "gradients": 3}}
    assert load(by_name).fingerprint() == by_file


def test_a_replay_with_another_text_is_refused_in_so_many_words(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN, encoding="utf-8")
    directory = simulate(own(file)).save(tmp_path / "run")
    assert read_replay(directory, load(own(file)))[1] == 0.01
    file.write_text(OWN + "\n# another\n", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"expected a trace of this scenario, found one of .*own\.py with another"):
        read_replay(directory, load(own(file)))


# ---- runs of the former rule


def test_a_former_run_is_told_by_its_own_tables() -> None:
    info = json.loads((FORMER / "measured" / "run.json").read_text())
    today = load(FORMER / "scenario.toml")
    assert info["fingerprint"] != today.fingerprint()
    assert recorded_fingerprint(info) == today.fingerprint()
    info["scenario"]["optimizer"]["momentum"] = 0.8  # edited: not what it was the fingerprint of
    assert recorded_fingerprint(info) == info["fingerprint"]


def test_a_former_run_that_cannot_be_resolved_keeps_what_it_says() -> None:
    info = json.loads((FORMER / "measured" / "run.json").read_text())
    assert recorded_fingerprint({**info, "scenario": {}}) == info["fingerprint"]


def test_a_former_run_of_another_scenario_differs_by_what_differs_alone() -> None:
    other = load(FORMER / "scenario.toml", {"optimizer.momentum": 0.8, "optimizer.clip_norm": 1.0})
    with pytest.raises(ScenarioError) as caught:
        read_replay(FORMER / "measured", other)
    assert str(caught.value).endswith(
        "found another: optimizer.clip_norm = None (here 1.0), optimizer.momentum = 0.9 (here 0.8)"
    )


@pytest.mark.slow
def test_a_former_run_is_compared_with_one_of_today(tmp_path: Path) -> None:
    simulated = simulate(FORMER / "scenario.toml").save(tmp_path / "simulated")
    former = shutil.copytree(FORMER / "measured", tmp_path / "measured")
    assert load_run(simulated).info["fingerprint"] != load_run(former).info["fingerprint"]
    comparison = compare(simulated, former, tmp_path / "report")
    assert not any("different scenarios" in each for each in comparison.caveats)
