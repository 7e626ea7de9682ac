"""Which algorithm is chosen: overrides, gloo's, and the fastest by its closed form otherwise."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from schedules.operations import AllGather, AllReduce, AllToAll, Barrier, Broadcast, Operation, ReduceScatter
from schedules.platform.collective_times import seconds
from schedules.platform.tables import CollectivesTable, Link
from schedules.platform.transports import TRANSPORTS, gloo_seconds
from schedules.platform.volumes import ALGORITHMS
from simulator.collectives.choice import KEYS, choose
from tests.simulator.collectives.collective_rig import KINDS

B, L = 1e9, 10e-6
TWO_NODES = [0, 0, 0, 0, 1, 1, 1, 1]
INSIDE = Link(bandwidth=100e9, latency=1e-6)


def chosen(kind: type[Operation], n: int, size: int, **more: Any) -> str:
    return choose(kind, n, size, B, L, **more)


@pytest.mark.parametrize("n", [5, 8, 16, 64])
def test_a_tree_for_few_bytes_and_a_ring_for_many(n: int) -> None:
    """They are as fast as each other at S = L B (n-1-d) / (d - (n-1)/n), with d = ceil(log2 n)."""
    depth = {5: 3, 8: 3, 16: 4, 64: 6}[n]
    even = L * B * (n - 1 - depth) / (depth - (n - 1) / n)
    assert [chosen(AllReduce, n, round(even * factor)) for factor in (0.0, 0.99, 1.01, 100)] == [
        *("tree", "tree", "ring", "ring")
    ]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_tie_is_a_rings(n: int) -> None:
    """Without bytes, trees of two and three have as many latencies as rings."""
    assert chosen(AllReduce, n, 0) == "ring"


def test_a_tie_of_a_hierarchy_is_a_rings_whatever_the_rounding() -> None:
    """Without latency both take 2 (n-1)/n S/B; they are not summed in the same order."""
    for size, width in product((10**6, 10**6 + 1, 12_345_677, 7), (2, 3, 5, 7)):
        nodes = [member // width for member in range(3 * width)]
        assert choose(AllReduce, 3 * width, size, B, 0.0, nodes=nodes, inside=Link(bandwidth=B)) == "ring"


def test_on_nodes_with_several_members_a_hierarchy() -> None:
    """8 GB: a ring is 14/8 S/B outside; a hierarchy is 2/8 S/B outside, and 6/4 S inside at a hundred times that."""
    assert chosen(AllReduce, 8, 8 * 10**9, nodes=TWO_NODES, inside=INSIDE) == "hierarchical"
    assert seconds(
        AllReduce, 8, 8 * 10**9, B, L, algorithm="hierarchical", num_nodes=2, inside=INSIDE
    ) == pytest.approx(2 * L + 2.0 + 6 * 1e-6 + 0.12, rel=1e-12)


def test_no_hierarchy_where_it_is_slower() -> None:
    """Two nodes of 16: 32 latencies, where a tree has 10."""
    nodes = [member // 16 for member in range(32)]
    assert chosen(AllReduce, 32, 0, nodes=nodes) == "tree"
    assert chosen(AllReduce, 32, 10**8, nodes=nodes, inside=Link(bandwidth=B / 2)) == "ring"


@pytest.mark.parametrize(
    "nodes",
    [None, [0] * 8, list(range(8)), [0, 0, 0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2, 2, 2]],
    ids=["no nodes", "one node", "a node each", "5 and 3", "2, 2 and 4"],
)
def test_no_hierarchy_without_several_nodes_of_equally_many(nodes: Any) -> None:
    assert chosen(AllReduce, 8, 8 * 10**9, nodes=nodes, inside=INSIDE) == "ring"


def test_a_broadcast_is_a_tree_for_few_bytes_and_a_chain_for_many() -> None:
    """Of 8: a tree takes 3 (L + S/B), a chain of k segments (6 + k) (L + S/(k B)); with two each or less, the tree."""
    assert [chosen(Broadcast, 8, size) for size in (0, 10**6, 2 * 10**6, 10**8)] == ["tree", "tree", "chain", "chain"]
    assert chosen(Broadcast, 2, 100) == "tree"  # a chain is the same


@pytest.mark.parametrize("size", [0, 10**8])
def test_the_others_have_one(size: int) -> None:
    kinds = (ReduceScatter, AllGather, AllToAll, Barrier)
    assert [chosen(kind, 16, size) for kind in kinds] == ["ring", "ring", "pairwise", "dissemination"]


@pytest.mark.parametrize("size", [0, 10**8])
@pytest.mark.parametrize("kind", KINDS.values())
def test_gloo_has_its_own_at_every_size(kind: type[Operation], size: int) -> None:
    found = chosen(kind, 8, size, transport=TRANSPORTS["gloo"], nodes=TWO_NODES, inside=INSIDE)
    own = {ReduceScatter: "all-reduce", Broadcast: "tree-at-once"}  # as in its source and torch's
    assert found == own.get(kind, next(iter(ALGORITHMS[kind.__name__])))


@pytest.mark.parametrize(("kind", "algorithm"), [(kind, algorithm) for kind in KEYS for algorithm in ALGORITHMS[kind]])
@pytest.mark.parametrize("transport", ["ideal", "gloo"])
def test_what_is_asked_for_is_taken(kind: str, algorithm: str, transport: str) -> None:
    table = CollectivesTable.model_validate({KEYS[kind]: algorithm})
    for size in (0, 10**8):
        assert chosen(KINDS[kind], 8, size, table=table, transport=transport, nodes=TWO_NODES) == algorithm


def test_what_is_asked_for_one_collective_is_for_no_other() -> None:
    table = CollectivesTable(all_reduce="halving-doubling")
    assert [chosen(kind, 8, 10**8, table=table) for kind in (ReduceScatter, AllGather, Barrier)] == [
        *("ring", "ring", "dissemination")
    ]


def test_a_hierarchy_asked_for_on_unequal_nodes_is_refused() -> None:
    table = CollectivesTable(all_reduce="hierarchical")
    with pytest.raises(ValueError, match=r"platform\.collectives\.all_reduce = 'hierarchical': .* found 2, 1"):
        chosen(AllReduce, 3, 100, table=table, nodes=["a", "a", "b"])


@pytest.mark.parametrize("nodes", [None, list(range(8)), [0] * 8])
def test_a_hierarchy_of_one_level_is_a_ring(nodes: Any) -> None:
    table = CollectivesTable(all_reduce="hierarchical")
    assert chosen(AllReduce, 8, 840, table=table, nodes=nodes) == "hierarchical"
    num_nodes = None if nodes is None else len(set(nodes))
    taken = seconds(
        AllReduce, 8, 840, B, L, algorithm="hierarchical", num_nodes=num_nodes, inside=Link(bandwidth=B, latency=L)
    )
    assert taken == pytest.approx(14 * (L + 105 / B), rel=1e-12)


def test_under_gloo_other_algorithms_pay_two_latencies_and_the_overhead_a_hop() -> None:
    """Only its own ring works in segments."""
    c = 200e-6
    found = gloo_seconds(AllReduce, 8, 8 * 10**6, B, L, c, algorithm="halving-doubling")
    assert found == pytest.approx(6 * (2 * L + c) + 14e-3, rel=1e-12)
    found = gloo_seconds(AllReduce, 8, 8 * 10**6, B, L, c, algorithm="hierarchical", num_nodes=2, inside=INSIDE)
    assert found == pytest.approx(6 * (2e-6 + c + 2e6 / 100e9) + 2 * (2 * L + c + 1e-3), rel=1e-12)
    assert gloo_seconds(AllReduce, 8, 8 * 10**6, B, L, c, algorithm="ring") == gloo_seconds(
        AllReduce, 8, 8 * 10**6, B, L, c
    )
