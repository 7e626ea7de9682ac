"""Figures with a band for every rank, and in it a lane for every world: simulated above measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from analysis.figures.style import FAINT, WORLD_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_GAP = 0.45


@dataclass(frozen=True)
class Bands:
    """Where bands and lanes lie, downwards from 0; a lane is 1 high.

    Attributes:
        num_ranks: number of bands.
        worlds: names of the lanes of a band, from above.
    """

    num_ranks: int
    worlds: Sequence[str]

    def top(self, rank: int, world: str) -> float:
        """Upper edge of a lane."""
        return rank * (len(self.worlds) + _GAP) + list(self.worlds).index(world)

    @property
    def height(self) -> float:
        """Lower edge of the last lane."""
        return self.num_ranks * (len(self.worlds) + _GAP) - _GAP

    def label(self, axes: Axes) -> None:
        """Write the ranks beside their bands and the worlds, in their colours, beside their lanes."""
        axes.set_ylim(self.height + _GAP / 2, -_GAP / 2)  # from above down
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", which="both", length=0)
        axes.spines["left"].set_visible(False)
        ranks = range(self.num_ranks)
        middles = [self.top(rank, self.worlds[0]) + len(self.worlds) / 2 for rank in ranks]
        if len(self.worlds) == 1:
            axes.set_yticks(middles, [f"rank {rank}" for rank in ranks])
            return
        lanes = [(self.top(rank, world) + 0.5, world) for rank in ranks for world in self.worlds]
        axes.set_yticks([middle for middle, _ in lanes], [world for _, world in lanes], fontsize=7)
        for tick, (_, world) in zip(axes.yaxis.get_major_ticks(), lanes, strict=True):
            tick.label1.set_color(WORLD_COLOURS.get(world, FAINT))
        # An axis takes two sets of labels, major and minor ones: worlds and ranks.
        axes.set_yticks(middles, [f"rank {rank}" for rank in ranks], minor=True)
        axes.tick_params(axis="y", which="minor", pad=50)
