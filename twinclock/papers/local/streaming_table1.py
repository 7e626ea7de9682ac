"""Hours of training, and bits exchanged, of data parallelism and Streaming DiLoCo over a slow link.

Steps are those that the paper's hours at infinite bandwidth are of. Of what is exchanged the paper's "Terabytes" are
Tbit, of a model of 1.14 10^9 parameters; its bandwidths are of one of 10^9, and so are ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from twinclock.paper_tables.cells import Row, simulated
from twinclock.papers.local import _bandwidth
from twinclock.papers.local._bandwidth import Some, TwoSites, Whole, scenario

SOURCE = "Douillard et al. 2025, Streaming DiLoCo (arXiv:2501.18512), table 1 (docs/papers/low-communication.md, 8.2)"


class LongRun(TwoSites):
    """The columns of the inputs."""

    steps: Whole
    """Of the whole training."""
    gbit: Some
    """Of the link, each way."""


def _run(method: str, steps: int) -> LongRun:
    return LongRun(
        method=method, steps=steps, gbit=1.0, local_steps=100, parameters=1.0, layers=24, step=0.1, fragments=8
    )


INPUTS = tuple(
    _run(method, steps) for steps in (24_120, 97_200, 243_000) for method in ("data-parallel", "streaming-overlap-fp4")
)
SMALL = INPUTS[:1]


def ours(inputs: Sequence[LongRun]) -> Iterator[Row]:
    """Hours, and Tbit that each worker sends, from runs of one and two rounds."""
    for each in inputs:
        sites = TwoSites(**each.model_dump(exclude={"steps", "gbit"}))
        rounds = each.steps / sites.steps_of_a_round
        one, two = (_bandwidth.run(sites, each.gbit, number) for number in (1, 2))
        sent = simulated(scenario(sites, each.gbit, 1), "bytes_sent")
        yield {
            **each.model_dump(),
            "hours_of_computation": each.steps * each.step / 3600,
            "one_round": one,
            "two_rounds": two,
            "hours": rounds * (two.value - one.value) / 3600,
            "bytes": sent,
            "tbit": rounds * sent.value / 2 * 8e-12,
        }
