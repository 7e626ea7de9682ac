"""Operation tables, breakdowns, staleness and partners of hand-made traces, to the nanosecond."""

import numpy as np
import pytest

from analysis.measures.metrics import (
    PARTS,
    breakdown,
    gradients_of_ranks,
    num_ranks,
    operation_table,
    partner_matrix,
    staleness,
)
from tests.analysis.fake_runs import exchange, gossip_trace, gradient, trace_of

PART_COLUMNS = [f"{part}_ns" for part in PARTS]


def parts(*rows, rank=0):
    return breakdown(trace_of(*rows)).loc[rank, PART_COLUMNS].tolist()


def test_operation_table_counts_and_averages_by_kind_and_kernel():
    table = operation_table(
        trace_of(
            gradient(0, 0, 100),
            {**gradient(0, 0, 0), "at": (100, 150, 250)},
            exchange(0, 1, 10, 30, 70, size=500),
            exchange(1, 0, 30, 30, 72, size=500),
            {"rank": 0, "op": "Apply", "stream": "gossip", "at": (70, 70, 70), "applied": "average"},
        )
    )
    assert table.index.tolist() == ["Compute gradient", "Exchange"]
    assert table["count"].tolist() == [2, 2]
    assert table["bytes"].tolist() == [0, 1000]
    assert table["duration_ns"].tolist() == [250, 102]
    assert table["transfer_ns"].tolist() == [200, 82]
    assert table["waiting_ns"].tolist() == [50, 20]
    assert table["duration_s"].tolist() == [125e-9, 51e-9]
    assert table["transfer_s"].tolist() == [100e-9, 41e-9]
    assert table["waiting_s"].tolist() == [25e-9, 10e-9]


def test_operations_that_only_wait_have_no_transfer():
    table = operation_table(
        trace_of(*({"op": op, "at": (5, 5, 25)} for op in ("Meet", "Await", "Until", "Put", "Take")))
    )
    assert set(table["transfer_ns"]) == {0}
    assert set(table["waiting_ns"]) == {20}


def test_ready_times_of_badly_aligned_clocks_stay_within_the_operation():
    table = operation_table(trace_of(exchange(0, 1, 100, 90, 150), exchange(1, 0, 90, 200, 160)))
    assert (table.loc["Exchange", "waiting_ns"], table.loc["Exchange", "transfer_ns"]) == (70, 50)


def test_compute_claims_a_moment_before_transfer_and_transfer_before_waiting():
    assert parts(
        gradient(0, 0, 100),
        exchange(0, 1, 50, 120, 170),  # waits 50..120, of which 100..120 is not hidden; transfers 120..170
        gradient(0, 160, 200),
    ) == [140, 40, 20, 0]


def test_nothing_going_on_is_free_until_the_last_rank_is_done():
    rows = (gradient(0, 0, 100), {"op": "Until", "stream": "gossip", "at": (100, 100, 130)}, gradient(1, 0, 175))
    assert parts(*rows) == [100, 0, 0, 75]
    assert parts(*rows, rank=1) == [175, 0, 0, 0]


def test_an_operation_started_in_the_background_blocks_nobody_until_it_is_awaited():
    reduce = {"stream": "compute+1", "op": "AllReduce", "group": "all", "bytes": 8, "at": (0, 60, 80)}
    sleeping = {"op": "Until", "at": (0, 0, 40)}
    awaiting = {"op": "Await", "at": (40, 40, 80)}
    assert parts(reduce, sleeping, awaiting) == [0, 20, 20, 40]


def test_overlapping_operations_are_counted_once():
    rows = (exchange(0, 1, 0, 0, 60), {**exchange(0, 2, 0, 30, 100), "stream": "other"}, gradient(0, 90, 120))
    assert parts(*rows) == [30, 90, 0, 0]
    table = breakdown(trace_of(*rows))
    assert table.loc[0, "hidden_ns"] == 10
    assert table.index.tolist() == [0, 1, 2]  # the ranks that are only met have a row, too
    assert table.loc[2, PART_COLUMNS].tolist() == [0, 0, 0, 120]


def test_meeting_and_barriers_are_waiting():
    meet = {"op": "Meet", "stream": "gossip", "at": (0, 0, 30), "answer": "1#0"}
    barrier = {"op": "Barrier", "stream": "gossip", "group": "all", "at": (30, 70, 75)}
    assert parts(meet, barrier) == [0, 5, 70, 0]


def test_a_run_that_begins_before_its_own_zero_is_counted_whole():
    table = breakdown(trace_of(gradient(0, -20, 80), gradient(1, 0, 100)))
    assert table["makespan_ns"].tolist() == [120, 120]
    assert table["compute_ns"].tolist() == [100, 100]


@pytest.mark.parametrize("seed", range(3))
def test_parts_add_up_to_the_makespan_exactly(seed):
    table = breakdown(gossip_trace(seed=seed, cv=0.6, rate=4.0, transfer_ms=7.0))
    assert (table[PART_COLUMNS].sum(axis=1) == table["makespan_ns"]).all()
    assert (table >= 0).all(axis=None)
    assert set(table.dtypes) == {np.dtype(np.int64)}


def test_breakdown_agrees_with_a_painted_time_axis():
    trace = gossip_trace(workers=3, gradients=5, cv=0.5, rate=3.0).copy()
    times = ["start_ns", "ready_ns", "end_ns"]
    trace[times] = trace[times] // 10_000  # steps of 10 us
    table = breakdown(trace)
    for rank, rows in trace.groupby("rank"):
        axis = np.zeros(int(trace["end_ns"].max()), dtype=int)  # 0 free, 1 waiting, 2 transfer, 3 compute
        for level, kind, begin, end in (
            (1, "Exchange", "start_ns", "ready_ns"),
            (2, "Exchange", "ready_ns", "end_ns"),
            (3, "Compute", "ready_ns", "end_ns"),
        ):
            for _, each in rows[rows["op"] == kind].iterrows():
                axis[each[begin] : each[end]] = np.maximum(axis[each[begin] : each[end]], level)
        assert table.loc[rank, PART_COLUMNS].tolist() == [int((axis == level).sum()) for level in (3, 2, 1, 0)]


def test_staleness_in_three_units():
    trace = trace_of(
        gradient(0, 0, 2_000, version_read=4, version_written=7, applied="gradient", steps_behind=1, read_ns=500),
        {"rank": 0, "op": "Apply", "at": (2_000,) * 3, "version_read": 6, "version_written": 7, "applied": "average"},
        gradient(1, 0, 9, version_read=-1, version_written=3, applied="gradient"),
        gradient(1, 9, 12),
    )
    samples = staleness(trace)
    assert samples["rank"].tolist() == [0, 0]
    assert samples["applied"].tolist() == ["gradient", "average"]
    assert samples["versions"].tolist() == [2, 0]
    assert samples["steps"].tolist() == [1, -1]
    assert samples["seconds"].tolist()[0] == 1.5e-6
    assert np.isnan(samples["seconds"].tolist()[1])


def test_partner_matrix_counts_exchanges_at_both_ends_and_sends_at_one():
    trace = trace_of(
        exchange(0, 1, 0, 0, 1, size=10),
        exchange(1, 0, 0, 0, 1, size=10),
        {"rank": 2, "op": "Send", "peer": 3, "bytes": 7},
        {"rank": 3, "op": "Receive", "peer": 2, "bytes": 7},
    )
    assert num_ranks(trace) == 4
    assert partner_matrix(trace).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert partner_matrix(trace, weight="bytes")[2, 3] == 7
    with pytest.raises(ValueError, match="expected 'count' or 'bytes', found 'seconds'"):
        partner_matrix(trace, weight="seconds")


def times_of(gradients):
    return {rank: times.tolist() for rank, times in gradients.items()}


def test_gradients_are_those_that_were_applied():
    computed = [{"op": "Compute", "kernel": "B", "at": (0, 0, end)} for end in (30, 10)]
    applied = {"op": "AllReduce", "group": "all", "applied": "gradient", "gradients": 1, "at": (0, 0, 50)}
    staged = [
        {"op": "Apply", "applied": "gradient", "gradients": 1, "stage": stage, "at": (60, 60, 60)} for stage in (0, 1)
    ]
    average = {"op": "Exchange", "applied": "average", "gradients": 0, "at": (0, 0, 70)}
    assert times_of(gradients_of_ranks(trace_of(*computed, applied, average))) == {0: [50]}
    assert times_of(gradients_of_ranks(trace_of(*computed, applied), expected=2)) == {0: [50]}
    assert times_of(gradients_of_ranks(trace_of({**applied, "gradients": 3}, *staged))) == {0: [50, 50, 50, 60]}
    assert times_of(gradients_of_ranks(trace_of({**applied, "at": (-5, 0, 0)}))) == {0: [5]}
    two = trace_of({**applied, "rank": 2, "at": (0, 0, 40)}, applied, {**applied, "at": (0, 0, 30)})
    assert times_of(gradients_of_ranks(two)) == {0: [30, 50], 2: [40]}


def test_where_none_was_applied_they_are_the_kernel_of_that_number():
    computed = [{"op": "Compute", "kernel": "B", "at": (0, 0, end)} for end in (30, 10)]
    other = {"op": "Compute", "kernel": "F", "at": (0, 0, 5)}
    assert times_of(gradients_of_ranks(trace_of(*computed, other), expected=2)) == {0: [10, 30]}
    assert times_of(gradients_of_ranks(trace_of(*computed, other), expected=1)) == {0: [5]}
    assert gradients_of_ranks(trace_of(*computed)) == {}
    assert gradients_of_ranks(trace_of({"op": "Barrier"})) == {}
