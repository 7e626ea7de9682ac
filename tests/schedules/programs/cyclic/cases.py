"""Scenarios of cyclic data parallelism in time steps of a second, and the numbers of its specification sheet."""

from __future__ import annotations

from typing import Any

LATENCIES = (0, 0.5, 1, 1.5, 2, 3)
PERIODS_OF_4 = {
    ("v1", "direct"): (8, 8, 8, 8, 8, 10),
    ("v2", "direct"): (8, 8, 8, 9, 10, 14),
    ("v1", "ring"): (8, 8, 8, 8, 8, 10),
    ("v2", "ring"): (8, 8, 10, 12, 14, 18),
}
"""Derived there from the longest path; those of updates that go round the ring found by a first implementation."""

FRESH_4 = ((0, 0, 0, 1), (0, 0, 1, 1), (0, 1, 1, 1), (1, 1, 1, 1))
"""Worker by stage, as the official code has it."""

SLACK_4 = {
    "v1": ((2, 4, 6, 8), (4, 6, 8, 10), (6, 8, 10, 12), (8, 10, 12, 14)),
    "v2": ((None, None, None, 0), (None, None, 0, 2), (None, 0, 2, 4), (0, 2, 4, 6)),
}
"""In time steps, worker by stage; of v2 where it is fresh."""


def stages(n: int, seconds: float = 1.0) -> list[dict[str, float]]:
    """A kernel's durations, stage by stage."""
    return [{"mean": seconds}] * n


def tables(rule: str, n: int, *, steps: int = 16, latency: float = 0.0, **schedule: Any) -> dict[str, Any]:
    """N stages; as many ranks as the placement takes."""
    devices = n * (n + 1) // 2 if schedule.get("placement") == "stages" else n
    return {
        "schedule": {"program": f"cdp-{rule}", "gradients": steps, **schedule},
        "topology": {"graph": "complete", "workers": devices},
        "platform": {
            "transport": "latency",
            "link": {"latency": latency, "bandwidth": 1e9},
            "kernels": {"forward": stages(n), "backward": stages(n)},
        },
        "workload": {"parameters": 100 * n, "activations": 100 * n},
    }
