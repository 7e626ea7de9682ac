"""Clocks and random streams: keyed by what they are for, the same at both ends."""

import networkx as nx
import numpy as np
import pytest

from schedules.clocks import Clocks, Poisson, StreamKey, stream


def ring(workers: int, rate: float = 0.5) -> nx.Graph:
    graph = nx.cycle_graph(workers)
    nx.set_edge_attributes(graph, rate, "rate")
    return graph


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32, 2**40 + 3, 2**63 - 1])
def test_a_stream_is_numpys_of_the_whole_numbers(seed: int) -> None:
    i, j = 2**32 - 1, 12  # a checksum of a kernel's name may be that large
    expected = np.random.default_rng([seed, int(StreamKey.EDGE), i, j]).random(4)
    assert stream(seed, StreamKey.EDGE, i, j).random(4).tolist() == expected.tolist()


def test_both_ends_of_an_edge_see_the_same_ticks() -> None:
    clocks = Clocks(ring(5), seed=7, horizon=40.0)
    ticks = {rank: list(clocks.edges(rank)) for rank in range(5)}
    for rank, mine in ticks.items():
        for time, peer, index in mine:
            assert (time, rank, index) in ticks[peer]


def test_ticks_are_in_the_global_order_of_time_and_edge() -> None:
    ticks = list(Clocks(ring(6), seed=1, horizon=100.0).edges(2))
    assert ticks == sorted(ticks, key=lambda tick: (tick[0], min(2, tick[1]), max(2, tick[1])))
    assert 70 < len(ticks) < 130  # Poisson of mean 100


def test_an_added_edge_moves_no_other_clock() -> None:
    small, large = ring(6), ring(6)
    large.add_edge(0, 3, rate=0.5)
    before, after = (Clocks(graph, seed=3, horizon=30.0) for graph in (small, large))
    for edge in small.edges:
        assert np.array_equal(before.edge(*edge), after.edge(*edge))


def test_a_longer_horizon_only_adds_ticks() -> None:
    short, long = (Poisson(stream(1, StreamKey.EDGE, 0, 1), 0.5).until(horizon) for horizon in (20.0, 200.0))
    assert np.array_equal(short, long[: len(short)])


@pytest.mark.parametrize("ahead", [0.3, 7.7, 100.0, 1e9])
def test_ticks_are_the_same_however_far_ahead_they_are_drawn(ahead: float) -> None:
    whole, pieces = Clocks(ring(5), seed=2, horizon=100.0), Clocks(ring(5), seed=2, horizon=100.0, ahead=ahead)
    for rank in range(5):
        assert list(whole.edges(rank)) == list(pieces.edges(rank))
        assert list(whole.gradient(rank)) == list(pieces.gradient(rank))


def test_both_ends_see_the_same_ticks_at_whatever_pace_they_go() -> None:
    clocks = Clocks(ring(3), seed=7, horizon=1e12, ahead=10.0)
    near, far = clocks.edges(0), clocks.edges(1)
    seen = [next(far) for _ in range(500)]
    common = [(time, index) for time, peer, index in seen if peer == 0]
    ticks = (tick for tick in near if tick[1] == 1)
    assert [(time, index) for time, _, index in (next(ticks) for _ in common)] == common


def test_poisson_counts_have_the_right_mean_and_variance() -> None:
    counts = [len(Poisson(stream(seed, StreamKey.EDGE), 0.7).until(50.0)) for seed in range(2000)]
    assert np.mean(counts) == pytest.approx(35, abs=3 * np.sqrt(35 / 2000))
    assert np.var(counts) == pytest.approx(35, rel=0.12)


def test_a_rate_of_zero_never_ticks() -> None:
    assert len(Poisson(stream(0, StreamKey.EDGE), 0.0).until(100.0)) == 0
