"""What tables of bandwidths share: how busy two workers compute over a link, and the link that it takes.

The workers stand for two datacentres, whose link alone counts: a model of N 16-bit numbers goes one way as the same
goes the other. A step of L layers is 3L - 1 kernels of equal length. `multiplier` is on N; the tables have 1.01, which
was fitted by others to all cells of streaming-table4: to find these again shows that the same was simulated, and is no
evidence beside theirs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

from pydantic import Field, field_validator

from schedules.settings import Number, Table
from twinclock.paper_tables.cells import Cell, Row, simulated

Whole = Annotated[int, Field(ge=1)]
Some = Annotated[Number, Field(gt=0)]

POINTS = 50
"""Of the grid of bandwidths, numpy.logspace(-1, 3, 50) in Gbit/s."""

SCHEDULES: Mapping[str, Mapping[str, Any]] = {
    "data-parallel": {"program": "all-reduce", "overlap": "layers"},
    "diloco": {"program": "diloco"},
    "streaming": {"program": "streaming-diloco"},
    "streaming-overlap": {"program": "streaming-diloco", "overlap": 1},
    "streaming-overlap-fp4": {"program": "streaming-diloco", "overlap": 1, "codec": "fp4"},
    "eager-fp4": {"program": "eager-diloco", "codec": "fp4"},
}
"""By method: an outer gradient in 16 bits, or in 4, as each of two sends it to the other."""


class TwoSites(Table):
    """What two workers compute, and how they talk: columns of the inputs."""

    method: str
    """data-parallel, diloco, streaming, streaming-overlap, streaming-overlap-fp4 or eager-fp4."""
    local_steps: Whole
    """H: of all but data parallelism."""
    parameters: Some
    """N, in 10^9."""
    layers: Whole
    """L."""
    step: Some
    """Seconds of a step's computation."""
    fragments: Whole = 1
    """P: of streaming."""
    multiplier: Some = 1.01
    """On N."""

    @field_validator("method")
    @classmethod
    def _check_method(cls, method: str) -> str:
        if method not in SCHEDULES:
            raise ValueError(f"expected one of {', '.join(SCHEDULES)}")
        return method

    @property
    def steps_of_a_round(self) -> int:
        """After how many steps everything has been sent once."""
        return 1 if self.method == "data-parallel" else self.local_steps


class Wanted(TwoSites):
    """The columns of a table of bandwidths."""

    percent: Annotated[Number, Field(gt=0, lt=100)]
    """Of the time that is to be computation."""


def ours(inputs: Sequence[Wanted]) -> list[Row]:
    """Of each row the bandwidth, with the runs of one and two rounds at it, and what is reached there and one step
    further up the grid."""
    rows: list[Row] = []
    for each in inputs:
        where = {name: value for name, value in each.model_dump().items() if name != "percent"}
        sites = TwoSites(**where)
        index = last_that_misses(sites, each.percent / 100)
        one, two = (run(sites, gbit(index), rounds) for rounds in (1, 2))
        found: Row = {"gbit": gbit(index), "one_round": one, "two_rounds": two}
        reached: Row = {"reached": busy(sites, gbit(index)), "next": busy(sites, gbit(index + 1))}
        rows.append({**each.model_dump(), **found, **reached})
    return rows


def gbit(index: int) -> float:
    """A point of the grid."""
    return float(10 ** (-1 + 4 * index / (POINTS - 1)))


def last_that_misses(sites: TwoSites, wanted: float) -> int:
    """The last point of the grid that does not reach it: -1 where the first does, and that before the last where none
    does."""
    low, high = 0, POINTS - 1
    while low < high:
        middle = (low + high) // 2
        if busy(sites, gbit(middle)) >= wanted:
            high = middle
        else:
            low = middle + 1
    return low - 1


def busy(sites: TwoSites, bandwidth: float) -> float:
    """Which part of the time is computation, from the difference between a run of two rounds and one of one."""
    one, two = (run(sites, bandwidth, rounds).value for rounds in (1, 2))
    return sites.steps_of_a_round * sites.step / (two - one)


@cache
def run(sites: TwoSites, bandwidth: float, rounds: int) -> Cell:
    """Seconds of so many rounds."""
    return simulated(scenario(sites, bandwidth, rounds), "makespan_s")


def scenario(sites: TwoSites, bandwidth: float, rounds: int) -> dict[str, Any]:
    """Two workers and a link of so many Gbit/s each way."""
    method = SCHEDULES[sites.method]
    lengths: dict[str, dict[str, Any]] = {
        "all-reduce": {"gradients": rounds},
        "streaming-diloco": {"steps": rounds * sites.local_steps, "fragments": sites.fragments},
    }
    length = lengths.get(method["program"], {"rounds": rounds})
    local = {} if method["program"] == "all-reduce" else {"local_steps": sites.local_steps}
    return {
        "schedule": {**method, **length, **local},
        "topology": {"graph": "complete", "workers": 2},
        "platform": {
            "gradient": {"mean": sites.step},
            "transport": "ideal",
            "link": {"bandwidth": bandwidth * 1e9 / 8, "latency": 0.0},
        },
        "workload": {
            "parameters": round(sites.parameters * sites.multiplier * 1e9),
            "dtype": "float16",
            "layers": sites.layers,
        },
        "run": {"trace": False},
    }
