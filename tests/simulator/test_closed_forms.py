"""What must come out by mathematics: gossip as a Markov process, and rounds of a barrier as order statistics.

Reference values are copied from the project's reference/gossip.json, whose key each one names. There a time unit is
one gradient time and r is the rate of exchanges a worker. The theory has instantaneous exchanges: links are free here.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
import pytest
from numpy.typing import NDArray

from schedules.clocks import Clocks, Tick
from schedules.record.trace import Recorder
from schedules.scenario import Scenario, load
from schedules.setup import Setup
from schedules.training.kernels import Kernel
from schedules.worker import Worker
from simulator.run import build_world, simulate
from tests.schedules.models import begin_at, state
from tests.simulator.rig import read_outs
from topologies import laplacian

Vector = NDArray[np.float64]

FREE_LINK = {"bandwidth": 1e18, "latency": 0.0}
GOSSIP = ("gossip", "a2cid2")
INSTANT: Mapping[str, Any] = {"gradient": {"mean": 0.0}, "link": FREE_LINK}
"""Gradients take no time (then a gradient time is a second), nor do exchanges: the events of the theory."""


# ---- worlds


@functools.cache
def theory(
    program: str, graph: str, workers: int, horizon: int, *, rate: float = 1.0, observations: int = 0
) -> Scenario:
    tables = {
        "schedule": {"program": program, "gradients": horizon, "rate": rate, "gradient_clock": "poisson"},
        "topology": {"graph": graph, "workers": workers},
        "platform": INSTANT,
        "workload": {"problem": "quadratic", "dtype": "float64", "options": {"dimension": 1, "condition_number": 1.0}},
        "run": {"observations": observations, "trace": False},
    }
    return load(tables)


class Run(NamedTuple):
    """What is looked at when a run is over."""

    setup: Setup
    workers: list[Worker]


class OneGradient(Clocks):
    """Exchanges at random; a single gradient at the very end, so that the run lasts until then."""

    def gradient(self, rank: int) -> Iterator[Tick]:
        return iter([(self.horizon, -1, 0)])


@dataclasses.dataclass
class Script(OneGradient):
    """The given exchanges (i, j, time), and a single gradient at the end."""

    exchanges: Sequence[tuple[int, int, float]]
    horizon: float
    graph: nx.Graph[int]
    seed: int = 0
    has_unit: bool = True

    def edges(self, rank: int) -> Iterator[Tick]:
        for number, (i, j, time) in enumerate(self.exchanges):
            if rank in (i, j):
                yield time, i + j - rank, number


Drift = Callable[[int], Vector]
"""The gradient of a worker, whatever its parameters; called anew for every gradient."""


def gossip(
    scenario: Scenario, start: Vector, *, seed: int = 0, clocks: Clocks | None = None, drift: Drift | None = None
) -> Run:
    """Run from x = x~ = start[rank], start: [workers, dimension]. Without a drift there are no gradients but a zero."""
    setup = Setup(
        scenario.model_copy(update={"run": scenario.run.model_copy(update={"seed": seed})}), is_recorded=False
    )
    if drift is None:
        setup.clocks = clocks or OneGradient(setup.graph, seed, setup.clocks.horizon)
        drift = lambda rank: np.zeros_like(start[rank])  # noqa: E731
    world = build_world(setup)
    for worker, x in zip(world.workers, start, strict=True):
        begin_at(worker.model, x)
        world.computing.kernels[worker.rank] = {"gradient": kernel(functools.partial(drift, worker.rank))}
    world.run()
    return Run(setup, world.workers)


def kernel(gradient: Callable[[], Vector]) -> Kernel:
    """One that asks neither where nor of what its gradient is."""
    return Kernel("gradient", lambda at, data, inputs: gradient(), kind="gradient")


def parameters(run: Run) -> Vector:
    """[workers, dimension]."""
    return np.stack([state(worker.model).x for worker in run.workers])


def observed(run: Run) -> Vector:
    """[observations, workers, dimension]; the last one at the end of the run."""
    read = [[x for _, _, x in read_outs(run.setup, worker.rank).observations] for worker in run.workers]
    return np.array(list(zip(*read, strict=True)))


def disagreement(x: Vector) -> Vector:
    """||pi x||^2, of the last two axes [workers, dimension]."""
    return np.sum((x - x.mean(axis=-2, keepdims=True)) ** 2, axis=(-2, -1))


def check_mean(samples: Sequence[float] | Vector, expected: float) -> None:
    """The mean of independent samples is what is expected, within 3 standard errors, which are not too large."""
    error = np.std(samples, ddof=1) / math.sqrt(len(samples))
    assert error < 0.1 * abs(expected)
    assert np.mean(samples) == pytest.approx(expected, abs=3 * error, rel=0)


def batch_means(series: Vector, batches: int = 20) -> Vector:
    """Means of long stretches of a stationary series: all but independent."""
    return series[: len(series) // batches * batches].reshape(batches, -1).mean(axis=1)


# ---- trace T1

# gossip.json, trace_T1
T1_EXCHANGES = ((0, 1, 0.5), (1, 2, 0.75), (2, 3, 1.25), (3, 0, 2.0), (0, 1, 3.0))
T1 = {
    "a2cid2": ([0.271521209325, 0.277608803328, 0.132586591288, 0.31828339606], 0.019673939195),
    "gossip": ([0.28125, 0.28125, 0.125, 0.3125], 0.021484375),
}
T1_TILDE = [0.266987932657, 0.278678277999, 0.132659753435, 0.321674035909]


def run_t1(program: str) -> Run:
    scenario = theory(program, "ring", 4, 4)
    start = np.array([[1.0], [0.0], [0.0], [0.0]])
    return gossip(scenario, start, clocks=Script(T1_EXCHANGES, 4.0, Setup(scenario).graph))


@pytest.mark.parametrize("program", GOSSIP)
def test_trace_t1(program: str) -> None:
    x, distance = T1[program]
    found = parameters(run_t1(program))
    assert found[:, 0] == pytest.approx(x, abs=1e-11)
    assert disagreement(found) == pytest.approx(distance, abs=1e-11)


def test_trace_t1_of_the_accelerated_copy() -> None:
    found = [state(worker.model).x_tilde[0] for worker in run_t1("a2cid2").workers]
    assert found == pytest.approx(T1_TILDE, abs=1e-11)


def test_mixing_alone_is_its_closed_form() -> None:
    """gossip.json, mixing_closed_form: eta = 1/sqrt(3) (ring of 4), dt = 0.5: x = a x + b x~."""
    scenario = theory("a2cid2", "ring", 4, 1)
    setup = Setup(scenario)
    setup.clocks = Script((), 0.5, setup.graph)
    world = build_world(setup)
    for worker in world.workers:
        begin_at(worker.model, np.array([1.0]))
        state(worker.model).x_tilde = np.array([0.0])
        world.computing.kernels[worker.rank] = {"gradient": kernel(lambda: np.zeros(1))}
    world.run()
    assert parameters(Run(setup, world.workers))[:, 0] == pytest.approx([0.780691956899] * 4, abs=1e-11)


# ---- moments of gossip alone


@functools.cache
def ring_of_eight() -> Vector:
    """||pi x||^2 at the times 0 to 20 in 150 runs from x_i = e_i: [runs, times].

    Its expectation over the exchanges is the expectation from iid starts of unit variance.
    """
    scenario = theory("gossip", "ring", 8, 20, observations=20)
    return np.array([disagreement(observed(gossip(scenario, np.eye(8), seed=seed))[:21]) for seed in range(150)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("time", "expected"),  # gossip.json, second_moment_ring8_baseline
    [(1, 4.13993035314), (5, 0.904566210227), (20, 0.0146253770818)],
)
def test_second_moment_of_the_ring_of_eight(time: int, expected: float) -> None:
    check_mean(ring_of_eight()[:, time], expected)


@pytest.mark.slow
@pytest.mark.parametrize("program", GOSSIP)
def test_complete_graph_decays_alike_for_any_eta(program: str) -> None:
    """E||pi x_t||^2 = ||pi x_0||^2 exp(-n r t / (2 (n-1))): gossip.json, second_moment_complete_graph."""
    scenario = theory(program, "complete", 8, 2, rate=2.0)
    samples = [disagreement(parameters(gossip(scenario, np.eye(8), seed=seed))) for seed in range(80)]
    check_mean(np.array(samples), 7 * math.exp(-8 * 2 * 2 / (2 * 7)))


def test_on_the_complete_graph_the_copy_never_differs() -> None:
    world = gossip(theory("a2cid2", "complete", 8, 5), np.eye(8), seed=3)
    for found in (state(worker.model) for worker in world.workers):
        assert np.allclose(found.x, found.x_tilde, rtol=0, atol=1e-12)


FIEDLER_MODE = {  # gossip.json, first_moment_fiedler_mode: (t, baseline, a2cid2), ring of 16
    1: (0.962654954832, 0.956057295422),
    5: (0.826710117218, 0.723655175984),
    20: (0.467103380222, 0.142483619305),
}


@functools.cache
def fiedler_mode(program: str) -> Vector:
    """<v, x_t> at the times 0 to 20 from x = x~ = v, mean over both Fiedler vectors of a ring of 16: [runs, times]."""
    angle = 2 * np.pi * np.arange(16) / 16
    start = np.stack([np.cos(angle), np.sin(angle)], axis=1) / math.sqrt(8)
    scenario = theory(program, "ring", 16, 20, observations=20)
    runs = [observed(gossip(scenario, start, seed=seed))[:21] for seed in range(60)]
    return np.sum(start * np.array(runs), axis=(2, 3)) / 2


@pytest.mark.slow
@pytest.mark.parametrize("time", FIEDLER_MODE)
@pytest.mark.parametrize("program", GOSSIP)
def test_first_moment_of_the_slowest_mode(program: str, time: int) -> None:
    check_mean(fiedler_mode(program)[:, time], FIEDLER_MODE[time][GOSSIP.index(program)])


def test_the_baseline_never_increases_disagreement_and_keeps_the_mean() -> None:
    start = np.random.default_rng(0).standard_normal((8, 3))
    x = observed(gossip(theory("gossip", "ring", 8, 20, observations=20), start))
    assert np.all(np.diff(disagreement(x)) <= 1e-12)
    assert np.allclose(x.mean(axis=1), start.mean(axis=0), rtol=0, atol=1e-12)


# ---- stationary states

LEARNING_RATE = 0.1  # the scenario's default
STATIONARY = {"ring": 4.75, "complete": 2 * 3**2 / 4}
"""gossip.json, stationary_baseline_iid_noise: E||pi x||^2 / (gamma sigma)^2 of 4 workers at r = 1."""


@functools.cache
def noisy(graph: str) -> Vector:
    """x / gamma at equal times, of the baseline with iid noise as gradients: [times, 4, 16]."""
    generator = np.random.default_rng(1)
    scenario = theory("gossip", graph, 4, 1500, observations=1500)
    world = gossip(scenario, np.zeros((4, 16)), drift=lambda _: generator.standard_normal(16))
    return observed(world)[50:-1] / LEARNING_RATE


@pytest.mark.slow
@pytest.mark.parametrize("graph", STATIONARY)
def test_stationary_disagreement_under_noise(graph: str) -> None:
    check_mean(batch_means(disagreement(noisy(graph)) / 16), STATIONARY[graph])


@pytest.mark.slow
@pytest.mark.parametrize("graph", STATIONARY)
def test_stationary_identity_under_noise(graph: str) -> None:
    """E[x^T Lambda x] = 2 (n-1) gamma^2 sigma^2 on any graph (same source)."""
    rates = laplacian(Setup(theory("gossip", graph, 4, 1500, observations=1500)).graph)
    x = noisy(graph)
    check_mean(batch_means(np.einsum("tid,ij,tjd->t", x, rates, x) / 16), 2 * 3)


@pytest.mark.slow
@pytest.mark.parametrize("program", GOSSIP)
def test_offset_of_heterogeneous_workers(program: str) -> None:
    """E[pi x] = -2 gamma / (1/2 + alpha~) Lambda^+ zeta (gossip.json, heterogeneity_offset), zeta = Fiedler vectors.

    Ring of 8: Lambda^+ zeta = chi_1 zeta, chi_1 = 3.41421356237, alpha~ = 0.987668764946 (chi_table_r1; baseline: 1/2).
    """
    angle = 2 * np.pi * np.arange(8) / 8
    zeta = np.stack([np.cos(angle), np.sin(angle)], axis=1) / 2
    scenario = theory(program, "ring", 8, 1500, observations=1500)
    x = observed(gossip(scenario, np.zeros((8, 2)), drift=zeta.__getitem__))[50:-1]
    offsets = np.sum(x * zeta, axis=(1, 2)) / 2 / LEARNING_RATE
    alpha_tilde = {"gossip": 0.5, "a2cid2": 0.987668764946}[program]
    check_mean(batch_means(offsets), -2 * 3.41421356237 / (0.5 + alpha_tilde))


# ---- synchronous rounds

SYNCHRONOUS = {4: (2.08333333333, 0.48), 8: (2.71785714286, 0.367936925099), 16: (3.38072899323, 0.295794191727)}
"""gossip.json, synchronous_exponential_compute: time of a round with Exp(1) compute, and utilisation."""
ROUNDS = 500


@functools.cache
def synchronous(workers: int) -> dict[str, Any]:
    tables = {
        "schedule": {"program": "all-reduce", "gradients": ROUNDS},
        "topology": {"graph": "complete", "workers": workers},
        "platform": {"gradient": {"mean": 1.0, "distribution": "exponential"}, "link": FREE_LINK},
        "workload": {"parameters": 1},
        "run": {"trace": False},
    }
    return simulate(tables).summary


@pytest.mark.parametrize("workers", SYNCHRONOUS)
def test_a_synchronous_round_takes_the_slowest_worker(workers: int) -> None:
    """The maximum of n Exp(1) is a sum of n independent Exp(k): variance sum 1/k^2."""
    variance = sum(k**-2 for k in range(1, workers + 1))
    found = synchronous(workers)["makespan_s"] / ROUNDS
    assert found == pytest.approx(SYNCHRONOUS[workers][0], abs=3 * math.sqrt(variance / ROUNDS), rel=0)


@pytest.mark.parametrize("workers", SYNCHRONOUS)
def test_utilisation_of_synchronous_rounds(workers: int) -> None:
    """Standard error by the delta method; the covariance of maximum and mean is H_n / n."""
    harmonic, expected = SYNCHRONOUS[workers]
    variance = (sum(k**-2 for k in range(1, workers + 1)) / harmonic**2 - 1 / workers) / harmonic**2
    found = synchronous(workers)["utilization_compute"]
    assert found == pytest.approx(expected, abs=3 * math.sqrt(variance / ROUNDS), rel=0)


# ---- a straggler


def with_straggler(program: str, slowdown: int, *, workers: int = 4, gradients: int = 12) -> Any:
    """The trace where rank 0 takes `slowdown` seconds a gradient and everybody else one."""
    scenario = load(
        {
            "schedule": {"program": program, "gradients": gradients},
            "topology": {"graph": "complete", "workers": workers},
            "platform": {"gradient": {"mean": 1.0}, "link": FREE_LINK},
            "workload": {"parameters": 1},
        }
    )
    world = build_world(Setup(scenario), Recorder())
    world.computing.durations[0]["gradient"] = itertools.repeat(slowdown * 10**9).__next__
    world.run()
    assert world.recorder is not None
    return world.recorder.table("", "")


def gradients_by(trace: Any, seconds: int) -> int:
    return int(((trace["op"] == "Compute") & (trace["end_ns"] <= seconds * 10**9)).sum())


@pytest.mark.parametrize("slowdown", [2, 3, 6])
def test_a_straggler_slows_all_of_a_synchronous_schedule(slowdown: int) -> None:
    """n/s gradients a time unit (gossip.md, section 10)."""
    trace = with_straggler("all-reduce", slowdown)
    assert gradients_by(trace, 12 * slowdown) == 12 * slowdown * 4 // slowdown
    assert trace["end_ns"].max() == 12 * slowdown * 10**9


@pytest.mark.parametrize("slowdown", [2, 3, 6])
@pytest.mark.parametrize("program", GOSSIP)
def test_a_straggler_slows_only_itself_where_nobody_waits(program: str, slowdown: int) -> None:
    """n - 1 + 1/s gradients a time unit, while the others still compute (same source)."""
    trace = with_straggler(program, slowdown)
    assert gradients_by(trace, 12) == 12 * 3 + 12 // slowdown


def test_d_psgd_waits_for_its_slowest_neighbour() -> None:
    """On a complete graph everybody is a neighbour: n/s as for the all-reduce."""
    trace = with_straggler("d-psgd", 3)
    assert trace["end_ns"].max() == 12 * 3 * 10**9


# ---- the seed is all that differs


def test_seeds_give_other_runs_of_the_same_law() -> None:
    scenario = theory("gossip", "ring", 8, 5)
    first, again, other = (parameters(gossip(scenario, np.eye(8), seed=seed)) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
