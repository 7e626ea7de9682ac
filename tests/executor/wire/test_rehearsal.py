"""What is passed before the start: sizes, and in which order the edges."""

import networkx as nx
import pytest

from executor.wire import rehearsal
from executor.wire.rehearsal import grow, rounds, sizes


def test_sizes_grow_eightfold_to_the_largest() -> None:
    assert sizes(40_000_000) == [9765, 78_125, 625_000, 5_000_000, 40_000_000]
    assert sizes(100) == [100]
    assert sizes(0) == [0]
    assert sizes(1 << 40)[-1] == rehearsal.LARGEST


def test_a_message_that_would_take_too_long_is_not_passed() -> None:
    passed: list[int] = []

    def take(size: int) -> float:
        passed.append(size)
        return size / 1e6

    grow(40_000_000, 3.0, take)
    assert passed == [9765, 78_125, 625_000]  # 0.625 s; the next is expected to take 5


@pytest.mark.parametrize("graph", [nx.cycle_graph(6), nx.complete_graph(5), nx.star_graph(4)])
def test_no_rank_has_two_edges_in_a_round_and_none_is_left_out(graph: "nx.Graph[int]") -> None:
    made = rounds(graph.edges)
    assert sorted(edge for each in made for edge in each) == sorted((min(e), max(e)) for e in graph.edges)
    for each in made:
        ends = [rank for edge in each for rank in edge]
        assert len(ends) == len(set(ends))
    assert len(made) < 2 * max(dict(graph.degree).values())
