"""`twinclock simulate`."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.measures.explanation import explain_run
from schedules.operations import Receive
from simulator import simulate
from twinclock.printing.tables import print_json

QUADRATIC = {
    "workload.parameters": None,
    "workload.problem": '"quadratic"',
    "workload.dtype": '"float64"',
    "workload.options.dimension": "3",
}


def test_prints_a_small_table_and_writes_nothing(here, scenario, run):
    result = run("simulate", scenario())
    assert result.exit_code == 0
    assert result.stderr == ""
    head, *lines = result.stdout.partition("critical path")[0].splitlines()
    assert head == "gossip on ring, 4 workers, 20 gradients, seed 0, simulated"
    names = [line[2:].split("  ")[0] for line in lines]
    assert names == [
        "makespan", "throughput", "averaging", "computing", "communicating", "idle", "sent", "memory", "staleness"
    ]  # fmt: skip
    assert [path.name for path in here.iterdir()] == ["scenario.toml"]


def test_values_stand_in_one_column(scenario, run):
    _, *lines = run("simulate", scenario(QUADRATIC)).stdout.partition("critical path")[0].splitlines()
    width = max(len(line[2:].split("  ")[0]) for line in lines)
    assert all(line[2 + width : 4 + width] == "  " and line[4 + width] != " " for line in lines)


def test_says_why(scenario, run):
    """Blocks of aligned columns, each under its name; all that `--json` has."""
    file = scenario({"schedule.program": '"all-reduce"', "workload.parameters": "1_000_000"})
    told = json.loads(run("simulate", file, "--json").stdout)["explanation"]
    blocks = run("simulate", file).stdout.partition("critical path")[2]
    first = told["critical_path"]["parts"][0]
    assert first["category"] == "compute"
    seconds, share = f"{1000 * first['seconds']:.0f} ms", f"{100 * first['share']:.1f} %"
    assert blocks.splitlines()[1].split("  ")[1:] == ["compute gradient", "", "", "", seconds, share, "rank 0"]
    assert "transfer of AllReduce" in blocks
    header = next(line for line in blocks.splitlines() if line.startswith("collectives"))
    assert header.split() == ["collectives", "ranks", "bytes", "how", "count", "mean", "latency", "algbw", "busbw"]
    assert [row["kind"] for row in told["collectives"]] == ["AllReduce"]
    assert len(told["ranks"]) == 4
    assert sum(line.lstrip().startswith("rank ") for line in blocks.splitlines()) == 4  # equal ranks wait for nobody


def test_says_who_waited_for_whom_and_which_links_are_busy(scenario, run):
    lines = run("simulate", scenario({"platform.link.bandwidth": '"1 MB/s"'})).stdout.splitlines()
    titles = [line for line in lines if line and not line.startswith(" ")]
    assert [title.split("  ")[0] for title in titles] == [
        "gossip on ring, 4 workers, 20 gradients, seed 0, simulated",
        "critical path",
        "longest waits",
        "busiest links",
    ]
    assert re.split("  +", titles[-1])[::3] == ["busiest links", "busiest ranks", "idle"]
    waits = lines[lines.index(titles[2]) + 1 : lines.index(titles[3])]
    assert 1 <= len(waits) <= 5
    assert all(re.match(r"  rank \d for rank \d +[\d.]+ m?s +\d+\.\d %$", line) for line in waits)
    busiest = lines[lines.index(titles[3]) + 1]
    assert re.match(r"  \d -> \d +\d+\.\d % +\d+ kB +rank \d +\d+\.\d % +\d+\.\d % +\d+\.\d %$", busiest)


def test_without_a_trace_it_says_how_to_see_the_path(scenario, run):
    file = scenario({"run.trace": "false"})
    lines = run("simulate", file).stdout.splitlines()
    assert "run.trace = true shows the critical path and who waited for whom" in lines
    assert "critical path" not in lines
    assert any("busiest ranks" in line for line in lines)
    assert json.loads(run("simulate", file, "--json").stdout)["explanation"]["critical_path"] is None


def test_json_is_the_summary(scenario, run):
    file = scenario()
    found = json.loads(run("simulate", file, "--json").stdout)
    expected = simulate(file)
    assert found == {
        "world": "simulated",
        "seed": 0,
        "fingerprint": expected.scenario.fingerprint(),
        "summary": expected.summary,
        "explanation": explain_run(expected).record(),
        "out": None,
        "files": [],
    }


PRECISE = {
    "platform.gradient.distribution": '"exponential"',
    "run.until": '"precision"',
    "run.precision": "0.2",
    "run.trace": "false",
}


def steady_line(text):
    (line,) = [line for line in text.splitlines() if line.startswith("  steady throughput  ")]
    return line.removeprefix("  steady throughput  ")


def test_steady_throughput_is_told_with_its_interval(scenario, run):
    line = steady_line(run("simulate", scenario(PRECISE)).stdout)
    pattern = r"(\d+) gradients/s, 95 % interval (\d+) to (\d+), warm-up [\d.]+ m?s cut, [\d,]+ events"
    mean, low, high = map(int, re.fullmatch(pattern, line).groups())
    assert low < mean < high < 1.25 * low


def test_a_precision_that_is_not_reached_is_told(scenario, run):
    line = steady_line(run("simulate", scenario({**PRECISE, "run.limit": "100"})).stdout)
    assert ", precision not reached, warm-up " in line
    line = steady_line(run("simulate", scenario({**PRECISE, "run.limit": "1"})).stdout)
    assert line.startswith("not known, precision not reached, ")


def test_json_is_strict(capsys):
    """A run may diverge, but infinity and NaN are no JSON."""
    print_json({"loss": float("inf"), "series": [np.float32(0.5), np.nan], "out": Path("x")})
    assert json.loads(capsys.readouterr().out) == {"loss": None, "series": [0.5, None], "out": "x"}


def test_set_and_seed_change_the_scenario(scenario, run):
    file = scenario()
    arguments = ("--set", "schedule.rate=2", "--set", "schedule.pairing=first-come", "--seed", "3")
    found = json.loads(run("simulate", file, *arguments, "--json").stdout)
    changes = {"schedule.rate": 2, "schedule.pairing": "first-come", "run.seed": 3}
    assert found["summary"] == simulate(file, overrides=changes).summary


def test_sweep_table_is_ignored(scenario, run):
    plain = run("simulate", scenario(), "--json")
    swept = run("simulate", scenario({"sweep.'schedule.rat'": "[]"}), "--json")
    assert swept.exit_code == 0
    assert swept.stdout == plain.stdout


def test_out_keeps_the_run(here, scenario, run):
    result = run("simulate", scenario(QUADRATIC), "--out", "new/run")
    assert result.stdout.splitlines()[-1] == "wrote new/run"
    names = sorted(path.name for path in (here / "new/run").iterdir())
    assert names == [
        "links.parquet", "memory.parquet", "network.json", "parameters.npy", "run.json", "series.parquet",
        "summary.json", "trace.parquet",
    ]  # fmt: skip
    assert len(pd.read_parquet(here / "new/run/trace.parquet")) > 0


def test_json_lists_the_files(scenario, run):
    found = json.loads(run("simulate", scenario(), "--out", "run", "--json").stdout)
    assert found["out"] == "run"
    names = ("links.parquet", "memory.parquet", "network.json", "run.json", "summary.json", "trace.parquet")
    assert found["files"] == [f"run/{name}" for name in names]


def test_earlier_run_is_replaced(here, scenario, run):
    run("simulate", scenario(QUADRATIC), "--out", "run")
    run("simulate", scenario(), "--out", "run")
    assert not (here / "run/parameters.npy").exists()


def test_replay_ends_with_the_same_parameters(here, scenario, run):
    file = scenario({**QUADRATIC, "schedule.pairing": '"first-come"'})
    run("simulate", file, "--out", "first")
    slower = ("--set", "platform.gradient.mean=0.5")
    result = run("simulate", file, *slower, "--replay", "first", "--out", "second")
    assert result.exit_code == 0, result.stderr
    first, second = (np.load(here / name / "parameters.npy") for name in ("first", "second"))
    np.testing.assert_allclose(first, second, rtol=1e-12)


def test_failed_run_is_status_1_with_the_whole_board_and_writes_nothing(here, scenario, run):
    (here / "stuck.py").write_text(
        '"""Waits for ever."""\n'
        "from schedules.operations import Receive\n"
        "from schedules.scenario import Count, Table\n"
        'SOURCE = "a test"\n'
        "class Settings(Table):\n"
        "    gradients: Count\n"
        "def streams(worker):\n"
        '    return {"compute": wait(worker)}\n'
        "def wait(worker):\n"
        "    yield Receive(worker.neighbours[0], 8)\n"
    )
    before = sorted(here.iterdir())
    result = run("simulate", scenario({"schedule.program": '"stuck.py"'}), "--out", "run")
    assert result.exit_code == 1
    assert result.stdout == ""
    head, *board = result.stderr.splitlines()
    assert head == "twinclock: DeadlockError at 0.000 ms: no worker can move."
    assert len(board) >= 4
    assert all(str(Receive(1, 8)).partition("(")[0] in line for line in board[:4])
    assert {path.name for path in here.iterdir()} - {path.name for path in before} <= {"scenario.toml", "__pycache__"}


def test_says_what_a_gradient_time_is_where_gradients_take_none(scenario, run):
    instant = {"platform.gradient": "{ mean = 0 }", "platform.gradient_time": '"20 ms"'}
    (line,) = (each for each in run("simulate", scenario(instant)).stdout.splitlines() if "gradient time" in each)
    assert line.split(maxsplit=2) == ["gradient", "time", "20 ms (gradients take no time)"]
    assert "gradient time" not in run("simulate", scenario()).stdout


def test_what_was_asked_of_a_program_without_gradients_is_told_as_such(here, scenario, run):
    (here / "decode.py").write_text(
        "from schedules import Compute, Table, Count\nSOURCE = 'a test'\n"
        "class Settings(Table):\n    steps: Count = 1\n"
        'LENGTH = "steps"\n'
        "def length(settings, rank):\n    return settings.steps\n"
        "def decode(worker):\n    for _ in range(worker.settings.steps):\n        yield Compute('decode')\n"
        "def streams(worker):\n    return {'decode': decode(worker)}\n"
    )
    own = {
        "schedule": None,
        "schedule.program": '"decode.py"',
        "platform.kernels.decode": '"1 ms"',
        "run.samples": "99",
    }
    told = run("simulate", scenario(own))
    assert re.search(r"end +99 samples asked for, 0 drawn, as the program computed no gradient\n", told.stdout), (
        told.stderr
    )


def test_a_rate_below_dadao_s_theorem_is_told_with_both(run):
    example = Path(__file__).parents[3] / "examples" / "dadao.toml"
    short = ("simulate", example, "--set", "schedule.gradients=3")
    result = run(*short, "--set", "schedule.rate=1")
    assert result.exit_code == 0
    (line,) = [line for line in result.stdout.splitlines() if "warning" in line]
    assert "schedule.rate = 1 is below 1.8, the least of DADAO's theorem" in line
    assert "warning" not in run(*short).stdout
