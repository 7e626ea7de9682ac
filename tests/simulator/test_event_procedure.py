"""A²CiD² by clocks is the event procedure of papers/gossip.md, 2.3, where nothing takes time; what it conserves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schedules import State
from schedules.clocks import Clocks
from schedules.programs.gossip import a2cid2
from schedules.scenario import Scenario, load
from simulator import simulate
from tests.event_procedure import play
from topologies import a2cid2_parameters, chi_1, chi_2

Vector = NDArray[np.float64]
WORKERS, GRADIENTS, RATE = 6, 12, 0.02


def scenario(unit: str = "1 s", optimizer: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return {
        "schedule": {"program": "a2cid2", "gradients": GRADIENTS, "gradient_clock": "poisson", "rate": 1.5},
        "topology": {"graph": "star", "workers": WORKERS},
        "platform": {"gradient": {"mean": 0}, "gradient_time": unit, "transport": "none"},
        "workload": {
            "problem": "quadratic", "dtype": "float64", "options": {"start": "spread", "hessians": "own", **options},
        },
        "optimizer": {"learning_rate": RATE, **(optimizer or {})},
    }  # fmt: skip


def starts(resolved: Scenario) -> Vector:
    problem = resolved.problem
    assert problem is not None
    return np.stack([problem.initial(0, rank) for rank in range(WORKERS)])


def events(resolved: Scenario, at: Callable[[float], float]) -> list[tuple[float, str, int, int | None]]:
    """Of the clocks, in the order of their times, which the world has as `at` says."""
    clocks = Clocks(resolved.graph, 0, GRADIENTS)
    found: list[tuple[float, str, int, int | None]] = [
        (at(time), "gradient", rank, None) for rank in range(WORKERS) for time, _, _ in clocks.gradient(rank)
    ]
    found += [(at(time), "exchange", i, j) for i, j in resolved.graph.edges for time in clocks.edge(i, j).tolist()]
    return sorted(found, key=lambda event: event[0])


Update = Callable[[Vector, Vector, dict[str, Any]], Vector]


def plain(x: Vector, gradient: Vector, kept: dict[str, Any]) -> Vector:
    return -RATE * gradient


def momentum(x: Vector, gradient: Vector, kept: dict[str, Any]) -> Vector:
    kept["m"] = 0.9 * kept.get("m", 0) + gradient
    return -RATE * np.asarray(kept["m"])


def adamw(x: Vector, gradient: Vector, kept: dict[str, Any]) -> Vector:
    """Loshchilov & Hutter 2019, algorithm 2."""
    kept["t"] = t = kept.get("t", 0) + 1
    kept["m"] = 0.9 * kept.get("m", 0) + 0.1 * gradient
    kept["v"] = 0.999 * kept.get("v", 0) + 0.001 * gradient**2
    root = np.sqrt(kept["v"] / (1 - 0.999**t)) + 1e-8
    return np.asarray(-RATE * (kept["m"] / (1 - 0.9**t) / root + 0.1 * x))


OPTIMIZERS: list[tuple[dict[str, Any], Update]] = [
    ({}, plain),
    ({"momentum": 0.9}, momentum),
    ({"name": "adamw", "weight_decay": 0.1}, adamw),
]


@pytest.mark.parametrize(("optimizer", "update"), OPTIMIZERS, ids=["sgd", "momentum", "adamw"])
@pytest.mark.parametrize("unit", ["1 s", "100000 s"])
def test_a_run_is_the_event_procedure(unit: str, optimizer: dict[str, Any], update: Update) -> None:
    """x~ gets what x got, whatever the optimizer; a gradient is read from x mixed up to its tick.

    Times of a run are whole nanoseconds. Of a gradient time of 100,000 s these are beyond the digits that are compared,
    and the procedure has the clocks' own times; of one of 1 s it has these nanoseconds.
    """
    resolved = load(scenario(unit, optimizer))
    problem = resolved.problem
    assert problem is not None
    result = simulate(resolved)
    eta, alpha_tilde = a2cid2_parameters(chi_1(resolved.graph), chi_2(resolved.graph))
    kept: list[dict[str, Any]] = [{} for _ in range(WORKERS)]
    listed = events(resolved, (lambda time: int(time * 1e9 + 0.5) / 1e9) if unit == "1 s" else float)
    expected = play(
        starts(resolved), listed, listed[-1][0], eta=eta, alpha_tilde=alpha_tilde,
        update=lambda x, rank, number: update(x, problem.gradient(x, rank, number), kept[rank]),
    )  # fmt: skip
    assert result.parameters == pytest.approx(expected, rel=0, abs=1e-12)
    assert abs(expected - starts(resolved)).max() > 0.1


# ---- with durations

SLOW = {"gradient": {"mean": "1 s"}, "link": {"bandwidth": "1 GB/s", "latency": "300 ms"}}


@pytest.mark.parametrize("pairing", ["edge-clock", "first-come"])
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-13), ("float32", 1e-5)])
def test_sums_are_kept_and_both_ends_jump_by_opposite_differences(
    pairing: str, dtype: str, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pairs keep their sums though gradients land during their exchanges (gossip.md, pitfalls 5 and 6).

    Without curvature a gradient is its noise, wherever it is taken: what all of them add is known.
    """
    jumps: dict[tuple[bytes, bytes], Vector] = {}

    def average(s: State, mine: Any, theirs: Any) -> None:
        pair = (s.x + 0.0, s.x_tilde + 0.0)
        original(s, mine, theirs)
        jumps[mine.tobytes(), theirs.tobytes()] = mine - theirs
        assert (s.x - pair[0]) == pytest.approx(-0.5 * (mine - theirs), rel=0, abs=limit)
        assert (s.x_tilde - pair[1]) == pytest.approx(-s.alpha_tilde * (mine - theirs), rel=0, abs=limit)

    original = a2cid2.average
    monkeypatch.setattr(a2cid2, "average", average)
    tables = scenario(curvature=0, noise=1)
    tables["workload"]["dtype"] = dtype
    tables["schedule"] |= {"pairing": pairing, "gradient_clock": "free"}
    result = simulate({**tables, "platform": SLOW})
    assert result.parameters is not None
    problem = result.scenario.problem
    assert problem is not None
    total = starts(load(tables)).sum(axis=0)
    for rank in range(WORKERS):
        total -= RATE * sum(problem.gradient(problem.convert(total), rank, number) for number in range(GRADIENTS))
    assert result.parameters.sum(axis=0) == pytest.approx(total, rel=0, abs=10 * WORKERS * limit)
    assert len(jumps) == 2 * result.summary["exchanges"] > 20
    for (mine, theirs), m in jumps.items():
        assert (m + 0.0).tobytes() == (-jumps[theirs, mine] + 0.0).tobytes()  # but for the sign of a zero
