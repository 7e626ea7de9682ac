"""Gradients against finite differences, seeds against the order of calls, numpy against torch."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from schedules.training.optimizers import sgd
from schedules.training.problems import PROBLEMS, build_problem
from schedules.training.problems.classifier import Classifier
from schedules.training.problems.data import digits, partition
from schedules.training.problems.problem import Problem
from schedules.training.problems.quadratic import Quadratic

EVERYTHING = 10_000
"""A batch size above the number of samples: the gradient is that of the loss."""

NOISELESS: list[tuple[str, dict[str, Any]]] = [
    ("quadratic", {"noise": 0.0}),
    ("quadratic", {"noise": 0.0, "hessians": "own", "dimension": 3, "condition_number": 50.0}),
    ("logistic-regression", {}),
    ("logistic-regression", {"l2": 0.1}),
    ("digits-mlp", {}),
    ("digits-mlp", {"activation": "relu", "l2": 0.01}),
    ("digits-mlp", {"hidden": (9, 5), "activation": "tanh"}),
    ("digits-mlp", {"hidden": [9, 5], "activation": "relu"}),
]

NOISY: list[tuple[str, dict[str, Any]]] = [
    ("quadratic", {}),
    ("quadratic", {"dimension": 600, "condition_number": 1.0}),
    ("logistic-regression", {"partition": "dirichlet", "alpha": 0.1}),
    ("digits-mlp", {}),
]


def build(name: str, options: dict[str, Any], **settings: Any) -> Any:
    return build_problem(name, **{"num_workers": 3, "seed": 1, **settings, **options})


@pytest.mark.parametrize(("name", "options"), NOISELESS, ids=str)
def test_gradients_are_those_of_the_loss(name: str, options: dict[str, Any]) -> None:
    """Central differences along random directions, with the mean over workers; one worker where shards are cut."""
    problem = build(name, options, num_workers=3 if name == "quadratic" else 1, batch_size=EVERYTHING)
    x, generator = problem.initial(2), np.random.default_rng(0)
    ranks = range(3 if name == "quadratic" else 1)
    gradient = np.mean([problem.gradient(x, rank, 0) for rank in ranks], axis=0)
    for _ in range(5):
        direction, width = generator.standard_normal(problem.num_params), 1e-7
        slope = (problem.loss(x + width * direction) - problem.loss(x - width * direction)) / (2 * width)
        assert gradient @ direction == pytest.approx(slope, rel=1e-6, abs=3e-8)


@pytest.mark.parametrize(("name", "options"), NOISY, ids=str)
def test_a_gradient_depends_on_seed_rank_and_step_alone(name: str, options: dict[str, Any]) -> None:
    calls = [(rank, step) for rank in range(3) for step in (0, 1, 2, 63, 64, 65, 200)]
    first, second = build(name, options), build(name, options)
    x = first.initial(0)
    expected = {call: first.gradient(x, *call) for call in calls}
    random.Random(0).shuffle(calls)
    assert all(np.array_equal(second.gradient(x, *call), expected[call]) for call in calls)
    assert len({gradient.tobytes() for gradient in expected.values()}) == len(calls)
    other = build(name, options, seed=2)
    assert not np.array_equal(other.gradient(x, 0, 0), expected[0, 0])


@pytest.mark.parametrize(("name", "options"), NOISY, ids=str)
def test_the_parameters_are_not_written_to(name: str, options: dict[str, Any]) -> None:
    problem = build(name, options)
    x = problem.initial(0)
    x.flags.writeable = False
    problem.gradient(x, 0, 0)
    problem.loss(x)
    problem.accuracy(x)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_initial_values_are_flat_doubles_of_the_seed(name: str) -> None:
    problem: Problem = build_problem(name, num_workers=2, seed=0)
    x = problem.initial(7)
    assert x.dtype == np.float64
    assert x.shape == (problem.num_params,)
    assert np.array_equal(x, problem.initial(7))
    assert not np.array_equal(x, problem.initial(8))


# ---- numpy and torch


def descend(problem: Any, convert: Any, num_steps: int) -> Any:
    """200 momentum steps of four workers in turn on one vector."""
    optimizer, x = sgd(0.1, momentum=0.9, weight_decay=1e-4), convert(problem.initial(0))
    for step in range(num_steps):
        x = x + optimizer.delta(x, problem.gradient(x, step % 3, step // 3))
    return x


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        ("quadratic", {}, 1e-12),
        ("quadratic", {"hessians": "own", "condition_number": 100.0}, 1e-12),
        ("logistic-regression", {"l2": 0.01}, 1e-12),
        ("digits-mlp", {}, 1e-9),
        ("digits-mlp", {"hidden": (16, 16), "activation": "relu"}, 1e-9),
    ],
    ids=str,
)
def test_numpy_and_torch_agree(name: str, options: dict[str, Any], tolerance: float) -> None:
    ours, theirs = build(name, options), build(name, options, xp=torch, device="cpu")
    expected = descend(ours, ours.convert, 200)
    found = descend(theirs, theirs.convert, 200)
    assert isinstance(found, torch.Tensor)
    assert found.dtype == torch.float64
    assert np.linalg.norm(found.numpy() - expected) <= tolerance * np.linalg.norm(expected)
    assert theirs.loss(found) == pytest.approx(ours.loss(expected), rel=tolerance)
    assert theirs.accuracy(found) == ours.accuracy(expected)


@pytest.mark.parametrize("xp", [np, torch], ids=["numpy", "torch"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_single_precision_stays_single(name: str, xp: Any) -> None:
    problem: Any = build_problem(name, num_workers=3, seed=1, xp=xp, dtype="float32")
    double: Any = build_problem(name, num_workers=3, seed=1)
    found = descend(problem, problem.convert, 30)
    assert found.dtype == xp.float32
    assert np.linalg.norm(np.asarray(found) - descend(double, double.convert, 30)) < 1e-3


@pytest.mark.parametrize("name", PROBLEMS)
def test_loss_and_accuracy_take_numpy_whatever_the_problem_s_arrays(name: str) -> None:
    problem = build_problem(name, num_workers=2, seed=0, xp=torch)
    x = problem.initial(0)
    assert problem.loss(x) == problem.loss(torch.asarray(x))
    assert problem.accuracy(x) == problem.accuracy(torch.asarray(x))


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_perceptron_is_torch_s(activation: str) -> None:
    """Against torch's own layers and automatic differentiation."""
    options = {"hidden": (16, 8), "activation": activation, "l2": 0.01}
    problem: Any = build("digits-mlp", options, num_workers=1, batch_size=EVERYTHING)
    start, data, phi = problem.initial(0), digits(), getattr(torch, activation)
    x = torch.asarray(start, copy=True).requires_grad_()
    values = torch.tensor(data.train_features)
    for at, fan_in, fan_out in [(0, 64, 16), (1040, 16, 8), (1176, 8, 10)]:
        weights, biases = x[at : at + fan_in * fan_out], x[at + fan_in * fan_out : at + (fan_in + 1) * fan_out]
        values = torch.nn.functional.linear(values if at == 0 else phi(values), weights.reshape(fan_in, -1).T, biases)
    loss = torch.nn.functional.cross_entropy(values, torch.tensor(data.train_labels)) + 0.005 * (x @ x)
    (gradient,) = torch.autograd.grad(loss, x)
    assert problem.loss(start) == pytest.approx(loss.item(), rel=1e-13)
    np.testing.assert_allclose(problem.gradient(start, 0, 0), gradient.numpy(), rtol=1e-9, atol=1e-14)


# ---- quadratics


def quadratic(**options: Any) -> Quadratic:
    problem = build("quadratic", options)
    assert isinstance(problem, Quadratic)
    return problem


def test_workers_start_apart_where_they_are_told_to() -> None:
    """Unit normal for every worker and coordinate; rank 0 starts where all start by default."""
    apart, together = quadratic(start="spread", dimension=400), quadratic(dimension=400)
    starts = np.stack([apart.initial(5, rank) for rank in range(3)])
    assert np.array_equal(starts[0], together.initial(5, 2))
    assert np.array_equal(starts[1], apart.initial(5, 1))
    assert not np.array_equal(starts[1], apart.initial(6, 1))
    # Of 400 numbers the standard error of a mean is 0.05, that of a variance or a covariance at most 0.07.
    assert np.abs(starts.mean(axis=1)).max() < 0.2
    assert np.abs(np.cov(starts) - np.eye(3)).max() < 0.28


def given(**options: Any) -> Quadratic:
    problem = build_problem("quadratic", num_workers=3, seed=0, noise=0, **options)
    assert isinstance(problem, Quadratic)
    return problem


def test_quadratics_of_a_reader() -> None:
    """f_i(x) = a_i |x - b_i|^2 / 2, whose mean is least at sum a_i b_i / sum a_i."""
    problem = given(dimension=2, curvatures=[1, 2, 4], centres=[1, [-1, 0], 0.5], start=[[3, 4], 0, -1])
    assert [problem.initial(7, rank).tolist() for rank in range(3)] == [[3, 4], [0, 0], [-1, -1]]
    assert problem.gradient(np.array([3.0, 4.0]), 1, 0).tolist() == [8, 8]
    assert problem.minimiser == pytest.approx([1 / 7, 3 / 7], rel=1e-14)
    offsets = problem.minimiser - np.array([[1, 1], [-1, 0], [0.5, 0.5]])
    expected = float((np.array([1, 2, 4]) @ (offsets**2)).sum() / 6)
    assert problem.loss(problem.minimiser) == pytest.approx(expected, rel=1e-14)
    assert given(dimension=1, curvatures=[1, 2, 4]).num_params == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"curvatures": [1, 2]}, "curvatures: expected one for each of 3 workers, found 2"),
        ({"curvatures": 2}, "curvatures: expected a list of one a worker, found 2"),
        ({"curvatures": [1, -2, 3]}, "curvatures: expected a finite number of at least 0, found -2"),
        ({"centres": [1, 2, "three"]}, "centres: expected a finite number, found 'three'"),
        (
            {"start": [1, [1, 2, 3], 2], "dimension": 2},
            "start: expected a number or 2 of them for each worker, found 3",
        ),
        ({"start": "apart"}, "start: expected one of"),
    ],
)
def test_quadratics_that_nobody_can_mean(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        given(**options)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "quadratic"])
def test_the_other_problems_have_one_start(name: str) -> None:
    problem: Problem = build_problem(name, num_workers=2, seed=0)
    assert np.array_equal(problem.initial(7, 0), problem.initial(7, 1))


def test_without_curvature_a_gradient_is_its_noise_alone() -> None:
    problem = quadratic(curvature=0, noise=0.5, dimension=400)
    x = problem.initial(0)
    gradient = problem.gradient(x, 1, 3)
    assert np.array_equal(gradient, problem.gradient(x + 1, 1, 3))
    assert np.std(gradient) == pytest.approx(0.5, abs=0.07)
    assert not quadratic(curvature=0, noise=0).gradient(np.ones(20), 0, 0).any()
    assert (problem.loss(x), problem.loss(x + 1)) == (0, 0)


def test_curvature_scales_the_loss_around_the_same_point() -> None:
    one, three = quadratic(noise=0), quadratic(curvature=3, noise=0)
    x = one.initial(0)
    np.testing.assert_allclose(three.minimiser, one.minimiser, rtol=1e-9)
    np.testing.assert_allclose(three.gradient(x, 1, 0), 3 * one.gradient(x, 1, 0), rtol=1e-12)
    assert three.loss(x) == pytest.approx(3 * one.loss(x), rel=1e-12)


@pytest.mark.parametrize("hessians", ["common", "own"])
def test_every_quadratic_has_the_chosen_condition_number(hessians: str) -> None:
    problem = quadratic(condition_number=25.0, hessians=hessians)
    for hessian in problem.hessians:
        eigenvalues = np.linalg.eigvalsh(hessian)
        assert eigenvalues[-1] == pytest.approx(1)
        assert eigenvalues[-1] / eigenvalues[0] == pytest.approx(25)
    assert (problem.hessians[0] is problem.hessians[1]) == (hessians == "common")


def test_the_minimiser_is_where_the_mean_gradient_vanishes() -> None:
    problem = quadratic(hessians="own", noise=0.0)
    gradients = [problem.gradient(problem.minimiser, rank, 0) for rank in range(3)]
    assert np.abs(np.mean(gradients, axis=0)).max() < 1e-14
    assert np.abs(gradients[0]).max() > 0.1
    assert problem.loss(problem.minimiser) == problem.minimum > 0


def test_without_heterogeneity_all_workers_have_the_same_function() -> None:
    problem = quadratic(heterogeneity=0.0, noise=0.0)
    x = problem.initial(0)
    assert np.array_equal(problem.gradient(x, 0, 0), problem.gradient(x, 2, 5))
    assert problem.minimum == 0
    assert problem.accuracy(x) is None


@pytest.mark.parametrize("heterogeneity", [0.5, 3.0])
def test_heterogeneity_is_the_deviation_of_the_centres(heterogeneity: float) -> None:
    problem: Any = build_problem("quadratic", num_workers=300, seed=0, heterogeneity=heterogeneity)
    assert np.std(problem.centres) == pytest.approx(heterogeneity, rel=0.03)


def test_noise_has_the_chosen_deviation_and_no_memory() -> None:
    problem, exact = quadratic(noise=0.5), quadratic(noise=0.0)
    x = problem.initial(0)
    noise, other = (
        np.array([problem.gradient(x, rank, step) - exact.gradient(x, rank, step) for step in range(2000)])
        for rank in (1, 2)
    )
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    assert abs(noise.mean()) < 0.01
    assert abs(np.mean(noise[1:] * noise[:-1])) < 0.005
    assert abs(np.mean(noise * other)) < 0.005


def test_another_worker_moves_nobody_else() -> None:
    few, many = (build("quadratic", {"hessians": "own"}, num_workers=number) for number in (3, 4))
    x = few.initial(0)
    assert all(np.array_equal(few.gradient(x, rank, 9), many.gradient(x, rank, 9)) for rank in range(3))


# ---- classifiers


def classifier(**settings: Any) -> Classifier:
    problem = build("logistic-regression", {}, **settings)
    assert isinstance(problem, Classifier)
    return problem


def test_an_epoch_goes_through_the_shard_once() -> None:
    problem = classifier(batch_size=20, seed=4)
    shard = partition(digits().train_labels, 3, seed=4)[1]
    assert (problem.batches.sizes[1], problem.batches.num_batches[1]) == (20, 479 // 20)
    first, second = (np.concatenate([problem.batches(1, 23 * epoch + each) for each in range(23)]) for epoch in (0, 1))
    assert all(len(set(epoch)) == 460 and set(epoch) <= set(shard.tolist()) for epoch in (first, second))
    assert not np.array_equal(first, second)


def test_every_worker_shuffles_by_its_own_stream() -> None:
    problem, shards = classifier(seed=4), partition(digits().train_labels, 3, seed=4)
    places = [np.searchsorted(shards[rank], problem.batches(rank, 0)).tolist() for rank in range(3)]
    assert len({len(shard) for shard in shards}) == 1
    assert places[0] != places[1] != places[2] != places[0]


def test_a_small_shard_is_one_batch() -> None:
    problem = classifier(num_workers=100)
    assert set(problem.batches.sizes) == {14, 15}
    x = problem.initial(0)
    np.testing.assert_allclose(problem.gradient(x, 0, 0), problem.gradient(x, 0, 1), rtol=1e-9, atol=1e-14)


def test_uneven_shards_have_their_own_batch_sizes() -> None:
    problem: Any = build("logistic-regression", {"partition": "dirichlet"}, batch_size=EVERYTHING)
    sizes = problem.batches.sizes
    assert sum(sizes) == 1437
    assert sizes[0] < max(sizes)
    assert [len(problem.batches(rank, 5)) for rank in range(3)] == sizes


def test_the_loss_of_no_knowledge_is_the_logarithm_of_the_number_of_classes() -> None:
    problem = classifier()
    assert problem.num_params == 650
    assert problem.loss(np.zeros(650)) == pytest.approx(np.log(10), rel=1e-14)


def test_training_reads_digits() -> None:
    problem: Any = build("digits-mlp", {}, num_workers=3)
    x = descend(problem, problem.convert, 300)
    assert problem.accuracy(problem.initial(0)) < 0.3
    assert problem.accuracy(x) > 0.9


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("value", [1e300, np.inf, np.nan])
def test_a_run_that_diverged_has_a_loss_without_a_warning(name: str, value: float) -> None:
    problem = build_problem(name, num_workers=2, seed=0)
    x = np.full(problem.num_params, value)
    assert not problem.loss(x) < 1e6
    problem.accuracy(x)


# ---- the registry


def test_the_registry_says_what_there_is() -> None:
    assert list(PROBLEMS) == ["quadratic", "logistic-regression", "digits-mlp"]
    assert PROBLEMS["digits-mlp"].options == {
        "hidden": (32,),
        "activation": "tanh",
        "l2": 0.0,
        "partition": "iid",
        "alpha": 0.3,
    }
    for kind in PROBLEMS.values():
        assert kind.description.endswith(".")
        assert all(option in kind.details for option in kind.options)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "digits_mlp",
            {},
            r"problem: expected one of quadratic, .*, found 'digits_mlp' \(did you mean 'digits-mlp'\?\)",
        ),
        ("quadratic", {"size": 3}, "problem 'quadratic': expected one of dimension, .*, found 'size'"),
        ("quadratic", {"nois": 3}, r"found 'nois' \(did you mean 'noise'\?\)"),
        (
            "quadratic",
            {"dimension": 0},
            "problem 'quadratic': dimension: expected a whole number of at least 1, found 0",
        ),
        ("quadratic", {"condition_number": 0.5}, "condition_number: expected a finite number of at least 1, found 0.5"),
        (
            "quadratic",
            {"dimension": 1, "condition_number": 10.0},
            "condition_number: expected 1, as the dimension is 1, found 10.0",
        ),
        ("quadratic", {"noise": -1}, "noise: expected a finite number of at least 0, found -1"),
        ("quadratic", {"heterogeneity": "big"}, "heterogeneity: expected a finite number of at least 0, found 'big'"),
        ("quadratic", {"hessians": "all"}, "hessians: expected one of 'common', 'own', found 'all'"),
        ("quadratic", {"start": "apart"}, "start: expected one of 'common', 'spread', found 'apart'"),
        ("quadratic", {"curvature": -1}, "curvature: expected a finite number of at least 0, found -1"),
        ("quadratic", {"dtype": "float16"}, "dtype: expected one of 'float32', 'float64', found 'float16'"),
        ("quadratic", {"num_workers": 0}, "num_workers: expected a whole number of at least 1, found 0"),
        ("digits-mlp", {"hidden": 32}, r"hidden: expected a list of layer widths, such as \[32\], found 32"),
        ("digits-mlp", {"hidden": [0]}, "hidden: expected a whole number of at least 1, found 0"),
        ("digits-mlp", {"activation": "gelu"}, "activation: expected one of 'tanh', 'relu', found 'gelu'"),
        ("digits-mlp", {"l2": -1}, "l2: expected a finite number of at least 0, found -1"),
        ("digits-mlp", {"batch_size": 0}, "batch_size: expected a whole number of at least 1, found 0"),
        ("digits-mlp", {"partition": "even"}, "partition: expected one of 'iid', 'dirichlet', found 'even'"),
        (
            "digits-mlp",
            {"num_workers": 2000},
            r"num_workers: expected at most one worker a sample \(1437\), found 2000",
        ),
    ],
)
def test_impossible_problems(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_problem(name, **{"num_workers": 3, "seed": 0, **settings})


def test_importing_is_light() -> None:
    """Neither the frameworks nor the data sets, until somebody asks for them."""
    heavy = "{'torch', 'simpy', 'pandas', 'sklearn'}"
    names = ("problems", "problems.data", "optimizers", "state", "model", "readout")
    modules = ", ".join(f"schedules.training.{name}" for name in names)
    command = f"import sys, {modules}; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    found = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
