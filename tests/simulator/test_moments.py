"""Second moments of workers that start apart, from the scenario alone: the theory of consensus.

The theory's time unit is one gradient time, its exchanges are instantaneous, and nothing but exchanges moves x: the
transport is "none", gradients take no time, and a quadratic without curvature and noise has gradients of zero. Every
coordinate starts as N(0, 1) on every worker, so E||pi x_0||^2 = n - 1 a coordinate.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.moments import second_moment
from simulator import simulate
from topologies import build

DIMENSION = 20
NUM_RUNS = 200

# shared/reference/gossip.json, second_moment_ring8_baseline: [derived] exact generator of second moments, checked by
# Monte Carlo; ring, n = 8, r = 1, x0 iid of unit variance a worker.
RING_8 = {1: 4.13993035314, 5: 0.904566210227, 20: 0.0146253770818}


def disagreement(graph: str, workers: int, seed: int, horizon: int, program: str = "gossip") -> NDArray[np.float64]:
    """||pi x_t||^2 a coordinate at the times 0, 1 to `horizon` of one run."""
    length = horizon + 1  # so that no read-out is the one at the end, which has each worker's own time
    options = {"start": "spread", "curvature": 0, "noise": 0, "dimension": DIMENSION}
    run = simulate({
        "schedule": {"program": program, "gradients": length, "gradient_clock": "poisson"},
        "topology": {"graph": graph, "workers": workers},
        "platform": {"gradient": {"mean": 0}, "gradient_time": "1 s", "transport": "none"},
        "workload": {"problem": "quadratic", "dtype": "float64", "options": options},
        "run": {"seed": seed, "trace": False, "observations": length},
    })  # fmt: skip
    assert run.series is not None
    rows = run.series[run.series["index"] <= horizon]
    assert rows["time"].tolist() == list(range(length))
    return rows["consensus_distance"].to_numpy() / DIMENSION


@functools.cache
def disagreements(graph: str, workers: int, horizon: int) -> NDArray[np.float64]:
    """Of many runs: [runs, times]."""
    return np.array([disagreement(graph, workers, seed, horizon) for seed in range(NUM_RUNS)])


def check(samples: NDArray[np.float64], expected: float) -> None:
    """Within three standard errors, which are small enough to tell."""
    error = samples.std(ddof=1) / math.sqrt(len(samples))
    assert error < 0.1 * expected
    assert abs(samples.mean() - expected) < 3 * error


@pytest.mark.slow
@pytest.mark.parametrize(("time", "expected"), RING_8.items())
def test_ring_of_eight(time: int, expected: float) -> None:
    check(disagreements("ring", 8, 20)[:, time], expected)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [8, 16])
def test_complete_graph(workers: int) -> None:
    """gossip.json, second_moment_complete_graph: E||pi x_t||^2 = ||pi x_0||^2 exp(-n r t / (2 (n - 1)))."""
    samples = disagreements("complete", workers, 4)
    for time in range(5):
        check(samples[:, time], (workers - 1) * math.exp(-workers * time / (2 * (workers - 1))))


@pytest.mark.slow
@pytest.mark.parametrize(("program", "method"), [("gossip", "baseline"), ("a2cid2", "a2cid2")])
@pytest.mark.parametrize("workers", [8, 16])
@pytest.mark.parametrize("graph", ["ring", "star", "complete", "exponential"])
def test_simulations_tend_to_the_exact_moments(graph: str, workers: int, program: str, method: str) -> None:
    samples = np.array([disagreement(graph, workers, seed, 3, program) for seed in range(NUM_RUNS // 4)])
    for time, expected in enumerate(second_moment(build(graph, workers), method, range(4))):
        check(samples[:, time], float(expected))
