"""The panels of how stale gossip is."""

import numpy as np
import pytest

from analysis.figures.ages import age_panels
from analysis.measures.metrics import exchanges_while_computing
from schedules.record.knowledge.ages import ages
from simulator import simulate

TABLES = {
    "schedule": {"program": "gossip", "gradients": 20, "rate": 2},
    "topology": {"graph": "ring", "workers": 4},
    "platform": {
        "gradient": {"mean": "10 ms", "distribution": "lognormal", "cv": 0.3},
        "link": {"bandwidth": "1 GB/s", "latency": "1 ms"},
    },
    "workload": {"parameters": 1000},
    "run": {"ages": True},
}


@pytest.fixture(scope="module")
def run():
    return simulate(TABLES)


def test_panels_show_shares_with_the_means_of_the_summary(run):
    between, versions, times = age_panels({"simulated": run.trace}).axes
    for axes in (between, versions):
        assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(100)
    told = [axes.get_legend_handles_labels()[1][0] for axes in (between, versions, times)]
    summary = run.summary
    assert told == [
        f"simulated, mean {summary['staleness_exchanges_mean']:.3g}",
        f"simulated, mean {summary['age_mean']:.3g}",
        f"simulated, mean {1e3 * summary['age_mean_s']:.3g} ms",
    ]
    shares = np.histogram(ages(run.trace, 4).age_ns / 1e9, times.patches[0].get_data().edges)[0]
    assert times.patches[0].get_data().values == pytest.approx(100 * shares / shares.sum())


def test_two_worlds_stand_side_by_side(run):
    figure = age_panels({"simulated": run.trace, "measured": run.trace})
    assert [len(axes.get_legend_handles_labels()[1]) for axes in figure.axes] == [2, 2, 2]


def test_exchanges_of_a_trace_are_those_of_the_summary(run):
    found = exchanges_while_computing(run.trace)
    assert len(found) == 80
    assert found.mean() == run.summary["staleness_exchanges_mean"]
    assert found.max() == run.summary["staleness_exchanges_max"]


def test_where_everybody_always_has_everything_there_is_no_figure():
    run = simulate({**TABLES, "schedule": {"program": "all-reduce", "gradients": 3}})
    assert run.summary["age_max"] == 0
    assert age_panels({"simulated": run.trace}) is None
