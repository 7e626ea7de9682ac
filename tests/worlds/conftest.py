"""The two worlds: one fixture, so that a test runs in both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from executor.launching.launch import Ranks, execute
from schedules.result import Result
from simulator import simulate

World = Callable[..., Result]

BASE: Mapping[str, Any] = {
    "schedule": {"program": "gossip", "gradients": 20},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {
        "gradient": {"mean": "2 ms", "distribution": "lognormal", "cv": 0.3},
        "link": {"bandwidth": "1 GB/s", "latency": "50 us"},
    },
    "workload": {"problem": "quadratic", "dtype": "float64"},
    "optimizer": {"learning_rate": 0.01},
    "execution": {"timeout": "30 s"},
}


@pytest.fixture(scope="session")
def ranks() -> Iterator[Ranks]:
    """Torch is loaded once for all tests."""
    with Ranks() as started:
        yield started


@pytest.fixture
def measured(ranks: Ranks) -> World:
    """Run a scenario for real: `measured(overrides, replay=directory)`."""
    return lambda overrides, **options: execute(BASE, overrides=overrides, ranks=ranks, **options)


@pytest.fixture
def simulated() -> World:
    """Run a scenario in simulated time."""
    return lambda overrides, **options: simulate(BASE, overrides=overrides, **options)


@pytest.fixture(params=["simulated", "measured"])
def world(request: pytest.FixtureRequest) -> World:
    """Each of the two."""
    chosen: World = request.getfixturevalue(request.param)
    return chosen
