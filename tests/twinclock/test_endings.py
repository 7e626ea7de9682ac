"""How commands end that are interrupted, not read, or quiet: the status that shells expect, and one line at most."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from twinclock.commands import simulate as simulate_command

ROOT = Path(__file__).parents[2]
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SWEPT = {"sweep.'schedule.rate'": "[1, 2, 3, 4]", "schedule.gradients": "100000"}


def start(*arguments, **options):
    command = [sys.executable, "-m", "twinclock", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, **{**streams, **options})


@pytest.mark.parametrize("number", STATUS)
def test_a_signal_ends_a_command_in_order(here, scenario, run, monkeypatch, number):
    closed = []

    def signalled(resolved, replay, watch):
        try:
            os.kill(os.getpid(), number)
        finally:
            closed.append(number)

    monkeypatch.setattr(simulate_command, "run", signalled)
    before = signal.getsignal(number)
    result = run("simulate", scenario())
    assert result.exit_code == STATUS[number]
    assert result.stderr == f"twinclock: {'interrupted' if number == signal.SIGINT else 'terminated'}\n"
    assert result.stdout == ""
    assert closed == [number]
    assert signal.getsignal(number) == before


@pytest.mark.slow
@pytest.mark.parametrize("number", STATUS)
def test_a_sweep_whose_whole_terminal_is_signalled_says_one_line(here, scenario, number):
    """Its processes get the signal, too: at a moment when they begin, and would show where they were."""
    arguments = "sweep", scenario(SWEPT), "--jobs", "2", "--out", "out"
    with start(*arguments, start_new_session=True) as process:
        assert process.stdout.readline() == "4 cases\n"
        os.killpg(process.pid, number)
        _, told = process.communicate(timeout=60)
    assert process.returncode == STATUS[number]
    (line,) = told.splitlines()
    assert line.startswith("twinclock: interrupted" if number == signal.SIGINT else "twinclock: terminated")


def test_nobody_reads_the_output(here):
    reading, writing = os.pipe()
    os.close(reading)
    with start("schedules", stdout=writing) as process:
        os.close(writing)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told) == (0, "")


@pytest.mark.parametrize(
    ("streams", "status", "told"),
    [
        (">&-", 1, "twinclock: the standard output is closed\n"),
        (">&- --quiet", 0, ""),
        (">&- 2>&-", 1, ""),
        ("<&- 2>&-", 0, ""),
    ],
)
def test_closed_streams(here, streams, status, told):
    command = f"exec {sys.executable} -m twinclock schedules {streams}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stderr) == (status, told)


def test_a_full_output_is_a_failure(here):
    with Path("/dev/full").open("w") as full, start("schedules", stdout=full) as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 1
    assert told.startswith("twinclock: ")
    assert "No space left" in told
    assert len(told.splitlines()) == 1


def test_quiet_prints_errors_and_json_alone(here, scenario, run):
    result = run("simulate", scenario(), "--quiet", "--out", "out")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert (here / "out" / "run.json").exists()
    assert json.loads(run("simulate", "scenario.toml", "-q", "--json").stdout)["seed"] == 0
    assert run("export", "out", "--format", "csv", "-q", "--out", "-").stdout.startswith("run,")
    wrong = run("simulate", "none.toml", "--quiet")
    assert wrong.exit_code == 2
    assert wrong.stderr.startswith("twinclock: none.toml")
