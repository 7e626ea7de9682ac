"""Pipelines without a flush run a module for real: their parameters are those of their papers' rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from executor.launching.launch import Ranks, execute
from schedules.errors import ScenarioError
from schedules.result import Result
from simulator import simulate
from tests.worlds.pipelines import emulated, streams

RATE, STAGES, NUM = 0.02, 4, 24
MODULES = "tests.worlds.pipelines.streams"


class Case(NamedTuple):
    """A run: its keys, its model, and its rule.

    Attributes:
        rule: version by stage and micro-batch; None: tick by tick.
        behind: updates between forward and backward pass, by stage: the least and the most.
    """

    program: str
    keys: dict[str, Any]
    model: str
    rule: emulated.Version | None
    behind: list[tuple[int, int]]


def upto(*most: int) -> list[tuple[int, int]]:
    return [(0, each) for each in most]


CASES = {
    "pipedream": Case("pipedream", {}, "Layers", emulated.pipedream(STAGES), upto(3, 2, 1, 0)),
    "pipedream, accumulate 2": Case(
        "pipedream", {"accumulate": 2}, "Layers", emulated.pipedream(STAGES, 2), upto(2, 1, 1, 0)
    ),
    "vertical sync": Case(
        "pipedream", {"vertical_sync": True}, "Layers", emulated.vertical_sync(STAGES), upto(3, 3, 3, 3)
    ),
    "2bw": Case(
        "pipedream-2bw", {"accumulate": 4}, "Layers", emulated.double_buffered(4), upto(1, 1, 1, 1)
    ),
    "delayed": Case("delayed-gradients", {}, "Layers", emulated.delayed(STAGES), upto(6, 4, 2, 0)),
    "delayed, accumulate 2": Case(
        "delayed-gradients", {"accumulate": 2}, "Layers", emulated.delayed(STAGES, 2), upto(3, 2, 1, 0)
    ),
    "delayed, checkpoint": Case("delayed-gradients", {"checkpoint": True}, "Layers", None, upto(6, 4, 2, 0)),
    "delayed, checkpoint, accumulate 2": Case(
        "delayed-gradients", {"checkpoint": True, "accumulate": 2}, "Layers", None, upto(3, 2, 1, 0)
    ),
    "petra": Case("petra", {}, "Reversible", None, upto(6, 4, 2, 0)),
    "petra, accumulate 2": Case("petra", {"accumulate": 2, "buffered": [1]}, "Mixed", None, upto(3, 2, 1, 0)),
    "petra, accumulate 4": Case("petra", {"accumulate": 4, "buffered": [0, 2]}, "Others", None, upto(2, 1, 1, 0)),
    "pipedream, two replicas": Case(
        "pipedream", {"replicas": 2}, "Layers", emulated.pipedream(STAGES), upto(3, 2, 1, 0)
    ),
    "2bw, two replicas": Case(
        "pipedream-2bw", {"accumulate": 4, "replicas": 2}, "Layers", emulated.double_buffered(4), upto(1, 1, 1, 1)
    ),
    "petra, two replicas": Case("petra", {"replicas": 2, "accumulate": 2}, "Reversible", None, upto(3, 2, 1, 0)),
    "petra, no inverse": Case("petra", {"buffered": [0, 1, 2]}, "Layers", None, upto(6, 4, 2, 0)),
}  # fmt: skip
"""With one engine: what a run does then does not depend on when."""

FREE = {
    "delayed, two engines": Case("delayed-gradients", {"engines": 2}, "Layers", emulated.delayed(STAGES), []),
    "delayed, overlapped last": Case(
        "delayed-gradients",
        {"engines": 2, "overlap_last": True},
        "Layers",
        emulated.delayed(STAGES, overlap_last=True),
        [],
    ),
    "delayed, two engines, checkpoint": Case(
        "delayed-gradients", {"engines": 2, "checkpoint": True}, "Layers", None, []
    ),
    "petra, two engines": Case("petra", {"engines": 2, "buffered": [1]}, "Mixed", None, []),
    "petra, two engines, accumulate 2": Case("petra", {"engines": 2, "accumulate": 2}, "Reversible", None, []),
}
"""With two engines a forward and a backward pass of a tick may swap: by the simulated trace they do not."""


def scenario(case: Case, **workload: Any) -> dict[str, Any]:
    model = getattr(streams, case.model)(0, STAGES, 0)
    sizes = [sum(each.numel() for each in stage.parameters()) for stage in model.stages]
    return {
        "schedule": {"program": case.program, "micro_batches": NUM // 2, "iterations": 2, **case.keys},
        "topology": {"workers": STAGES * case.keys.get("replicas", 1)},
        "platform": {
            "kernels": {"forward": "1 ms", "backward": "2 ms", "reconstruct": "1 ms"},
            "transport": "latency",
            "link": {"bandwidth": "1 TB/s", "latency": 0.0},
        },
        "workload": {
            "module": f"{MODULES}:{case.model}",
            "dtype": "float64",
            "parameters": sizes,
            "boundary": f"{5 * 2 * streams.WIDTH * 8} B",
            **workload,
        },
        "optimizer": {"learning_rate": RATE},
        "execution": {"timeout": "30 s"},
    }


def expected(case: Case) -> Any:
    """The parameters of all stages, one behind the other. What replicas do beside each other is one larger batch."""
    model, replicas = getattr(streams, case.model)(0, STAGES, 0), case.keys.get("replicas", 1)
    beside = [[model.batch(replicas * k + q) for q in range(replicas)] for k in range(NUM)]
    batches = [tuple(map(torch.cat, zip(*each, strict=True))) for each in beside]
    accumulate = case.keys.get("accumulate", 1)

    def loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return model.loss(outputs, targets) / replicas

    if case.rule is not None:
        found = emulated.at_versions(model.stages, batches, loss, RATE, case.rule, accumulate)
    else:
        found = emulated.ticks(model.stages, batches, loss, RATE, accumulate)
    return torch.cat(found).numpy()


QUICK = {
    "pipedream, two replicas",
    "vertical sync",
    "2bw",
    "delayed, checkpoint",
    "petra, accumulate 2",
    "petra, two engines",
}


def some_slow(cases: Iterable[str]) -> list[Any]:
    """Those of them that differ most run always."""
    return [each if each in QUICK else pytest.param(each, marks=pytest.mark.slow) for each in cases]


Run = Callable[..., Result]


@pytest.fixture
def executed(ranks: Ranks) -> Run:
    return lambda given, **options: execute(given, ranks=ranks, **options)


@pytest.mark.parametrize("case", some_slow(CASES))
def test_parameters_are_those_of_the_rule(case: str, executed: Run, tmp_path: Path) -> None:
    """Free, and by a simulated trace; the simulator follows the run, too."""
    found = executed(scenario(CASES[case]))
    wanted = expected(CASES[case])
    assert found.parameters is not None
    np.testing.assert_allclose(found.parameters[0], wanted, rtol=0, atol=1e-12)
    behind = found.summary["stage_staleness"]
    assert [(each["min"], each["max"]) for each in behind] == CASES[case].behind
    _follow(CASES[case], found, wanted, executed, tmp_path)


@pytest.mark.parametrize("case", some_slow(FREE))
def test_two_engines_by_the_simulated_trace_are_the_rule(case: str, executed: Run, tmp_path: Path) -> None:
    _follow(FREE[case], executed(scenario(FREE[case])), expected(FREE[case]), executed, tmp_path)


def _follow(case: Case, one: Result, wanted: Any, executed: Run, place: Path) -> None:
    """Each world follows the other."""
    given = scenario(case)
    again = simulate(given, replay=one.save(place / "measured"))
    assert _updates(again) == _updates(one)
    other = simulate(given)
    followed = executed(given, replay=other.save(place / "simulated"))
    assert followed.parameters is not None
    np.testing.assert_allclose(followed.parameters[0], wanted, rtol=0, atol=1e-12)


def _updates(run: Result) -> list[list[int]]:
    """What counts of every gradient: where, which version it was taken at and which it made."""
    assert run.trace is not None
    applied = run.trace[run.trace["op"] == "Apply"]
    return sorted(applied[["stage", "rank", "index", "version_read", "version_written"]].to_numpy().tolist())


def test_statistics_of_batch_norms_change_in_backward_passes_only(executed: Run) -> None:
    """Of the inputs that a backward pass works out: those that the forward pass has seen are not counted."""
    case = Case("petra", {"buffered": [2]}, "Normed", None, [])
    found = executed(scenario(case))
    model = streams.NormedInGraphs(0, STAGES, 0)
    emulated.ticks(model.stages, [model.batch(k) for k in range(NUM)], model.loss, RATE)
    wanted = model.evaluate(torch.nn.Sequential(*model.stages))
    assert len(wanted) == 8  # a mean and a variance of each
    assert {name: found.summary[f"module_{name}"] for name in wanted} == pytest.approx(wanted, rel=1e-9)
    assert found.parameters is not None
    np.testing.assert_allclose(found.parameters[0], expected(case), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("Dropping", r"stage 2: expected one that draws nothing \(dropout\), .* found one that draws random numbers$"),
        ("WrongInverse", r"stage 1: expected an inverse that gives its inputs back, found inputs that are off by "),
    ],
)
def test_what_petra_cannot_run_is_one_clear_line(model: str, told: str, executed: Run) -> None:
    with pytest.raises(ScenarioError, match=told) as raised:
        executed(scenario(Case("petra", {}, model, None, [])))
    assert "\n" not in str(raised.value)


def test_what_it_refuses_others_run(executed: Run) -> None:
    """Dropout draws the same when it is computed again with a kept input, and an inverse that nobody uses is none."""
    for program, model in (("delayed-gradients", "Dropping"), ("pipedream", "WrongInverse")):
        found = executed(scenario(Case(program, {}, model, None, [])))
        assert found.parameters is not None
        assert np.isfinite(found.parameters).all()
