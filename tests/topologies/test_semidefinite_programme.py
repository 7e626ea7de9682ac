"""The optimal rates against the semidefinite programme itself (gossip.md, section 6.6), solved by cvxpy."""

import networkx as nx
import numpy as np
import pytest

from topologies import build, optimal_rates
from topologies.rates import communication_cost, optimise

# Of cvxpy, where its solver stops short of 1e-8; what is compared here is 1e-5, by which it would be seen.
pytestmark = pytest.mark.filterwarnings("ignore:Solution may be inaccurate")
cp = pytest.importorskip("cvxpy", reason="needs cvxpy (extra dev)")

CASES = [
    ("path", 2, {}),
    ("path", 5, {}),
    ("path", 12, {}),
    ("barbell", 8, {}),
    ("barbell", 11, {"bridge": 3}),
    ("barbell", 12, {}),
    ("grid", 6, {}),
    ("grid", 12, {}),
    *(("erdos_renyi", 12, {"seed": seed}) for seed in range(4)),
    *(("random_geometric", 10, {"seed": seed}) for seed in range(4)),
    ("watts_strogatz", 12, {"seed": 2}),
]
TREES = [nx.random_labeled_tree(n, seed=seed) for n, seed in ((6, 0), (9, 1), (12, 2), (12, 3))]
EDGE_TRANSITIVE = [("ring", 7), ("ring", 12), ("star", 9), ("complete", 6), ("hypercube", 8)]


def least_sum(graph):
    """Minimise sum lambda with 2 chi_1 chi_2 <= 1. Section 6.6 searches 1/a; as the programme is linear in it, it is
    one variable more."""
    n, edges = len(graph), sorted(graph.edges)
    ends = [np.eye(n)[i] - np.eye(n)[j] for i, j in edges]
    rates, level = cp.Variable(len(edges), nonneg=True), cp.Variable((1, 1))
    constant = np.full((n, n), 1 / n)
    matrix = sum(rate * np.outer(end, end) for rate, end in zip(rates, ends, strict=True))
    constraints = [matrix - level[0, 0] * (np.eye(n) - constant) >> 0]
    constraints += [cp.bmat([[matrix + constant, end[:, None]], [end[None, :], level]]) >> 0 for end in ends]
    problem = cp.Problem(cp.Minimize(cp.sum(rates)), constraints)
    problem.solve(solver="CLARABEL")
    assert problem.status.startswith("optimal")  # or optimal_inaccurate: it stops short of its 1e-8
    return problem.value


def check(graph):
    least, best = least_sum(graph), optimise(graph)
    found = optimal_rates(graph)
    assert communication_cost(found) == pytest.approx(found.graph["sum_of_rates"], rel=1e-9)
    assert least * (1 - 1e-5) <= found.graph["sum_of_rates"] <= least * (1 + 1e-5)
    assert best.lower_bound <= least * (1 + 1e-6)


@pytest.mark.parametrize(("name", "n", "options"), CASES)
def test_families(name, n, options):
    check(build(name, n, **options))


@pytest.mark.parametrize("tree", TREES)
def test_trees(tree):
    check(tree)


@pytest.mark.parametrize(("name", "n"), EDGE_TRANSITIVE)
def test_edge_transitive_graphs_have_uniform_rates(name, n):
    graph = build(name, n)
    check(graph)
    rates = nx.get_edge_attributes(optimal_rates(graph), "rate").values()
    assert max(rates) == pytest.approx(min(rates), rel=1e-12)
