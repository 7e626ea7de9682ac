"""Pipelines with a flush under a pure latency, against closed forms: inside their domain, and not outside.

p stages, m micro-batches, latency c, times tF, tB, tW, T = tF + tB + tW (docs/papers/pipelines.md, section 3):

* GPipe (m+p-1) T + 2 (p-1) c; 1F1B (m+p-1) T + 2 (m+p-3-floor((m-2)/p)) c where m >= p >= 2;
* interleaved with v chunks m T + (p-1) T / v, where p divides m and c = 0;
* bubbles of ZB-H1 (p-1) (tF+tB-tW+4c), where tW <= tF, c <= tW/2 and m >= p; of ZB-H2 (p-1) (tF+tB-2tW+2c) where
  tW <= tF, tF+tB >= 2tW and m >= 2p-1 (arXiv:2401.10241, table 2).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from simulator import simulate
from tests.worlds.pipelines.cases import run, three

CLOSED: dict[str, Callable[[int, int, float, float, float, float], float]] = {
    "gpipe": lambda p, m, c, f, b, w: (m + p - 1) * (f + b + w) + 2 * (p - 1) * c,
    "1f1b": lambda p, m, c, f, b, w: (m + p - 1) * (f + b + w) + 2 * (m + p - 3 - (m - 2) // p) * c,
    "zb-h1": lambda p, m, c, f, b, w: m * (f + b + w) + (p - 1) * (f + b - w + 4 * c),
    "zb-h2": lambda p, m, c, f, b, w: m * (f + b + w) + (p - 1) * (f + b - 2 * w + 2 * c),
    "interleaved-1f1b": lambda p, m, c, f, b, w: m * (f + b + w) + (p - 1) * (f + b + w) / 2,
}
"""Cost, which is the makespan too but for ZB-H2."""

INSIDE = [
    *((program, 4, 8, c, 2.0, 3.0, 1.0) for program in ("gpipe", "1f1b") for c in (0.0, 0.1, 2.0, 20.0)),
    *((program, 5, 13, c, 1.0, 2.5, 0.5) for program in ("gpipe", "1f1b") for c in (0.0, 0.7)),
    *((program, 2, 2, 0.5, 1.0, 1.0, 1.0) for program in ("gpipe", "1f1b")),
    *(("zb-h1", 4, 8, c, 2.0, 3.0, 1.0) for c in (0.0, 0.25, 0.5)),
    ("zb-h1", 4, 4, 0.0, 1.0, 2.0, 1.0),
    *(("zb-h2", 4, 8, c, 2.0, 3.0, 1.0) for c in (0.0, 0.25)),
    ("zb-h2", 4, 7, 0.0, 1.0, 1.0, 1.0),
    *(("interleaved-1f1b", p, m, 0.0, 2.0, 2.0, 4.0) for p, m in ((4, 4), (4, 12), (3, 9))),
]

OUTSIDE = [
    ("zb-h1", 4, 8, 0.0, 1.0, 2.0, 1.5),  # tW > tF
    ("zb-h1", 4, 8, 0.6, 2.0, 3.0, 1.0),  # c > tW / 2
    ("zb-h2", 4, 8, 0.0, 1.0, 2.0, 1.5),
    ("zb-h2", 4, 6, 0.0, 1.0, 1.0, 1.0),  # m < 2p - 1
    ("interleaved-1f1b", 4, 8, 0.5, 2.0, 2.0, 4.0),  # c > 0
]


def cost(program: str, p: int, m: int, c: float, *times: float) -> float:
    settings = {"chunks": 2} if program == "interleaved-1f1b" else {}
    return float(run(program, p, m, c, three(*times), settings=settings, run={"trace": False}).summary["cost_s"])


@pytest.mark.parametrize("case", INSIDE)
def test_a_closed_form_inside_its_domain(case: tuple[str, int, int, float, float, float, float]) -> None:
    program, *numbers = case
    assert cost(*case) == pytest.approx(CLOSED[program](*numbers), abs=1e-9)


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_closed_form_does_not_hold_outside_its_domain(
    case: tuple[str, int, int, float, float, float, float],
) -> None:
    program, *numbers = case
    assert abs(cost(*case) - CLOSED[program](*numbers)) > 0.01


def test_gpipe_with_stages_of_other_sizes() -> None:
    """The sum of F, m - 1 times the largest, the same of D, and 2 (p-1) c."""
    f, b, m, c = [1.0, 3.0, 2.0, 0.5], [2.0, 4.0, 5.0, 1.0], 6, 0.25
    found = run("gpipe", 4, m, c, {"forward": f, "backward": b}).summary["makespan_s"]
    assert found == pytest.approx(sum(f) + (m - 1) * max(f) + sum(b) + (m - 1) * max(b) + 6 * c, abs=1e-9)


@pytest.mark.parametrize(("checkpoint", "expected"), [(False, 18.0), (True, 24.0)])
def test_one_micro_batch_through_gpipe(checkpoint: bool, expected: float) -> None:
    """J = 6, F 1, D 2: 3 J, and 4 J where every stage is computed again (arXiv:2406.02052, table 1)."""
    tables = {"settings": {"checkpoint": checkpoint}, "workload": {"activations": 100, "boundary": 1}}
    found = run("gpipe", 6, 1, 0.0, {"forward": 1.0, "backward": 2.0}, **tables).summary
    assert found["makespan_s"] == pytest.approx(expected, abs=1e-9)


def test_with_checkpoints_inputs_are_kept_and_one_graph() -> None:
    tables = {"settings": {"checkpoint": True}, "workload": {"activations": 100, "boundary": 1}}
    found = run("gpipe", 4, 8, 0.0, {"forward": 1.0, "backward": 2.0}, **tables).summary
    assert found["peak_activations"] == [100, 108, 108, 108]  # the first stage's inputs are data


@pytest.mark.parametrize(
    ("program", "c"), [("gpipe", 2.0), *((each, 0.5) for each in ("gpipe", "1f1b", "zb-h1", "zb-h2"))]
)
def test_in_order_and_two_receives_ahead_is_as_fast(program: str, c: float) -> None:
    ideal = {"platform": {"transport": "ideal", "order": "in-order"}}
    found = run(program, 4, 8, c, **ideal).summary["makespan_s"]
    assert found == pytest.approx(run(program, 4, 8, c).summary["makespan_s"], abs=1e-9)


def test_an_early_receive_helps_where_messages_wait_for_their_receiver() -> None:
    ideal = {"platform": {"transport": "ideal"}}
    late = run("zb-h2", 4, 8, 0.5, settings={"ahead": 0}, **ideal).summary["makespan_s"]
    assert late > run("zb-h2", 4, 8, 0.5, **ideal).summary["makespan_s"] + 0.5


def test_iterations_follow_on_one_another() -> None:
    """Nobody waits for everybody: the last rank, which ends first, goes on at once, but has nothing to do yet."""
    once, twice = (run("1f1b", 4, 8, settings={"iterations": each}).summary for each in (1, 2))
    assert twice["makespan_s"] == pytest.approx(2 * once["makespan_s"], abs=1e-9)
    assert twice["gradients"] == 16
    assert twice["bubble_over_ideal"] == pytest.approx(once["bubble_over_ideal"])


def test_an_optimizer_takes_its_time_and_is_no_work_of_a_micro_batch() -> None:
    kernels = three(1.0, 1.0, 1.0) | {"optimizer": 5.0}
    found = run("1f1b", 4, 8, kernels=kernels).summary
    assert found["makespan_s"] == pytest.approx(33.0 + 5.0, abs=1e-9)
    assert found["bubble_over_ideal"] == pytest.approx((38.0 - 24.0) / 24.0)


TWO_WAYS = {
    "zb-v": (4, {}), "dualpipe": (4, {}), "dualpipe-v": (4, {}), "interleaved-1f1b": (2, {"chunks": 2}),
    "looped-bfs": (2, {"chunks": 2}), "interleaved-zb": (2, {"chunks": 2}),
}  # fmt: skip


@pytest.mark.parametrize("c", [0.0, 0.5])
@pytest.mark.parametrize("program", TWO_WAYS)
def test_what_goes_forward_both_ways_between_two_ranks_does_not_wait_for_itself(program: str, c: float) -> None:
    """In a V, in two chains, and round two ranks each way has a channel."""
    workers, keys = TWO_WAYS[program]
    tables: dict[str, Any] = {
        "schedule": {"program": program, "micro_batches": 8, **keys},
        "topology": {"workers": workers},
        "platform": {
            "kernels": {"forward": 1.0, "backward-input": 1.0, "backward-weight": 1.0},
            "link": {"latency": c, "bandwidth": "1000 TB/s"},
        },
        "workload": {},
    }
    latency, *ordered = (
        simulate(tables, overrides=changes).summary["makespan_s"]
        for changes in (
            {"platform.transport": "latency"},
            {"platform.order": "in-order"},
            {"platform.transport": "nccl"},
        )
    )
    assert ordered == [latency, latency]
