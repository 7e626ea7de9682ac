"""Two trees: everybody is in both, and hands on in one at most."""

from __future__ import annotations

import networkx as nx
import pytest

from schedules.platform.protocols.trees import NONE, depth_of, most_sent, two_trees


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 8, 16, 31, 64])
def test_both_are_binary_trees_over_all(n: int) -> None:
    for parents in two_trees(n):
        tree = nx.DiGraph([(parent, each) for each, parent in enumerate(parents) if parent != NONE])
        assert nx.is_arborescence(tree)
        assert len(tree) == n
        assert max(degree for _, degree in tree.out_degree()) <= 2
        assert depth_of(parents) == nx.dag_longest_path_length(tree) <= (n - 1).bit_length()


@pytest.mark.parametrize("n", [4, 8, 16, 31, 64])
def test_whoever_hands_on_in_one_is_a_leaf_of_the_other(n: int) -> None:
    inner = [{parent for parent in parents if parent != NONE} for parents in two_trees(n)]
    # Of an odd number, the root of the first is its only number that may be both.
    assert len(inner[0] & inner[1]) <= n % 2


@pytest.mark.parametrize(("n", "expected"), [(1, 0.0), (2, 1.0), (3, 1.5), (4, 2.0), (8, 2.0), (9, 2.0), (64, 2.0)])
def test_nobody_sends_more_than_twice_its_bytes(n: int, expected: float) -> None:
    assert most_sent(n) == expected
