"""chi_1 and chi_2 of large graphs, by elimination: beside dense matrices and closed forms; and who asks for them."""

import math
from collections.abc import Iterator

import networkx as nx
import numpy as np
import pytest

import topologies
from simulator import simulate
from topologies import spectral
from topologies.elimination import Elimination

FAMILIES = ("ring", "path", "star", "complete", "exponential", "torus", "random-regular", "watts-strogatz", "barbell")


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Whatever other tests have asked for."""
    spectral._RECENT.clear()
    yield
    spectral._RECENT.clear()


def rated(graph: nx.Graph, seed: int = 0) -> nx.Graph:
    """The graph with rates from a thousandth to a thousand."""
    draw = np.random.default_rng(seed)
    for *_, data in graph.edges(data=True):
        data["rate"] = float(10 ** draw.uniform(-3, 3))
    return graph


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("workers", [6, 36, 100])
def test_by_elimination_as_by_matrices(family: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 100 workers the complete graph is all core, the path none; both sides of what is inverted are met."""
    graph = rated(topologies.build(family, workers), workers)
    dense = topologies.chi_1(graph), topologies.chi_2(graph), spectral.effective_resistances(graph)
    spectral._RECENT.clear()
    monkeypatch.setattr(spectral, "MOST_DENSE", 3)
    assert topologies.chi_1(graph) == pytest.approx(dense[0], rel=1e-9)
    assert topologies.chi_2(graph) == pytest.approx(dense[1], rel=1e-9)
    # Differences of large numbers either way: what rounding leaves goes by the largest.
    assert spectral.effective_resistances(graph) == pytest.approx(dense[2], rel=0, abs=1e-9 * 2 * dense[1])


def test_what_is_left_is_inverted_where_it_is_dense() -> None:
    def left(family: str) -> int:
        return len(Elimination(100, *spectral.active_edges(topologies.with_rates(topologies.build(family, 100))))._core)

    assert [left(family) for family in ("path", "ring", "star", "complete")] == [1, 1, 1, 100]


def test_a_large_ring_and_a_large_star_have_their_closed_forms() -> None:
    n = 1500
    ring, star = (topologies.with_rates(topologies.build(name, n)) for name in ("ring", "star"))
    assert topologies.chi_1(ring) == pytest.approx(1 / (1 - math.cos(2 * math.pi / n)), rel=1e-9)
    assert topologies.chi_1(star) == pytest.approx(2 * (n - 1) / n, rel=1e-9)
    assert [topologies.chi_2(each) for each in (ring, star)] == pytest.approx([(n - 1) / n] * 2, rel=1e-9)


@pytest.mark.slow
def test_a_large_random_graph_has_fosters_sum() -> None:
    graph = rated(topologies.build("random-regular", 1100))
    resistances = spectral.effective_resistances(graph)
    assert sum(graph.edges[edge]["rate"] * each for edge, each in resistances.items()) == pytest.approx(1099, rel=1e-9)


def test_a_solution_satisfies_its_equation() -> None:
    graph = rated(topologies.build("random-regular", 60))
    b = np.random.default_rng(0).normal(size=60)
    x = Elimination(60, *spectral.active_edges(graph)).solve(b)
    residual = topologies.laplacian(graph) @ x - (b - b.mean())
    assert np.abs(residual).max() < 1e-9 * np.abs(topologies.laplacian(graph)).max() * np.abs(x).max()
    assert abs(x.mean()) < 1e-12 * np.abs(x).max()


def test_a_graph_that_was_changed_has_other_numbers() -> None:
    graph = topologies.with_rates(topologies.build("ring", 8))
    before = topologies.chi_1(graph), topologies.chi_2(graph)
    for *_, data in graph.edges(data=True):
        data["rate"] *= 2
    assert (topologies.chi_1(graph), topologies.chi_2(graph)) == pytest.approx([each / 2 for each in before])


def test_a_disconnected_graph_is_refused_however_often() -> None:
    graph = topologies.with_rates(topologies.build("ring", 4))
    for edge in ((0, 1), (2, 3)):
        graph.edges[edge]["rate"] = 0.0
    for _ in range(2):
        with pytest.raises(ValueError, match="connected"):
            topologies.chi_1(graph)


# ---- who asks

TABLES = {
    "schedule": {"program": "a2cid2", "gradients": 3},
    "topology": {"graph": "ring", "workers": 6},
    "platform": {"gradient": {"mean": "10 ms"}},
}


def test_all_workers_of_a_numeric_run_ask_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    slowest = spectral._Spectrum._slowest_mode
    monkeypatch.setattr(spectral._Spectrum, "_slowest_mode", lambda self: (asked.append(self), slowest(self))[1])
    simulate({**TABLES, "workload": {"problem": "quadratic", "options": {"dimension": 2}}})
    assert len(asked) == 1


def test_a_timing_only_run_asks_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral, "_kept", lambda graph: pytest.fail("a timing-only run has no use for it"))
    assert simulate({**TABLES, "workload": {"parameters": 1000}}).summary["gradients"] == 18
