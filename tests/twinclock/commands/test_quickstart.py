"""`twinclock quickstart` and `twinclock calibrate`, with real processes but fewer gradients and cases."""

import json
import tomllib

import pytest

from schedules.scenario import load
from simulator.sweep import plan
from twinclock import quickstart_steps
from twinclock.quickstart_steps import GRADIENTS, KEYS, RATES, ROOMY, ROUNDS, SCENARIO, STEPS, WORKERS

SHORT = (
    SCENARIO.replace(f"gradients = {GRADIENTS}", "gradients = 20")
    .replace('["ring", "star", "complete"]', '["ring"]')
    .replace("hidden = [256, 256]", "hidden = [32]")
    .replace("[1.0, 3.0, 20.0]", "[1.0, 3.0]")
)


def test_scenario_is_whole_and_says_what_the_steps_say():
    tables = {**tomllib.loads(SCENARIO), "platform": {"gradient": {"mean": 0.001}}}
    scenario = load(tables)
    assert (scenario.topology.workers, scenario.schedule.gradients) == (WORKERS, GRADIENTS)
    cases = plan(tables)
    assert len(cases) == 18
    assert not set(RATES) & set(tables["sweep"]["schedule.rate"])  # nothing is measured on what is predicted
    assert ROOMY in tables["sweep"]["schedule.rate"]
    assert all(set(case.swept) == set(KEYS) for case in cases)  # so what is chosen is what is executed


def test_steps_are_these():
    assert [step.__name__ for _, step in STEPS] == ["calibrate", "sweep", "simulate", "execute", "compare"]


@pytest.mark.slow
@pytest.mark.timeout(300)  # half a minute, but on a machine that does much else
def test_quickstart(here, run, monkeypatch):
    monkeypatch.setattr(quickstart_steps, "SCENARIO", SHORT)
    monkeypatch.setattr(quickstart_steps, "ROUNDS", 2)
    assert ROUNDS > 2  # of which an interval says more
    result = run("quickstart", "--json")
    assert result.exit_code == 0, result.stderr
    for number, (words, _) in enumerate(STEPS, 1):
        assert f"[{number}/5] {words}\n" in result.stderr
    told = json.loads(result.stdout)
    assert told["claim"] in result.stderr
    assert told["files"][0] == "quickstart/report/report.html"
    assert set(told["platform"]) == {"gradient", "transport", "link", "overhead", "host"}
    out = here / "quickstart"
    names = sorted(path.name for path in out.iterdir())
    assert names == ["measured", "platform.toml", "report", "scenario.toml", "simulated", "sweep"]
    assert json.loads((out / "report/null/run.json").read_text())["scenario"]["platform"]["transport"] == "none"
    for name in ("chosen", "rival"):
        runs = [out / "simulated" / name, *(out / "measured" / name / str(turn) for turn in (1, 2))]
        for each in runs:
            assert json.loads((each / "summary.json").read_text())["gradients"] == 20 * WORKERS
            kept = json.loads((each / "run.json").read_text())["scenario"]
            own = {key: kept[key.partition(".")[0]][key.partition(".")[2]] for key in KEYS}
            assert own == told["decision"][name]
    assert_says_what_was_decided(result.stderr, told["decision"], (out / "report/report.html").read_text())
    assert_can_be_run_again(run)


def assert_says_what_was_decided(printed, decision, page):
    """The same sentences on the terminal, for programs, and on the page."""
    choice, *reasons = decision["why"]
    ranking = decision["ranking"]["told"]
    assert choice.startswith("Choose ")
    assert reasons[-1].startswith("Its rival is ")
    assert ranking.startswith(("The ranking ", "There is no ranking"))
    for told in (choice, *reasons, ranking):
        assert told in printed
        assert told.replace(" %", "\N{NO-BREAK SPACE}%") in page


def assert_can_be_run_again(run):
    """What was written is a scenario like any other."""
    assert run("simulate", "quickstart/scenario.toml").exit_code == 0
    assert len(plan("quickstart/scenario.toml")) == 4
    twice = run("compare", "quickstart/simulated/chosen", "quickstart/measured/chosen", "--out", "again", "--json")
    assert twice.exit_code == 0, twice.stderr
    assert len(json.loads(twice.stdout)["repeats"]) == 2
    assert load("quickstart/scenario.toml").platform.transport == "gloo"


@pytest.mark.slow
def test_calibrate_writes_a_platform_that_simulate_takes(here, scenario, run):
    file = scenario({"platform.gradient.mean": '"3 ms"', "topology.workers": "2"})
    result = run("calibrate", file, "--out", "new/platform.toml")
    assert result.exit_code == 0, result.stderr
    head, *lines = result.stdout.splitlines()
    assert head == "measuring 2 processes on this machine: 1,000 parameters, batch size 32"
    names = [line[2:].split("  ")[0] for line in lines[:-1]]
    assert names[:4] == ["gradient", "bandwidth", "latency", "message overhead"]
    assert names[4:7] == ["taking a kernel up", "waking", "handing over"]
    assert lines[0].split() == ["gradient", "3", "ms"]  # without numbers there is no gradient to be measured
    assert lines[-1] == "wrote new/platform.toml"
    text = (here / "new/platform.toml").read_text()
    assert "# host.waking: from " in text
    platform = tomllib.loads(text)["platform"]
    assert 0 < platform["host"]["waking"] < 0.1
    found = json.loads(run("simulate", file, "--platform", "new/platform.toml", "--out", "run", "--json").stdout)
    kept = json.loads((here / "run/run.json").read_text())["scenario"]["platform"]
    assert found["summary"]["gradients"] == 10
    assert {key: value for key, value in kept["link"].items() if value is not None} == platform["link"]
    assert kept["transport"] == "gloo"
