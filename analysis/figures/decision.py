"""The cases of a sweep as a choice between two goods: throughput against consensus distance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from analysis.figures.style import FAINT, INK, LINES, MARKERS, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from analysis.deciding.choice import Candidate, Choice


def decision_figure(choice: Choice) -> Figure:
    """Gradients a second against consensus distance: a marker a case, hollow where it does not keep up with its clocks
    or does not fit the machine.

    Shaded is what the rule takes for close; the chosen case and its rival are named. Numbers beside markers are those
    that vary along a line, such as the rate.
    """
    names = list(dict.fromkeys(each.line for each in choice.candidates))
    with styled():
        figure, (axes,) = new_figure(8.0, 4.2)
        for number, name in enumerate(names):
            cases = [each for each in choice.candidates if each.line == name]
            _line(axes, cases, LINES[number % len(LINES)], MARKERS[number % len(MARKERS)])
        if all(each.consensus > 0 for each in choice.candidates):
            axes.set_xscale("log")
        axes.set_ylim(0, 1.12 * max(each.gradients_per_s for each in choice.candidates))
        left, right = axes.get_xlim()
        axes.axvspan(left, choice.limit, color=FAINT, alpha=0.12, linewidth=0, zorder=0)
        axes.set_xlim(left, right)
        for case, word in ((choice.chosen, "chosen"), (choice.rival, "rival")):
            if case is not None:
                _ring(axes, case, word)
        if reasons := _hollow(choice.candidates):
            axes.set_title(f"Hollow: {' or '.join(reasons)}", fontsize=9, fontweight="normal")
        axes.set_xlabel("consensus distance while training (shaded: close)")
        axes.set_ylabel("throughput (gradients/s)")
        figure.legend(loc="outside lower center", ncols=3)
    return figure


def _hollow(cases: Sequence[Candidate]) -> list[str]:
    """What hollow markers of these cases mean."""
    behind = ["falls behind its clocks"] * (not all(each.keeps_up for each in cases))
    return behind + ["takes too much of the cores"] * (not all(each.fits for each in cases))


def _line(axes: Axes, cases: list[Candidate], colour: str, marker: str) -> None:
    x, y = [each.consensus for each in cases], [each.gradients_per_s for each in cases]
    axes.plot(x, y, color=colour, linewidth=0.8, alpha=0.5)
    axes.plot([], [], marker, color=colour, label=cases[0].line)
    for case in cases:
        face = colour if case.keeps_up and case.fits else "none"
        axes.plot(case.consensus, case.gradients_per_s, marker, color=colour, markerfacecolor=face, markersize=6)
        place = (case.consensus, case.gradients_per_s)
        axes.annotate(
            case.step.rpartition(" ")[2], place, (0, -13), textcoords="offset points", ha="center", fontsize=7.5
        )


def _ring(axes: Axes, case: Candidate, word: str) -> None:
    place = (case.consensus, case.gradients_per_s)
    axes.plot(*place, "o", markersize=14, markerfacecolor="none", color=INK, markeredgewidth=1.2)
    axes.annotate(word, place, (10, 6), textcoords="offset points", fontweight="bold")
