"""The runs of Adnan082/diloco-measured at 5 and 1 Gbit/s, which calibrate. No other run is here, so none can.

Training of 30,846,720 float32 parameters on four hosts with one GPU each, NCCL over TCP, links shaped; a single
author's figures, unaudited (Apache-2.0). All of them are in `twinclock/papers/data/diloco-measured.toml`, for the
column `published`.
"""

from __future__ import annotations

from typing import NamedTuple


class FastRun(NamedTuple):
    """One run: its program, Gbit/s of egress, H, medians of a step's computing and of a synchronisation, in s."""

    method: str
    gbit: float
    local_steps: int
    compute: float
    sync: float


FAST_RUNS = (
    FastRun("all-reduce", 1.0, 1, 0.0225925, 1.96521),
    FastRun("all-reduce", 5.0, 1, 0.0221778, 0.392753),
    FastRun("diloco", 1.0, 1, 0.026733, 1.5057),
    FastRun("diloco", 1.0, 1, 0.026614, 1.50435),
    FastRun("diloco", 1.0, 1, 0.0266145, 1.50445),
    FastRun("diloco", 1.0, 8, 0.0256243, 1.50734),
    FastRun("diloco", 1.0, 8, 0.0252236, 1.50607),
    FastRun("diloco", 1.0, 8, 0.0252261, 1.50469),
    FastRun("diloco", 1.0, 32, 0.0259357, 1.51477),
    FastRun("diloco", 1.0, 32, 0.0251924, 1.50703),
    FastRun("diloco", 1.0, 32, 0.025119, 1.51799),
    FastRun("diloco", 1.0, 128, 0.026067, 1.84596),
    FastRun("diloco", 1.0, 128, 0.0252606, 1.84866),
    FastRun("diloco", 1.0, 128, 0.0251462, 1.91002),
    FastRun("diloco", 5.0, 1, 0.0266716, 0.316871),
    FastRun("diloco", 5.0, 1, 0.027095, 0.318066),
    FastRun("diloco", 5.0, 1, 0.0265889, 0.317011),
    FastRun("diloco", 5.0, 8, 0.0262566, 0.317991),
    FastRun("diloco", 5.0, 8, 0.0251857, 0.318106),
    FastRun("diloco", 5.0, 8, 0.0251996, 0.31772),
    FastRun("diloco", 5.0, 32, 0.0260309, 0.32055),
    FastRun("diloco", 5.0, 32, 0.0250873, 0.324546),
    FastRun("diloco", 5.0, 32, 0.0251216, 0.322071),
    FastRun("diloco", 5.0, 128, 0.026155, 0.674335),
    FastRun("diloco", 5.0, 128, 0.0252121, 0.714362),
    FastRun("diloco", 5.0, 128, 0.0252051, 0.720855),
    FastRun("local-sgd", 1.0, 1, 0.0258667, 1.50073),
    FastRun("local-sgd", 1.0, 8, 0.0244104, 1.50905),
    FastRun("local-sgd", 1.0, 32, 0.0245416, 1.5203),
    FastRun("local-sgd", 1.0, 128, 0.0245317, 2.29708),
    FastRun("local-sgd", 5.0, 1, 0.0258834, 0.313116),
    FastRun("local-sgd", 5.0, 8, 0.0244758, 0.32055),
    FastRun("local-sgd", 5.0, 32, 0.024543, 0.345454),
    FastRun("local-sgd", 5.0, 128, 0.0246566, 1.03564),
)
