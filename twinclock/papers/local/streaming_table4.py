"""Bandwidth that a compute utilization takes: data parallelism, DiLoCo and Streaming DiLoCo.

Of a grid of 50 bandwidths from 0.1 to 1,000 Gbit/s the last one that misses it, as the paper prints; from steady state.
"""

from __future__ import annotations

from twinclock.papers.local import _bandwidth
from twinclock.papers.local._bandwidth import Wanted

SOURCE = "Douillard et al. 2025, Streaming DiLoCo (arXiv:2501.18512), table 4 (docs/papers/low-communication.md, 8.1)"

INPUTS = tuple(
    Wanted(method=method, local_steps=100, parameters=1.0, layers=24, step=0.1, fragments=8, percent=percent)
    for method in ("data-parallel", "diloco", "streaming", "streaming-overlap", "streaming-overlap-fp4")
    for percent in (50.0, 80.0, 90.0, 95.0, 99.0)
)
SMALL = (INPUTS[0], INPUTS[-1])

ours = _bandwidth.ours
