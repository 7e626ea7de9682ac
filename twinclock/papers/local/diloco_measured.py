"""DiLoCo, local SGD and data parallelism on shaped links, measured by others: which part of the time is computation.

All-reduces go by NCCL's ring: T = overhead + 2 (n-1)/n S / (efficiency B). Both numbers of a method are those of its
runs at 5 and 1 Gbit/s, and so are the time of a step (by H) and what the first all-reduce of a communicator takes on
top, which is the one of the windows with H = 128. Runs at 200 and 50 Mbit/s and without shaping are predicted. The
plain ring has the same steps, all of B, and neither overhead nor a first all-reduce.

Without shaping B is 14.9 Gbit/s, the middle of the 14 to 15.8 that nccl-tests found on those hosts.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, field_validator
from pydantic_core.core_schema import ValidationInfo

from schedules.settings import Number, Table
from twinclock.paper_tables.cells import Row, called, simulated
from twinclock.papers.local._fast_runs import FAST_RUNS

SOURCE = "Adnan082/diloco-measured (docs/papers/low-communication.md, 8.6): four hosts, NCCL over TCP, shaped egress"

PARAMETERS, HOSTS, GBIT = 30_846_720, 4, 1e9 / 8
UNSHAPED = 14.9
WINDOWS = {1: (30, 30), 8: (64, 8), 32: (96, 3), 128: (180, 1)}
"""By H, steps and synchronisations of the window in which a run was measured. That of H = 128 has one, its
communicator's first; of
the others only the ratio matters, as rounds are alike."""

Steps = Annotated[int, Field(ge=1)]


class ShapedRun(Table):
    """The columns of the inputs."""

    method: Literal["diloco", "local-sgd", "all-reduce"] = "diloco"
    gbit: Annotated[Number, Field(gt=0)]
    """B: what leaves a host, in Gbit/s."""
    local_steps: Steps
    """H."""
    steps: Steps
    """Of the window."""
    syncs: Steps
    """In the window; where it is 1 it is the communicator's first."""
    run: Annotated[int, Field(ge=0)] = 0
    """Which of those that were measured alike; ours does not depend on it."""

    @field_validator("syncs")
    @classmethod
    def _check_syncs(cls, syncs: int, info: ValidationInfo) -> int:
        if info.data.get("steps", syncs) % syncs:
            raise ValueError(f"expected a divisor of steps = {info.data['steps']}, found {syncs}")
        return syncs


def _measured() -> Iterator[ShapedRun]:
    for method, repeats in (("diloco", 3), ("local-sgd", 1), ("all-reduce", 1)):
        for gbit in (5.0, 1.0, 0.2, 0.05, UNSHAPED):
            if (method, gbit) == ("local-sgd", UNSHAPED):
                continue  # nobody measured it
            for local_steps in WINDOWS if method != "all-reduce" else (1,):
                steps, syncs = WINDOWS[local_steps]
                for run in range(1 if gbit == UNSHAPED else repeats):
                    told: dict[str, Any] = {"method": method, "gbit": gbit, "local_steps": local_steps}
                    yield ShapedRun(**told, steps=steps, syncs=syncs, run=run)


INPUTS = tuple(_measured())
SMALL = tuple(row for row in INPUTS if row.gbit == 0.2 and row.run == 0 and row.local_steps in (1, 128))


class RingCalibration(NamedTuple):
    """What the fast runs of a method say: seconds, and a part of the bandwidth."""

    efficiency: float
    overhead: float
    first: float

    @staticmethod
    @cache
    def of(method: str) -> RingCalibration:
        """The line through the median synchronisations at 5 and 1 Gbit/s, over their rings; and what H = 128 has on
        top."""
        rates = (5.0, 1.0)
        took = [
            statistics.median(
                each.sync for each in FAST_RUNS if (each.method, each.gbit) == (method, rate) and each.local_steps < 128
            )
            for rate in rates
        ]
        rings = [ring_seconds(rate) for rate in rates]
        slope = (took[1] - took[0]) / (rings[1] - rings[0])
        overhead = max(0.0, took[0] - slope * rings[0])
        firsts = [
            each.sync - overhead - slope * ring_seconds(each.gbit)
            for each in FAST_RUNS
            if each.method == method and each.local_steps == 128
        ]
        return RingCalibration(min(1.0, 1 / slope), overhead, statistics.median(firsts) if firsts else 0.0)


@cache
def step_seconds(method: str, local_steps: int) -> float:
    """The median step of the fast runs of a method with that H; where there is none, of all of them."""
    ours = [each for each in FAST_RUNS if each.method == method]
    alike = [each.compute for each in ours if each.local_steps == local_steps]
    return statistics.median(alike or [each.compute for each in ours])


def ring_seconds(gbit: float) -> float:
    """2 (n-1)/n S / B."""
    return 2 * (HOSTS - 1) / HOSTS * 4 * PARAMETERS / (gbit * GBIT)


def ring_utilization(method: str, gbit: float, local_steps: int, steps: int, syncs: int) -> float:
    """By the plain ring."""
    computing = steps * step_seconds(method, local_steps)
    return computing / (computing + syncs * ring_seconds(gbit))


def ours(inputs: Sequence[ShapedRun]) -> Iterator[Row]:
    """Utilization as simulated, and by the plain ring."""
    for each in inputs:
        cell = simulated(scenario(each), "utilization_compute")
        plain = called(ring_utilization, each.method, each.gbit, each.local_steps, each.steps, each.syncs)
        use = "calibrates" if each.gbit in {run.gbit for run in FAST_RUNS} else "predicted"
        yield {**each.model_dump(), "use": use, "utilization": cell, "ring": plain}


def scenario(run: ShapedRun) -> dict[str, Any]:
    """The window of a run."""
    known = RingCalibration.of(run.method)
    programs: dict[str, dict[str, Any]] = {
        "diloco": {"rounds": run.syncs, "local_steps": run.steps // run.syncs},
        "local-sgd": {"steps": run.steps, "local_steps": run.steps // run.syncs},
        "all-reduce": {"gradients": run.steps, "accumulate": run.steps // run.syncs},
    }
    return {
        "schedule": {"program": run.method, **programs[run.method]},
        "topology": {"graph": "complete", "workers": HOSTS},
        "platform": {
            "gradient": {"mean": step_seconds(run.method, run.local_steps)},
            "link": {"bandwidth": run.gbit * GBIT, "latency": 0.0},
            "transport": "nccl",
            "efficiency": known.efficiency,
            "overhead": known.overhead + (known.first if run.syncs == 1 else 0.0),
            "collectives": {"all_reduce": "ring"},
        },
        "workload": {"parameters": PARAMETERS},
        "run": {"trace": False},
    }
