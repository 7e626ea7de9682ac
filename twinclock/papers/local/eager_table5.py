"""Bandwidth that a compute utilization takes when what is sent overlaps the next inner step, or the next outer one.

Four bits a number. By the inner step: the paper's row for H = 30 fits nine steps from a fragment to its next, not 30;
it is given so here. By the outer step: ours alone, from steady state, as the paper's are below what any schedule can do
there: bits N / (H T).
"""

from __future__ import annotations

from twinclock.papers.local import _bandwidth
from twinclock.papers.local._bandwidth import Wanted

SOURCE = "Kale et al. 2025, Eager Updates (arXiv:2502.12996), table 5 (docs/papers/low-communication.md, 8.3)"

INPUTS = tuple(
    Wanted(method=method, local_steps=local_steps, parameters=1.0, layers=24, step=0.1, fragments=8, percent=percent)
    for method, local_steps in (
        ("streaming-overlap-fp4", 9),
        ("streaming-overlap-fp4", 100),
        ("eager-fp4", 30),
        ("eager-fp4", 100),
    )
    for percent in (50.0, 80.0, 90.0, 95.0, 99.0)
)
SMALL = INPUTS[:2]

ours = _bandwidth.ours
