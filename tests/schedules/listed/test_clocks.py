"""Clocks that tick by a list: in its order, also of equal times."""

from __future__ import annotations

import networkx as nx

from schedules.clocks import Clocks
from schedules.listed.clocks import ListedClocks
from topologies.event_lists import parse_events

TEXT = """time,kind,i,j
0.5,exchange,1,0
0.5,gradient,1,
0.5,exchange,1,2
1.0,gradient,1,
1.5,exchange,0,1
1.5,gradient,3,
"""


def listed() -> ListedClocks:
    return ListedClocks(nx.path_graph(4), 0, parse_events(TEXT, "events.csv", 4), 1.5)


def test_a_worker_has_its_own_events_in_the_order_of_the_list() -> None:
    clocks = listed()
    assert list(clocks.events(1)) == [(0.5, 0, 0), (0.5, -1, 0), (0.5, 2, 0), (1.0, -1, 1), (1.5, 0, 1)]
    assert list(clocks.edges(1)) == [(0.5, 0, 0), (0.5, 2, 0), (1.5, 0, 1)]
    assert list(clocks.gradient(1)) == [(0.5, -1, 0), (1.0, -1, 1)]
    assert list(clocks.events(0)) == [(0.5, 1, 0), (1.5, 1, 1)]
    assert list(clocks.events(2)) == [(0.5, 1, 0)]
    assert list(clocks.events(3)) == [(1.5, -1, 0)]
    assert all(type(value) in (int, float) for tick in clocks.events(1) for value in tick)


def test_all_exchanges_are_told_once() -> None:
    assert listed().exchange_times().tolist() == [0.5, 0.5, 1.5]


def test_a_worker_may_have_no_event() -> None:
    clocks = ListedClocks(nx.path_graph(3), 0, parse_events("time,kind,i,j\n1,gradient,1,\n", "", 3), 1.0)
    assert [list(clocks.events(rank)) for rank in range(3)] == [[], [(1.0, -1, 0)], []]
    assert clocks.exchange_times().tolist() == []


def test_poisson_clocks_tell_both_kinds_by_time() -> None:
    graph = nx.cycle_graph(4)
    nx.set_edge_attributes(graph, 0.5, "rate")
    clocks = Clocks(graph, 3, 50.0)
    both = list(clocks.events(2))
    assert [time for time, *_ in both] == sorted(time for time, *_ in both)
    assert [each for each in both if each[1] < 0] == list(clocks.gradient(2))
    assert [each for each in both if each[1] >= 0] == list(clocks.edges(2))
