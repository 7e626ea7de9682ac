"""Every scenario in examples/ runs, from the top of the repository, as its comments say."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from schedules.catalogue import find
from simulator.sweep import plan
from twinclock.main import main

ROOT = Path(__file__).parent.parent
SCENARIOS = sorted(path.relative_to(ROOT) for path in (ROOT / "examples").glob("*.toml"))
SWEPT = [path for path in SCENARIOS if "sweep" in tomllib.loads((ROOT / path).read_text())]
OURS = [
    *(
        "a2cid2-sweep",
        "all-reduce-overlap",
        "cyclic",
        "d-psgd",
        "dadao",
        "diloco",
        "gpu-cluster",
        "low-communication",
        "petra_digits",
        "pipeline",
        "pipeline_module",
        "racks",
        "resnet18",
        "ring-gossip",
        "streaming-diloco",
        "two-jobs",
    ),
    "wide-area",
]
COMMAND = re.compile(r"^# +twinclock (.*)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def run(*arguments):
    result = CliRunner().invoke(main, [str(each) for each in arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def length(scenario, few):
    """What makes a run of it short: a few gradients, iterations or rounds; samples, where it is as long as these."""
    tables = tomllib.loads((ROOT / scenario).read_text())
    if "samples" in tables.get("run", {}):
        return f"run.samples={few * 100}"
    program = tables["schedule"]["program"]
    key = find(str(ROOT / "examples" / program) if program.endswith(".py") else program).length_key
    return f"schedule.{key}={few}"


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_example_is_simulated(scenario):
    assert "gradients/s" in run("simulate", scenario, "--set", length(scenario, 20))


@pytest.mark.slow
def test_a_revnet_learns_under_petra():
    text = run("execute", "examples/petra_digits.toml", "--set", "schedule.iterations=40", "--json")
    assert json.loads(text)["summary"]["module_accuracy"] > 0.85


@pytest.mark.slow
def test_the_module_in_stages_learns():
    text = run("execute", "examples/pipeline_module.toml", "--set", "schedule.iterations=40", "--json")
    assert json.loads(text)["summary"]["module_accuracy"] > 0.85


@pytest.mark.slow
@pytest.mark.parametrize("program", ["diloco", "streaming-diloco"])
def test_a_transformer_learns_in_local_steps(program):
    """Next letters of sequences that repeat: 0.125 by chance, and most that can be known is about 0.85."""
    text = run("execute", f"examples/{program}.toml", "--json")
    assert json.loads(text)["summary"]["module_accuracy"] > 0.5


@pytest.mark.parametrize("scenario", SWEPT, ids=str)
def test_example_is_swept(scenario, tmp_path):
    cases = len(plan(scenario))
    text = run("sweep", scenario, "--set", length(scenario, 2), "--jobs", "1", "--out", tmp_path / "out")
    assert text.startswith(f"{cases} cases\n")


@pytest.mark.parametrize("name", OURS)
def test_commands_in_the_comments_exist(name):
    commands = COMMAND.findall((ROOT / "examples" / f"{name}.toml").read_text())
    assert commands
    for command in commands:
        first, file, *options = command.split()
        assert first in main.commands
        assert file == f"examples/{name}.toml"
        assert {each for each in options if each.startswith("--")} <= {"--set"}


def test_examples_in_the_help_name_files_that_are_there():
    for command in main.commands.values():
        for file in re.findall(r"examples/\S+\.toml", command.epilog or ""):
            assert (ROOT / file).is_file()


def test_sweep_counts_what_its_comment_says():
    (said,) = re.findall(r"(\d+) simulations", (ROOT / "examples/a2cid2-sweep.toml").read_text())
    assert len(plan("examples/a2cid2-sweep.toml")) == int(said)
