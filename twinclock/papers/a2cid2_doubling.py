"""A²CiD² on rings, beside a baseline that communicates twice as often: how far noise keeps workers apart.

Gradients are noise alone, of variance sigma^2 in all coordinates together; every gradient and every edge has a Poisson
clock, and nothing takes time. The number is E ||pi x||^2 / (gamma^2 sigma^2) in the long run: the mean, over read-outs
and seeds, of the consensus distance of workers that begin alike, after a warm-up of five relaxation times (what is left
of the beginning is e^-5, under a hundredth). Beside it stands the exact moment, which no simulation knows of.

Where A²CiD² has "the same effect as doubling the communication rate" the last column is at most 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from analysis.figures.style import INK, LINES, MARKERS, new_figure, styled, utilisation_map
from analysis.moments import abscissa, heterogeneity, stationary
from schedules.settings import Number, Positive, Table
from topologies import build, with_rates
from twinclock.paper_tables.cells import Row, called
from twinclock.paper_tables.drawing import number_in, points, powers_of_two
from twinclock.paper_tables.seeds import OverSeeds, PlannedRow, Quotient

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

SOURCE = (
    'A²CiD² (arXiv:2306.08289), first version: "on the ring graph, adding A²CiD² has the same effect as doubling the '
    'communication rate"; exact moments: docs/papers/gossip.md, sections 7 and 13'
)
METHODS = {"gossip": "baseline", "a2cid2": "a2cid2"}
"""The names of the programs among those of the moments."""

DIMENSION = 100
"""Coordinates are independent, given the clocks' ticks: each is a sample more for hardly any time more."""
PERIOD = 2
"""Gradient times between read-outs."""
MOST_READ_OUTS = 1000
RELAXATIONS = 5

CURVES = {
    "baseline": ("gossip", 1, "baseline"),
    "baseline_doubled": ("gossip", 2, "baseline, twice the rate"),
    "a2cid2": ("a2cid2", 1, "A²CiD²"),
    "a2cid2_doubled": ("a2cid2", 2, "A²CiD², twice the rate"),
}
"""By column: program, how many times the rate, and what the figure calls it."""
MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95)
"""Of which the figure has exact ratios, whatever is simulated."""
SIZES = (4, 6, 8, 11, 16, 23, 32, 45, 64)
"""Of the rings of the figure's exact lines, as far as the largest that is simulated."""


class NoisyRing(Table):
    """The columns of the inputs."""

    workers: Annotated[int, Field(ge=3)]
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    rate: Positive = 1.0
    """Of the baseline and of A²CiD²; the columns `doubled` have twice as much."""
    seeds: Annotated[int, Field(ge=2)] = 20
    gradients: Annotated[int, Field(ge=4)] = 200
    """Of a worker, over which is averaged; those of the warm-up come before."""


INPUTS = tuple(
    NoisyRing(workers=workers, momentum=momentum, gradients=4000 // workers)
    for momentum in (0.0, 0.9)
    for workers in (8, 16, 32, 64)
)
SMALL = (NoisyRing(workers=8, momentum=0.9, seeds=3, gradients=30),)


def ours(inputs: Sequence[NoisyRing]) -> Iterator[PlannedRow]:
    """Both methods at both rates, and A²CiD² over the baseline at twice its rate."""
    for each in inputs:
        cells = {name: _distance(each, program, times * each.rate) for name, (program, times, _) in CURVES.items()}
        ratio = Quotient(cells["a2cid2"], cells["baseline_doubled"])
        yield {**each.model_dump(), **cells, "a2cid2_over_doubled": ratio}


def exact(workers: int, momentum: float, rate: float, program: str) -> float:
    """What the simulations tend to: `analysis.moments.stationary`."""
    return stationary(with_rates(build("ring", workers), rate), METHODS[program], momentum)


def _distance(ring: NoisyRing, program: str, rate: float) -> OverSeeds:
    warm_up = math.ceil(RELAXATIONS / _slowest(ring, program, rate))
    until = warm_up + ring.gradients
    length = until + 1  # so that the last moment of averaging is not the end, at which clocks stop
    scenario: dict[str, Any] = {
        "schedule": {"program": program, "rate": rate, "gradients": length, "gradient_clock": "poisson"},
        "topology": {"graph": "ring", "workers": ring.workers},
        "platform": {"gradient": {"mean": 0}, "gradient_time": "1 s", "transport": "none"},
        "workload": {
            "problem": "quadratic",
            "dtype": "float64",
            "options": {"curvature": 0, "noise": DIMENSION**-0.5, "dimension": DIMENSION},
        },
        "optimizer": {"learning_rate": 1, "momentum": ring.momentum},
        "run": {"observations": min(MOST_READ_OUTS, length // PERIOD)},
        "sweep": {"optimizer.momentum": [ring.momentum]},
    }
    known = called(exact, ring.workers, ring.momentum, rate, program)
    return OverSeeds(scenario, ring.seeds, "consensus_distance", warm_up, until, known)


def _slowest(ring: NoisyRing, program: str, rate: float) -> float:
    """The rate at which second moments forget the beginning, in 1/gradient time.

    Those of x by the method's abscissa; those of the momentum m by E m^2 <- momentum^2 E m^2 at a gradient a time.
    """
    graph = with_rates(build("ring", ring.workers), rate)
    return min(-abscissa(graph, METHODS[program]), 1 - ring.momentum**2)


# ---- the figure


def figure(rows: Sequence[Row]) -> Figure:
    """Exact lines and simulated points: a panel a momentum and rate; the ratio to doubling; constant gradients."""
    groups = {(number_in(row, "momentum"), number_in(row, "rate")): row for row in rows}
    largest = max(number_in(row, "workers") for row in rows)
    sizes = [size for size in SIZES if size <= largest] or [round(largest)]
    with styled():
        count = len(groups) + 2
        found, panels = new_figure(8.6, 3.2 * -(-count // 2), ncols=2, nrows=-(-count // 2))
        for axes, (momentum, rate) in zip(panels, groups, strict=False):
            chosen = [row for row in rows if (number_in(row, "momentum"), number_in(row, "rate")) == (momentum, rate)]
            _methods(axes, chosen, sizes, momentum, rate)
        _ratios(panels[count - 2], rows, sizes)
        _offsets(panels[count - 1], sizes)
        for axes in panels:
            powers_of_two(axes, [size for size in (4, 8, 16, 32, 64) if size <= largest])
            axes.set_xlabel("workers on the ring")
        for axes in panels[count:]:
            axes.remove()
        found.legend(handles=_legend(), loc="outside lower center", ncols=3)
    return found


def _methods(axes: Axes, rows: Sequence[Row], sizes: Sequence[int], momentum: float, rate: float) -> None:
    """How far workers are apart, in terms of the baseline, exactly."""
    units = {size: exact(size, momentum, rate, "gossip") for size in sizes}
    for (column, (program, times, _)), colour, marker in zip(CURVES.items(), LINES, MARKERS, strict=False):
        line = [exact(size, momentum, times * rate, program) / units[size] for size in sizes]
        axes.plot(sizes, line, color=colour, marker="")
        points(axes, rows, "workers", column, colour=colour, marker=marker, unit=_baseline)
    axes.set_ylim(0, 1.2)
    axes.set_ylabel("E‖πx‖² / the baseline's")
    axes.set_title(f"Noise, momentum {momentum:g}" + (f", rate {rate:g}" if rate != 1 else ""))


def _baseline(row: Row) -> float:
    return exact(round(number_in(row, "workers")), number_in(row, "momentum"), number_in(row, "rate"), "gossip")


def _ratios(axes: Axes, rows: Sequence[Row], sizes: Sequence[int]) -> None:
    """A²CiD² over the baseline at twice its rate: up to 1 it does as much as doubling."""
    from matplotlib.colors import to_hex

    simulated = [number_in(row, "momentum") for row in rows]
    momenta = sorted({*MOMENTA, *simulated})
    for place, momentum in enumerate(momenta):
        colour = to_hex(utilisation_map()(place / (len(momenta) - 1)))
        line = [exact(size, momentum, 1.0, "a2cid2") / exact(size, momentum, 2.0, "gossip") for size in sizes]
        axes.plot(sizes, line, color=colour, marker="")
        axes.annotate(f" {momentum:g}", (sizes[-1], line[-1]), color=colour, va="center", fontsize=8)
        chosen = [row for row in rows if number_in(row, "momentum") == momentum and number_in(row, "rate") == 1]
        points(axes, chosen, "workers", "a2cid2_over_doubled", colour=colour)
    axes.axhline(1, color=INK, linewidth=1, linestyle="--")
    axes.set_ylim(bottom=0)
    axes.set_ylabel("A²CiD² / baseline at twice the rate")
    axes.set_title("Noise: against doubling, by momentum")


def _offsets(axes: Axes, sizes: Sequence[int]) -> None:
    """How far constant gradients push workers apart, where one is unlike the others, in terms of the baseline."""
    shares = []
    for size in sizes:
        ring, drift = build("ring", size), [1.0, *[0.0] * (size - 1)]
        accelerated, baseline = (heterogeneity(ring, method, drift) for method in ("a2cid2", "baseline"))
        shares.append(math.hypot(*accelerated) / math.hypot(*baseline))
    halves = [0.5] * len(sizes)
    for line, place in (([1.0] * len(sizes), 0), (halves, 1), (shares, 2)):
        axes.plot(sizes, line, color=LINES[place], marker="")
    axes.set_ylim(0, 1.2)
    axes.set_ylabel("‖E πx‖ / the baseline's")
    axes.set_title("Constant, unequal gradients (exact)")


def _legend() -> list[Line2D]:
    from matplotlib.lines import Line2D

    known = zip(CURVES.values(), LINES, MARKERS, strict=False)
    methods = [Line2D([], [], color=colour, marker=marker, label=label) for (*_, label), colour, marker in known]
    line = Line2D([], [], color=INK, label="lines: exact")
    point = Line2D([], [], color=INK, marker="o", linestyle="none", label="points: simulated, 95 %")
    return [*methods, line, point]
