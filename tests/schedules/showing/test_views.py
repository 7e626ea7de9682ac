"""A run in one line, as a notebook's table, and its figures."""

import re

import pytest

from schedules.showing import views
from simulator import simulate

SCENARIO = {
    "schedule": {"program": "gossip", "gradients": 8},
    "topology": {"graph": "ring", "workers": 3},
    "platform": {"gradient": {"mean": "10 ms"}},
    "workload": {"problem": "quadratic"},
}


@pytest.fixture(scope="module")
def run():
    return simulate(SCENARIO)


def test_a_run_in_one_line(run):
    assert repr(run) == (
        "<simulated run: gossip on ring, 3 workers, seed 0; gradients 24, makespan 80.1 ms, throughput 300 gradients/s>"
    )


@pytest.mark.parametrize(
    ("topology", "name"),
    [
        ({"graph": "ring"}, "ring"),
        ({"graph": "random-geometric", "count": 50, "file": None}, "50 x random-geometric"),
        ({"graph": None, "file": "/far/away/Abilene.graphml"}, "Abilene.graphml"),
        ({"graph": None, "file": ["/far/a.json", "b.json", "c.json"]}, "a.json and 2 more"),
        ({}, "?"),
    ],
    ids=str,
)
def test_what_a_graph_is_called(topology, name):
    assert views.graph_name(topology) == name


def test_the_table_of_a_notebook_has_words_and_units(run):
    html = run._repr_html_()
    assert re.search(r">idle</td><td>[\d.]+ %</td>", html)
    assert re.search(r">throughput \(gradients/s\)</td><td>[\d.,]+</td>", html)
    assert "gradients_per_s" not in html


def test_names_of_a_users_own_are_escaped():
    html = views.table("<b>", {"module_<i>_s": 2.0, "precision_reached": True, "made_s": None})
    assert "&lt;b&gt;" in html
    assert ">module &lt;i&gt;</td><td>2 s<" in html
    assert "reached" not in html
    assert "made" not in html


def test_a_run_without_numbers_still_has_a_line():
    assert views.line("measured", 3, {}, {}) == "measured run: ? on ?, ? workers, seed 3"


@pytest.mark.slow
def test_plot_has_the_figures_of_the_report(run, tmp_path):
    figures = run.plot()
    assert {"timeline", "breakdown", "memory", "staleness", "ages", "curves"} <= set(figures)
    assert len(figures["curves"].axes) == 2  # the quadratic has no accuracy
    assert figures._repr_html_().count("<svg") == len(figures)
    assert run.plot("timeline").axes[0].get_title(loc="left").startswith("Simulated, all ranks")
    with pytest.raises(ValueError, match=r"plot: expected one of timeline, .*, found 'sales'"):
        run.plot("sales")


def test_who_draws_is_found_by_name(run, monkeypatch):
    monkeypatch.setattr(views, "DRAWN_BY", "no_such_package")
    with pytest.raises(ImportError, match="no_such_package"):
        run.plot()


def test_a_run_without_gradients_is_told_in_its_own_units():
    summary = {"gradients": 0, "gradients_per_s": 0.0, "staleness_mean": 0.0, "makespan_s": 2.0, "exchange_rate": 0.0}
    summary |= {"work.tokens": 100, "work_per_s.tokens": 50.0}
    assert views.line("simulated", 3, {}, summary).endswith("seed 3; makespan 2 s, throughput 50 tokens/s")
    html = views.table("", summary)
    assert "throughput (tokens/s)" in html
    assert "gradients" not in html
    assert "staleness" not in html
