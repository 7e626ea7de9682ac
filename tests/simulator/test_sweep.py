"""A sweep: what it runs, what it keeps, and what a second start does."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from schedules.scenario import ScenarioError
from simulator import cases as planning
from simulator import pool, simulate
from simulator.sweep import Sweep, plan, sweep

ROOT = Path(__file__).parent.parent.parent

TIMING = {
    "schedule": {"program": "gossip", "gradients": 5},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {"gradient": {"mean": "10 ms"}},
    "workload": {"parameters": 1000},
    "sweep": {"schedule.rate": [1, 2], "topology.graph": ["ring", "complete"]},
}
NUMERIC = {
    **TIMING,
    "workload": {"problem": "quadratic", "options": {"dimension": 3}},
    "sweep": {"schedule.program": ["gossip", "a2cid2"]},
}

STUCK = '''"""A program that waits for a message that nobody sends, where it is told to."""

from schedules.operations import Compute, Receive
from schedules.scenario import Count, Table

SOURCE = "a test"


class Settings(Table):
    gradients: Count
    is_stuck: bool


def streams(worker):
    return {"compute": compute(worker)}


def compute(worker):
    for _ in range(worker.settings.gradients):
        gradient, _ = yield Compute("gradient")
        worker.model.step(gradient)
    if worker.settings.is_stuck:
        yield Receive(worker.neighbours[0], 8)
'''


def case_files(out: Path) -> dict[str, int]:
    """The files of finished cases, and when they were written."""
    return {file.name: file.stat().st_mtime_ns for file in (out / "cases").iterdir()}


def files(out: Path) -> list[str]:
    return sorted(file.name for file in out.iterdir())


# ---- which cases there are


def test_cases_are_the_product_in_the_order_of_the_lists_the_last_fastest():
    assert [case.swept for case in plan(TIMING)] == [
        {"schedule.rate": 1, "topology.graph": "ring"},
        {"schedule.rate": 1, "topology.graph": "complete"},
        {"schedule.rate": 2, "topology.graph": "ring"},
        {"schedule.rate": 2, "topology.graph": "complete"},
    ]


def test_case_says_where_it_stands_beside_what_is_swept():
    (case, *_) = plan({**TIMING, "sweep": {"platform.gradient.mean": ["1 ms"]}})
    assert case.settings == {
        "schedule.program": "gossip",
        "topology.graph": "ring",
        "topology.workers": 4,
        "schedule.rate": 1.0,
        "run.seed": 0,
        "platform.gradient.mean": "1 ms",
    }


def test_key_is_of_what_the_numbers_depend_on():
    """Not of how it was written: 10 ms is 0.01 s, and a default that is given changes nothing."""
    (one, *_) = plan(TIMING)
    (same, *_) = plan({**TIMING, "platform": {"gradient": {"mean": 0.01}}, "run": {"seed": 0, "trace": True}})
    (other, *_) = plan({**TIMING, "run": {"seed": 1}})
    assert one.key == same.key
    assert one.key != other.key


def test_key_is_of_the_sources_too(tmp_path):
    program = tmp_path / "stuck.py"
    keys = []
    for source in (STUCK, STUCK + "\n"):
        program.write_text(source)
        schedule = {"program": str(program), "gradients": 2}
        keys.append(plan({**TIMING, "schedule": schedule, "sweep": {"schedule.is_stuck": [False]}})[0].key)
    assert keys[0] != keys[1]


def test_overrides_change_every_case():
    assert {case.settings["run.seed"] for case in plan(TIMING, {"run.seed": 7})} == {7}


def test_plan_leaves_the_tables_alone():
    before = json.dumps(TIMING)
    plan(TIMING, {"run.seed": 7})
    assert json.dumps(TIMING) == before


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (None, "scenario: sweep: expected a table of lists"),
        ({}, "expected a table of lists such as"),
        ([1, 2], "expected a table of lists such as"),
        ({"schedule.rate": 2}, "sweep.schedule.rate: expected a list with one value or more, found 2"),
        ({"schedule.rate": "12"}, "sweep.schedule.rate: expected a list with one value or more, found '12'"),
        ({"schedule.rate": []}, "sweep.schedule.rate: expected a list with one value or more, found []"),
        ({"schedule": {"rate": [1]}}, 'sweep.schedule: expected a list under a dotted key in quotes, "schedule.rate"'),
        ({"rate": [1]}, "expected a dotted key such as schedule.rate, found 'rate'"),
        ({"schedule.rat": [1]}, "schedule.rat: unknown key (did you mean rate?)"),
        ({"scedule.rate": [1]}, "unknown table [scedule] (did you mean schedule?)"),
        (
            {"schedule.rate": [1, -1]},
            "sweep case schedule.rate = -1: schedule.rate: expected a number above 0, found -1",
        ),
        ({"topology.graph": ["ring", "rong"]}, "(did you mean 'ring'?)"),
        ({"run.seed": [0]}, "sweep.run.seed: expected a key that is swept or set, found both"),
    ],
)
def test_wrong_sweep_is_refused_before_anything_runs(tmp_path, lists, message):
    tables = {key: value for key, value in TIMING.items() if key != "sweep"}
    if lists is not None:
        tables["sweep"] = lists
    with pytest.raises(ScenarioError) as error:
        sweep(tables, tmp_path / "out", overrides={"run.seed": 1}, jobs=1)
    assert message in str(error.value)
    assert files(tmp_path) == []


# ---- what comes of it


def test_table_is_what_simulate_says(tmp_path):
    table = sweep(TIMING, tmp_path, jobs=1)
    for row in table.to_dict("records"):
        settings = {key: row[key] for key in ("schedule.rate", "topology.graph")}
        summary = simulate({key: TIMING[key] for key in TIMING if key != "sweep"}, overrides=settings).summary
        assert row["error"] == ""
        flat = {key: value for key, value in summary.items() if isinstance(value, int | float)}
        assert {key: row[key] for key in flat} == flat


def test_tables_are_written(tmp_path):
    table = sweep(TIMING, tmp_path, jobs=1)
    assert files(tmp_path) == ["cases", "sweep.csv", "sweep.parquet"]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "sweep.parquet"), table)
    assert (pd.read_csv(tmp_path / "sweep.csv")["makespan_s"] == table["makespan_s"]).all()


def test_numeric_runs_leave_their_series(tmp_path):
    sweep(NUMERIC, tmp_path, jobs=1)
    series = pd.read_parquet(tmp_path / "series.parquet")
    assert list(series["schedule.program"].unique()) == ["gossip", "a2cid2"]
    alone = simulate({**NUMERIC, "schedule": {"program": "a2cid2", "gradients": 5}}).series
    swept = series[series["schedule.program"] == "a2cid2"].reset_index(drop=True)
    pd.testing.assert_frame_equal(swept[alone.columns], alone)


def test_series_of_an_earlier_sweep_goes(tmp_path):
    sweep(NUMERIC, tmp_path, jobs=1)
    sweep(TIMING, tmp_path, jobs=1)
    assert "series.parquet" not in files(tmp_path)


def test_processes_change_nothing(tmp_path):
    alone = sweep(TIMING, tmp_path / "alone", jobs=1)
    pd.testing.assert_frame_equal(sweep(TIMING, tmp_path / "two", jobs=2), alone)
    for name in ("sweep.csv", "sweep.parquet"):
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_equal_cases_are_run_once(tmp_path):
    table = sweep({**TIMING, "sweep": {"schedule.rate": [1, 1.0, 2]}}, tmp_path, jobs=1)
    assert len(table) == 3
    assert len(case_files(tmp_path)) == 2


def test_values_that_are_tables_are_told_as_text(tmp_path):
    links = [{"bandwidth": "1 Gbit/s", "latency": 0}, {"bandwidth": "10 Gbit/s", "latency": 0}]
    table = sweep({**TIMING, "sweep": {"platform.link": links}}, tmp_path, jobs=1)
    assert [json.loads(link) for link in table["platform.link"]] == links


# ---- a second start


def test_second_start_runs_nothing(tmp_path, monkeypatch):
    first = sweep(TIMING, tmp_path, jobs=1)
    before = case_files(tmp_path)
    monkeypatch.setattr(pool, "run_case", lambda tables: pytest.fail("a finished case was run again"))
    pd.testing.assert_frame_equal(sweep(TIMING, tmp_path, jobs=1), first)
    assert case_files(tmp_path) == before


def test_longer_list_runs_what_is_new(tmp_path):
    sweep(TIMING, tmp_path, jobs=1)
    before = case_files(tmp_path)
    longer = {**TIMING, "sweep": {"schedule.rate": [1, 2, 4], "topology.graph": ["ring", "complete"]}}
    assert len(Sweep(longer, tmp_path).todo) == 2
    assert len(sweep(longer, tmp_path, jobs=1)) == 6
    after = case_files(tmp_path)
    assert len(after) == 6
    assert {name: after[name] for name in before} == before


def test_cases_of_another_sweep_are_ignored(tmp_path):
    sweep(NUMERIC, tmp_path, jobs=1)
    assert len(sweep(TIMING, tmp_path, jobs=1)) == 4


def test_cases_of_other_sources_are_run_again(tmp_path, monkeypatch):
    sweep(TIMING, tmp_path, jobs=1)
    monkeypatch.setattr(planning, "_version", lambda: "another")
    assert len(Sweep(TIMING, tmp_path).todo) == 4


@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.write_bytes(file.read_bytes()[:-100]),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(b"\xff\xfe not text"),
        lambda file: file.write_text("[]"),
        lambda file: file.write_text("{}"),
        lambda file: file.write_text(file.read_text().replace('"key": "', '"key": "0')),
        lambda file: file.unlink(),
    ],
    ids=["cut off", "empty", "bytes", "list", "keys missing", "of another case", "gone"],
)
def test_damaged_case_is_run_again(tmp_path, damage):
    first = sweep(TIMING, tmp_path, jobs=1)
    before = case_files(tmp_path)
    name = min(before)
    damage(tmp_path / "cases" / name)
    assert len(Sweep(TIMING, tmp_path).todo) == 1
    pd.testing.assert_frame_equal(sweep(TIMING, tmp_path, jobs=1), first)
    after = case_files(tmp_path)
    assert {each for each in before if before[each] != after[each]} == {name}


def test_file_that_was_being_written_does_not_count(tmp_path):
    sweep(TIMING, tmp_path, jobs=1)
    name = min(case_files(tmp_path))
    (tmp_path / "cases" / name).rename(tmp_path / "cases" / f".{name}-abc")
    assert len(Sweep(TIMING, tmp_path).todo) == 1


# ---- failures


@pytest.fixture
def stuck(tmp_path):
    (tmp_path / "stuck.py").write_text(STUCK)
    schedule = {"program": str(tmp_path / "stuck.py"), "gradients": 2}
    return {**TIMING, "schedule": schedule, "sweep": {"schedule.is_stuck": [False, True, False]}}


def test_failing_case_is_told_and_the_others_are_kept(tmp_path, stuck):
    table = sweep(stuck, tmp_path / "out", jobs=1)
    assert [error.partition(" at ")[0] for error in table["error"]] == ["", "DeadlockError", ""]
    assert table["makespan_s"].isna().tolist() == [False, True, False]
    assert len(case_files(tmp_path / "out")) == 1


def test_failed_case_is_tried_again(tmp_path, stuck):
    sweep(stuck, tmp_path / "out", jobs=1)
    assert [case.swept for case in Sweep(stuck, tmp_path / "out").todo] == [{"schedule.is_stuck": True}]


def test_case_that_breaks_a_program_is_told_too(tmp_path):
    (tmp_path / "stuck.py").write_text(STUCK.replace("yield Receive(worker.neighbours[0], 8)", "1 / 0"))
    schedule = {"program": str(tmp_path / "stuck.py"), "gradients": 2}
    tables = {**TIMING, "schedule": schedule, "sweep": {"schedule.is_stuck": [True]}}
    (error,) = sweep(tables, tmp_path / "out", jobs=1)["error"]
    assert "division by zero" in error


# ---- a cluster

SLOW = {
    **TIMING,
    "schedule": {"program": "gossip", "gradients": 1500},
    "topology": {"graph": "ring", "workers": 8},
    "sweep": {"run.seed": list(range(16))},
}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def dask(*arguments: str) -> subprocess.Popen:
    code = f"import sys; from distributed.cli.dask_{arguments[0]} import main; sys.argv = {list(arguments)!r}; main()"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": ""}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


@pytest.fixture
def cluster():
    """A Dask scheduler and two workers, each a process: (address, workers)."""
    address = f"tcp://127.0.0.1:{free_port()}"
    with ExitStack() as stack:

        def start(*arguments: str) -> subprocess.Popen:
            process = dask(*arguments)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start("scheduler", "--host", address, "--no-dashboard")
        options = ("--nthreads", "1", "--no-nanny", "--no-dashboard")
        yield address, [start("worker", address, *options) for _ in range(2)]


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def num_workers(address: str) -> int:
    from distributed import Client

    with Client(address, set_as_default=False) as client:
        return len(client.scheduler_info(n_workers=-1)["workers"])


@pytest.mark.cluster
@pytest.mark.slow
def test_sweep_on_a_cluster_survives_the_loss_of_a_worker(tmp_path, cluster):
    address, (_, victim) = cluster
    wait_for(lambda: num_workers(address) == 2)
    out = tmp_path / "out"
    code = f"from simulator.sweep import sweep; sweep({SLOW!r}, {str(out)!r}, dask={address!r})"
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}) as process:
        wait_for(lambda: (out / "cases").is_dir() and len(case_files(out)) >= 3)
        victim.send_signal(signal.SIGKILL)
        assert len(case_files(out)) < 16, "the worker was killed too late to be missed"
        assert process.wait(60) == 0
    assert num_workers(address) == 1
    swept = pd.read_parquet(out / "sweep.parquet")
    pd.testing.assert_frame_equal(swept, sweep(SLOW, tmp_path / "here", jobs=2))


@pytest.mark.cluster
@pytest.mark.parametrize("address", ["foo", "tcp://", "foo://127.0.0.1:1"])
def test_address_that_is_none_is_named(tmp_path, address):
    with pytest.raises(ScenarioError, match=f"expected a scheduler at '{address}', found none"):
        sweep(TIMING, tmp_path, dask=address)


@pytest.mark.cluster
def test_scheduler_that_is_not_there_is_named(tmp_path, monkeypatch):
    import distributed

    def refuse(address, **options):
        raise OSError(f"Timed out trying to connect to {address}")

    monkeypatch.setattr(distributed, "Client", refuse)
    with pytest.raises(ScenarioError, match=r"expected a scheduler at 'tcp://127\.0\.0\.1:1', found none"):
        sweep(TIMING, tmp_path, dask="tcp://127.0.0.1:1")


def test_dask_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ScenarioError, match=r"pip install 'twinclock\[dask\]'"):
        sweep(TIMING, tmp_path, dask="tcp://127.0.0.1:1")
