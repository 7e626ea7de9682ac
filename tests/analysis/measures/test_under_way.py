"""What was under way when a run was cut: from hand-made traces and summaries, to the nanosecond."""

import pytest

from analysis.alone import alone
from analysis.comparison import contrast
from analysis.figures.timeline import readable_window, timeline
from analysis.measures.critical_path import critical_path
from analysis.measures.explanation import explain_run, part_name, path_parts
from analysis.measures.metrics import PARTS, breakdown
from analysis.measures.under_way import UNDER_WAY, cut_remark, found_under_way, under_way
from analysis.report.caveats import caveats
from schedules.result import load_run
from simulator import simulate
from tests.analysis.fake_runs import exchange, gradient, summary_of, trace_of, write_run

ROWS = (
    gradient(0, 0, 30),
    gradient(0, 30, 60),
    gradient(1, 0, 45),
    exchange(0, 1, 30, 45, 65),
    exchange(1, 0, 45, 45, 65, stream="compute"),
)
"""Rank 0 computes to 60 and rank 1 to 45, and both exchange from 45 to 65."""


def told(compute, transfer):
    """A summary with these nanoseconds of each rank."""
    columns = {"compute_s": compute, "transfer_s": transfer}
    return {"per_rank": {name: [each / 1e9 for each in column] for name, column in columns.items()}}


def found(compute, transfer=(20, 20), cut=100, rows=ROWS):
    return found_under_way(trace_of(*rows), told(compute, transfer), cut)


def test_what_the_rows_lack_goes_back_from_the_cut():
    """Rank 0 has begun at 70 and rank 1 at once at 45, both until 100; rank 1 transfers since 95."""
    it = found((90, 100), (20, 25))
    assert it.computing.T.tolist() == [[0, 70, 100], [1, 45, 100]]
    assert it.transferring.T.tolist() == [[1, 95, 100]]


def test_what_was_under_way_beside_what_was_done_goes_further_back():
    """Of two engines one is done at 60, and the other computes from 10 to the cut: the rows have 50 of its 90."""
    rows = (gradient(0, 20, 50), {**gradient(0, 55, 60), "stream": "other"})
    assert found((90,), (0,), rows=rows).computing.T.tolist() == [[0, 10, 100]]


@pytest.mark.parametrize("compute", [(60, 45), (60, 40), ()])
def test_rows_that_have_all_lack_nothing(compute):
    it = found(compute)
    assert it.computing.shape == it.transferring.shape == (3, 0)


def test_a_row_that_ends_after_the_cut_counts_up_to_it():
    """Clocks of hosts agree up to a residual, and may begin below zero."""
    rows = (gradient(0, -10, 40), gradient(0, 80, 103))
    assert found((80,), (0,), rows=rows).computing.T.tolist() == [[0, 70, 100]]


def test_the_parts_of_the_time_are_those_of_the_summary():
    """Rank 0: 60 + 30 computed, 5 of 20 transferred alone; rank 1: all but nothing computed."""
    table = breakdown(trace_of(*ROWS), found((90, 100)))
    assert table[[f"{part}_ns" for part in PARTS]].to_numpy().tolist() == [[90, 5, 0, 5], [100, 0, 0, 0]]
    assert table["makespan_ns"].tolist() == [100, 100]
    assert table["hidden_ns"].tolist() == [15, 20]


def test_a_rank_that_had_done_nothing_has_its_parts():
    table = breakdown(trace_of(gradient(0, 0, 30)), found((30, 0, 100), (0, 0, 0), rows=(gradient(0, 0, 30),)))
    assert table["compute_ns"].tolist() == [30, 0, 100]


def test_the_tail_of_the_critical_path_was_under_way():
    path = critical_path(trace_of(*ROWS), cut_ns=100)
    last = path.intervals.iloc[-1]
    assert (last["start_ns"], last["end_ns"], last["category"]) == (65, 100, "unfinished")
    assert path.length_ns == 100
    parts = {part_name(part): part["seconds"] for part in path_parts(path)}
    assert parts == {"compute gradient": 45e-9, UNDER_WAY: 35e-9, "transfer of Exchange": 20e-9}
    uncut = critical_path(trace_of(*ROWS), until_ns=100)
    assert uncut.intervals["category"].iloc[-1] == "other"


def test_the_timeline_goes_on_to_the_cut():
    traces, ends = {"simulated": trace_of(*ROWS)}, {"simulated": found((90, 100))}
    assert readable_window(traces, 1e-8, ends) == (0, 100)
    assert readable_window(traces, 1e-8) == (0, 65)
    figure = timeline(traces, unfinished=ends)
    assert figure.axes[0].get_xlim()[1] == 100
    labels = [each.get_text() for each in figure.legends[0].get_texts()]
    assert labels == ["Compute gradient", "Exchange", UNDER_WAY, "waiting"]


def test_only_a_run_that_was_cut_has_any(tmp_path):
    trace = trace_of(*ROWS)
    summary = summary_of(trace) | {"makespan_s": 100e-9} | told((90, 100), (20, 20))
    cut = load_run(write_run(tmp_path / "cut", trace, summary=summary, cut_ns=100))
    whole = load_run(write_run(tmp_path / "whole", trace, summary=summary))
    assert under_way(whole) is None
    assert cut_remark(whole) == ""
    (remark,) = alone(cut).caveats
    assert remark.startswith("The run was cut at 100 ns, and what was under way then is in no row of the trace.")
    assert [part_name(part) for part in explain_run(cut).parts][1] == UNDER_WAY


def test_a_comparison_says_it_once_where_it_holds_for_both(tmp_path):
    """Of the simulated run alone where only that was cut."""
    trace = trace_of(*ROWS)
    summary = summary_of(trace) | {"makespan_s": 100e-9} | told((90, 100), (20, 20))
    ours = load_run(write_run(tmp_path / "sim", trace, summary=summary, cut_ns=100))
    both = load_run(write_run(tmp_path / "real", trace, world="measured", summary=summary, cut_ns=100))
    whole = load_run(write_run(tmp_path / "whole", trace, world="measured", summary=summary))
    (remark,) = [each for each in caveats(contrast(ours, both)) if "cut" in each]
    assert remark.startswith("Both runs were cut at 100 ns, and what was under way")
    assert contrast(ours, both).breakdowns["measured"]["compute_ns"].tolist() == [90, 100]
    (remark,) = [each for each in caveats(contrast(ours, whole)) if "cut" in each]
    assert remark.startswith("The simulated run was cut at 100 ns")


@pytest.mark.parametrize("end", [{"until": "time", "duration": "61 ms"}, {"until": "gradients", "total": 13}])
def test_a_simulation_says_the_same_in_summary_and_breakdown(end):
    run = simulate(
        {
            "schedule": {"program": "gossip", "rate": 8.0},
            "topology": {"graph": "ring", "workers": 3},
            "platform": {
                "gradient": {"mean": "10 ms", "distribution": "gamma", "cv": 0.3},
                "link": {"bandwidth": "100 Mbit/s", "latency": "1 ms"},
            },
            "workload": {"parameters": 10_000},
            "run": end,
        }
    )
    table, per_rank = alone(run).breakdowns["simulated"], run.summary["per_rank"]
    assert run.cut_ns is not None
    assert (table["makespan_ns"] == run.cut_ns).all()
    assert (table["compute_ns"] / 1e9).tolist() == per_rank["compute_s"]
    assert ((table["waiting_ns"] + table["free_ns"]) / 1e9).tolist() == pytest.approx(per_rank["idle_s"], abs=1e-12)
    assert "other" not in {part["category"] for part in explain_run(run).parts}
