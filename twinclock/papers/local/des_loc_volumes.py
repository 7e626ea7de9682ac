"""What DES-LOC sends: bytes a step, in models, beside Local Adam, which averages all at once, and data parallelism.

x, the first and the second moment are averaged every K_x, K_u and K_v steps: S (1/K_x + 1/K_u + 1/K_v) bytes a step
where S is a model's. Local Adam averages all three every K_x: 3 S / K_x; data parallelism S. A run has as many steps
as all periods divide, and one more, before which the last averages are. Two workers, so that an all-reduce of S sends
S from each.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from schedules.settings import Table
from twinclock.paper_tables.cells import Row, simulated

SOURCE = (
    "Iacob et al. 2025, DES-LOC (arXiv:2505.22549): half of Local Adam's bytes, 170 times less than data parallelism"
)

Steps = Annotated[int, Field(ge=1)]


class Periods(Table):
    """The columns of the inputs."""

    period: Steps
    """K_x, of the parameters."""
    first_period: Steps
    """K_u, of the first moment."""
    second_period: Steps
    """K_v, of the second moment."""


INPUTS = tuple(Periods(period=k, first_period=3 * k, second_period=6 * k) for k in (16, 64, 256))
SMALL = (Periods(period=2, first_period=6, second_period=12),)

BYTES_OF_MODELS = 8
"""Each of two workers sends the one float32 of its model to the other."""


def ours(inputs: Sequence[Periods]) -> Iterator[Row]:
    """Bytes a step in models, and how many times less that is, three simulations a row."""
    for each in inputs:
        steps = math.lcm(each.period, each.first_period, each.second_period)
        periods = each.model_dump()
        all_at_once = {"local_steps": each.period, "average": "all"}
        found = {
            "des_loc": simulated(scenario({"program": "des-loc", "steps": steps + 1, **periods}), "bytes_sent"),
            "local_adam": simulated(scenario({"program": "local-sgd", "steps": steps, **all_at_once}), "bytes_sent"),
            "data_parallel": simulated(scenario({"program": "all-reduce", "gradients": steps}), "bytes_sent"),
        }
        per_step = {name: cell.value / BYTES_OF_MODELS / steps for name, cell in found.items()}
        yield {
            **periods,
            "steps": steps,
            **found,
            "models_per_step": per_step["des_loc"],
            "of_local_adam": per_step["local_adam"] / per_step["des_loc"],
            "of_data_parallel": per_step["data_parallel"] / per_step["des_loc"],
        }


def scenario(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """Two workers under Adam, timing alone."""
    return {
        "schedule": schedule,
        "topology": {"graph": "complete", "workers": 2},
        "platform": {"gradient": {"mean": 1.0}, "transport": "none"},
        "workload": {"parameters": 1},
        "optimizer": {"name": "adamw"},
        "run": {"trace": False},
    }
