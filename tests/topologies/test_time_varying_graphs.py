"""Cycles of graphs: index floor(t * scale) mod k, worst-case chi, the union that carries them, rates over time."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from analysis.moments import second_moment, stationary
from topologies import TimeVaryingGraph, build, build_varying, chi_1, chi_2, laplacian, with_rates
from topologies.files import load, save
from topologies.parts import is_varying, parts
from topologies.rates import communication_cost, optimal_rates, spread, sufficient_rates
from topologies.varying import Intensity, fastest_cycle, of_union

RING, STAR, PATH = (build(name, 6) for name in ("ring", "star", "path"))


def test_index_is_the_floor_of_the_scaled_time():
    """papers/gossip.md 6.5: index floor(t * chi_1) mod 50 in DADAO."""
    cycle = TimeVaryingGraph((RING, STAR, PATH), scale=0.5)
    assert [cycle.index(t) for t in (0, 1.999, 2, 4, 5.9, 6, 13)] == [0, 0, 1, 2, 2, 0, 0]
    assert cycle.at(3.0) is STAR


def test_chi_is_the_worst_of_each():
    cycle = TimeVaryingGraph((RING, STAR, PATH))
    assert cycle.chi_1() == max(map(chi_1, (RING, STAR, PATH))) == chi_1(PATH)
    assert cycle.chi_2() == max(map(chi_2, (RING, STAR, PATH)))


@given(st.floats(0, 1e6), st.floats(1e-3, 1e3))
def test_the_next_change_shows_the_next_graph(time, scale):
    cycle = TimeVaryingGraph((RING, STAR, PATH), scale)
    change = cycle.next_change(time)
    assert change > time
    assert cycle.index(change) == (cycle.index(time) + 1) % 3
    assert cycle.index(time + (change - time) / 2) in (cycle.index(time), cycle.index(change))


def test_random_cycle_has_different_graphs_and_keeps_its_beginning():
    few, many = (build_varying("random_geometric", 12, count=count, seed=3, join=True) for count in (3, 5))
    draws = [nx.to_dict_of_dicts(graph) for graph in many.graphs]
    assert draws[:3] == [nx.to_dict_of_dicts(graph) for graph in few.graphs]
    assert all(draws[i] != draws[j] for i in range(5) for j in range(i))


@pytest.mark.parametrize(
    ("graphs", "scale", "message"),
    [
        ((), 1.0, "graphs: expected at least one, found none"),
        ((RING,), 0.0, "scale: expected a finite number above 0 graphs per unit time, found 0.0"),
        ((RING, build("ring", 5)), 1.0, "graph 1: expected 6 workers, found 5"),
        ((RING, nx.empty_graph(6)), 1.0, "graph 1: expected a connected graph"),
    ],
)
def test_refused(graphs, scale, message):
    with pytest.raises(ValueError, match=message):
        TimeVaryingGraph(graphs, scale)


def test_refused_times_and_families():
    with pytest.raises(ValueError, match="time: expected a finite number of at least 0, found -1"):
        TimeVaryingGraph((RING,)).at(-1)
    with pytest.raises(
        ValueError, match=r"graph 'ring': expected a family of random graphs \(random_regular, .*, random"
    ):
        build_varying("ring", 8)


# ---- DADAO's cycle (papers/gossip.md, 6.5)


@pytest.mark.parametrize("workers", [4, 9, 16])
def test_each_graph_is_there_for_one_over_chi_1_of_the_edge_probabilities(workers):
    """Closed forms of papers/gossip.md 2.5: of L/|E|, chi_1 of the star is n - 1 and of the ring n / (2 (1 - cos))."""
    star, ring = build("star", workers), build("ring", workers)
    slowest = workers / (2 * (1 - math.cos(2 * math.pi / workers)))
    assert fastest_cycle([star]) == pytest.approx(1 / (workers - 1), rel=1e-12)
    assert fastest_cycle([with_rates(ring, 7.0)]) == pytest.approx(1 / slowest, rel=1e-12)
    assert fastest_cycle([star, ring]) == pytest.approx(1 / max(slowest, workers - 1), rel=1e-12)


def test_random_geometric_graphs_are_joined_as_dadaos_are():
    cycle = build_varying("random-geometric", 5, count=20, scale=None)
    assert all(nx.is_connected(graph) for graph in cycle.graphs)
    assert 1 / cycle.scale == pytest.approx(fastest_cycle(cycle.graphs), rel=1e-15)
    longest = [
        max(math.dist(*([g.nodes[k]["x"], g.nodes[k]["y"]] for k in edge)) for edge in g.edges) for g in cycle.graphs
    ]
    assert min(longest) <= 0.4 < max(longest)  # beyond the radius where components were joined


# ---- the union


CYCLE = TimeVaryingGraph((RING, STAR, PATH), scale=4.0)


def test_union_has_all_edges_with_their_mean_rates_and_their_graphs():
    union = CYCLE.union()
    assert set(union.edges) == set(RING.edges) | set(STAR.edges) | set(PATH.edges)
    assert union.edges[0, 1] == {"graphs": "0 1 2", "rate": pytest.approx((0.5 + 0.6 + 0.6) / 3)}
    assert union.edges[0, 3] == {"graphs": "1", "rate": pytest.approx(0.2)}
    assert laplacian(union) == pytest.approx(sum(laplacian(graph) for graph in parts(union)) / 3)
    assert (union.graph["period"], union.graph["count"]) == (0.25, 3)
    assert of_union(union) == CYCLE
    assert parts(RING) == (RING,)
    assert not is_varying(RING)


def test_chi_of_the_union_are_the_separate_maxima():
    """The barbell has the larger chi_2 a chi_1, and the ring of many the smaller."""
    barbell, ring = build("barbell", 16), build("ring", 16)
    small = TimeVaryingGraph((with_rates(ring, 0.3), barbell)).union()
    assert chi_1(small) == chi_1(with_rates(ring, 0.3)) > chi_1(barbell)
    assert chi_2(small) == chi_2(barbell) > chi_2(with_rates(ring, 0.3))


def test_rates_are_spread_over_every_graph_by_itself():
    for weights in ("uniform", "neighbour", "optimal"):
        union = spread(CYCLE.union(), 3.0, weights)
        assert of_union(union).scale == CYCLE.scale
        for part, graph in zip(parts(union), CYCLE.graphs, strict=True):
            assert nx.utils.graphs_equal(part, spread(graph, 3.0, weights))
    for alike, weights in ((with_rates, "uniform"), (optimal_rates, "optimal")):
        assert dict(alike(CYCLE.union(), 3.0).edges) == dict(spread(CYCLE.union(), 3.0, weights).edges)


def test_the_cost_is_that_of_the_separate_maxima():
    """lambda_mix = sqrt(2 chi_1 chi_2) of L/|E|, the worst of each over the graphs (papers/gossip.md 6.5)."""
    worst = [max(number(graph) * 6 / 2 for graph in CYCLE.graphs) for number in (chi_1, chi_2)]  # rates sum to n / 2
    union = CYCLE.union()
    assert communication_cost(union) == pytest.approx(math.sqrt(2 * worst[0] * worst[1]), rel=1e-12)
    scaled = sufficient_rates(union)
    assert 2 * chi_1(scaled) * chi_2(scaled) == pytest.approx(1, rel=1e-12)
    for part in parts(scaled):
        assert sum(rate for *_, rate in part.edges(data="rate")) == pytest.approx(communication_cost(union), rel=1e-12)


def test_what_is_wrong_with_a_part_is_told_with_its_number():
    union = CYCLE.union()
    lame = TimeVaryingGraph((RING, STAR)).union()
    lame.graph["parts"] = (RING, nx.empty_graph(6))
    with pytest.raises(
        ValueError, match="graph 1: expected a connected graph, found no path from worker 0 to worker 1"
    ):
        chi_1(lame)
    with pytest.raises(ValueError, match="graph 0: per_worker: expected a finite number above 0"):
        with_rates(union, -1)


def test_exact_moments_are_of_one_graph():
    """Its mean rates would give moments of a graph that nobody is on."""
    for moments in (lambda graph: stationary(graph, "baseline"), lambda graph: second_moment(graph, "a2cid2", [1.0])):
        with pytest.raises(ValueError, match="graph: expected one whose rates stay, found one that changes with time"):
            moments(CYCLE.union())


@pytest.mark.parametrize("suffix", ["json", "graphml"])
def test_a_file_holds_the_union_without_its_parts(suffix, tmp_path):
    union = CYCLE.union()
    save(union, tmp_path / f"union.{suffix}")
    found = load(tmp_path / f"union.{suffix}")
    assert dict(found.edges) == dict(union.edges)
    assert found.graph == {"period": 0.25, "count": 3, "family": "time-varying ring star path"}
    assert is_varying(union)


# ---- the rate of an edge over time

RATES = st.lists(st.sampled_from([0.0, 0.3, 1.0, 7.0]), min_size=1, max_size=6).filter(any)


@given(RATES, st.floats(0.05, 20), st.floats(0, 30))
def test_expected_ticks_are_the_integral_of_the_rate(rates, scale, time):
    seams = np.arange(1, math.floor(time * scale) + 1) / scale
    integral, _ = (
        quad(
            lambda t: rates[math.floor(t * scale) % len(rates)],
            0,
            time,
            points=seams,
            limit=len(seams) + 50,
            epsabs=1e-9,
        )
        if time
        else (0.0, 0.0)
    )
    assert Intensity(rates, scale).expected(time) == pytest.approx(integral, rel=1e-7, abs=1e-7)


@given(RATES, st.floats(1e-3, 1e3), st.lists(st.floats(0, 1e5), min_size=1, max_size=20))
def test_ticks_come_when_the_integral_has_reached_their_amount(rates, scale, amounts):
    intensity, asked = Intensity(rates, scale), np.sort(amounts)
    times = intensity.reached(asked)
    assert (np.diff(times) >= 0).all()
    for amount, time in zip(asked, times, strict=True):
        assert rates[math.floor(time * scale) % len(rates)] > 0
        assert intensity.expected(float(time)) == pytest.approx(amount, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("scale", [1.0, 0.1, 3.0, 1 / 0.3, 17.3])
def test_an_amount_that_falls_on_a_seam_is_reached_in_a_graph_that_has_the_edge(scale):
    """Sums up to the ends of turns, whatever rounding made of them: in the turn that begins there, or the last one."""
    rates = [0.0, 0.7, 0.0, 0.0, 0.1, 0.0]
    intensity = Intensity(rates, scale)
    sums = np.cumsum(np.tile(rates, 300) / scale)
    near = np.sort(np.concatenate([np.nextafter(sums, 0), sums, np.nextafter(sums, np.inf)]))
    times = intensity.reached(near)
    assert (np.diff(times) >= 0).all()
    assert set(np.floor(times * scale).astype(int) % 6) == {1, 4}
