"""Bandwidth that a compute utilization takes: data parallelism and DiLoCo, of a model of 10^10 parameters.

The layers are not printed; 48 are what others chose, and the time of a step is that of the text, which is not quite
that of the table.
"""

from __future__ import annotations

from twinclock.papers.local import _bandwidth
from twinclock.papers.local._bandwidth import Wanted

SOURCE = (
    "Charles et al. 2025, Scaling Laws for DiLoCo (arXiv:2503.09799), table 6 (docs/papers/low-communication.md, 8.4)"
)

INPUTS = tuple(
    Wanted(method=method, local_steps=local_steps, parameters=10.0, layers=48, step=0.8, percent=percent)
    for method, local_steps in (
        ("data-parallel", 1),
        ("diloco", 10),
        ("diloco", 50),
        ("diloco", 100),
        ("diloco", 300),
    )
    for percent in (50.0, 80.0, 90.0, 95.0, 99.0)
)
SMALL = (INPUTS[0], INPUTS[5])

ours = _bandwidth.ours
