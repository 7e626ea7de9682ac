"""Why the ranks of a pipeline were idle, as stacked bars: a band a rank, a lane a world."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from analysis.figures.bands import Bands
from analysis.figures.style import FAINT, PART_COLOURS, new_figure, styled
from analysis.pipelines.drawing import unit_of
from analysis.pipelines.idle import IDLE_PARTS, Idle

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = {
    "contention": PART_COLOURS["transfer"],
    "latency": PART_COLOURS["waiting"],
    "before": "#b3bac1",
    "after": "#8a939c",
    "between": "#5b6670",
}
WORDS: Final = {
    "contention": "contention",
    "latency": "latency",
    "before": "before its first step",
    "after": "after its last step",
    "between": "between its steps",
}
"""The parts of `analysis.pipelines.idle`, as people read them."""


def idle_bars(found: Mapping[str, Idle], *, max_ranks: int = 16) -> Figure:
    """The idle time of every rank in its parts; a part below 0 stands to the left of 0.

    Args:
        found: by world.
        max_ranks: show only so many ranks.
    """
    ranks = max(len(each.parts) for each in found.values())
    bands = Bands(min(ranks, max_ranks), tuple(found))
    tables = {world: each.parts.iloc[: bands.num_ranks] for world, each in found.items()}
    unit_ns, unit = unit_of(max(1, *(int(each["idle_ns"].max()) for each in tables.values())))
    with styled():
        figure, (axes,) = new_figure(8.0, 1.1 + 0.2 * bands.height)
        for number, (world, table) in enumerate(tables.items()):
            _stack(axes, bands, world, table / unit_ns, is_first=number == 0)
        bands.label(axes)
        axes.margins(x=0.01)
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.set_xlabel(f"idle time ({unit})")
        whom = f"ranks 0 to {bands.num_ranks - 1} of {ranks}" if bands.num_ranks < ranks else "every rank"
        axes.set_title(f"Why {whom} was idle" if bands.num_ranks == ranks else f"Why {whom} were idle")
        figure.legend(loc="outside lower center", ncols=5, handlelength=1.2, handleheight=0.9)
    return figure


def _stack(axes: Axes, bands: Bands, world: str, idle: pd.DataFrame, *, is_first: bool) -> None:
    middles = [bands.top(rank, world) + 0.5 for rank in range(len(idle))]
    right, left = np.zeros(len(idle)), np.zeros(len(idle))
    for part in IDLE_PARTS:
        width = idle[f"{part}_ns"].to_numpy()
        begin = np.where(width < 0, left, right)
        label = WORDS[part] if is_first else None
        axes.barh(middles, width, height=0.86, left=begin, color=COLOURS[part], label=label)
        right, left = right + width.clip(min=0), left + width.clip(max=0)
