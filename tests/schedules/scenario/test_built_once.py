"""A scenario builds its graph, its network and its problem once, and all runs of it share them."""

import copy
import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch

import topologies
from schedules.scenario import Scenario, build_problem, communication_graph, load, physical_network
from schedules.setup import Setup
from schedules.training import problems
from simulator import simulate
from simulator.sweep import plan
from topologies import described

TABLES = {
    "schedule": {"program": "gossip", "gradients": 4},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {"gradient": {"mean": 0.1}, "network": {"kind": "dedicated"}},
    "workload": {"problem": "quadratic", "options": {"dimension": 3}},
}


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often what was built."""
    counts: Counter[str] = Counter()

    def counted(name: str, build: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            counts[name] += 1
            return build(*arguments, **options)

        return call

    for module, name in ((described, "build"), (topologies, "build_network"), (problems, "build_problem")):
        monkeypatch.setattr(module, name, counted(name, getattr(module, name)))
    return counts


ONCE = {"build": 1, "build_network": 1, "build_problem": 1}


def test_loading_and_simulating_build_everything_once(builds: Counter[str]) -> None:
    resolved = load(TABLES)
    assert builds == ONCE
    simulate(resolved)
    simulate(resolved)
    assert builds == ONCE


def test_a_problem_with_other_arrays_is_the_setups_own(builds: Counter[str]) -> None:
    resolved = load(TABLES)
    setup = Setup(resolved, xp=torch)
    assert builds == {**ONCE, "build_problem": 2}
    assert setup.problem is not resolved.problem
    assert setup.graph is resolved.graph


def test_a_timing_run_of_a_problem_has_none(builds: Counter[str]) -> None:
    resolved = load(TABLES, {"run.numerics": False})
    assert Setup(resolved).problem is None
    assert (resolved.num_parameters, resolved.parameter_bytes) == (3, 12)
    assert builds == ONCE


def test_a_sweep_resolves_each_case_once(builds: Counter[str]) -> None:
    assert len(plan({**TABLES, "sweep": {"schedule.rate": [1, 2, 3]}})) == 3
    assert builds == dict.fromkeys(ONCE, 3)


def test_what_runs_share_cannot_be_changed() -> None:
    resolved = load(TABLES)
    result = simulate(resolved)
    for graph in (result.network, resolved.graph, resolved.network):
        assert nx.is_frozen(graph)
        with pytest.raises(nx.NetworkXError, match="Frozen graph"):
            graph.remove_edge(0, 1)
    again = simulate(resolved)
    assert again.summary == result.summary
    np.testing.assert_array_equal(again.parameters, result.parameters)


def test_who_builds_anew_may_change_it() -> None:
    resolved = load(TABLES)
    for graph in (communication_graph(resolved), physical_network(resolved)):
        graph.remove_edge(0, 1)
    assert resolved.graph.has_edge(0, 1)
    assert resolved.network.has_edge(0, 1)


def test_a_copy_with_other_tables_builds_its_own() -> None:
    resolved = load(TABLES)
    run, topology = (resolved.run.model_copy(update={"seed": 1}), resolved.topology.model_copy(update={"workers": 5}))
    other = resolved.model_copy(update={"run": run, "topology": topology})
    assert (len(other.graph), len(other.network)) == (5, 5)
    start, moved = resolved.problem.centres[0], other.problem.centres[0]
    assert not np.array_equal(start, moved)
    np.testing.assert_array_equal(moved, build_problem(other).centres[0])


@pytest.mark.parametrize(
    "copied",
    [lambda each: pickle.loads(pickle.dumps(each)), copy.copy, copy.deepcopy],
    ids=["pickled", "copied", "deep"],
)
def test_a_scenario_travels(copied: Callable[[Scenario], Scenario]) -> None:
    resolved = load(TABLES)
    there: Any = copied(resolved)
    assert there == resolved
    assert there.fingerprint() == resolved.fingerprint()
    assert simulate(there).summary == simulate(resolved).summary
