"""`rates = "measured"`: chi_1 and chi_2 of the exchanges that a former run had, counted edge by edge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from schedules.scenario import ScenarioError, load
from schedules.setup import Setup
from simulator import simulate
from topologies import build, chi_1, chi_2, with_counted_rates

SCENARIO: dict[str, Any] = {
    "schedule": {"program": "a2cid2", "gradients": 60},
    "topology": {"graph": "ring", "workers": 5},
    # Exchanges are slower than their clocks, and worker 0 makes its gradients first.
    "platform": {
        "gradient": {"mean": "10 ms"}, "link": {"bandwidth": "1 GB/s", "latency": "9 ms"}, "speed": [2, 1, 1, 1, 1],
    },
    "workload": {"problem": "quadratic", "dtype": "float64"},
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    simulate(SCENARIO).save(tmp_path / "first")
    return tmp_path / "first"


def measured(run: Path, **more: Any) -> dict[str, Any]:
    return {**SCENARIO, "schedule": {**SCENARIO["schedule"], "rates": "measured", "trace": str(run), **more}}


def test_exchanges_are_counted_until_the_first_worker_is_done(run: Path) -> None:
    trace = simulate(SCENARIO).kept_trace
    end = trace[(trace["rank"] == 0) & (trace["op"] == "Compute")]["end_ns"].max()
    assert end == 300_000_000  # 30 gradient times
    expected = {
        (i, j): sum(
            row.op == "Exchange" and row.rank == i and row.peer == j and row.end_ns <= end
            for row in trace.itertuples()
        ) / 30
        for i, j in [(0, 1), (0, 4), (1, 2), (2, 3), (3, 4)]
    }  # fmt: skip
    found = load(measured(run)).schedule.counted
    assert {(int(i), int(j)): rate for i, j, rate in found} == pytest.approx(expected, rel=1e-12)
    assert sum(expected.values()) < 0.95 * 2.5  # slower than asked


def test_constants_are_of_these_rates_on_every_worker(run: Path) -> None:
    scenario = load(measured(run))
    graph = with_counted_rates(build("ring", 5), scenario.schedule.counted)
    setup = Setup(scenario)
    for rank in range(5):
        state = setup.worker(rank).model.state
        assert state is not None
        assert state.eta == pytest.approx(1 / (2 * (chi_1(graph) * chi_2(graph)) ** 0.5), rel=1e-12)
        assert state.alpha_tilde == pytest.approx((chi_1(graph) / chi_2(graph)) ** 0.5 / 2, rel=1e-12)
    asked = Setup(load(SCENARIO)).worker(0).model.state
    assert asked is not None
    assert asked.eta > 1.05 * state.eta


def test_a_scenario_that_has_counted_needs_the_run_no_more(run: Path) -> None:
    scenario = load(measured(run))
    (run / "trace.parquet").unlink()
    assert load(scenario.tables()) == scenario
    assert simulate(scenario).summary["exchanges"] == simulate(SCENARIO).summary["exchanges"]
    with pytest.raises(ScenarioError, match=r"schedule\.trace: .*expected the trace of a run, found none"):
        load(measured(run))


def test_a_run_without_exchanges_is_no_measurement(tmp_path: Path) -> None:
    alone = {**SCENARIO, "schedule": {"program": "all-reduce", "gradients": 2}}
    simulate(alone).save(tmp_path / "run")
    with pytest.raises(ScenarioError, match=r"schedule\.trace: .*expected exchanges of two workers, found none"):
        load(measured(tmp_path / "run"))


def test_a_run_on_another_graph_is_no_measurement(run: Path) -> None:
    other = {**measured(run), "topology": {"graph": "star", "workers": 5}}
    with pytest.raises(ScenarioError, match=r"schedule\.counted: expected rates of edges of the graph, found one of"):
        load(other)


def test_a_graph_that_varies_has_rates_of_its_parts() -> None:
    graph = build("ring", 4)
    graph.graph["parts"] = (graph, build("star", 4))
    with pytest.raises(ValueError, match="expected a graph that stays the same"):
        with_counted_rates(graph, [(0, 1, 0.4)])


def test_counted_rates_replace_those_of_a_graph() -> None:
    rated = with_counted_rates(build("ring", 4), [(0, 1, 0.4), (2, 1, 0.6), (3, 2, 0.1)])
    assert dict(rated.edges) == {
        (0, 1): {"rate": 0.4},
        (0, 3): {"rate": 0.0},
        (1, 2): {"rate": 0.6},
        (2, 3): {"rate": 0.1},
    }
