"""The figures of a comparison and of a single run, and those of a sweep: all are named here.

Every function returns a matplotlib `Figure` that belongs to no window; `save(figure, stem)` writes PNG and SVG.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from analysis.figures.bands import Bands
from analysis.figures.style import PART_COLOURS, WORLD_COLOURS, new_figure, save, styled
from analysis.figures.sweeps import (
    consensus_against_time,
    rate_overview,
    staleness_against_rate,
    throughput_against_rate,
    utilization_against_rate,
)
from analysis.figures.timeline import readable_window, timeline
from analysis.measures.metrics import PARTS
from schedules.record.quantities import QUANTITIES, number, time_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "breakdown_bars",
    "consensus_against_time",
    "curves",
    "rate_overview",
    "readable_window",
    "save",
    "share_bars",
    "staleness_against_rate",
    "staleness_bars",
    "throughput_against_rate",
    "timeline",
    "utilization_against_rate",
]

_CURVES: Final = ("loss", "accuracy", "consensus_distance")
_MAX_BARS = 30


def breakdown_bars(breakdowns: Mapping[str, pd.DataFrame], *, max_ranks: int = 16) -> Figure:
    """Where the time of every rank went: stacked bars of compute, transfer, waiting, free, a lane a world.

    Args:
        breakdowns: by world, as `metrics.breakdown` returns them.
        max_ranks: show only so many ranks.
    """
    ranks = max(len(each) for each in breakdowns.values())
    bands = Bands(min(ranks, max_ranks), tuple(breakdowns))
    longest_s = max(int(each["makespan_ns"].max()) for each in breakdowns.values()) / 1e9
    scale, unit = time_unit(longest_s)
    with styled():
        figure, (axes,) = new_figure(8.0, 1.1 + 0.2 * bands.height)
        for world, table in breakdowns.items():
            _stack(axes, bands, world, table.iloc[: bands.num_ranks], scale)
        bands.label(axes)
        axes.set_xlim(0, 1.01 * longest_s / scale)
        axes.set_xlabel(f"time ({unit})")
        whom = f"of ranks 0 to {bands.num_ranks - 1} of {ranks}" if bands.num_ranks < ranks else "of every rank"
        axes.set_title(f"Where the time {whom} went")
        figure.legend(*_first_of_each(axes), loc="outside lower center", ncols=4, handlelength=1.2, handleheight=0.9)
    return figure


def _stack(axes: Axes, bands: Bands, world: str, table: pd.DataFrame, scale: int) -> None:
    middles = [bands.top(rank, world) + 0.5 for rank in range(len(table))]
    left = np.zeros(len(table))
    for part in PARTS:
        width = table[f"{part}_ns"].to_numpy() / 1e9 / scale
        axes.barh(middles, width, height=0.86, left=left, color=PART_COLOURS[part], label=part)
        left = left + width


def _first_of_each(axes: Axes) -> tuple[list[Artist], list[str]]:
    handles, labels = axes.get_legend_handles_labels()
    # Reversed, so that of equal labels the first one stays.
    unique = dict(zip(reversed(labels), reversed(handles), strict=True))
    return [unique[label] for label in dict.fromkeys(labels)], list(dict.fromkeys(labels))


def staleness_bars(samples: Mapping[str, pd.DataFrame]) -> Figure | None:
    """How many versions behind contributions were when they were applied, a panel a kind of contribution.

    Args:
        samples: by world, as `metrics.staleness` returns them.
    Returns:
        the figure; None if no run has any staleness to show.
    """
    kinds = {str(kind) for each in samples.values() for kind in each["applied"].unique()}
    if not kinds:
        return None
    with styled():
        figure, panels = new_figure(8.0, 2.6 * -(-len(kinds) // 2), nrows=-(-len(kinds) // 2), ncols=min(2, len(kinds)))
        # Not strict: of an odd number the last panel is left over.
        for axes, kind in zip(panels, sorted(kinds, key=lambda kind: (kind != "gradient", kind)), strict=False):
            versions = {
                world: each.loc[each["applied"] == kind, "versions"].to_numpy() for world, each in samples.items()
            }
            _staleness_panel(axes, kind, {world: each for world, each in versions.items() if len(each)})
        for axes in panels[len(kinds) :]:
            axes.set_visible(False)
    return figure


def _staleness_panel(axes: Axes, kind: str, versions: Mapping[str, NDArray[np.int64]]) -> None:
    share_bars(axes, versions)
    axes.set_title(f"Staleness of {kind} contributions")
    axes.set_xlabel("staleness (versions)")


def share_bars(axes: Axes, numbers: Mapping[str, NDArray[np.int64]]) -> None:
    """Shares of whole numbers from 0 on: a bar a number, or bins of several numbers where there are many.

    Args:
        axes: where to.
        numbers: by world, at least one each.
    """
    from matplotlib.ticker import MaxNLocator

    highest = int(max(each.max() for each in numbers.values()))
    bin_width = -(-(highest + 1) // _MAX_BARS)
    edges = np.arange(0, highest + 1 + bin_width, bin_width) - 0.5  # so that a bar stands over its number
    bar_width = 0.84 * bin_width / len(numbers)
    for position, (world, each) in enumerate(numbers.items()):
        shares = 100 * np.histogram(each, edges)[0] / len(each)
        offset = (position - (len(numbers) - 1) / 2) * bar_width
        label = f"{world}, mean {number(float(each.mean()), 3)}"
        colour = WORLD_COLOURS.get(world)
        axes.bar(edges[:-1] + bin_width / 2 + offset, shares, bar_width, color=colour, label=label)
    axes.grid(visible=False, axis="x")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylabel("share (%)")
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)  # room for the legend
    axes.legend(loc="upper right")


def curves(series: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Loss, accuracy and consensus distance against time, a line a world.

    Args:
        series: by world, tables with `time_s` and any of `loss`, `accuracy`, `consensus_distance`.
    Returns:
        the figure; None if there is nothing to show.
    """
    shown = [key for key in _CURVES if any(key in each and each[key].notna().any() for each in series.values())]
    if not shown:
        return None
    longest_s = max(float(each["time_s"].max()) for each in series.values())
    with styled():
        figure, panels = new_figure(8.0, 2.7, ncols=len(shown))
        for axes, key in zip(panels, shown, strict=True):
            _curve_panel(axes, key, series, longest_s)
        panels[0].legend()
    return figure


def _curve_panel(axes: Axes, key: str, series: Mapping[str, pd.DataFrame], longest_s: float) -> None:
    scale, unit = time_unit(longest_s)
    for position, (world, each) in enumerate(series.items()):
        if key not in each:
            continue
        values = each[key] * QUANTITIES[key].scale
        # The second is dashed, so that both are seen where they agree.
        line = "-" if position == 0 else "--"
        axes.plot(each["time_s"] / scale, values, line, color=WORLD_COLOURS.get(world), label=world)
    if key == "consensus_distance" and any((each[key] > 0).any() for each in series.values() if key in each):
        axes.set_yscale("log", nonpositive="mask")  # workers that begin alike are at distance 0
    axes.set_title(QUANTITIES[key].words.capitalize())
    axes.set_xlabel(f"time ({unit})")
    axes.set_ylabel(QUANTITIES[key].label)
