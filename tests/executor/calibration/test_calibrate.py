"""What a calibration writes, without processes."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from executor.calibration.calibrate import kept, kinds_of, probe
from schedules.platform.computing import Duration
from schedules.platform.tables import PlatformTable
from schedules.platform.toml import write_platform
from schedules.scenario import load


@pytest.mark.parametrize("way", [{"flops": 1e12, "cv": 0.2, "distribution": "gamma"}, {"samples": [0.1, 0.3]}])
def test_a_gradient_that_is_not_measured_is_written_in_seconds(tmp_path: Path, way: dict[str, Any]) -> None:
    """Without the device, and what is left out is not written."""
    gradient = {"distribution": "empirical", **way}
    device = {"flops": 1e13, "memory_bandwidth": 1e12}
    platform = PlatformTable.model_validate({"gradient": gradient, "device": device})
    file = write_platform({"gradient": kept(platform.gradient)}, tmp_path / "platform.toml")
    again = PlatformTable.model_validate(tomllib.loads(file.read_text())["platform"]).gradient
    told = ("distribution", "mean", "cv", "samples")
    assert [getattr(again, key) for key in told] == [getattr(platform.gradient, key) for key in told]


def test_the_probe_of_a_platform_without_a_gradient_has_one() -> None:
    tables = {
        "schedule": {"program": "all-reduce", "gradients": 1},
        "topology": {"graph": "complete", "workers": 2},
        "platform": {"kernels": {"forward": ["1 ms", 0.002]}},
        "workload": {"parameters": 1000},
    }
    platform = probe(load(tables)).platform
    assert platform.gradient == Duration(mean=0.05, distribution="lognormal", cv=0.1)
    assert platform.kernels["forward"] == [Duration(mean=0.001), Duration(mean=0.002)]


def test_a_scenario_whose_graph_changes_with_time_can_be_calibrated() -> None:
    tables = {
        "schedule": {"program": "gossip", "gradients": 1},
        "topology": {"graph": "random-geometric", "count": 3, "period": 0.5, "workers": 4},
        "platform": {"gradient": {"mean": "1 ms"}},
        "workload": {"parameters": 1000},
    }
    assert probe(load(tables)).topology == load(tables).topology


def scenario(program: str, mean: float = 0.02, **schedule: Any) -> Any:
    return load(
        {
            "schedule": {"program": program, "gradients": 1, **schedule},
            "topology": {"graph": "ring", "workers": 4},
            "platform": {"gradient": {"mean": mean, "distribution": "lognormal", "cv": 0.1}},
            "workload": {"parameters": 250_000},
        }
    )


def test_the_probe_has_the_concurrency_of_the_schedule() -> None:
    """What its programs name, in the way of pairing that they take, and messages of its size."""
    assert {"Exchange", "Until"} == kinds_of(scenario("gossip")) & {"Exchange", "Until", "Meet", "Start", "AllReduce"}
    met = kinds_of(scenario("gossip", pairing="first-come"))
    assert {"Exchange", "Meet"} == met & {"Exchange", "Until", "Meet", "Start", "AllReduce"}
    assert {"Exchange", "Start"} <= kinds_of(scenario("d-psgd"))
    assert "AllReduce" in kinds_of(scenario("all-reduce"))
    assert probe(scenario("gossip")).schedule.size == 1_000_000
    assert 1_000_000 in probe(scenario("gossip")).schedule.sizes


def test_the_probe_does_not_compute_for_minutes() -> None:
    """And its kernels scatter: those that all end in one instant would wait for the same cores."""
    assert probe(scenario("gossip", mean=0.02)).platform.gradient == scenario("gossip", mean=0.02).platform.gradient
    assert probe(scenario("gossip", mean=10.0)).platform.gradient == Duration(
        mean=0.05, distribution="lognormal", cv=0.1
    )
