"""The figures of a report are a table: a further one is an entry."""

import re

import analysis.report.page
import analysis.report.sections
from analysis import compare, load_run
from analysis.deciding.choice import choose
from analysis.deciding.ranking import decision
from analysis.figures.style import new_figure
from analysis.report.sections import SECTIONS, Drawing, Section, drawings
from tests.analysis.deciding.test_choice import case
from tests.analysis.fake_runs import trace_of, write_pair, write_run


def test_names_are_told_apart():
    names = [each.name for each in drawings()]
    assert len(names) == len(set(names))
    anchors = [each.name for each in SECTIONS]
    assert len(anchors) == len(set(anchors))


def test_a_further_figure_is_one_entry(tmp_path, monkeypatch):
    def claims(comparison):
        figure, (axes,) = new_figure(4, 1)
        axes.set_title(f"error {comparison.error:.3f}")
        return figure

    more = Section("error", "How far off", (Drawing("error", claims, "The error, large."),))
    for module in (analysis.report.page, analysis.report.sections):
        monkeypatch.setattr(module, "SECTIONS", (*SECTIONS, more))
    comparison = compare(*write_pair(tmp_path), tmp_path / "out")
    assert {"error.png", "error.svg"} <= {path.name for path in comparison.files}
    page = comparison.files[0].read_text()
    assert re.search(r'<section id="error">\s*<h2>How far off</h2>', page)
    assert "The error, large." in page
    assert page.index("To reproduce") < page.index("How far off")
    nothing = Section("error", "How far off", (Drawing("error", lambda _: None, "The error, large."),))
    for module in (analysis.report.page, analysis.report.sections):
        monkeypatch.setattr(module, "SECTIONS", (*SECTIONS, nothing))
    again = compare(tmp_path / "sim", tmp_path / "real", tmp_path / "out")
    assert "How far off" not in again.files[0].read_text()
    assert not (tmp_path / "out" / "error.png").exists()


def test_neighbours_share_a_caption():
    (memory,) = (each for each in SECTIONS if each.name == "memory")
    ((caption, _, both),) = memory.drawn(["memory", "memory_measured"])
    assert [each.world for each in both] == ["simulated", "measured"]
    ((again, _, one),) = memory.drawn(["memory_measured"])
    assert (again, [each.world for each in one]) == (caption, ["measured"])
    assert not memory.is_shown(["timeline"])


def test_a_decision_is_told_first_with_its_figure_and_its_table(tmp_path):
    sim, real = write_pair(tmp_path)
    choice = choose([case("ring", 400, 1.0, 0.001, "rate 1"), case("star", 300, 0.9, 0.001), case("path", 500, 4.0)])
    simulated = dict.fromkeys(("ring, rate 1", "star"), load_run(sim))
    made = decision(choice, simulated, {name: [load_run(real)] * 2 for name in simulated})
    comparison = compare(sim, real, tmp_path / "out", decision=made)
    assert {"decision.png", "decision.svg", "decision.csv"} <= {path.name for path in comparison.files}
    page = comparison.files[0].read_text()
    assert page.index("<h2>The decision</h2>") < page.index("<h2>Summary</h2>")
    for told in (choice.sentence(), *choice.reasons(), made.ranking.sentence()):
        assert told.replace(" %", "\N{NO-BREAK SPACE}%") in page
    # One without a decision has none of it, and what the former report had is gone.
    again = compare(sim, real, tmp_path / "out")
    assert "The decision" not in again.files[0].read_text()
    assert not (tmp_path / "out" / "decision.csv").exists()


def test_without_gradients_a_timeline_shows_ten_computations(tmp_path):
    """Of 100 ns each, not ten gradient times of 10 ms."""
    rows = [{"rank": 0, "op": "Compute", "kernel": "decode", "at": (at, at, at + 100)} for at in range(0, 3000, 100)]
    trace = trace_of(*rows)
    kernels = load_run(write_run(tmp_path / "kernels", trace, summary={"gradients": 0}))
    assert kernels.plot("timeline").axes[0].get_xlim() == (0, 1)  # µs
    gradients = load_run(write_run(tmp_path / "gradients", trace, summary={"gradients": 30}))
    assert gradients.plot("timeline").axes[0].get_xlim() == (0, 3)
