"""How old what workers know of each other is, and how many exchanges pass while a gradient is computed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.figures.bars import share_bars
from analysis.figures.style import WORLD_COLOURS, new_figure, styled
from analysis.measures.metrics import exchanges_while_computing, num_ranks
from schedules.record.knowledge.ages import ages
from schedules.record.quantities import with_unit

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUM_BINS = 40


def age_panels(traces: Mapping[str, pd.DataFrame]) -> Figure | None:
    """Shares of gradients by the exchanges of their worker between read and apply; of what a worker contained of every
    other one when it began a gradient, by its age in that one's gradients and in time.

    Args:
        traces: by world, with the columns of `schedules.record.trace.COLUMNS`.
    Returns:
        the figure; None where nobody knows of anybody, or always all.
    """
    found = {world: ages(trace, num_ranks(trace)) for world, trace in traces.items()}
    known = {world: each for world, each in found.items() if each is not None and each.versions.any()}
    if not known:
        return None
    exchanges = {world: exchanges_while_computing(traces[world]) for world in known}
    between = {world: each for world, each in exchanges.items() if len(each)}
    with styled():
        figure, panels = new_figure(8.0, 2.7, ncols=3 if between else 2)
        if between:
            share_bars(panels[0], between)
            panels[0].set_title("While computing")
            panels[0].set_xlabel("exchanges from read to apply")
        versions, times = panels[-2:]
        share_bars(versions, {world: each.versions for world, each in known.items()})
        versions.set_title("What is known of others")
        versions.set_xlabel("age (gradients of theirs)")
        _times(times, {world: each.age_ns / 1e9 for world, each in known.items()})
        times.set_title("The same in time")
    return figure


def _times(axes: Axes, seconds: Mapping[str, NDArray[np.float64]]) -> None:
    """Shares of times, in bins of equal width."""
    longest_s = max(float(each.max()) for each in seconds.values())
    edges = np.linspace(0, longest_s or 1.0, _NUM_BINS + 1)
    for world, each in seconds.items():
        shares = 100 * np.histogram(each, edges)[0] / len(each)
        label = f"{world}, mean {with_unit(float(each.mean()), 's', 3)}"
        axes.stairs(shares, edges, color=WORLD_COLOURS.get(world), label=label, linewidth=1.6)
    axes.set_xlabel("age (s)")
    axes.locator_params(axis="x", nbins=5)
    axes.set_ylabel("share (%)")
    axes.set_ylim(top=axes.get_ylim()[1] * 1.25)  # room for the legend
    axes.legend(loc="upper right")
