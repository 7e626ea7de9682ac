"""DADAO's rules: its flow against an integration of the equations, and its constants against those of the moments."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from analysis.moments import LinearMethod
from analysis.moments import dadao as moments_of
from schedules.errors import ScenarioError
from schedules.programs.gossip import dadao
from schedules.scenario import load
from schedules.training.model import Model
from schedules.training.vectors import ZERO
from tests.schedules.models import ARRAYS, Convert, gradient, model, state
from topologies import build, chi_1, chi_2, sufficient_rates, with_rates

NAMES = ("x", "x_tilde", "y", "y_tilde", "z", "z_tilde")
RING = sufficient_rates(with_rates(build("ring", 4)))


def constants(mu: float = 1.0, smoothness: float = 4.0, flow: str = "ticks") -> dict[str, Any]:
    settings = SimpleNamespace(mu=mu, smoothness=smoothness, flow=flow)
    worker: Any = SimpleNamespace(settings=settings, graph=RING)
    return {**dadao.constants(worker)}


def worker(convert: Convert, values: Any, until: float = math.inf, **options: Any) -> Model:
    """Six vectors of these values, float64 [6, num_params]."""
    found = model(convert(values[0]), vectors=dadao.STATE, constants={**constants(**options), "until": until})
    for name, each in zip(NAMES, values, strict=True):
        setattr(state(found), name, convert(each))
    return found


def vectors(found: Model) -> np.ndarray[Any, Any]:
    return np.stack([np.asarray(getattr(state(found), name)) for name in NAMES])


def draw(seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal((6, 3))


def rates_of_change(_: float, flat: np.ndarray[Any, Any], mu: float, smoothness: float) -> np.ndarray[Any, Any]:
    """gossip.md, 6.2 and 6.4, [code], word for word."""
    x, x_tilde, y, y_tilde, z, z_tilde = flat.reshape(6, -1)
    nu = mu / 2
    s = math.sqrt(nu / smoothness)
    alpha, alpha_tilde, eta, eta_tilde, theta = s / 4, s / 8, s / 8, s / 8, 1 / (2 * s)
    changes = [
        eta * (x_tilde - x),
        eta_tilde * (x - x_tilde),
        alpha * (y_tilde - y),
        -theta * (nu * x_tilde + y + z),
        alpha * (z_tilde - z),
        alpha_tilde * (z - z_tilde),
    ]
    return np.concatenate(changes)


@ARRAYS
@pytest.mark.parametrize(("mu", "smoothness", "time"), [(1.0, 4.0, 0.3), (1.0, 10.0, 2.0), (0.1, 50.0, 5.0)])
def test_the_flow_is_that_of_the_equations(convert: Convert, mu: float, smoothness: float, time: float) -> None:
    found = worker(convert, draw(), mu=mu, smoothness=smoothness)
    found.change(dadao.flow, time)
    exact = solve_ivp(
        rates_of_change, (0, time), draw().ravel(), args=(mu, smoothness), rtol=1e-12, atol=1e-12, method="DOP853"
    )
    assert vectors(found).ravel() == pytest.approx(exact.y[:, -1], rel=0, abs=1e-9)


def test_a_flow_in_two_parts_is_one() -> None:
    once, twice = worker(np.array, draw()), worker(np.array, draw())
    once.change(dadao.flow, 2.0)
    twice.change(dadao.flow, 0.7)
    twice.change(dadao.flow, 2.0)
    np.testing.assert_allclose(vectors(once), vectors(twice), rtol=1e-13, atol=1e-13)
    assert state(once).time == state(twice).time == 2.0


def test_it_flows_to_its_tick_and_never_back() -> None:
    found, exact = worker(np.array, draw(), until=1.5), worker(np.array, draw())
    found.change(dadao.flow, 9.0)
    exact.change(dadao.flow, 1.5)
    found.change(dadao.flow, 1.0)
    assert vectors(found).tolist() == vectors(exact).tolist()
    assert state(found).time == 1.5


@ARRAYS
def test_jumps(convert: Convert) -> None:
    """gossip.md, 6.3 and 6.4 with mu = 1, L = 4: nu = 1/2, s = 1/sqrt 8."""
    s, nu, smoothness = 1 / math.sqrt(8), 0.5, 4.0
    x, x_tilde, y, y_tilde, z, z_tilde = draw()
    found, g = worker(convert, draw()), np.array([0.3, -1.0, 2.0])
    found.apply(dadao.descend, gradient(convert(g), found))
    h = g - nu * x - y_tilde
    expected = [x - h / 16, x_tilde - h / (4 * math.sqrt(2)), y, y_tilde + (s / 4 + 1) * h, z, z_tilde]
    np.testing.assert_allclose(vectors(found), expected, rtol=1e-14)
    assert nu * smoothness == 2.0

    sender, other = worker(convert, draw()), worker(convert, draw(1))
    mine, theirs = (each.payload(dadao.message, to="z", kind="average") for each in (sender, other))
    sender.apply(dadao.average, mine, theirs)
    m = (draw()[2] + draw()[4]) - (draw(1)[2] + draw(1)[4])
    expected = [x, x_tilde, y, y_tilde, z - m / 2, z_tilde - 2 * chi_1(RING) / s * m]
    np.testing.assert_allclose(vectors(sender), expected, rtol=1e-14)
    other.apply(dadao.average, theirs, mine)  # and the other end bit for bit the opposite
    assert (sender.version_of("z"), sender.version) == (1, 1)
    np.testing.assert_array_equal(np.asarray(theirs.array) - np.asarray(mine.array), -m)
    np.testing.assert_allclose(vectors(sender)[4:] + vectors(other)[4:], (draw() + draw(1))[4:], rtol=0, atol=1e-13)


@given(st.floats(0.01, 5), st.floats(1, 1000))
def test_constants_are_those_of_the_exact_moments(mu: float, condition: float) -> None:
    """`analysis.moments` has the method as a linear one of its own."""
    found = constants(mu, mu * condition)
    curvatures = [mu, mu, mu, mu * condition]
    method: LinearMethod = moments_of(RING, curvatures=curvatures)
    np.testing.assert_allclose(found["rates"], method.flow, rtol=1e-12)
    steps = [found[each] for each in ("gamma", "gamma_tilde")]
    np.testing.assert_allclose(
        [*steps, 0, -(found["delta"] + found["delta_tilde"]), 0, 0], method.gradient_jump, rtol=1e-12
    )
    np.testing.assert_allclose([0, 0, 0, 0, found["beta"], found["beta_tilde"]], method.exchange_jump, rtol=1e-12)


def test_vectors_beside_x_start_at_zero() -> None:
    assert dict.fromkeys(NAMES[1:], ZERO) == dadao.STATE


def test_a_read_out_leaves_the_state_alone() -> None:
    found, flowed = worker(np.array, draw()), worker(np.array, draw())
    flowed.change(dadao.flow, 1.0)
    state(flowed)
    assert state(found).time == 0.0
    assert dadao.read_out(state(flowed), 0.5).tolist() == vectors(flowed)[0].tolist()


# ---- keys


def scenario(graph: str = "star", workers: int = 10, **schedule: Any) -> dict[str, Any]:
    keys = {"program": "dadao", "gradients": 5, "mu": 1, "smoothness": 10, **schedule}
    return {
        "schedule": keys,
        "topology": {"graph": graph, "workers": workers},
        "platform": {"gradient": {"mean": 1.0}},
        "workload": {"parameters": 10},
    }


@pytest.mark.parametrize(
    ("graph", "mixing", "slowest", "largest"),
    # shared/reference/gossip.json, dadao_lambda_mix: [derived] lambda_mix, chi_1, chi_2 at n = 16.
    [("star", 15.0, 1.0, 0.5), ("complete", 10.6066017178, 0.707106781187, 0.707106781187),
     ("ring", 39.7045153874, 2.64696769249, 0.188895392044)],
)  # fmt: skip
def test_without_a_rate_the_graph_has_the_least_of_the_theorem(
    graph: str, mixing: float, slowest: float, largest: float
) -> None:
    rated = load(scenario(graph, 16)).graph
    assert sum(rate for _, _, rate in rated.edges(data="rate")) == pytest.approx(mixing, rel=1e-10)
    assert (chi_1(rated), chi_2(rated)) == pytest.approx((slowest, largest), rel=1e-10)


def test_a_rate_is_that_of_a_worker() -> None:
    rated = load(scenario(rate=3)).graph
    assert sum(rate for _, _, rate in rated.edges(data="rate")) == pytest.approx(15)


@pytest.mark.parametrize(
    ("schedule", "told"),
    [
        ({"mu": 11}, r"schedule\.mu: expected at most smoothness = 10, found 11"),
        ({"mu": 0}, r"schedule\.mu: .*found 0"),
        ({"pairing": "first-come"}, r"schedule\.pairing: expected 'edge-clock', found 'first-come'"),
        ({"gradient_clock": "free"}, r"schedule\.gradient_clock: expected 'poisson', found 'free'"),
        ({"flow": "time"}, r"schedule\.flow: expected .*found 'time'"),
        ({"rate": 0}, r"schedule\.rate: .*found 0"),
    ],
)
def test_bad_keys(schedule: dict[str, Any], told: str) -> None:
    with pytest.raises(ScenarioError, match=told):
        load(scenario(**schedule))


@pytest.mark.parametrize("key", ["mu", "smoothness"])
def test_both_constants_of_the_functions_are_needed(key: str) -> None:
    tables = scenario()
    del tables["schedule"][key]
    with pytest.raises(ScenarioError, match=rf"schedule\.{key}"):
        load(tables)


def test_clocks_need_a_gradient_time() -> None:
    tables = scenario()
    del tables["platform"]["gradient"]
    with pytest.raises(ScenarioError, match=r"platform\.gradient: expected one for dadao, as clocks tick"):
        load(tables)
