"""Averaging and mixing: the specification's traces and invariants (papers/gossip.md, reference/gossip.json)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schedules.operations import Payload
from schedules.record.ledger import Account
from schedules.training.numeric import NumericModel, consensus_distance, series
from schedules.training.optimizers import SGD
from schedules.training.problems import build_problem
from schedules.training.state import Model

Vector = NDArray[np.float64]
Convert = Callable[[Any], Any]

ROOT = 1 / 3**0.5


def tensor(values: Any) -> torch.Tensor:
    """Like `numpy.asarray`: a list of floats is float64."""
    return torch.asarray(np.asarray(values))


ARRAYS = pytest.mark.parametrize("convert", [np.asarray, tensor], ids=["numpy", "torch"])


def model(x: Any, optimizer: SGD | None = None, **settings: Any) -> NumericModel:
    return NumericModel(x=x, optimizer=optimizer or SGD(1.0), account=settings.pop("account", Account()), **settings)


def exchange(first: NumericModel, second: NumericModel, time: float) -> None:
    """The specification's order: mix both, send the mixed values, jump by their difference."""
    first.mix(time)
    second.mix(time)
    one, two = first.outgoing(), second.outgoing()
    first.average(one, two)
    second.average(two, one)


def gradient(values: Any, of: Model) -> Payload:
    return Payload(of.size, values, of.version, of.steps, 0)


def stacked(models: list[NumericModel]) -> Vector:
    return np.stack([each.parameters() for each in models])


# ---- reference values


@ARRAYS
@pytest.mark.parametrize(
    ("settings", "x", "x_tilde", "distance"),
    [
        (
            {"eta": ROOT, "alpha_tilde": ROOT, "has_tilde": True},
            [0.271521209325, 0.277608803328, 0.132586591288, 0.31828339606],
            [0.266987932657, 0.278678277999, 0.132659753435, 0.321674035909],
            0.019673939195,
        ),
        ({}, [0.28125, 0.28125, 0.125, 0.3125], None, 0.021484375),
        ({"has_tilde": True}, [0.28125, 0.28125, 0.125, 0.3125], [0.28125, 0.28125, 0.125, 0.3125], 0.021484375),
    ],
    ids=["a2cid2", "baseline", "baseline with x-tilde"],
)
def test_trace_t1(convert: Convert, settings: Any, x: Any, x_tilde: Any, distance: float) -> None:
    """Five exchanges on a ring of four."""
    models = [model(convert([value]), **settings) for value in (1.0, 0.0, 0.0, 0.0)]
    for i, j, time in [(0, 1, 0.5), (1, 2, 0.75), (2, 3, 1.25), (3, 0, 2.0), (0, 1, 3.0)]:
        exchange(models[i], models[j], time)
    for each in models:
        each.mix(4.0)
    assert stacked(models).ravel() == pytest.approx(x, rel=0, abs=1e-11)
    if x_tilde is not None:
        assert [float(each.x_tilde[0]) for each in models] == pytest.approx(x_tilde, rel=0, abs=1e-11)
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
    found = model(np.array([1.0, 0.0]), eta=eta, has_tilde=True)
    found.x_tilde = np.array([0.0, 1.0])
    found.mix(elapsed)
    assert found.x.tolist() == pytest.approx([a, b], rel=1e-11)
    assert found.x_tilde.tolist() == pytest.approx([b, a], rel=1e-11)


@ARRAYS
def test_both_ends_jump_by_the_mixed_values(convert: Convert) -> None:
    """The official code sends the value before mixing, uses its own after it (0.568, 0.534), and loses the sum."""
    first, second = (model(convert([value]), eta=ROOT, alpha_tilde=ROOT, has_tilde=True) for value in (1.0, 0.0))
    first.x_tilde, second.x_tilde = convert([1.4]), convert([0.2])
    exchange(first, second, 1.0)
    assert stacked([first, second]).ravel() == pytest.approx([0.602727215199, 0.602727215199], rel=1e-11)
    assert [float(each.x_tilde[0]) for each in (first, second)] == pytest.approx(
        [0.646140386979, 0.748405182622], rel=1e-11
    )


# ---- mixing


def test_mixing_in_two_parts_is_mixing_at_once() -> None:
    once, twice = (model(np.array([1.0]), eta=0.3, has_tilde=True) for _ in range(2))
    once.x_tilde = twice.x_tilde = np.array([5.0])
    once.mix(2.0)
    twice.mix(0.7)
    twice.mix(2.0)
    assert once.x == pytest.approx(twice.x, rel=1e-14)
    assert once.tau == twice.tau == 2.0


def test_a_time_before_the_last_mixes_nothing_and_is_not_mixed_twice() -> None:
    found = model(np.array([1.0]), eta=0.3, has_tilde=True)
    found.x_tilde = np.array([5.0])
    found.mix(2.0)
    before = float(found.x[0])
    found.mix(1.0)
    found.mix(2.0)
    assert (float(found.x[0]), found.tau) == (before, 2.0)


def test_a_short_time_mixes_in_proportion() -> None:
    """1 - exp(-2 eta dt) would have lost every digit."""
    found = model(np.array([0.0]), eta=0.5, has_tilde=True)
    found.x_tilde = np.array([1.0])
    found.mix(1e-18)
    assert found.x[0] == pytest.approx(0.5e-18, rel=1e-12, abs=0)


def test_after_a_long_time_both_are_their_mean() -> None:
    found = model(np.array([1.0]), eta=0.5, has_tilde=True)
    found.x_tilde = np.array([5.0])
    found.mix(1e6)
    assert (found.x.tolist(), found.x_tilde.tolist()) == ([3.0], [3.0])


@ARRAYS
def test_an_observation_is_mixed_and_leaves_the_state_alone(convert: Convert) -> None:
    found, reference = (model(convert([1.0]), eta=0.5, has_tilde=True) for _ in range(2))
    found.x_tilde = reference.x_tilde = convert([5.0])
    found.observe(3, 1.5)
    reference.mix(1.5)
    ((index, time, x),) = found.observations
    assert (index, time) == (3, 1.5)
    assert isinstance(x, np.ndarray)
    assert x.tolist() == reference.parameters().tolist()
    assert (float(found.x[0]), float(found.x_tilde[0]), found.tau, found.version) == (1.0, 5.0, 0.0, 0)


def test_observations_are_double_and_nobody_else_s() -> None:
    x = np.ones(2, dtype=np.float32)
    found = model(x)
    found.observe(0, 0.0)
    found.x[:] = 7
    assert found.observations[0][2].dtype == np.float64
    assert found.observations[0][2].tolist() == [1, 1]
    assert x.tolist() == [1, 1]


# ---- steps and averages


@ARRAYS
def test_a_step_moves_x_and_x_tilde_by_the_optimizer_s_update(convert: Convert) -> None:
    found = model(convert([1.0, 2.0]), SGD(0.1, momentum=0.5, weight_decay=0.1, nesterov=True), eta=0.3, has_tilde=True)
    found.x_tilde = convert([10.0, 20.0])
    reference, x = SGD(0.1, momentum=0.5, weight_decay=0.1, nesterov=True), convert([1.0, 2.0])
    delta = reference.delta(x, convert([1.0, -1.0]), 0)
    found.step(gradient(convert([1.0, -1.0]), found))
    assert found.x.tolist() == (x + delta).tolist()
    assert found.x_tilde.tolist() == (convert([10.0, 20.0]) + delta).tolist()


def test_the_learning_rate_follows_the_worker_s_own_steps() -> None:
    found = model(np.zeros(1), SGD(lambda step: 10.0**step))
    for _ in range(3):
        found.step(gradient(np.array([-1.0]), found))
        exchange(found, model(found.x), 0.0)
    assert found.x.tolist() == [111.0]


@ARRAYS
def test_a_gradient_that_lands_during_an_exchange_is_kept_whole(convert: Convert) -> None:
    first, second = model(convert([4.0])), model(convert([0.0]))
    one, two = first.outgoing(), second.outgoing()
    first.step(gradient(convert([-1.0]), first))
    first.average(one, two)
    second.average(two, one)
    assert (first.x.tolist(), second.x.tolist()) == ([3.0], [2.0])


@ARRAYS
def test_what_was_handed_out_does_not_change(convert: Convert) -> None:
    found = model(convert([4.0]), has_tilde=True, eta=1.0)
    snapshot, sent = found.snapshot(), found.outgoing()
    found.step(gradient(convert([1.0]), found))
    found.average(found.outgoing(), Payload(8, convert([100.0])))
    found.mix(1.0)
    assert (snapshot.tolist(), sent.array.tolist()) == ([4.0], [4.0])
    sent.array[:] = 0
    assert snapshot.tolist() == [4.0]


FLOATS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300)


@given(FLOATS, FLOATS)
def test_the_two_ends_form_the_same_difference_bit_for_bit(a: float, b: float) -> None:
    """So neither needs to know who is first, in either precision and array kind."""
    for convert in (np.asarray, tensor):
        one, two = convert([a]), convert([b])
        assert (one - two).tolist() == (-(two - one)).tolist()
    small = np.array([a % 1e30, b % 1e30], dtype=np.float32)
    assert small[:1] - small[1:] == -(small[1:] - small[:1])


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


def play(models: list[NumericModel], events: list[tuple[str, int, int, float]]) -> float:
    """Random events at random times, with a gradient that differs between workers and depends on x; when it ended.

    A worker is mixed up to its own last event only, so sums over workers mean something after a common `mix` alone.
    """
    now = 0.0
    for kind, i, offset, gap in events:
        now += gap
        if kind == "exchange":
            exchange(models[i], models[(i + offset) % NUM_WORKERS], now)
        elif kind == "gradient":
            models[i].mix(now)
            models[i].step(gradient(models[i].x - i, models[i]))
        else:
            models[i].mix(now)
    return now


def workers(optimizer: Callable[[], SGD], **settings: Any) -> list[NumericModel]:
    """From different initial values, each with its x-tilde equal to its x."""
    start = np.random.default_rng(3).standard_normal((NUM_WORKERS, 3))
    return [model(x, optimizer(), **settings) for x in start]


@given(EVENTS, st.floats(0, 3), st.floats(0, 3))
def test_x_and_x_tilde_have_equal_sums(events: Any, eta: float, alpha_tilde: float) -> None:
    models = workers(lambda: SGD(0.1, momentum=0.9, nesterov=True), eta=eta, alpha_tilde=alpha_tilde, has_tilde=True)
    end = play(models, events)
    for each in models:
        each.mix(end)
    tildes = np.stack([each.x_tilde for each in models])
    scale = 1 + np.abs(tildes).max() + np.abs(stacked(models)).max()
    assert stacked(models).sum(axis=0) == pytest.approx(tildes.sum(axis=0), rel=0, abs=1e-12 * scale)


@given(EVENTS, st.floats(0, 3))
def test_exchanges_and_mixing_keep_the_mean(events: Any, eta: float) -> None:
    """Mixing moves x towards x-tilde, worker by worker; over all workers it moves nothing, as the sums are equal."""
    models = workers(lambda: SGD(0.0), eta=eta, alpha_tilde=0.8, has_tilde=True)
    before = stacked(models).mean(axis=0)
    play(models, [("exchange" if kind == "gradient" else kind, i, j, gap) for kind, i, j, gap in events])
    for each in models:
        each.mix(1000.0)
    scale = 1 + max(float(np.abs(each.x_tilde).max()) for each in models)
    assert stacked(models).mean(axis=0) == pytest.approx(before, rel=0, abs=1e-12 * scale)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 10), st.floats(0, 10))
def test_mixing_keeps_the_sum_of_x_and_x_tilde(x: float, x_tilde: float, eta: float, elapsed: float) -> None:
    found = model(np.array([x]), eta=eta, has_tilde=True)
    found.x_tilde = np.array([x_tilde])
    found.mix(elapsed)
    assert found.x + found.x_tilde == pytest.approx(x + x_tilde, rel=0, abs=1e-15 * (abs(x) + abs(x_tilde)))
    assert min(x, x_tilde) - 1e-9 <= found.x[0] <= max(x, x_tilde) + 1e-9


@given(EVENTS)
def test_without_mixing_and_with_half_steps_x_tilde_is_x(events: Any) -> None:
    with_tilde = workers(lambda: SGD(0.1, momentum=0.9), eta=0.0, alpha_tilde=0.5, has_tilde=True)
    baseline = workers(lambda: SGD(0.1, momentum=0.9))
    play(with_tilde, events)
    play(baseline, events)
    assert all(np.array_equal(each.x, each.x_tilde) for each in with_tilde)
    assert np.array_equal(stacked(with_tilde), stacked(baseline))


@given(EVENTS, st.floats(0, 2))
def test_numpy_and_torch_take_the_same_events(events: Any, eta: float) -> None:
    ours = workers(lambda: SGD(0.1, momentum=0.9), eta=eta, alpha_tilde=0.7, has_tilde=True)
    theirs = [
        model(torch.asarray(each.x), SGD(0.1, momentum=0.9), eta=eta, alpha_tilde=0.7, has_tilde=True) for each in ours
    ]
    play(ours, events)
    play(theirs, events)
    np.testing.assert_allclose(stacked(theirs), stacked(ours), rtol=1e-12, atol=1e-12)


# ---- D-PSGD

RING = np.array([[2, 1, 0, 1], [1, 2, 1, 0], [0, 1, 2, 1], [1, 0, 1, 2]]) / 4


def round_of(models: list[NumericModel], gradients: Any, convert: Convert, landed: Any = None) -> None:
    sent = [each.outgoing() for each in models]
    if landed is not None:
        for each, extra in zip(models, landed, strict=True):
            each.x = each.x + extra
    for rank, each in enumerate(models):
        ranks = [rank, (rank - 1) % 4, (rank + 1) % 4]
        payload = Payload(each.size, convert(gradients[rank]), sent[rank].version, sent[rank].step, 0)
        each.mix_neighbours(payload, [sent[peer] for peer in ranks], RING[rank, ranks].tolist())


@ARRAYS
def test_d_psgd_is_the_matrix_product(convert: Convert) -> None:
    start, gradients = np.random.default_rng(0).standard_normal((2, 4, 3))
    models = [model(convert(x), SGD(0.1)) for x in start]
    round_of(models, gradients, convert)
    np.testing.assert_allclose(stacked(models), RING @ start - 0.1 * gradients, rtol=1e-14, atol=1e-15)


def test_d_psgd_loses_nothing_that_was_applied_meanwhile() -> None:
    start, gradients, landed = np.random.default_rng(0).standard_normal((3, 4, 3))
    models = [model(x, SGD(0.1)) for x in start]
    round_of(models, gradients, np.asarray, landed)
    np.testing.assert_allclose(stacked(models), RING @ start + landed - 0.1 * gradients, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    ("settings", "weights", "message"),
    [
        ({}, [0.5, 0.4], r"weights: expected 2 numbers that sum to 1, found \[0.5, 0.4\]"),
        ({}, [1.0], r"weights: expected 2 numbers that sum to 1, found \[1.0\]"),
        ({"has_tilde": True}, [0.5, 0.5], "mix_neighbours: expected a model without x-tilde, found one with it"),
    ],
)
def test_d_psgd_refuses(settings: Any, weights: list[float], message: str) -> None:
    found = model(np.ones(1), **settings)
    with pytest.raises(ValueError, match=message):
        found.mix_neighbours(gradient(np.ones(1), found), [found.outgoing()] * 2, weights)


# ---- accounts


def entries(page: Account) -> list[tuple[int, int, int]]:
    """What was entered: versions, steps, and when the gradient was read (at time 0, so minus the age)."""
    applied = page.ledger.applied_gradients()
    return [*zip(applied.versions.tolist(), applied.steps.tolist(), (-applied.age_ns).tolist(), strict=True)]


def drive(found: Model, page: Account, payload: Callable[[], Any]) -> tuple[Any, ...]:
    """Steps and averages; what was counted, logged and entered."""
    mine, read = found.outgoing(), Payload(found.size, payload(), 0, 0, 4)
    found.average(mine, Payload(found.size, payload()))
    found.mix(0.5)
    found.step(read)
    found.step(Payload(found.size, payload(), 1, 0, 20))
    return found.version, found.steps, found.log, entries(page), (mine.size, mine.version, mine.step)


@ARRAYS
def test_versions_and_staleness_are_those_of_the_timing_model(convert: Convert) -> None:
    """Size, version, steps, log and account: with arrays or without, the trace is the same."""
    pages = Account(), Account()
    timing = Model(16, pages[0], is_recorded=True)
    numeric = model(convert([1.0, 2.0]), eta=0.5, has_tilde=True, is_recorded=True, account=pages[1])
    expected = drive(timing, pages[0], lambda: None)
    assert drive(numeric, pages[1], lambda: convert([0.5, 0.5])) == expected
    assert expected[:2] == (3, 2)
    assert expected[3] == [(1, 0, 4), (1, 1, 20)]


def test_d_psgd_is_counted_as_by_the_timing_model() -> None:
    pages = Account(), Account()
    timing, numeric = Model(8, pages[0], is_recorded=True), model(np.ones(1), is_recorded=True, account=pages[1])
    for each in (timing, numeric):
        mine = each.outgoing()
        each.mix_neighbours(gradient(np.ones(1), each), [mine, Payload(8, np.ones(1))], [0.5, 0.5])
    assert (numeric.version, numeric.steps, numeric.log) == (timing.version, timing.steps, timing.log)
    assert entries(pages[0]) == entries(pages[1]) == [(0, 0, 0)]


def test_a_gradient_is_joined_from_its_buckets() -> None:
    found = model(np.zeros(5))
    parts = [Payload(16, np.array([1.0, 2.0])), Payload(24, np.array([3.0, 4.0, 5.0]))]
    joined = found.joined(Payload(40, None, 7, 6, 5), parts)
    assert joined.array.tolist() == [1, 2, 3, 4, 5]
    assert (joined.size, joined.version, joined.step, joined.read_ns) == (40, 7, 6, 5)


@ARRAYS
def test_the_size_on_the_wire_is_that_of_x(convert: Convert) -> None:
    assert model(convert([1.0, 2.0])).size == 16
    assert model(convert(np.ones(2, dtype=np.float32))).size == 8
    assert model(convert([1.0])).outgoing().size == 8


@pytest.mark.parametrize(
    ("x", "settings", "message"),
    [
        (np.ones((2, 1)), {}, r"x: expected a one-dimensional array, found the shape \(2, 1\)"),
        (np.ones(1), {"eta": 0.1}, "eta: expected 0, as no x-tilde is kept, found 0.1"),
        (np.ones(1), {"eta": -1, "has_tilde": True}, "eta: expected a finite number of at least 0, found -1"),
        (np.ones(1), {"alpha_tilde": -1}, "alpha_tilde: expected a finite number of at least 0, found -1"),
    ],
)
def test_impossible_models(x: Any, settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(x, **settings)


# ---- read-outs


def test_consensus_distance_is_the_squared_norm_of_what_differs() -> None:
    assert consensus_distance(np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 3.0]])) == pytest.approx(8 + 6)
    assert consensus_distance(np.full((7, 3), 0.1)) == 0


def test_a_series_has_the_observations_that_every_rank_made() -> None:
    problem: Any = build_problem("quadratic", num_workers=2, seed=0, dimension=2)
    zero, one = np.zeros(2), np.ones(2)
    ranks = [[(0, 0.0, zero), (1, 1.0, zero), (2, 2.0, zero)], [(1, 1.5, one), (0, 0.0, zero)]]
    first, second = series(ranks, problem, 0.5)
    assert (first["index"], first["consensus_distance"]) == (0, 0)
    assert second == {
        "index": 1,
        "time": 1.25,
        "time_s": 0.625,
        "loss": problem.loss(np.array([0.5, 0.5])),
        "accuracy": None,
        "consensus_distance": 1.0,
        "consensus_distance_mean": 0.5,
    }


def test_a_series_reports_accuracy_where_there_are_classes() -> None:
    problem = build_problem("logistic-regression", num_workers=2, seed=0, xp=torch)
    x = problem.initial(0)
    (row,) = series([[(0, 0.0, x)], [(0, 0.0, x)]], problem, 1.0)
    assert row["accuracy"] == problem.accuracy(x)
    assert series([], problem, 1.0) == series([[], [(0, 0.0, x)]], problem, 1.0) == []
