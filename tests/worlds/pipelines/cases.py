"""Runs of pipelines for tests, and the reference numbers that they are held against."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from schedules.result import Result
from simulator import simulate

REFERENCE = json.loads((Path(__file__).parents[2] / "data" / "golden-pipelines.json").read_text(encoding="utf-8"))

PROGRAMS: dict[str, tuple[str, dict[str, int]]] = {
    "gpipe": ("gpipe", {}),
    "1f1b": ("1f1b", {}),
    "zb_h1": ("zb-h1", {}),
    "zb_h2": ("zb-h2", {}),
    "zb_v": ("zb-v", {}),
    "interleaved_v2": ("interleaved-1f1b", {"chunks": 2}),
    "interleaved_v3": ("interleaved-1f1b", {"chunks": 3}),
}
"""Program and settings by the reference's names."""

UNIT = {"forward": 1.0, "backward-input": 1.0, "backward-weight": 1.0}


def scenario(
    program: str,
    p: int = 4,
    m: int = 8,
    c: float = 0.0,
    kernels: Any = UNIT,
    settings: dict[str, Any] | None = None,
    **tables: Any,
) -> dict[str, Any]:
    """A pipeline of p workers and m micro-batches under a latency of c seconds."""
    platform = {"transport": "latency", "link": {"latency": c, "bandwidth": "1 TB/s"}, "kernels": kernels}
    return {
        "schedule": {"program": program, "micro_batches": m, **(settings or {})},
        "topology": {"workers": p},
        "platform": platform | tables.pop("platform", {}),
        "workload": {},
        **tables,
    }


def run(*args: Any, **tables: Any) -> Result:
    """That, simulated."""
    return simulate(scenario(*args, **tables))


def three(f: float, b: float, w: float) -> dict[str, float]:
    """Kernels by F, B and W."""
    return {"forward": f, "backward-input": b, "backward-weight": w}
