"""The figures of one run, as a notebook shows them."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from analysis.alone import alone
from analysis.figures.style import styled
from analysis.report.sections import Drawing, drawings
from schedules.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class RunFigures(Mapping[str, "Figure"]):
    """Figures by name; a notebook shows them all, one below the other."""

    def __init__(self, figures: Mapping[str, Figure]) -> None:
        self._figures = dict(figures)

    def __getitem__(self, name: str) -> Figure:
        return self._figures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __repr__(self) -> str:
        return f"<figures: {', '.join(self._figures)}>"

    def _repr_html_(self) -> str:
        return "\n".join(f"<div>{_svg(figure)}</div>" for figure in self._figures.values())


def run_figures(run: Result, name: str | None = None) -> RunFigures | Figure:
    """The figures of a run: all that it has anything for, or one of them.

    Args:
        run: of either world, in memory or on disk.
        name: as the report's files are called: `timeline`, `breakdown`, `network`, `memory`, `staleness`, `ages`,
            `curves`; of a pipeline `stages` and `idle`.
    Raises:
        ValueError: if the run has no such figure; those that it has are named.
    """
    found = alone(run)
    built = {_called(each): each.build(found) for each in drawings() if each.world in ("", run.world)}
    figures = {called: figure for called, figure in built.items() if figure is not None}
    if name is None:
        return RunFigures(figures)
    if name not in figures:
        raise ValueError(f"plot: expected one of {', '.join(figures) or 'no figure'}, found {name!r}")
    return figures[name]


def _called(drawing: Drawing) -> str:
    """Without the world, which is the run's own."""
    return drawing.name.removesuffix("_measured")


def _svg(figure: Figure) -> str:
    """As an element; its ids are from its content, and so two figures share none that differ."""
    text = io.StringIO()
    with styled():
        figure.savefig(text, format="svg")
    return text.getvalue()[text.getvalue().index("<svg") :]  # a page has no place for an XML declaration
