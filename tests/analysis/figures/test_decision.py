"""The figure of a choice."""

import pytest

from analysis.deciding.choice import choose
from analysis.figures.decision import decision_figure
from tests.analysis.deciding.test_choice import case

LATE, CROWDED, GOOD = case("late", 100, 1.0, 9.0), case("crowded", 90, 2.0, busy=0.9), case("good", 80, 3.0)


@pytest.mark.parametrize(
    ("cases", "title", "num_hollow"),
    [
        ([GOOD], "", 0),
        ([LATE, GOOD], "Hollow: falls behind its clocks", 1),
        ([LATE, CROWDED, GOOD], "Hollow: falls behind its clocks or takes too much of the cores", 2),
    ],
)
def test_hollow_markers_are_cases_that_are_not_to_be_chosen(cases, title, num_hollow):
    (axes,) = decision_figure(choose(cases)).axes
    assert axes.get_title(loc="left") == title
    assert sum(line.get_markerfacecolor() == "none" and line.get_markersize() == 6 for line in axes.lines) == num_hollow
