"""Figures show what they are given, and equal figures are equal files."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from analysis.figures import bars as figures
from analysis.figures.style import LINES, WORLD_COLOURS, kind_colours
from analysis.measures.metrics import breakdown, staleness
from tests.analysis.fake_runs import MS, exchange, gossip_trace, gradient, series_of, trace_of


@pytest.fixture(scope="module")
def traces():
    return {world: gossip_trace(world=world, gradients=12) for world in ("simulated", "measured")}


def boxes(figure):
    """By label, the boxes as (left, upper, right, lower)."""
    return {
        each.get_label(): [
            (*path.vertices.min(axis=0).tolist(), *path.vertices.max(axis=0).tolist()) for path in each.get_paths()
        ]
        for each in figure.axes[0].collections
    }


def test_timeline_draws_every_operation_where_it_was():
    trace = trace_of(
        gradient(0, 0, 10 * MS), exchange(0, 1, 2 * MS, 4 * MS, 7 * MS), exchange(1, 0, 4 * MS, 4 * MS, 7 * MS)
    )
    drawn = boxes(figures.timeline({"simulated": trace}))
    assert list(drawn) == ["Compute gradient", "Exchange", "waiting"]
    assert [(box[0], box[2]) for box in drawn["Compute gradient"]] == [(0, 10)]
    assert [(box[0], box[2]) for box in drawn["Exchange"]] == [(4, 7), (4, 7)]
    assert [(box[0], box[2]) for box in drawn["waiting"]] == [(2, 4)]


def test_timeline_cuts_at_the_window_and_shows_the_simulated_lane_above(traces):
    figure = figures.timeline(traces, (0, 30 * MS), max_ranks=2)
    axes = figure.axes[0]
    drawn = boxes(figure)["Compute gradient"]
    assert max(box[2] for box in drawn) == 30
    assert axes.get_xlabel() == "time (ms)"
    assert [each.get_text() for each in axes.get_yticklabels()] == ["simulated", "measured"] * 2
    assert [each.get_text() for each in axes.get_yticklabels(minor=True)] == ["rank 0", "rank 1"]
    assert axes.yaxis_inverted()
    assert "ranks 0 to 1 of 4" in axes.get_title(loc="left")


def test_readable_window(traces):
    gradients = trace_of(*(gradient(0, i * MS, (i + 1) * MS) for i in range(100)))
    late = trace_of(*(exchange(0, 1, i * MS, i * MS, i * MS + 5) for i in (15, 25, 26)), gradient(0, 0, 100 * MS))
    rare = trace_of(*(exchange(0, 1, i * MS, i * MS, i * MS + 5) for i in (30, 60, 90)))
    assert figures.readable_window({"simulated": gradients}, 0.001) == (0, 10 * MS)
    assert figures.readable_window({"simulated": late}, 0.001) == (0, 26 * MS + 5)
    assert figures.readable_window({"simulated": rare}, 0.001) == (0, 40 * MS)
    assert figures.readable_window({"simulated": gradients}, 1.0) == (0, 100 * MS)
    assert figures.readable_window({"simulated": trace_of({"op": "Start"})}, 1e-9) == (0, 1)


def test_breakdown_bars_stack_up_to_the_makespan(traces):
    tables = {world: breakdown(trace) for world, trace in traces.items()}
    axes = figures.breakdown_bars(tables).axes[0]
    ends = [bar.get_x() + bar.get_width() for bar in axes.containers[3]]
    assert ends == pytest.approx(tables["simulated"]["makespan_ns"].to_numpy() / 1e9)
    assert [container.get_label() for container in axes.containers] == ["compute", "transfer", "waiting", "free"] * 2
    assert axes.get_xlabel() == "time (s)"


def test_staleness_bars_are_shares_that_add_up(traces):
    figure = figures.staleness_bars({world: staleness(trace) for world, trace in traces.items()})
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "Staleness of gradient contributions",
        "Staleness of average contributions",
    ]
    for axes in figure.axes:
        for container, world in zip(axes.containers, traces, strict=True):
            assert sum(bar.get_height() for bar in container) == pytest.approx(100)
            assert to_hex(container[0].get_facecolor()) == WORLD_COLOURS[world]


def test_wide_staleness_is_binned():
    samples = pd.DataFrame({"applied": "gradient", "versions": np.arange(1000)})
    container = figures.staleness_bars({"simulated": samples}).axes[0].containers[0]
    assert len(container) <= 30
    assert sum(bar.get_height() for bar in container) == pytest.approx(100)


def test_nothing_to_show_is_no_figure(traces):
    assert figures.staleness_bars({"simulated": staleness(trace_of(gradient(0, 0, 1)))}) is None
    assert figures.curves({}) is None
    empty = series_of(traces["simulated"]).assign(loss=np.nan, accuracy=np.nan, consensus_distance=np.nan)
    assert figures.curves({"simulated": empty}) is None


def test_curves_leave_out_what_is_unknown(traces):
    series = {world: series_of(trace).assign(accuracy=np.nan) for world, trace in traces.items()}
    figure = figures.curves(series)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Loss", "Consensus distance"]
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 2]
    assert figure.axes[0].lines[0].get_ydata()[0] == series["simulated"]["loss"].iloc[0]


def sweep_row(graph, cost, program, rate, seed):
    settings = {"topology.graph": graph, "schedule.program": program, "schedule.rate": rate, "run.seed": seed}
    utilization = {"utilization_compute": 0.9, "utilization_communication": 0.1 * rate}
    return {**settings, **utilization, "gradients_per_s": 100 / (1 + cost * rate) + seed, "staleness_mean": rate}


def sweep_table():
    return pd.DataFrame(
        [
            sweep_row(graph, cost, program, rate, seed)
            for graph, cost in (("ring", 0.1), ("complete", 0.2))
            for program in ("gossip", "a2cid2")
            for rate in (4.0, 0.5, 1.0)
            for seed in (0, 2)
        ]
    )


def test_throughput_has_a_line_a_topology_and_program():
    figure = figures.throughput_against_rate(sweep_table())
    axes = figure.axes[0]
    assert len(axes.lines) == 4
    assert axes.lines[0].get_xdata().tolist() == [0.5, 1, 4]
    assert axes.lines[0].get_ydata()[1] == pytest.approx(100 / 1.1 + 1)
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--", "-", "--"]
    assert [to_hex(line.get_color()) for line in axes.lines] == [LINES[0], LINES[0], LINES[1], LINES[1]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ring", "complete", "gossip", "a2cid2"]
    assert axes.get_ylabel() == "throughput (gradients/s)"
    assert axes.get_xscale() == "log"
    assert len(axes.collections) == 4  # the bands of the seeds


def test_shares_are_in_percent():
    figure = figures.utilization_against_rate(sweep_table())
    assert figure.axes[0].lines[0].get_ydata().tolist() == pytest.approx([90, 90, 90])
    assert figure.axes[1].get_ylabel() == "communication utilization (%)"


def test_other_settings_that_vary_make_lines_of_their_own():
    table = pd.concat([sweep_table().assign(**{"topology.workers": workers}) for workers in (4, 8)])
    figure = figures.staleness_against_rate(table[table["schedule.program"] == "gossip"])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "ring workers=4", "complete workers=4", "ring workers=8", "complete workers=8",
    ]  # fmt: skip


def test_results_with_a_dot_in_their_name_are_no_settings():
    table = sweep_table().assign(**{"staleness_mean.gradient": range(len(sweep_table()))})
    figure = figures.staleness_against_rate(table)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["ring", "complete", "gossip", "a2cid2"]


def test_a_legend_of_long_names_stays_within_the_figure():
    table = pd.concat([sweep_table().assign(**{"optimizer.learning_rate": rate}) for rate in (0.0125, 0.025)])
    figure = figures.throughput_against_rate(table)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_settings_of_some_cases_name_these_alone():
    """What belongs to one program is told by its dashes; a key that some of its cases have not, by the others' name."""
    gossip = sweep_table()[lambda rows: rows["schedule.program"] == "gossip"]
    momentum = [gossip.assign(**{"optimizer.momentum": value}) for value in (None, 0.9)]
    other = sweep_table()[lambda rows: rows["schedule.program"] == "a2cid2"].assign(**{"schedule.rounds": 20})
    figure = figures.staleness_against_rate(pd.concat([*momentum, other]))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "ring", "complete", "ring momentum=0.9", "complete momentum=0.9", "gossip", "a2cid2",
    ]  # fmt: skip


def test_a_sweep_of_the_rate_alone_needs_no_legend():
    table = pd.DataFrame({"schedule.rate": [1.0, 2.0], "gradients_per_s": [10.0, 9.0]})
    figure = figures.throughput_against_rate(table)
    assert figure.legends == []
    assert figure.axes[0].get_xscale() == "linear"


def test_the_overview_has_three_panels():
    assert len(figures.rate_overview(sweep_table()).axes) == 3


def test_the_overview_shows_how_far_averaging_is_behind_its_clocks_where_there_are_some():
    table = sweep_table().assign(exchange_rate=0.5, backlog_exchanges=3, lag_mean_s=0.1, lag_p95_s=0.2)
    labels = [axes.get_ylabel() for axes in figures.rate_overview(table).axes]
    assert labels[1] == "exchange rate (per gradient)"
    assert labels[4:] == ["exchanges behind", "mean lag behind the clock (s)", "lag, 95th percentile (s)"]
    assert len(figures.rate_overview(table.drop(columns=["backlog_exchanges", "lag_mean_s", "lag_p95_s"])).axes) == 4


def test_consensus_has_a_line_a_run():
    time = np.linspace(0, 1, 5)
    table = pd.concat(
        pd.DataFrame({"topology.graph": graph, "run.seed": seed, "time_s": time, "consensus_distance": np.exp(-time)})
        for graph in ("ring", "complete")
        for seed in (0, 1, 2)
    )
    axes = figures.consensus_against_time(table).axes[0]
    assert len(axes.lines) == 6
    assert axes.get_yscale() == "log"


@pytest.mark.parametrize(
    ("draw", "table", "message"),
    [
        (figures.throughput_against_rate, pd.DataFrame({"schedule.rate": [1]}), "gradients_per_s missing"),
        (figures.staleness_against_rate, sweep_table().iloc[:0], "no row"),
        (figures.consensus_against_time, sweep_table(), "time_s, consensus_distance missing"),
    ],
)
def test_tables_that_cannot_be_drawn(draw, table, message):
    with pytest.raises(ValueError, match=f"sweep table: expected rows with the columns .*{message}"):
        draw(table)


def test_saved_figures_are_whole_and_equal(traces, tmp_path):
    first = figures.save(figures.timeline(traces), tmp_path / "one.of")
    second = figures.save(figures.timeline(traces), str(tmp_path / "two"))
    assert [path.name for path in first] == ["one.of.png", "one.of.svg"]
    assert first[0].read_bytes().startswith(b"\x89PNG")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert "date" not in first[1].read_text().lower()


def test_figures_belong_to_no_window(traces):
    from matplotlib import pyplot

    figures.breakdown_bars({world: breakdown(trace) for world, trace in traces.items()})
    assert pyplot.get_fignums() == []


def test_kinds_have_colours_of_their_own():
    kinds = ["Compute forward", "Compute encode", "Compute backward-input", "Exchange", "Broadcast", "AllGather"]
    colours = kind_colours(kinds)
    assert list(colours) == kinds
    assert len(set(colours.values())) == len(kinds)
