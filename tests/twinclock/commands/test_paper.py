"""`twinclock paper`: what it lists, prints and writes, and what it refuses."""

from __future__ import annotations

import csv
import json

import pytest

NAME = "synchronous-exponential"
QUICK = ("--set", "gradients=20")
SEEDS = "a2cid2-doubling"
"""A table whose cells are simulated once a seed, and that has a figure."""


def test_lists_the_tables(run):
    result = run("paper")
    assert result.exit_code == 0
    assert f"{NAME}\n  Utilization of synchronous all-reduce" in result.stdout
    assert "  Inputs: workers, gradients = 4000, mean = 1, seed = 0\n" in result.stdout
    (found,) = (each for each in json.loads(run("paper", "--json").stdout) if each["name"] == NAME)
    assert [row["workers"] for row in found["inputs"]] == [4, 8, 16]


def test_prints_a_table_beside_what_was_published(here, run):
    result = run("paper", NAME, *QUICK)
    assert (result.exit_code, result.stderr) == (0, "")
    title, source, _, header, *rows, published = result.stdout.splitlines()
    assert title.startswith(f"{NAME}: Utilization of synchronous all-reduce")
    assert source.startswith("Source: ")
    assert header.split() == [
        "workers", "gradients", "mean", "seed", "utilization", "standard", "error", "published", "difference",
    ]  # fmt: skip
    assert [row.split()[0] for row in rows] == ["4", "8", "16"]
    assert [row.split()[6] for row in rows] == ["0.48", "0.3679", "0.2958"]
    assert published.startswith("Published: closed form, 1 / H_n")
    assert list(here.iterdir()) == []


def test_json_has_the_numbers_and_what_they_are_of(run):
    found = json.loads(run("paper", NAME, *QUICK, "--json").stdout)
    assert found["name"] == NAME
    assert (found["out"], found["files"]) == (None, [])
    row = found["rows"][0]
    assert (row["workers"], row["gradients"], row["utilization_published"]) == (4, 20, 0.48)
    assert row["utilization_difference"] == row["utilization"] - 0.48


def test_a_reader_s_inputs(here, run):
    (here / "mine.csv").write_text("workers,gradients,mean\n3,10,20 ms\n4,10,1\n")
    found = json.loads(run("paper", NAME, "--inputs", "mine.csv", "--set", "seed=5", "--json").stdout)
    assert [(row["workers"], row["mean"], row["seed"]) for row in found["rows"]] == [(3, 0.02, 5), (4, 1, 5)]
    assert ["utilization_published" in row for row in found["rows"]] == [False, True]


def test_small_is_smaller(run):
    found = json.loads(run("paper", NAME, "--small", "--set", "seed=1", "--json").stdout)
    assert [(row["workers"], row["gradients"]) for row in found["rows"]] == [(4, 400), (8, 400)]


def test_keeps_the_table_and_the_scenario_of_every_cell(here, run):
    result = run("paper", NAME, *QUICK, "--out", "kept")
    scenarios = [f"scenarios/{row}-utilization.toml" for row in (1, 2, 3)]
    files = [f"kept/{name}" for name in ("table.csv", "cells.csv", *scenarios)]
    assert result.stdout.splitlines()[-5:] == [f"wrote {file}" for file in files]
    with (here / "kept" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    simulated = json.loads(run("simulate", files[4], "--json").stdout)["summary"]["utilization_compute"]
    assert float(rows[2]["utilization"]) == simulated
    again = run("paper", NAME, *QUICK, "--set", "workers=3", "--out", "kept")
    assert again.exit_code == 0
    assert [each.name for each in (here / "kept" / "scenarios").iterdir()] == ["1-utilization.toml"]


@pytest.mark.slow
def test_a_table_over_seeds_has_intervals_exact_numbers_and_a_figure(here, run, monkeypatch):
    monkeypatch.setattr("twinclock.progress.ELSEWHERE_S", 1e6)  # however slow the machine, nothing is told meanwhile
    small = ("--set", "workers=4", "--set", "seeds=2", "--set", "gradients=6", "--set", "momentum=0", "--jobs", "1")
    result = run("paper", SEEDS, *small, "--out", "kept")
    assert (result.exit_code, result.stderr) == (0, "")
    columns = ("baseline", "baseline_doubled", "a2cid2", "a2cid2_doubled")
    scenarios = [f"scenarios/1-{column}.toml" for column in columns]
    written = ["table.csv", "figure.png", "figure.svg", "cells.csv", *scenarios]
    *_, row, note = (line for line in result.stdout.splitlines() if not line.startswith("wrote "))
    assert row.split()[:5] == ["4", "0", "1", "2", "6"]
    assert row.count(" ± ") == 5
    assert note == "±: half of the 95 % interval over seeds"
    assert [line for line in result.stdout.splitlines() if "wrote" in line] == [
        f"wrote kept/{name}" for name in written
    ]
    assert all((here / "kept" / name).stat().st_size > 100 for name in written)
    with (here / "kept" / "table.csv").open(newline="") as file:
        (kept,) = csv.DictReader(file)
    assert float(kept["baseline_exact"]) == pytest.approx(4.75, rel=1e-9)  # gossip.json, a ring of 4
    assert float(kept["baseline_interval"]) > 0
    (here / "kept" / "table.csv").unlink()  # as if it had been interrupted before the end
    again = run("paper", SEEDS, *small, "--out", "kept")
    assert again.stdout == result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("synchronus",), "expected one of"),
        (("--small",), "paper: expected the NAME of a table beside these options, found none"),
        (("--set", "seed=1"), "paper: expected the NAME of a table beside these options, found none"),
        ((NAME, "--set", "sead=1"), "--set sead: expected one of the columns workers, gradients, mean, seed, found"),
        ((NAME, "--set", "workers=1"), "--set: workers: expected a number of at least 2, found 1"),
        ((NAME, "--set", "workers"), "--set: expected KEY=VALUE, found 'workers'"),
        ((NAME, "--inputs", "none.csv"), "none.csv: expected a file, found none"),
        ((NAME, "--inputs", "bad.csv"), "bad.csv: row 1: workers: expected a whole number, found 'four'"),
        ((NAME, "--inputs", "bad.csv", "--small"), "--small: expected none beside --inputs"),
        (
            (NAME, "--out", "full"),
            "full: expected a new or empty directory, or one with table.csv or simulations, found other files",
        ),
        ((NAME, "--out", "bad.csv"), "bad.csv: expected a directory, found a file"),
        ((NAME, "--jobs", "0"), "--jobs: expected a number of processes, or -1 for one a core, found 0"),
        ((SEEDS, "--set", "momentum=1"), "--set: momentum: expected a number below 1, found 1"),
        ((SEEDS, "--set", "seed=1"), "--set seed: expected one of the columns workers, momentum, rate, seeds,"),
    ],
)
def test_wrong_input_is_one_line_with_status_2(arguments, message, here, run):
    (here / "bad.csv").write_text("workers\nfour\n")
    (here / "full").mkdir()
    (here / "full" / "diary.txt").write_text("")
    before = sorted(here.rglob("*"))
    result = run("paper", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert sorted(here.rglob("*")) == before
