"""The files that a scenario names: traces whose durations are samples, and networks; nothing else opens any."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

import topologies
from schedules.platform.durations import durations
from schedules.platform.tables import NetworkTable, PlatformTable
from schedules.record.files import write_parquet
from schedules.scenario import Scenario, ScenarioError, load
from schedules.scenario.files import LARGEST_SAMPLE, measured
from simulator import simulate
from topologies.files import save


def scenario(gradient: Mapping[str, Any], seed: int = 0, **platform: Any) -> Scenario:
    return load(
        {
            "schedule": {"program": "gossip", "gradients": 10},
            "topology": {"graph": "complete", "workers": 4},
            "platform": {"gradient": gradient, **platform},
            "workload": {"parameters": 1000},
            "run": {"seed": seed},
        }
    )


def drawn(resolved: Scenario, rank: int) -> list[int]:
    return list(itertools.islice(durations(resolved.platform, resolved.run.seed, rank, "gradient"), 200))


# ---- traces

ONE = {"op": ["Compute"], "kernel": ["encode"], "rank": [0], "stage": [-1], "ready_ns": [0], "end_ns": [1]}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return simulate(scenario({"distribution": "gamma", "mean": 0.01, "cv": 0.5}, seed=3)).save(tmp_path / "run")


def test_samples_are_taken_from_a_run(directory: Path) -> None:
    trace = pd.read_parquet(directory / "trace.parquet")
    rows = trace[trace["op"] == "Compute"]
    taken = sorted((rows["end_ns"] - rows["ready_ns"]).tolist())
    resolved = scenario({"distribution": "empirical", "trace": str(directory)})
    samples = resolved.platform.gradient.samples
    assert samples == [each / 1e9 for each in taken]
    assert resolved.gradient_s == pytest.approx(np.mean(taken) / 1e9, rel=1e-12)
    assert set(drawn(resolved, 0)) <= set(taken)


def test_a_resolved_scenario_needs_its_trace_no_more(directory: Path) -> None:
    resolved = scenario({"distribution": "empirical", "trace": str(directory)})
    (directory / "trace.parquet").unlink()
    again = load(resolved.tables())
    assert again.tables() == resolved.tables()
    assert drawn(again, 1) == drawn(resolved, 1)


def test_of_a_long_run_quantiles_are_kept(tmp_path: Path) -> None:
    """The middle one of every three."""
    number = 3 * LARGEST_SAMPLE
    taken = np.random.default_rng(0).permutation(number)
    rows = pd.DataFrame(
        {"op": "Compute", "kernel": "encode", "rank": 0, "stage": -1, "ready_ns": 5, "end_ns": 5 + taken}
    )
    write_parquet(rows, tmp_path / "trace.parquet", {})
    kept = measured(tmp_path, "encode")
    assert np.rint(np.array(kept) * 1e9).astype(int).tolist() == list(range(1, number, 3))


def of_stages(place: Path) -> Path:
    """Rank 0 has computed the stages 0 and 1, in 1 and 2 ms, and rank 1 stage 2, in 6 ms."""
    stages, taken = [0, 1, 2], np.array([1, 2, 6]) * 1_000_000
    rows = pd.DataFrame({"op": "Compute", "kernel": "encode", "rank": [0, 0, 1], "stage": stages, "ready_ns": 0})
    write_parquet(rows.assign(end_ns=taken), place / "trace.parquet", {})
    return place


def test_samples_of_a_kernel_are_those_of_its_stage(tmp_path: Path) -> None:
    measured_there = {"distribution": "empirical", "trace": str(of_stages(tmp_path))}
    resolved = scenario({"mean": 1}, kernels={"encode": ["5 ms", measured_there, measured_there]})
    first, *others = resolved.platform.kernels["encode"]
    assert [first.mean, *(each.samples for each in others)] == [0.005, [0.002], [0.006]]
    with pytest.raises(ScenarioError, match=r"kernels\.encode\.3\.trace: .* kernel encode at stage 3, found 0, 1, 2$"):
        scenario({"mean": 1}, kernels={"encode": [1, 1, 1, measured_there]})


def test_samples_of_one_value_are_those_of_all_that_a_rank_holds(tmp_path: Path) -> None:
    """Rank 0 holds two stages, which share one value: so each counts twice."""
    assert measured(of_stages(tmp_path), "encode") == [0.002, 0.004, 0.006]


@pytest.mark.parametrize("place", ["gradient", "kernels.encode"])
def test_a_trace_without_the_kernel_is_an_error_that_names_both(tmp_path: Path, place: str) -> None:
    rows = pd.DataFrame({**ONE, "kernel": ["decode"]})
    write_parquet(rows, tmp_path / "trace.parquet", {})
    table = {"distribution": "empirical", "trace": str(tmp_path)}
    platform = {"gradient": table} if place == "gradient" else {"gradient": {"mean": 1}, "kernels": {"encode": table}}
    name = place.rpartition(".")[2]
    told = f"platform.{place}.trace: {tmp_path}: expected computations of the kernel {name}, found decode"
    with pytest.raises(ScenarioError, match=told.replace(".", r"\.")):
        scenario(**platform)


@pytest.mark.parametrize("table", [{"gradient": {}}, {"gradient": {"mean": 1.0}, "kernels": {"encode": {}}}])
def test_tables_alone_open_no_file(table: dict[str, Any], directory: Path) -> None:
    """A trace that is there is not read by a validator, and one that names a network looks for no file."""
    trace = {"distribution": "empirical", "trace": str(directory)}
    tables = {"gradient": table["gradient"] or trace, "kernels": dict.fromkeys(table.get("kernels", {}), trace)}
    with pytest.raises(ValidationError, match="expected the samples of its trace"):
        PlatformTable.model_validate(tables)
    assert NetworkTable(file="nowhere.json").file == "nowhere.json"


# ---- networks


def test_a_network_is_read_once_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "network.json"
    save(topologies.build_network("fabric", 4, bandwidth=1e6), file)
    resolved = scenario({"mean": 0.1}, network={"file": str(file)})
    file.unlink()
    first, second = simulate(resolved), simulate(resolved)
    assert first.network is second.network is resolved.network
    assert first.summary == second.summary


def test_a_communication_graph_is_no_network(tmp_path: Path) -> None:
    save(topologies.build("ring", 4), tmp_path / "ring.json")
    with pytest.raises(ScenarioError, match=r"scenario: platform\.network: kind of node 0: expected one of 'host'"):
        scenario({"mean": 0.1}, network={"file": str(tmp_path / "ring.json")})
