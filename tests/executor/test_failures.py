"""What goes wrong is told by name, at once, and what was recorded is kept."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

from executor import Ranks
from schedules.errors import DeadRankError, ProgramError, TimeoutError
from tests.executor.conftest import scenario

IMPATIENT = {"timeout": "400 ms"}


def test_a_program_that_yields_no_operation_is_shown_its_line(ranks: Ranks) -> None:
    with pytest.raises(ProgramError, match=re.escape('yield "exchange, please"')) as raised:
        ranks.execute(scenario("yields_a_string"))
    assert "rank 2, stream main" in str(raised.value)


def test_a_programs_error_on_one_rank_stops_all(ranks: Ranks) -> None:
    with pytest.raises(ProgramError, match=r"rank 1: .*cases\.py:") as raised:
        ranks.execute(scenario("raises"))
    assert "ZeroDivisionError: one rank is wrong" in str(raised.value)


def test_a_stuck_run_shows_the_board_of_all_ranks(ranks: Ranks) -> None:
    with pytest.raises(TimeoutError) as raised:
        ranks.execute(scenario("tags_differ", execution=IMPATIENT))
    board = str(raised.value).splitlines()
    assert "nothing has happened on any rank for 0.4 s" in board[0]
    assert [line.split("  waiting")[0].strip() for line in board[1:]] == [
        "rank 0  main  #0  Exchange(<->1 4 kB)",
        "rank 1  main  #0  Exchange(<->0 #1 4 kB)",
        "rank 2  main  #0  Barrier()",
        "rank 3  main  #0  Barrier()",
    ]
    assert all("tags differ" in line for line in board[1:3])


@pytest.mark.slow
@pytest.mark.parametrize("case", ["stuck_after_a_cancelled_sleep", "stuck_after_a_deadline_that_was_not_needed"])
def test_a_time_that_nobody_waits_for_any_more_puts_nothing_off(ranks: Ranks, case: str) -> None:
    """Four seconds of sleep, or until a deadline, that are not needed: stuck is told within the limit and two."""
    with pytest.raises(TimeoutError, match=r"Receive\(<-1 8 B\)") as raised:
        ranks.execute(scenario(case, workers=2, execution={"timeout": "1 s"}))
    told = re.match(r"TimeoutError at (\d+\.\d+) ms", str(raised.value))
    assert told is not None
    assert 1000 <= float(told[1]) <= 3000


def test_sizes_that_differ_are_stuck_and_abort_nobody(ranks: Ranks) -> None:
    with pytest.raises(TimeoutError, match=r"Exchange\(<->1 800 B\)(.|\n)*Exchange\(<->0 808 B\)"):
        ranks.execute(scenario("sizes_differ", execution=IMPATIENT))


def test_the_board_shows_what_is_awaited(ranks: Ranks) -> None:
    with pytest.raises(TimeoutError, match=r"Await\(h1\)(.|\n)*awaits Receive\(<-0 #4 64 B\) on main\+1"):
        ranks.execute(scenario("awaits_in_vain", execution=IMPATIENT))


def test_a_rank_that_waits_for_a_slow_one_is_not_stuck(ranks: Ranks) -> None:
    slow = {"gradient": {"mean": "1500 ms"}}
    result = ranks.execute(scenario("gradients", workers=2, platform=slow, execution=IMPATIENT))
    assert result.summary["gradients"] == 2


def test_a_killed_rank_is_named_within_a_second_and_the_past_is_kept(ranks: Ranks, tmp_path: Path) -> None:
    died = 0.0

    def watch(event: dict[str, Any]) -> None:
        nonlocal died
        if event.get("status", 0) < 0:
            died = time.perf_counter()

    with pytest.raises(DeadRankError, match="rank 1 has died \\(killed by SIGKILL\\)"):
        ranks.execute(scenario("dies"), out=tmp_path / "run", watch=watch)
    assert time.perf_counter() - died < 1
    trace = pd.read_parquet(tmp_path / "run" / "trace.parquet")
    assert set(trace[trace["op"] == "Compute"]["rank"]) == {0, 1, 2, 3}


@pytest.mark.parametrize("later", [1, 2, 4])
def test_a_rank_that_is_killed_while_it_waits_to_be_paired_is_named(
    ranks: Ranks, capfd: pytest.CaptureFixture[str], later: int
) -> None:
    died = 0.0

    def watch(event: dict[str, Any]) -> None:
        nonlocal died
        if event.get("status", 0) < 0:
            died = time.perf_counter()

    with pytest.raises(DeadRankError, match="rank 1 has died \\(killed by SIGKILL\\)"):
        ranks.execute(scenario("dies_while_it_waits_to_be_paired", schedule={"gradients": later}), watch=watch)
    assert time.perf_counter() - died < 1
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
def test_a_rank_that_shows_no_sign_of_life_is_named(ranks: Ranks) -> None:
    with pytest.raises(DeadRankError, match="rank 1 has shown no sign of life"):
        ranks.execute(scenario("stops", execution={"timeout": "800 ms"}))


@pytest.mark.slow
def test_a_stopped_rank_is_told_within_the_limit_and_two_seconds_whatever_the_others_do(
    ranks: Ranks, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The others compute on, and wait for nobody."""
    with pytest.raises(DeadRankError, match="rank 1 has shown no sign of life for 3 s"):
        ranks.execute(scenario("stops_while_others_compute", execution={"timeout": "3 s"}), out=tmp_path / "run")
    told = time.monotonic()
    stopped = re.search(r"stopped at ([\d.]+)", capfd.readouterr().err)
    assert stopped is not None
    assert told - float(stopped[1]) < 5
    trace = pd.read_parquet(tmp_path / "run" / "trace.parquet")
    assert set(trace["rank"]) == {0, 1, 2, 3}


@pytest.mark.slow
def test_an_operation_that_waits_longer_than_it_may_is_named(ranks: Ranks) -> None:
    """Its partner computes, so the run is not stuck."""
    slow, limits = {"gradient": {"mean": "200 ms"}}, {"patience": "1 s", "timeout": "20 s"}
    schedule = {"gradients": 500}
    made = scenario("computes_while_another_waits", workers=2, platform=slow, schedule=schedule, execution=limits)
    told = r"rank 0: Receive\(<-1 8 B\) on main has waited 1\.\d+ s, longer than execution\.patience \(1 s\)"
    with pytest.raises(TimeoutError, match=told) as raised:
        ranks.execute(made)
    assert "rank 0  main  #0  Receive(<-1 8 B)  waiting" in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["computes_while_another_waits", "receives_early_from_afar"])
def test_an_operation_may_wait_for_longer_than_the_time_limit(ranks: Ranks, case: str) -> None:
    """While its partner computes; and the same of a receive from a rank that is no neighbour."""
    slow = {"gradient": {"mean": "400 ms"}}
    made = scenario(case, graph="ring", platform=slow, schedule={"gradients": 4}, execution=IMPATIENT)
    assert ranks.execute(made).summary["makespan_s"] >= 1.6  # it has come to its end


LAUNCHER = """
import json, sys
from executor import Ranks
from tests.executor.conftest import scenario
with Ranks() as ranks:
    ranks.execute(scenario("endless", workers=2), watch=lambda event: print(json.dumps(event), flush=True))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_its_launcher(number: int) -> None:
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    command = [sys.executable, "-c", LAUNCHER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as launcher:
        assert launcher.stdout is not None
        pids = [int(re.findall(rb'"pid": (\d+)', launcher.stdout.readline())[0]) for _ in range(2)]
        launcher.send_signal(number)
        launcher.wait()
    deadline = time.monotonic() + 5
    while any(_is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, "a rank is still there"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


class Judged:
    """A module whose evaluation fails on rank 1 alone, when the run is over."""

    def __init__(self, rank: int, how: str) -> None:
        self.rank, self.how = rank, how
        self.module = nn.Linear(2, 1)
        with torch.no_grad():
            for each in self.module.parameters():
                each.zero_()

    def batch(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.ones(3, 2), torch.ones(3, 1)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).square().mean()

    def evaluate(self, module: nn.Module) -> dict[str, float]:
        if self.rank == 1 and self.how == "raises":
            raise KeyError("no such metric")
        if self.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return {}


def raises(rank: int, num_workers: int, seed: int) -> Judged:
    return Judged(rank, "raises")


def is_killed(rank: int, num_workers: int, seed: int) -> Judged:
    return Judged(rank, "is killed")


@pytest.mark.parametrize(
    ("factory", "kind", "told"),
    [
        ("raises", ProgramError, r"rank 1: .*test_failures\.py:\d+: raise KeyError.*\n  KeyError: 'no such metric'"),
        ("is_killed", DeadRankError, r"rank 1 has died \(killed by SIGKILL\)"),
    ],
)
def test_what_fails_when_the_run_is_over_is_told_too(
    ranks: Ranks, factory: str, kind: type[Exception], told: str
) -> None:
    """Not that a file of its is missing."""
    tables = {
        "schedule": {"program": "all-reduce", "gradients": 2},
        "topology": {"graph": "complete", "workers": 2},
        "platform": {"gradient": {"mean": "1 ms"}},
        "workload": {"module": f"tests.executor.test_failures:{factory}"},
    }
    with pytest.raises(kind, match=told):
        ranks.execute(tables)
