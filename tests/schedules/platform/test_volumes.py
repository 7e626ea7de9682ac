"""Bytes and latencies of collectives, and bandwidths as nccl-tests count them: numbers worked out by hand."""

from __future__ import annotations

import pytest

from schedules.platform.volumes import (
    ALGORITHMS,
    SEGMENT,
    algbw,
    busbw,
    bytes_sent,
    children_on_the_way,
    cost,
    default_algorithm,
    depth,
    folded,
    latency_rounds,
    num_segments,
)

GB = 10**9

COSTS = [
    # collective, algorithm, ranks: latencies in sequence, bytes in sequence / S
    ("AllReduce", "ring", 2, 2, 1.0),
    ("AllReduce", "ring", 8, 14, 1.75),
    ("AllReduce", "tree", 8, 6, 6.0),
    ("AllReduce", "tree", 9, 8, 8.0),
    ("AllReduce", "halving-doubling", 8, 6, 1.75),
    ("AllReduce", "halving-doubling", 6, 6, 3.5),  # p = 4: 2 log2 4 + 2; 2 * 3/4 + 2
    ("AllReduce", "direct", 8, 2, 1.75),
    ("ReduceScatter", "ring", 8, 7, 0.875),
    ("ReduceScatter", "halving", 8, 3, 0.875),
    ("ReduceScatter", "halving", 5, 4, 2.2),  # whole, then 3 of 5 parts, 2 parts, 1 part back: 11/5
    ("AllGather", "ring", 8, 7, 7.0),
    ("AllGather", "doubling", 8, 3, 7.0),
    ("AllGather", "doubling", 5, 3, 4.0),
    ("Broadcast", "tree", 8, 3, 3.0),
    ("Broadcast", "tree", 5, 3, 3.0),
    ("Broadcast", "chain", 8, 7, 7.0),  # one segment: as slow as it can be
    ("AllToAll", "pairwise", 8, 7, 0.875),
    ("AllToAll", "direct", 8, 1, 0.875),
    ("Barrier", "dissemination", 8, 3, 0.0),
    ("Barrier", "dissemination", 9, 4, 0.0),
]


@pytest.mark.parametrize(("kind", "algorithm", "n", "latencies", "in_sequence"), COSTS)
def test_costs(kind: str, algorithm: str, n: int, latencies: int, in_sequence: float) -> None:
    assert latency_rounds(kind, algorithm, n) == latencies
    assert cost(kind, algorithm, n, 1000).in_sequence == pytest.approx(1000 * in_sequence, rel=1e-15)


def test_a_hierarchy_has_the_latencies_of_its_levels() -> None:
    """4 nodes of 8: 2 * 7 inside, 2 * 3 outside; the bytes are a ring's."""
    assert latency_rounds("AllReduce", "hierarchical", 32, num_nodes=4) == 20
    found, ring = cost("AllReduce", "hierarchical", 32, 320, num_nodes=4), cost("AllReduce", "ring", 32, 320)
    assert found[1:] == ring[1:] == (620.0, 620.0)


def test_a_chain_has_more_latencies_for_more_segments() -> None:
    """Ten segments on eight ranks: the last leaves the root after ten, and has six more hops to go."""
    assert latency_rounds("Broadcast", "chain", 8, 10 * SEGMENT) == 16
    assert cost("Broadcast", "chain", 8, 10 * SEGMENT).in_sequence == 16 * SEGMENT
    assert [num_segments(size) for size in (0, 1, SEGMENT, SEGMENT + 1)] == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("n", "children"),
    [(2, [1]), (3, [2]), (4, [2, 1]), (5, [3, 1]), (6, [3, 2]), (7, [3, 2]), (8, [3, 2, 1]), (9, [4, 2, 1])],
)
def test_a_tree_at_once_ends_below_the_parents_with_most_children(n: int, children: list[int]) -> None:
    """Of 7: 0 sends to 1, 2, 4, then 1 to 3 and 5, while 2 sends to 6; of 9 the root has four, 1 has 3 and 5."""
    assert children_on_the_way(n) == children
    assert cost("Broadcast", "tree-at-once", n, 100) == (len(children), 100 * sum(children), 100 * (n - 1) / n)


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_alone_nothing_is_sent(kind: str) -> None:
    assert [cost(kind, algorithm, 1, 100) for algorithm in ALGORITHMS[kind]] == [(0, 0, 0)] * len(ALGORITHMS[kind])


SENT = {"AllReduce": 1500, "ReduceScatter": 750, "AllGather": 3000, "Broadcast": 750, "AllToAll": 750, "Barrier": 0}


@pytest.mark.parametrize(("kind", "sent"), SENT.items())
def test_bytes_that_one_of_four_ranks_sends(kind: str, sent: int) -> None:
    found = {algorithm: bytes_sent(kind, 4, 1000, algorithm) for algorithm in ALGORITHMS[kind]}
    expected = dict.fromkeys(ALGORITHMS[kind], sent)
    if kind == "ReduceScatter":
        expected["all-reduce"] = 1500  # of which each keeps its part
    assert found == expected
    assert bytes_sent(kind, 4, 1000) == sent


@pytest.mark.parametrize("algorithm", ALGORITHMS["AllReduce"])
def test_what_members_send_adds_up_to_the_byte(algorithm: str) -> None:
    """Three ranks with 160 bytes: 2 * 160 * 2 = 640 in all, which three do not divide."""
    sent = [bytes_sent("AllReduce", 3, 160, algorithm, place=place) for place in range(3)]
    assert sum(sent) == 640
    assert sorted(sent) == [213, 213, 214]


def test_halving_sends_more_where_ranks_are_no_power_of_two() -> None:
    """Of 5, in parts: one hands over 5; in two rounds the four left swap 2 * 5 and (2 + 1) + (1 + 1); 1 goes back."""
    assert bytes_sent("ReduceScatter", 5, 2500, "halving") == (5 + 10 + 5 + 1) * 500 / 5
    assert bytes_sent("ReduceScatter", 5, 2500, "ring") == 2000


def test_the_usual_algorithm_is_the_first() -> None:
    assert [default_algorithm(kind) for kind in ALGORITHMS] == [
        *("ring", "ring", "ring", "tree", "pairwise", "dissemination")
    ]


def test_powers_of_two() -> None:
    assert [depth(n) for n in (1, 2, 3, 4, 5, 8, 9)] == [0, 1, 2, 2, 3, 3, 4]
    assert [folded(n) for n in (1, 2, 3, 4, 7, 8, 9)] == [(1, 0), (2, 0), (2, 1), (4, 0), (4, 3), (8, 0), (8, 1)]


# ---- nccl-tests, doc/PERFORMANCE.md

BANDWIDTHS = [
    # collective, ranks, bytes a rank here, seconds: algbw and busbw in GB/s
    ("AllReduce", 8, 8 * GB, 2.0, 4.0, 7.0),  # 8 GB / 2 s; * 2 * 7/8
    ("AllReduce", 2, 8 * GB, 2.0, 4.0, 4.0),
    ("ReduceScatter", 8, 8 * GB, 2.0, 4.0, 3.5),  # S is the whole input, of which each gets 1 GB
    ("AllGather", 8, 1 * GB, 2.0, 4.0, 3.5),  # S is the whole output: 8 times 1 GB
    ("AllToAll", 8, 8 * GB, 2.0, 4.0, 3.5),  # S is what a rank has for all
    ("Broadcast", 8, 8 * GB, 2.0, 4.0, 4.0),
]


@pytest.mark.parametrize(("kind", "n", "size", "seconds", "expected_algbw", "expected_busbw"), BANDWIDTHS)
def test_bandwidths_as_in_nccl_tests(
    kind: str, n: int, size: int, seconds: float, expected_algbw: float, expected_busbw: float
) -> None:
    assert algbw(kind, n, size, seconds) == pytest.approx(expected_algbw * GB, rel=1e-15)
    assert busbw(kind, n, size, seconds) == pytest.approx(expected_busbw * GB, rel=1e-15)


@pytest.mark.parametrize("kind", ["AllReduce", "ReduceScatter", "AllGather", "AllToAll"])
@pytest.mark.parametrize("n", [2, 3, 16])
def test_busbw_of_the_usual_algorithm_without_latency_is_the_bandwidth_of_a_link(kind: str, n: int) -> None:
    """What busbw is made for."""
    bandwidth = 12.5 * GB
    seconds = cost(kind, default_algorithm(kind), n, 10**6).in_sequence / bandwidth
    assert busbw(kind, n, 10**6, seconds) == pytest.approx(bandwidth, rel=1e-12)


# ---- refusals


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one of AllReduce, .*, found 'Send'"):
        bytes_sent("Send", 4, 100)
    with pytest.raises(ValueError, match=r"AllReduce: expected one of ring, .*, found 'rings'"):
        cost("AllReduce", "rings", 4, 100)


def test_nodes_must_divide_the_ranks() -> None:
    with pytest.raises(ValueError, match="expected a number of nodes that divides 8 ranks, found 3"):
        latency_rounds("AllReduce", "hierarchical", 8, num_nodes=3)


def test_a_bandwidth_needs_bytes_and_a_time() -> None:
    with pytest.raises(ValueError, match=r"expected a collective that carries bytes .*, found 'Barrier'"):
        busbw("Barrier", 4, 0, 1.0)
    with pytest.raises(ValueError, match=r"expected a time above 0 s, found 0\.0"):
        algbw("AllReduce", 1, 100, 0.0)
