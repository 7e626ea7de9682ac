"""Pipelines that cannot be: one line each, with the key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from schedules.errors import ScenarioError
from schedules.scenario import load
from tests.worlds.pipelines.cases import UNIT, scenario
from twinclock.main import main

ONE_EACH = "expected one value, or one a"
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "chunks elsewhere": ({"schedule.chunks": 2}, "schedule.chunks: unknown key"),
    "engines elsewhere": ({"schedule.engines": 2}, "schedule.engines: unknown key"),
    "micro-batches": (
        {"schedule.micro_batches": 0},
        "schedule.micro_batches: expected a number of at least 1, found 0",
    ),
    "ahead": ({"schedule.ahead": -1}, "schedule.ahead: expected a number of at least 0, found -1"),
    "a problem": ({"workload.problem": "quadratic"}, "workload.problem: expected none for zb-h1"),
    "boundaries": ({"workload.boundary": [1]}, f"workload.boundary: {ONE_EACH} boundary (3), found 1"),
    "a boundary": ({"workload.boundary": "x"}, "workload.boundary: expected a quantity"),
    "activations": ({"workload.activations": [1, 2, 3]}, "workload.activations: expected at most 2"),
    "stages": ({"platform.kernels.forward": [1, 2]}, f"platform.kernels.forward: {ONE_EACH} stage (4), found 2"),
    "parameters": ({"workload.parameters": [1, 2]}, "workload.parameters: expected a number for each of 4 stages"),
    "no kernel": (
        {"platform.kernels": {"forward": 1, "backward": 2}},
        "platform.kernels: expected a duration of backward-input for zb-h1, found backward, forward",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_tables_that_do_not_fit(name: str) -> None:
    change, told = WRONG[name]
    with pytest.raises(ScenarioError) as error:
        load(scenario("zb-h1"), change)
    assert str(error.value).startswith(f"scenario: {told}")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("program", "p", "m", "settings", "told"),
    [
        (
            "interleaved-1f1b",
            4,
            7,
            {"chunks": 2},
            "schedule.micro_batches: expected a multiple of workers = 4, found 7",
        ),
        ("1f1b", 6, 8, {"replicas": 4}, "schedule.replicas: expected a divisor of the 6 workers, found 4"),
        ("zb-1p", 4, 8, {"replicas": 8}, "schedule.replicas: expected a divisor of the 4 workers, found 8"),
        ("pipedream", 3, 8, {"replicas": 2}, "schedule.replicas: expected a divisor of the 3 workers, found 2"),
        ("pipedream-2bw", 6, 8, {"replicas": 2, "accumulate": 2}, "schedule.accumulate: expected at least"),
        ("dualpipe", 6, 8, {"replicas": 2}, "topology.workers: expected an even number"),
        ("dualpipe", 3, 8, {}, "topology.workers: expected an even number"),
        ("dualpipe", 4, 9, {}, "schedule.micro_batches: expected an even number"),
        ("dualpipe", 4, 6, {}, "schedule.micro_batches: expected an even number, of at least 2 x workers = 8, found 6"),
        ("zb-v", 4, 8, {"chunks": 3}, "schedule.chunks: expected 2, found 3"),
    ],
)
def test_numbers_that_no_order_has(program: str, p: int, m: int, settings: dict[str, int], told: str) -> None:
    with pytest.raises(ScenarioError) as error:
        load(scenario(program, p, m, 0.0, UNIT, settings))
    assert str(error.value).startswith(f"scenario: {told}")


def test_others_need_a_graph_and_a_size() -> None:
    tables = {"schedule": {"program": "all-reduce", "gradients": 3}, "topology": {"workers": 4}, "platform": {}}
    with pytest.raises(ScenarioError, match=r"topology\.graph: expected a value, found none"):
        load({**tables, "workload": {"parameters": 10}})
    with pytest.raises(
        ScenarioError, match="workload: expected one of the keys problem, parameters, tensors and module"
    ):
        load({**tables, "topology": {"graph": "ring", "workers": 4}, "workload": {}})


def test_a_pipeline_talks_along_the_edges_of_its_order() -> None:
    assert sorted(load(scenario("zb-v")).graph.edges) == [(0, 1), (1, 2), (2, 3)]
    assert sorted(load(scenario("interleaved-1f1b", settings={"chunks": 2})).graph.edges) == [
        (0, 1), (0, 3), (1, 2), (2, 3),
    ]  # fmt: skip


def test_the_ranks_of_a_wrong_order_stand_below_its_error(tmp_path: Path) -> None:
    (tmp_path / "order.csv").write_text("0F0,0B0,0F0\n1F0,1B0\n")
    (tmp_path / "order.toml").write_text(
        '[schedule]\nprogram = "order"\nfile = "order.csv"\nmicro_batches = 1\n[topology]\nworkers = 2\n'
        '[platform]\nkernels = { forward = "1 s", backward = "2 s" }\n[workload]\n'
    )
    result = CliRunner().invoke(main, ["simulate", str(tmp_path / "order.toml")])
    first, *ranks = result.stderr.splitlines()
    assert result.exit_code == 2
    assert "expected 0F0 once, found it 2 times on rank 0" in first
    assert [each.split(" from")[0] for each in ranks] == ["  rank 0", "  rank 1"]
