"""Clocks of edges on a graph that changes with time: exact rates, both ends agree, and no other clock is moved."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from scipy.stats import chi2, kstest, poisson

from schedules.clocks import Clocks, edge_ticks
from topologies import TimeVaryingGraph, build, build_varying, with_rates

RING, STAR, PATH = (build(name, 6) for name in ("ring", "star", "path"))
CYCLE = TimeVaryingGraph((RING, with_rates(STAR, 3.0), PATH), scale=0.8)


def test_both_ends_see_the_same_ticks_in_one_order() -> None:
    clocks = Clocks(CYCLE.union(), seed=7, horizon=40.0)
    ticks = {rank: list(clocks.edges(rank)) for rank in range(6)}
    for rank, mine in ticks.items():
        assert mine == sorted(mine, key=lambda tick: (tick[0], min(rank, tick[1]), max(rank, tick[1])))
        for time, peer, index in mine:
            assert (time, rank, index) in ticks[peer]


def test_every_tick_is_of_an_edge_of_the_graph_in_force() -> None:
    """DADAO's own cycle, whose graphs change about once an exchange."""
    cycle = build_varying("random_geometric", 8, count=10, scale=None, seed=2)
    clocks = Clocks(cycle.union(), seed=1, horizon=200.0)
    ticks = [(time, rank, peer) for rank in range(8) for time, peer, _ in clocks.edges(rank)]
    assert len(ticks) == pytest.approx(8 * 200, rel=0.1)  # one exchange a worker and gradient time
    assert all(cycle.at(time).has_edge(rank, peer) for time, rank, peer in ticks)


def test_a_cycle_of_one_graph_is_that_graph() -> None:
    alone, cycle = (Clocks(graph, 3, 50.0) for graph in (RING, TimeVaryingGraph((RING,), 0.3).union()))
    for rank in range(6):
        assert list(alone.edges(rank)) == list(cycle.edges(rank))


def test_a_graph_more_moves_no_tick_before_it_comes() -> None:
    few, many = (
        Clocks(TimeVaryingGraph(graphs, 0.1).union(), 5, 100.0) for graphs in ((RING, PATH), (RING, PATH, STAR))
    )
    for edge in RING.edges:
        early = [clocks.edge(*edge) for clocks in (few, many)]
        assert np.array_equal(*(times[times < 20.0] for times in early))
        assert len(early[0]) > 10


def test_an_edge_that_the_further_graph_lacks_ticks_as_before_in_its_own_time() -> None:
    few, many = (
        Clocks(TimeVaryingGraph(graphs, 0.1).union(), 5, 300.0) for graphs in ((RING, PATH), (RING, PATH, STAR))
    )
    before, after = few.edge(2, 3), many.edge(2, 3)
    own = after // 30 * 20 + after % 30  # without the ten gradient times of the star in every thirty
    assert own == pytest.approx(before[: len(own)], abs=1e-9)


def test_another_edge_moves_no_clock() -> None:
    more = RING.copy()
    more.add_edge(0, 3, rate=0.4)
    before, after = (Clocks(TimeVaryingGraph((each, PATH)).union(), 3, 30.0) for each in (RING, more))
    for edge in RING.edges:
        assert np.array_equal(before.edge(*edge), after.edge(*edge))


@pytest.mark.parametrize("ahead", [0.3, 1.25, 7.7, 100.0])
def test_ticks_are_the_same_however_far_ahead_they_are_drawn(ahead: float) -> None:
    whole, pieces = (Clocks(CYCLE.union(), 2, 100.0, ahead=each) for each in (None, ahead))
    for rank in range(6):
        assert list(whole.edges(rank)) == list(pieces.edges(rank))


def test_ticks_of_all_edges_are_those_of_the_workers() -> None:
    union = CYCLE.union()
    clocks = Clocks(union, 4, 30.0)
    mine = sorted(time for rank in range(6) for time, peer, _ in clocks.edges(rank) if rank < peer)
    found = edge_ticks(union, 4, 1e6, 29_000_000)
    assert np.sort(found).tolist() == [round(1e6 * time) for time in mine if round(1e6 * time) <= 29_000_000]


# ---- exact rates: beside clocks that were made another way


def thinned(rng: np.random.Generator, horizon: float) -> np.ndarray:
    """Ticks of the edge (0, 1) by thinning: a clock of the largest rate, of which the graph in force keeps some."""
    rates = [graph.edges[0, 1]["rate"] for graph in CYCLE.graphs]
    times = rng.uniform(0, horizon, rng.poisson(max(rates) * horizon))
    kept = [rates[int(time * CYCLE.scale) % 3] / max(rates) for time in times]
    return np.sort(times[rng.random(len(times)) < kept])


def ticks_of(edge: tuple[int, int], horizon: float, num_seeds: int) -> list[np.ndarray]:
    union = CYCLE.union()
    return [Clocks(union, seed, horizon).edge(*edge) for seed in range(num_seeds)]


def test_where_ticks_lie_is_distributed_as_by_thinning() -> None:
    rng, horizon = np.random.default_rng(0), 11.0
    mine = np.concatenate(ticks_of((0, 1), horizon, 600))
    theirs = np.concatenate([thinned(rng, horizon) for _ in range(600)])
    assert kstest(mine, theirs).pvalue > 0.01
    first = [times[0] for times in ticks_of((0, 1), 60.0, 600)]
    assert kstest(first, [thinned(rng, 60.0)[0] for _ in range(600)]).pvalue > 0.01


def test_counts_of_a_turn_are_poisson_and_those_of_two_turns_independent() -> None:
    runs = ticks_of((0, 1), 3.75, 4000)
    counts = np.array([np.histogram(times, [0, 1.25, 2.5, 3.75])[0] for times in runs])
    for number, graph in enumerate(CYCLE.graphs):
        mean = 1.25 * graph.edges[0, 1]["rate"]
        seen = np.bincount(counts[:, number], minlength=4)
        found = np.append(seen[:3], seen[3:].sum())
        expected = 4000 * np.append(poisson.pmf(range(3), mean), poisson.sf(2, mean))
        assert ((found - expected) ** 2 / expected).sum() < chi2.ppf(0.99, 3)
    correlations = np.corrcoef(counts.T)[np.triu_indices(3, 1)]
    assert (abs(correlations) < 3 / np.sqrt(4000)).all()


def test_at_a_seam_the_rate_changes_at_once() -> None:
    """The edge (0, 3) is the star's alone: none of its ticks before 1.25, and of the first instants its full share."""
    times = np.concatenate(ticks_of((0, 3), 3.75, 5_000))
    assert times.min() >= 1.25
    assert times.max() < 2.5
    rate = CYCLE.graphs[1].edges[0, 3]["rate"]
    for begin in (1.25, 2.45):
        expected = 5_000 * 0.05 * rate
        assert abs(((times >= begin) & (times < begin + 0.05)).sum() - expected) < 3 * np.sqrt(expected)


def test_an_edge_that_never_ticks_has_no_clock() -> None:
    idle = nx.Graph(RING)
    idle.edges[0, 1]["rate"] = 0.0
    clocks = Clocks(TimeVaryingGraph((idle, idle)).union(), 0, 50.0)
    assert len(clocks.edge(0, 1)) == 0
    assert all(peer != 1 for _, peer, _ in clocks.edges(0))
