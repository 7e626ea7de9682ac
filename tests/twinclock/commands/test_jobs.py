"""`twinclock simulate` of a file with [[job]] tables."""

import json
from pathlib import Path

import pytest

from schedules.result import load_run

FIELD = Path(__file__).parents[2] / "field"

JOBS = """
[schedule]
program = "all-reduce"
gradients = 3
[topology]
graph = "complete"
[platform]
gradient = { mean = "100 ms" }
network = { kind = "racks", hosts_per_rack = 2, bandwidth = "10 Gbit/s", latency = 0 }
[workload]
parameters = 25_000_000
[[job]]
name = "a"
ranks = [0, 2]
[[job]]
name = "b"
ranks = [1, 3]
"""


@pytest.fixture
def file(here):
    (here / "jobs.toml").write_text(JOBS)
    return "jobs.toml"


def test_a_table_says_what_each_loses(here, file, run):
    found = run("simulate", file)
    assert (found.exit_code, found.stderr) == (0, "")
    *titles, header, first, second, over, busiest = found.stdout.splitlines()[:7]
    assert titles == [f"job {name}: all-reduce on complete, 2 workers, 6 gradients, seed 0, simulated" for name in "ab"]
    assert " ".join(header.split()) == "job ranks on start alone together loss throughput alone together"
    told = "0 s 540 ms 780 ms 240 ms (+44.4 %) 11.11 gradients/s 7.692 gradients/s"
    assert [" ".join(line.split()) for line in (first, second)] == [f"a 0, 2 {told}", f"b 1, 3 {told}"]
    assert " ".join(over.split()) == "busiest links, all jobs together utilisation carried"
    assert busiest.split() == ["rack", "0", "->", "core", "61.5", "%", "600", "MB"]  # 480 of 780 ms
    assert [path.name for path in here.iterdir()] == [file]


def test_out_has_a_run_a_job_and_the_table(here, file, run):
    first = run("simulate", file, "--out", "out")
    assert first.stdout.splitlines()[-4:] == [f"wrote out/{name}" for name in ("a", "b", "jobs.json", "jobs.csv")]
    rows = json.loads((here / "out" / "jobs.json").read_text())
    assert [(row["job"], row["ranks"], row["loss_s"]) for row in rows] == [
        ("a", [0, 2], pytest.approx(0.24)),
        ("b", [1, 3], pytest.approx(0.24)),
    ]
    assert (here / "out" / "jobs.csv").read_text().startswith("job,ranks,start_s,makespan_alone_s,")
    assert load_run(here / "out" / "b").summary["makespan_s"] == 0.78
    assert run("report", "out/b", "--out", "page").exit_code == 0
    (here / "out" / "mine.txt").write_text("keep")
    second = run("simulate", file, "--out", "out", "--set", 'job.b.start="100 ms"')
    assert "  a: replaced the simulated run of all-reduce on complete, 2 workers, seed 0" in second.stdout
    assert load_run(here / "out" / "b").summary["makespan_s"] == 0.54
    assert (here / "out" / "mine.txt").read_text() == "keep"


def test_json_has_both_summaries(file, run):
    told = json.loads(run("simulate", file, "--json").stdout)
    assert [each["job"] for each in told["jobs"]] == ["a", "b"]
    assert told["jobs"][0]["alone"]["makespan_s"] == 0.54
    assert told["jobs"][0]["together"]["makespan_s"] == 0.78
    assert told["files"] == []


def test_quiet_says_nothing(file, run):
    assert run("simulate", file, "--quiet").output == ""


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["simulate", "--replay", "run"], "twinclock: --replay: expected a file of one scenario, found [[job]] tables"),
        (["execute"], "twinclock: jobs.toml: job: expected one scenario, found [[job]] tables: `twinclock simulate`"),
        (["calibrate"], "twinclock: jobs.toml: job: expected one scenario, found [[job]] tables: `twinclock simulate`"),
        (["sweep"], "twinclock: jobs.toml: sweep: expected a table of lists"),
        (["simulate", "--set", "job.b.start=-1"], "twinclock: jobs.toml: job b: start: expected a time from 0"),
        (["simulate", "--out", "full"], "twinclock: full: expected a new or empty directory, or one with jobs.json or"),
    ],
    ids=str,
)
def test_what_cannot_be_is_one_line(here, file, run, arguments, told):
    (here / "full").mkdir()
    (here / "full" / "mine.txt").write_text("keep")
    command, *options = arguments
    found = run(command, file, *options)
    assert found.exit_code == 2
    assert found.stderr.startswith(told)
    assert found.stderr.count("\n") == 1
    assert sorted(path.name for path in here.iterdir()) == ["full", file]


def test_a_run_that_fails_is_named(here, file, run):
    (here / "stuck.py").write_text((FIELD / "send_send.py").read_text())
    found = run("simulate", file, "--set", "job.b.schedule.program=stuck.py")
    assert found.exit_code == 1
    assert found.stderr.startswith("twinclock: job b (alone): DeadlockError")
