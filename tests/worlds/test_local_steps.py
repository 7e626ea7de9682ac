"""Schedules of local steps, in both worlds, against their papers' rules written for all workers at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from executor.launching.launch import Ranks, execute
from schedules.clocks import StreamKey, stream
from schedules.scenario import load
from simulator import simulate
from tests.worlds.conftest import BASE, World
from tests.worlds.test_replay_parity import difference

N, RATE = 4, 0.01
Vectors = NDArray[np.float64]
Gradient = Callable[[Vectors, int], Vectors]
"""(x of all workers [n, num_params], step) -> their gradients."""
ROUNDS, H = 5, 3
OUTER = {"rounds": ROUNDS, "local_steps": H, "outer_learning_rate": 0.6, "outer_momentum": 0.8}


def mean(x: Vectors, places: Sequence[int] | None = None) -> Vectors:
    """Over the workers; `places`: which of the parameters they are, where they are not all."""
    return np.broadcast_to(x.mean(axis=0), x.shape)


def rounds(theta: Vectors, gradient: Gradient) -> Iterator[Any]:
    """Yields Delta of every worker at the end of its local steps, and is sent where all go on."""
    for number in range(ROUNDS):
        x = theta
        for h in range(H):
            x = x - RATE * gradient(x, number * H + h)
        theta = yield theta - x


def outer(x: Vectors, gradient: Gradient, used: Callable[[list[Vectors]], Vectors], after: bool) -> Vectors:
    """Nesterov's outer steps with what is used of the changes so far; with one more after the last round."""
    theta, momentum, found = x, np.zeros_like(x), []
    local = rounds(theta, gradient)
    delta = next(local)
    for number in range(ROUNDS + after):
        found.append(delta if number < ROUNDS else np.zeros_like(x))
        applied = used(found)
        momentum = 0.8 * momentum + applied
        theta = theta - 0.6 * (applied + 0.8 * momentum)
        if number < ROUNDS - 1:
            delta = local.send(theta)
    return theta


def diloco(x: Vectors, gradient: Gradient) -> Vectors:
    return outer(x, gradient, lambda found: mean(found[-1]), after=False)


def eager(x: Vectors, gradient: Gradient) -> Vectors:
    def used(found: list[Vectors]) -> Vectors:
        """The worker's own n-th part fresh, the others' of the round before."""
        before = found[-2] if len(found) > 1 else np.zeros_like(found[0])
        return found[-1] / N + (mean(before) - before / N)

    return outer(x, gradient, used, after=True)


def delayed(x: Vectors, gradient: Gradient) -> Vectors:
    return outer(x, gradient, lambda found: mean(found[-2]) if len(found) > 1 else np.zeros_like(found[0]), after=True)


def streaming(x: Vectors, gradient: Gradient, layers: list[list[int]], overlap: int, mixing: float) -> Vectors:
    """theta after thirteen steps, H = 5; what is sent after the last outer step of a fragment comes at the end.

    Args:
        layers: by fragment the elements that it has.
    """
    theta, momentum, x = x.copy(), np.zeros_like(x), x.copy()
    begun: list[tuple[int, list[int], Vectors]] = []

    def arrive(mine: list[int], delta: Vectors) -> None:
        momentum[:, mine] = 0.8 * momentum[:, mine] + delta
        theta[:, mine] -= 0.6 * (delta + 0.8 * momentum[:, mine])
        x[:, mine] = mixing * x[:, mine] + (1 - mixing) * theta[:, mine]

    for t in range(1, 14):
        x -= RATE * gradient(x, t - 1)
        for p, mine in enumerate(layers):
            if t % 5 == math.floor((p + 1) * 5 / len(layers)) % 5:
                begun.append((t + overlap, mine, mean(theta[:, mine] - x[:, mine], mine)))
        while begun and begun[0][0] == t:
            arrive(*begun.pop(0)[1:])
    for _, mine, delta in begun:
        arrive(mine, delta)
    return theta


STREAMING = {"steps": 13, "local_steps": 5, "outer_learning_rate": 0.6, "outer_momentum": 0.8}
SEQUENTIAL, STRIDED = [[0, 1], [2, 3], [4, 5, 6]], [[0, 3], [1, 4], [2, 5, 6]]
"""Seven parameters in six layers, of which the last has two, in three fragments."""


def lookahead(x: Vectors, gradient: Gradient) -> Vectors:
    return outer(x, lambda at, step: mean(gradient(at, step)), lambda found: found[-1], after=False)


def local_sgd(x: Vectors, gradient: Gradient) -> Vectors:
    for step in range(1, 12):
        x = x - RATE * gradient(x, step - 1)
        x = mean(x) if step in (4, 8, 11) else x
    return x


def slowmo(x: Vectors, gradient: Gradient) -> Vectors:
    slow, begun = np.zeros_like(x), x
    local = rounds(x, gradient)
    change = next(local)
    for number in range(ROUNDS):
        slow = 0.4 * slow + mean(change) / RATE
        begun = begun - 1.5 * RATE * slow
        change = local.send(begun) if number < ROUNDS - 1 else change
    return begun


def proxskip(x: Vectors, gradient: Gradient) -> Vectors:
    h, p = np.zeros_like(x), 0.4
    for step in range(15):
        hat = x - RATE * (gradient(x, step) - h)
        met = float(stream(0, StreamKey.COIN, step).random()) < p
        x = mean(hat - RATE / p * h) if met else hat
        h = h + p / RATE * (x - hat) if met else h
    return x


def co2(x: Vectors, gradient: Gradient) -> Vectors:
    """Outer steps a round late, by the mean of the round before; the momentum is penalized, and no longer than 0.05."""
    theta, momentum, before = x, np.zeros_like(x), None
    local = rounds(theta, gradient)
    found = [next(local)]
    for number in range(ROUNDS + 1):
        if before is not None:
            momentum = 0.7 * 0.8 * momentum + before
            momentum = momentum * min(1.0, 0.05 / float(np.linalg.norm(momentum[0])))
            theta = theta - 0.6 * (before + 0.8 * momentum)
        before = mean(found[-1])
        if number < ROUNDS - 1:
            found.append(local.send(theta))
    return theta


def qsr(x: Vectors, gradient: Gradient) -> Vectors:
    """H = max(2, floor((0.015 / eta)^2)), eta on a cosine from 0.01; in the warm-up, 4 of 30 steps, H = 2."""
    step, number = 0, 0
    while step < 30:
        number = 2 if step < 4 else max(2, math.floor((0.015 / cosine(step, 30, 4)) ** 2))
        for k in range(step, min(step + number, 30)):
            x = x - cosine(k, 30, 4) * gradient(x, k)
        x, step = mean(x), step + number
    return x


def cosine(step: int, steps: int, warmup: int) -> float:
    if step < warmup:
        return RATE * step / warmup
    return RATE * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2


def adam(x: Vectors, gradient: Gradient, steps: int, before: Callable[..., Any], after: Callable[..., Any]) -> Vectors:
    """Adam's steps on each worker, with what is done to x and both moments before and after each of them."""
    kept = [x, np.zeros_like(x), np.zeros_like(x)]
    for step in range(steps):
        kept = before(step, kept)
        g = gradient(kept[0], step)
        first, second = 0.9 * kept[1] + 0.1 * g, 0.999 * kept[2] + 0.001 * g**2
        scale = np.sqrt(second / (1 - 0.999 ** (step + 1))) + 1e-8
        kept = after(step, [kept[0] - RATE * first / (1 - 0.9 ** (step + 1)) / scale, first, second])
    return kept[0]


def des_loc(x: Vectors, gradient: Gradient) -> Vectors:
    """Before step k, x where 2 divides k, the first moment where 3 does, the second where 5 does."""

    def before(step: int, kept: list[Vectors]) -> list[Vectors]:
        return [mean(each) if step and step % k == 0 else each for each, k in zip(kept, (2, 3, 5), strict=True)]

    return adam(x, gradient, 13, before, lambda step, kept: kept)


def local_adam(x: Vectors, gradient: Gradient) -> Vectors:
    """x and both moments, after every fourth step and after the last."""

    def after(step: int, kept: list[Vectors]) -> list[Vectors]:
        return [mean(each) for each in kept] if step + 1 in (4, 8, 11) else kept

    return adam(x, gradient, 11, lambda step, kept: kept, after)


RULES: dict[str, tuple[dict[str, Any], Callable[[Vectors, Gradient], Vectors]]] = {
    "local-sgd": ({"steps": 11, "local_steps": 4}, local_sgd),
    "diloco": (OUTER, diloco),
    "streaming-diloco": (STREAMING, lambda x, g: streaming(x, g, [[*range(7)]], 0, 0.0)),
    "streaming-diloco, overlapped": (
        {**STREAMING, "fragments": 3, "overlap": 3, "mixing": 0.25},
        lambda x, g: streaming(x, g, STRIDED, 3, 0.25),
    ),
    "streaming-diloco, sequential": (
        {**STREAMING, "fragments": 3, "overlap": 4, "pattern": "sequential"},
        lambda x, g: streaming(x, g, SEQUENTIAL, 4, 0.0),
    ),
    "streaming-diloco, layered": (
        {**STREAMING, "fragments": 3, "overlap": 0, "mixing": 0.5, "pattern": "strided"},
        lambda x, g: streaming(x, g, STRIDED, 0, 0.5),
    ),
    "streaming-diloco, in parts": (
        {**STREAMING, "fragments": 3, "overlap": 2},
        lambda x, g: streaming(x, g, SEQUENTIAL, 2, 0.0),
    ),
    "diloco, layered": (OUTER, diloco),
    "eager-diloco, layered": (OUTER, eager),
    "eager-diloco, delayed and layered": ({**OUTER, "delayed": True}, delayed),
    "lookahead": (OUTER, lookahead),
    "eager-diloco": (OUTER, eager),
    "eager-diloco, delayed": ({**OUTER, "delayed": True}, delayed),
    "co2": (OUTER, delayed),
    "co2, penalized": ({**OUTER, "penalty": 0.7, "clip": 0.05}, co2),
    "local-sgd, all": ({"steps": 11, "local_steps": 4, "average": "all"}, local_adam),
    "qsr": ({"steps": 30, "local_steps": 2, "alpha": 0.015}, qsr),
    "des-loc": ({"steps": 13, "period": 2, "first_period": 3, "second_period": 5}, des_loc),
    "slowmo": ({"rounds": ROUNDS, "local_steps": H, "momentum": 0.4, "slow_learning_rate": 1.5}, slowmo),
    "proxskip": ({"steps": 15, "probability": 0.4}, proxskip),
}

ADAMW = {"name": "adamw", "learning_rate": RATE}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "des-loc": ADAMW,
    "local-sgd, all": ADAMW,
    "qsr": {"learning_rate": RATE, "schedule": "cosine", "warmup": 4 / 30},
}
"""Of those that need another one than plain SGD."""


def is_layered(name: str) -> bool:
    return any(word in name for word in ("layered", "overlapped", "sequential"))


def scenario(name: str, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    if name in OPTIMIZERS:
        more = {"optimizer": OPTIMIZERS[name], **more}
    tables = {**BASE, "schedule": {"program": name.partition(",")[0], **settings}}
    noisy = {**BASE["workload"], "options": {"dimension": 7, "noise": 0.5}}
    if is_layered(name):
        noisy["layers"] = 6
    return {**tables, "workload": noisy, **more}


@pytest.fixture
def measured(ranks: Ranks) -> World:
    return lambda tables, **options: execute(tables, ranks=ranks, **options)


@pytest.fixture
def simulated() -> World:
    return simulate


@pytest.mark.parametrize("name", RULES)
def test_it_is_the_papers_rule(name: str, world: World) -> None:
    settings, rule = RULES[name]
    case = scenario(name, settings)
    result, problem = world(case), load(case).problem
    assert problem is not None
    assert result.parameters is not None
    x = np.stack([problem.initial(0, rank) for rank in range(N)])

    def gradient(at: Vectors, step: int) -> Vectors:
        return np.stack([problem.gradient(at[rank], rank, step) for rank in range(N)])

    wanted = rule(x, gradient)
    assert np.abs(result.parameters - wanted).max() <= 1e-12 * np.abs(wanted).max()


def digits(name: str) -> dict[str, Any]:
    """A small network on handwritten digits, in float64, with momentum where the rule leaves it open."""
    optimizer = OPTIMIZERS.get(name, {"learning_rate": RATE, "momentum": 0.5 if name != "proxskip" else 0.0})
    workload = {"problem": "digits-mlp", "dtype": "float64"} | ({"layers": 5} if is_layered(name) else {})
    return scenario(name, RULES[name][0], workload=workload, optimizer=optimizer)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_each_world_follows_the_other(name: str, simulated: World, measured: World, tmp_path: Path) -> None:
    """And what runs freely ends there as well, as nothing depends on who is first."""
    case, bound = digits(name), 1e-9 if OPTIMIZERS.get(name) == ADAMW else 1e-12
    original = simulated(case)
    assert difference(original, measured(case, replay=original.save(tmp_path / "simulated"))) <= bound
    free = measured(case)
    assert difference(free, simulated(case, replay=free.save(tmp_path / "measured"))) <= bound
    assert difference(original, free) <= bound


def test_one_local_step_and_an_outer_step_of_one_is_all_reduce(world: World) -> None:
    settings = {"rounds": 8, "local_steps": 1, "outer_learning_rate": 1.0, "outer_momentum": 0.0}
    alike = world(scenario("all-reduce", {"gradients": 8}))
    assert difference(alike, world(scenario("diloco", settings))) <= 1e-12


def test_one_fragment_that_is_waited_for_is_diloco(world: World) -> None:
    rates = {"outer_learning_rate": 0.6, "outer_momentum": 0.8}
    alike = world(scenario("diloco", {"rounds": 4, "local_steps": 3, **rates}))
    streamed = world(scenario("streaming-diloco", {"steps": 12, "local_steps": 3, **rates}))
    assert difference(alike, streamed) <= 1e-12
    assert alike.summary["bytes_sent"] == streamed.summary["bytes_sent"]


@pytest.mark.parametrize("overlap", [0, 2, 4])
def test_a_streamed_change_is_as_old_as_its_overlap(overlap: int, world: World) -> None:
    settings = {**STREAMING, "steps": 15, "fragments": 5, "overlap": overlap}
    trace = world(scenario("streaming-diloco", settings)).trace
    assert trace is not None
    applied = trace[trace["applied"] == "change"]
    assert set(applied["target"]) == {f"fragment-{p}" for p in range(5)}
    assert (applied["version_written"] - applied["version_read"] == 1).all()
    last = 4 - overlap  # what is begun after the last steps but these is on its way at the end
    assert sorted(set(applied["steps_behind"])) == ([0] if not overlap else [*range(overlap + 1)])
    assert (applied["steps_behind"] == overlap).sum() == 4 * (10 + max(0, last) + 1)


@pytest.mark.parametrize(("name", "is_equal"), [("diloco", True), ("eager-diloco", False), ("co2", True)])
def test_whether_replicas_are_equal_at_the_end(name: str, is_equal: bool, world: World) -> None:
    """Bit for bit after a blocking outer step; not where a worker's own change is fresher than the others'."""
    parameters = world(scenario(name, OUTER)).parameters
    assert parameters is not None
    assert bool((parameters == parameters[0]).all()) == is_equal


def test_the_rounds_of_qsr(simulated: World) -> None:
    """H = max(H_base, floor((alpha / eta)^2)); H_base during the warm-up; what is left in the last."""
    settings = {"steps": 40, "local_steps": 2, "alpha": 0.03}
    optimizer = {"schedule": "cosine", "warmup": 0.1, "learning_rate": 0.02}
    trace = simulated(scenario("qsr", settings, optimizer=optimizer, run={"numerics": False})).trace
    assert trace is not None
    rows = trace[(trace["rank"] == 0) & trace["op"].isin(["Compute", "AllReduce"])].sort_values("index")
    found, steps = [], 0
    for op in rows["op"]:
        found += [steps] if op == "AllReduce" else []
        steps = 0 if op == "AllReduce" else steps + 1
    wanted, step = [], 0
    while step < 40:
        rate = 0.02 * step / 4 if step < 4 else 0.02 * 0.5 * (1 + math.cos(math.pi * (step - 4) / 36))
        wanted.append(min(40 - step, 2 if step < 4 else max(2, math.floor((0.03 / rate) ** 2))))
        step += wanted[-1]
    assert found == wanted
    assert len(set(wanted)) > 3
