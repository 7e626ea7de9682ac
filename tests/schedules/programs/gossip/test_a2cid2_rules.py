"""Averaging and mixing: the specification's traces and invariants (papers/gossip.md, reference/gossip.json)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from schedules.programs.gossip import a2cid2
from schedules.training.model import Model
from schedules.training.optimizers import Optimizer, sgd
from schedules.training.readout import ReadOuts, consensus_distance
from tests.schedules.models import ARRAYS, Convert, accelerated, exchange, mix, model, stacked, state, step

ROOT = 1 / 3**0.5

# ---- reference values


@ARRAYS
@pytest.mark.parametrize(
    ("settings", "x", "x_tilde", "distance"),
    [
        (
            {"eta": ROOT, "alpha_tilde": ROOT},
            [0.271521209325, 0.277608803328, 0.132586591288, 0.31828339606],
            [0.266987932657, 0.278678277999, 0.132659753435, 0.321674035909],
            0.019673939195,
        ),
        (None, [0.28125, 0.28125, 0.125, 0.3125], None, 0.021484375),
        ({}, [0.28125, 0.28125, 0.125, 0.3125], [0.28125, 0.28125, 0.125, 0.3125], 0.021484375),
    ],
    ids=["a2cid2", "baseline", "baseline with x-tilde"],
)
def test_trace_t1(convert: Convert, settings: Any, x: Any, x_tilde: Any, distance: float) -> None:
    """Five exchanges on a ring of four."""
    start = [convert([value]) for value in (1.0, 0.0, 0.0, 0.0)]
    models = [model(each) if settings is None else accelerated(each, **settings) for each in start]
    for i, j, time in [(0, 1, 0.5), (1, 2, 0.75), (2, 3, 1.25), (3, 0, 2.0), (0, 1, 3.0)]:
        exchange(models[i], models[j], time)
    for each in models:
        mix(each, 4.0)
    assert stacked(models).ravel() == pytest.approx(x, rel=0, abs=1e-11)
    if x_tilde is not None:
        assert [float(state(each).x_tilde[0]) for each in models] == pytest.approx(x_tilde, rel=0, abs=1e-11)
    assert consensus_distance(stacked(models)) == pytest.approx(distance, rel=0, abs=1e-11)


@pytest.mark.parametrize(
    ("eta", "elapsed", "a", "b"),
    [
        (ROOT, 0.5, 0.780691956899464, 0.219308043100536),
        (0.5, 1.0, 0.683939720585721, 0.316060279414279),
        (0.142473826826, 0.5, 0.93360512582, 0.0663948741798),
    ],
)
def test_mixing_is_the_closed_form(eta: float, elapsed: float, a: float, b: float) -> None:
    found = accelerated(np.array([1.0, 0.0]), eta=eta, x_tilde=np.array([0.0, 1.0]))
    mix(found, elapsed)
    assert state(found).x.tolist() == pytest.approx([a, b], rel=1e-11)
    assert state(found).x_tilde.tolist() == pytest.approx([b, a], rel=1e-11)


@ARRAYS
def test_both_ends_jump_by_the_mixed_values(convert: Convert) -> None:
    """The official code sends the value before mixing, uses its own after it (0.568, 0.534), and loses the sum."""
    first, second = (
        accelerated(convert([x]), eta=ROOT, alpha_tilde=ROOT, x_tilde=convert([x_tilde]))
        for x, x_tilde in ((1.0, 1.4), (0.0, 0.2))
    )
    exchange(first, second, 1.0)
    assert stacked([first, second]).ravel() == pytest.approx([0.602727215199, 0.602727215199], rel=1e-11)
    assert [float(state(each).x_tilde[0]) for each in (first, second)] == pytest.approx(
        [0.646140386979, 0.748405182622], rel=1e-11
    )


# ---- mixing


def test_mixing_in_two_parts_is_mixing_at_once() -> None:
    once, twice = (accelerated(np.array([1.0]), eta=0.3, x_tilde=np.array([5.0])) for _ in range(2))
    mix(once, 2.0)
    mix(twice, 0.7)
    mix(twice, 2.0)
    assert state(once).x == pytest.approx(state(twice).x, rel=1e-14)
    assert state(once).time == state(twice).time == 2.0


def test_a_time_before_the_last_mixes_nothing_and_is_not_mixed_twice() -> None:
    found = accelerated(np.array([1.0]), eta=0.3, x_tilde=np.array([5.0]))
    mix(found, 2.0)
    before = float(state(found).x[0])
    mix(found, 1.0)
    mix(found, 2.0)
    assert (float(state(found).x[0]), state(found).time) == (before, 2.0)


def test_a_short_time_mixes_in_proportion() -> None:
    """1 - exp(-2 eta dt) would have lost every digit."""
    found = accelerated(np.array([0.0]), eta=0.5, x_tilde=np.array([1.0]))
    mix(found, 1e-18)
    assert state(found).x[0] == pytest.approx(0.5e-18, rel=1e-12, abs=0)


def test_after_a_long_time_both_are_their_mean() -> None:
    found = accelerated(np.array([1.0]), eta=0.5, x_tilde=np.array([5.0]))
    mix(found, 1e6)
    assert (state(found).x.tolist(), state(found).x_tilde.tolist()) == ([3.0], [3.0])


@ARRAYS
def test_an_observation_is_mixed_and_leaves_the_state_alone(convert: Convert) -> None:
    found, reference = (accelerated(convert([1.0]), eta=0.5, x_tilde=convert([5.0])) for _ in range(2))
    read_outs = ReadOuts(state(found), a2cid2.read_out)
    read_outs.observe(3, 1.5)
    mix(reference, 1.5)
    ((index, time, x),) = read_outs.observations
    assert (index, time) == (3, 1.5)
    assert isinstance(x, np.ndarray)
    assert x.tolist() == state(reference).x.tolist()
    now = state(found)
    assert (float(now.x[0]), float(now.x_tilde[0]), now.time, found.version) == (1.0, 5.0, 0.0, 0)


# ---- steps


@ARRAYS
def test_a_step_moves_x_and_x_tilde_by_the_optimizer_s_update(convert: Convert) -> None:
    settings: Any = {"momentum": 0.5, "weight_decay": 0.1, "nesterov": True}
    found = accelerated(convert([1.0, 2.0]), sgd(0.1, **settings), eta=0.3, x_tilde=convert([10.0, 20.0]))
    x = convert([1.0, 2.0])
    delta = sgd(0.1, **settings).delta(x, convert([1.0, -1.0]))
    step(found, convert([1.0, -1.0]))
    assert state(found).x.tolist() == (x + delta).tolist()
    assert state(found).x_tilde.tolist() == (convert([10.0, 20.0]) + delta).tolist()


# ---- invariants (gossip.md, 2.4)

NUM_WORKERS = 4
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["exchange", "gradient", "mix"]),
        st.integers(0, NUM_WORKERS - 1),
        st.integers(1, NUM_WORKERS - 1),
        st.floats(0, 2),
    ),
    max_size=30,
)


def play(models: list[Model], events: list[tuple[str, int, int, float]]) -> float:
    """Random events at random times, with a gradient that differs between workers and depends on x; when it ended.

    A worker is mixed up to its own last event only, so sums over workers mean something after a common `mix` alone.
    """
    now = 0.0
    for kind, i, offset, gap in events:
        now += gap
        if kind == "exchange":
            exchange(models[i], models[(i + offset) % NUM_WORKERS], now)
            continue
        mix(models[i], now)
        if kind == "gradient":
            step(models[i], state(models[i]).x - i)
    return now


def starts() -> Any:
    """Different initial values."""
    return list(np.random.default_rng(3).standard_normal((NUM_WORKERS, 3)))


def workers(optimizer: Callable[[], Optimizer], **settings: Any) -> list[Model]:
    """From different initial values, each with its x-tilde equal to its x."""
    return [accelerated(x, optimizer(), **settings) for x in starts()]


@given(EVENTS, st.floats(0, 3), st.floats(0, 3))
def test_x_and_x_tilde_have_equal_sums(events: Any, eta: float, alpha_tilde: float) -> None:
    models = workers(lambda: sgd(0.1, momentum=0.9, nesterov=True), eta=eta, alpha_tilde=alpha_tilde)
    end = play(models, events)
    for each in models:
        mix(each, end)
    tildes = np.stack([state(each).x_tilde for each in models])
    scale = 1 + np.abs(tildes).max() + np.abs(stacked(models)).max()
    assert stacked(models).sum(axis=0) == pytest.approx(tildes.sum(axis=0), rel=0, abs=1e-12 * scale)


@given(EVENTS, st.floats(0, 3))
def test_exchanges_and_mixing_keep_the_mean(events: Any, eta: float) -> None:
    """Mixing moves x towards x-tilde, worker by worker; over all workers it moves nothing, as the sums are equal."""
    models = workers(lambda: sgd(0.0), eta=eta, alpha_tilde=0.8)
    before = stacked(models).mean(axis=0)
    play(models, [("exchange" if kind == "gradient" else kind, i, j, gap) for kind, i, j, gap in events])
    for each in models:
        mix(each, 1000.0)
    scale = 1 + max(float(np.abs(state(each).x_tilde).max()) for each in models)
    assert stacked(models).mean(axis=0) == pytest.approx(before, rel=0, abs=1e-12 * scale)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 10), st.floats(0, 10))
def test_mixing_keeps_the_sum_of_x_and_x_tilde(x: float, x_tilde: float, eta: float, elapsed: float) -> None:
    found = accelerated(np.array([x]), eta=eta, x_tilde=np.array([x_tilde]))
    mix(found, elapsed)
    total = state(found).x + state(found).x_tilde
    assert total == pytest.approx(x + x_tilde, rel=0, abs=1e-15 * (abs(x) + abs(x_tilde)))
    assert min(x, x_tilde) - 1e-9 <= state(found).x[0] <= max(x, x_tilde) + 1e-9


@given(EVENTS)
def test_without_mixing_and_with_half_steps_x_tilde_is_x(events: Any) -> None:
    with_tilde = workers(lambda: sgd(0.1, momentum=0.9), eta=0.0, alpha_tilde=0.5)
    baseline = [model(x, sgd(0.1, momentum=0.9)) for x in starts()]
    play(with_tilde, events)
    play(baseline, events)
    assert all(np.array_equal(state(each).x, state(each).x_tilde) for each in with_tilde)
    assert np.array_equal(stacked(with_tilde), stacked(baseline))


@given(EVENTS, st.floats(0, 2))
def test_numpy_and_torch_take_the_same_events(events: Any, eta: float) -> None:
    ours = workers(lambda: sgd(0.1, momentum=0.9), eta=eta, alpha_tilde=0.7)
    theirs = [accelerated(torch.tensor(x), sgd(0.1, momentum=0.9), eta=eta, alpha_tilde=0.7) for x in starts()]
    play(ours, events)
    play(theirs, events)
    np.testing.assert_allclose(stacked(theirs), stacked(ours), rtol=1e-12, atol=1e-12)
