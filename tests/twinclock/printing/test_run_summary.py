"""The lines of a summary that have something of their own: memory, averaging, and clocks that run ahead."""

import json

import pytest

from schedules.platform.transports import unlike_execution
from simulator import simulate
from twinclock.printing.run_summary import falling_behind, rows, show

RUN = {
    "schedule": {"program": "all-reduce", "gradients": 1},
    "topology": {"graph": "ring", "workers": 2},
    "platform": {"gradient": {"mean": 0.01}},
    "workload": {"parameters": 1},
}


@pytest.mark.parametrize(
    ("peaks", "line"),
    [
        ([3_000_000, 412_000_000, 9], "412 MB at the peak (rank 1)"),
        ([412_000_000] * 3, "412 MB at the peak of every rank"),
        ([5, 7, 7], "7 B at the peak (rank 1)"),
    ],
)
def test_whose_peak_it_is(peaks, line):
    summary = {"peak_memory_bytes": max(peaks), "per_rank": {"peak_memory_bytes": peaks}}
    assert rows({**summary, "peak_memory_by_kind": {"parameters": 7}}) == [("memory", line)]


@pytest.mark.parametrize(
    ("due", "behind", "told"),
    [
        (1522, 306, "1,216 of 1,522 exchanges that were due in the window were made (79.9 %)"),
        (10_000, 800, "9,200 of 10,000"),
        (10_000, 750, ""),  # 9250 + 3 * 96.2 is above 9500
        (10, 3, ""),  # seven of ten may be chance
        (10, 10, "0 of 10"),
        (0, 0, ""),
    ],
)
def test_workers_that_do_not_keep_up_with_their_clocks_are_told(due, behind, told):
    line = falling_behind({"exchanges_due": due, "backlog_exchanges": behind})
    assert told in line
    assert bool(line) == bool(told)


@pytest.mark.parametrize(
    ("transport", "execution", "told"),
    [
        (
            "nccl",
            {"device": "cpu"},
            "platform.transport = 'nccl' is not what the executor would use with execution.device",
        ),
        ("nccl", {"backend": "gloo"}, "'nccl' is not what the executor would use with execution.backend = 'gloo'"),
        ("gloo", {"backend": "nccl"}, "'gloo' is not what the executor would use with execution.backend = 'nccl'"),
        ("nccl", {"backend": "nccl"}, ""),
        ("gloo", {"device": "cpu"}, ""),
        ("nccl", {}, ""),
        ("ideal", {"backend": "nccl"}, ""),
    ],
)
def test_a_transport_that_the_executor_would_not_use_is_told(transport, execution, told, capsys):
    tables = {"platform.transport": transport, **{f"execution.{key}": value for key, value in execution.items()}}
    result = simulate(RUN, overrides=tables)
    show(result, None, as_json=False)
    printed = capsys.readouterr().out
    assert ("warning: " in printed) == bool(told)
    assert told in printed
    show(result, None, as_json=True)
    assert json.loads(capsys.readouterr().out).get("warnings", [""])[0].count(told)


def test_a_run_that_was_executed_otherwise_is_told():
    told = unlike_execution({"transport": "nccl"}, {"device": "auto", "backend": "auto"}, ["gloo"])
    assert told == "platform.transport = 'nccl' is not what the executor has used: gloo"
    assert unlike_execution({"transport": "gloo"}, {}, ["gloo"]) == ""


def test_nothing_is_said_of_clocks_where_there_are_none():
    assert falling_behind({"exchange_rate": 1.0}) == ""


def test_the_line_on_averaging_is_there_where_workers_average():
    behind = {"backlog_exchanges": 3, "lag_mean_s": 0.1, "lag_p95_s": 0.5}
    assert rows({"exchange_rate": 0.0}) == []
    assert rows({"exchange_rate": 0.5}) == [("averaging", "0.5 a worker and gradient")]
    line = "0.5 a worker and gradient, 3 ticks not answered, 100 ms lag (mean), 500 ms (95 %)"
    assert rows({"exchange_rate": 0.5, **behind}) == [("averaging", line)]
