"""How often QSR averages: the rounds of its rule over the steps, beside an average after every step.

The learning rate warms up linearly, and falls as a cosine to its minimum. Two workers average a model of one float32,
so that each round sends 8 bytes: what is counted is what the program sends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from schedules.settings import Number, Table
from twinclock.paper_tables.cells import Row, simulated

SOURCE = (
    "Gu et al. 2024, QSR (arXiv:2310.14423), by the settings of hmgxr128/QSR (docs/papers/low-communication.md, 8.9)"
)

Rate = Annotated[Number, Field(gt=0)]


class CosineRun(Table):
    """The columns of the inputs."""

    alpha: Rate
    """Of the rule, in the unit of the learning rate."""
    local_steps: Annotated[int, Field(ge=1)]
    """H_base: the fewest steps of a round, and those of the warm-up."""
    steps: Annotated[int, Field(ge=1)] = 93_600
    warmup: Annotated[int, Field(ge=0)] = 10_000
    """Steps of it."""
    learning_rate: Rate = 0.008
    """At its peak."""
    minimum: Annotated[Number, Field(ge=0)] = 1e-6
    """Where the cosine ends."""


INPUTS = tuple(
    CosineRun(alpha=alpha, local_steps=local_steps) for alpha in (0.0175, 0.015, 0.01) for local_steps in (4, 8)
)
SMALL = INPUTS[:1]

BYTES_OF_A_ROUND = 8
"""Each of two workers sends the one float32 of the model to the other."""


def ours(inputs: Sequence[CosineRun]) -> Iterator[Row]:
    """Rounds over steps, a simulation a row."""
    for each in inputs:
        scenario = {
            "schedule": {
                "program": "qsr", "steps": each.steps, "local_steps": each.local_steps, "alpha": each.alpha,
            },
            "topology": {"graph": "complete", "workers": 2},
            "platform": {"gradient": {"mean": 1.0}, "transport": "none"},
            "workload": {"parameters": 1},
            "optimizer": {
                "learning_rate": each.learning_rate,
                "schedule": "cosine",
                "warmup": each.warmup / each.steps,
                "minimum": each.minimum / each.learning_rate,
            },
            "run": {"trace": False},
        }  # fmt: skip
        sent = simulated(scenario, "bytes_sent")
        fraction = sent.value / BYTES_OF_A_ROUND / each.steps
        yield {**each.model_dump(), "bytes": sent, "fraction": fraction}
