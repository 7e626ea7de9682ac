"""Pipelines with a flush under a pure latency, against closed forms.

p stages, m micro-batches, F 1 s, D 2 s: GPipe (m+p-1) 3 + 2 (p-1) c; 1F1B (m+p-1) 3 + 2 (m+p-3-floor((m-2)/p)) c.
"""

from __future__ import annotations

from typing import Any

import pytest

from simulator import simulate

CLOSED = {
    "gpipe": lambda p, m, c: 3 * (m + p - 1) + 2 * (p - 1) * c,
    "1f1b": lambda p, m, c: 3 * (m + p - 1) + 2 * (m + p - 3 - (m - 2) // p) * c,
}


def scenario(program: str, p: int = 4, m: int = 8, c: float = 0.0, **platform: Any) -> dict[str, Any]:
    return {
        "schedule": {"program": program, "micro_batches": m},
        "topology": {"workers": p},
        "platform": {"transport": "latency", "link": {"latency": c, "bandwidth": "1 TB/s"}, **platform},
        "workload": {},
    }


KERNELS = {"forward": 1.0, "backward": 2.0}


@pytest.mark.parametrize("program", CLOSED)
@pytest.mark.parametrize(("p", "m"), [(2, 2), (4, 8), (5, 13)])
@pytest.mark.parametrize("c", [0.0, 0.1, 0.5, 2.0])
def test_a_makespan_is_the_closed_form(program: str, p: int, m: int, c: float) -> None:
    found = simulate(scenario(program, p, m, c, kernels=KERNELS)).summary
    assert found["makespan_s"] == pytest.approx(CLOSED[program](p, m, c), abs=1e-9)
    assert found["gradients"] == m


@pytest.mark.parametrize(("program", "c"), [("gpipe", 2.0), ("1f1b", 0.5), ("1f1b", 2.0)])
def test_messages_in_order_take_no_longer(program: str, c: float) -> None:
    platform = {"kernels": KERNELS, "transport": "ideal", "order": "in-order"}
    assert simulate(scenario(program, c=c, **platform)).summary["makespan_s"] == pytest.approx(
        CLOSED[program](4, 8, c), abs=1e-9
    )
