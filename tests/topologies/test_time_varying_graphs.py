"""Cycles of graphs: index floor(t * scale) mod k, worst-case chi."""

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from topologies import TimeVaryingGraph, build, build_varying, chi_1, chi_2

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
    with pytest.raises(ValueError, match="graph 'ring': expected no options, found option 'seed'"):
        build_varying("ring", 8)
