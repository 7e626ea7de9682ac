"""The way back through hand-made traces, to the nanosecond: one for every way in which an operation can wait."""

import pytest

from analysis.measures.critical_path import critical_path
from analysis.measures.delays import Delays
from tests.analysis.fake_runs import exchange, gossip_trace, gradient, trace_of


def path(*rows, delays=None, **options):
    """Intervals as (start, end, category, rank)."""
    found = critical_path(trace_of(*rows), delays, **options)
    columns = (found.intervals[name].tolist() for name in ("start_ns", "end_ns", "category", "rank"))
    return list(zip(*columns, strict=True))


def handovers(*rows, **options):
    found = critical_path(trace_of(*rows), **options).handovers
    return list(found.itertuples(index=False, name=None))


def send(rank, peer, start, ready, end, *, tag=0, stream="compute"):
    times = {"at": (start, ready, end)}
    return {"rank": rank, "stream": stream, "op": "Send", "peer": peer, "tag": tag, "bytes": 8, **times}


def receive(rank, peer, start, ready, end, **options):
    return {**send(rank, peer, start, ready, end, **options), "op": "Receive"}


def all_reduce(rank, start, ready, end, *, tag=0, size=8, stream="compute", op="AllReduce"):
    times = {"at": (start, ready, end)}
    return {"rank": rank, "stream": stream, "op": op, "group": "all", "tag": tag, "bytes": size, **times}


def wait(rank, op, start, end, *, stream="compute", answer=""):
    return {"rank": rank, "stream": stream, "op": op, "at": (start, start, end), "answer": answer}


# ---------------------------------------------------------------------- one rank


def test_computations_of_one_program():
    assert path(gradient(0, 0, 30), gradient(0, 30, 70)) == [(0, 30, "compute", 0), (30, 70, "compute", 0)]


def test_what_came_before_a_tick_was_early():
    rows = (gradient(0, 0, 30), wait(0, "Until", 30, 50), gradient(0, 50, 70), wait(0, "Until", 70, 70))
    assert path(*rows) == [(0, 50, "clock", 0), (50, 70, "compute", 0)]


def test_the_rank_that_ends_last_decides():
    assert path(gradient(0, 0, 30), gradient(1, 0, 40)) == [(0, 40, "compute", 1)]


def test_a_queue_for_the_engine_leads_to_who_held_it():
    forward = {**gradient(0, 0, 60), "stream": "forward"}
    backward = {"rank": 0, "stream": "backward", "op": "Compute", "kernel": "B", "at": (10, 60, 100)}
    assert path(wait(0, "Until", 0, 10, stream="backward"), forward, backward) == [
        (0, 60, "compute", 0),
        (60, 100, "compute", 0),
    ]


def test_a_queue_for_an_engine_that_nobody_is_known_to_have_held():
    assert path({**gradient(0, 0, 0), "at": (0, 20, 50)}) == [(0, 20, "queueing", 0), (20, 50, "compute", 0)]


def test_an_item_that_was_taken_leads_to_the_stream_that_put_it():
    other = {"rank": 0, "stream": "gossip"}
    rows = (
        {**gradient(0, 0, 10)},
        wait(0, "Take", 10, 40),
        wait(0, "Put", 40, 40),  # its own answer, at the same instant
        gradient(0, 40, 50),
        {**other, "op": "Compute", "kernel": "encode", "at": (0, 0, 40)},
        {**other, "op": "Put", "at": (40, 40, 40)},
    )
    found = critical_path(trace_of(*rows)).intervals
    assert found["kind"].tolist() == ["Compute encode", "Compute gradient"]
    assert found["end_ns"].tolist() == [40, 50]


def test_a_full_queue_leads_to_the_stream_that_made_room():
    rows = (
        wait(0, "Put", 10, 30, stream="a"),
        gradient(0, 0, 10, stream="a"),
        {**gradient(0, 0, 30), "kernel": "encode", "stream": "b"},
        wait(0, "Take", 30, 30, stream="b"),
    )
    found = critical_path(trace_of(*rows)).intervals
    assert found["kind"].tolist() == ["Compute encode"]


# ---------------------------------------------------------------------- messages


def test_an_exchange_leads_to_the_end_that_came_last():
    rows = (
        gradient(0, 0, 10, stream="gossip"),
        exchange(0, 1, 10, 50, 70),
        gradient(1, 0, 50, stream="gossip"),
        exchange(1, 0, 50, 50, 70),
    )
    assert path(*rows) == [(0, 50, "compute", 1), (50, 70, "transfer", 0)]
    assert handovers(*rows) == [(50, 0, 1, 40)]


def test_latency_is_a_part_of_a_message():
    rows = (exchange(0, 1, 0, 0, 70), exchange(1, 0, 0, 0, 70))
    assert path(*rows, delays=Delays(message_ns=30)) == [(0, 30, "latency", 0), (30, 70, "transfer", 0)]
    assert path(*rows, delays=Delays(message_ns=90)) == [(0, 70, "latency", 0)]
    assert path(*rows, delays=Delays(message_ns=90, routes_ns={(1, 0): 20, (0, 1): 25}))[0] == (0, 25, "latency", 0)


def test_bytes_that_move_slower_than_alone_share_links():
    rows = (exchange(0, 1, 0, 0, 70, size=40), exchange(1, 0, 0, 0, 70, size=40))
    assert path(*rows, delays=Delays(message_ns=10, routes_bandwidth={(1, 0): 1e9})) == [
        (0, 10, "latency", 0),
        (10, 30, "sharing", 0),
        (30, 70, "transfer", 0),
    ]


@pytest.mark.parametrize(("sender", "receiver", "late"), [(50, 20, 0), (20, 50, 1)])
def test_a_message_leads_to_the_end_that_came_last(sender, receiver, late):
    rows = (
        gradient(0, 0, sender),
        send(0, 1, sender, 50, 80),
        gradient(1, 0, receiver),
        receive(1, 0, receiver, 50, 80),
    )
    assert path(*rows) == [(0, 50, "compute", late), (50, 80, "transfer", 0)]


GLOO = Delays(message_ns=10, overhead_ns=3, is_announced=True, ends_together=False)


def test_with_gloo_data_leave_when_the_announcement_has_arrived():
    """Rank 0 asks at 0, rank 1 at 4: 0 has its data at max(4, 0+10)+10+S/B+3, 1 at max(0, 4+10)+10+S/B+3."""
    rows = (
        exchange(0, 1, 0, 4, 43),
        {**gradient(1, 0, 4), "stream": "gossip"},
        exchange(1, 0, 4, 4, 47),
    )
    assert path(*rows, delays=GLOO) == [
        (0, 4, "compute", 1),
        (4, 24, "latency", 1),
        (24, 44, "transfer", 1),
        (44, 47, "latency", 1),
    ]


def test_with_gloo_an_end_that_came_last_may_still_wait_for_its_own_announcement():
    """Rank 1 asks 4 ns after rank 0, but what ends last is bound by the announcement of rank 0: its own start."""
    rows = (
        {**gradient(0, 0, 2), "stream": "gossip"},
        exchange(0, 1, 2, 4, 45),
        exchange(1, 0, 0, 2, 20),
    )
    assert path(*rows, delays=GLOO)[0] == (0, 2, "compute", 0)


@pytest.mark.parametrize(("asked", "late", "end"), [(0, 0, 30), (25, 0, 30), (40, 1, 40)])
def test_a_message_that_leaves_at_once_waits_where_it_arrives(asked, late, end):
    """It is sent at 20 and there at 30: a receive that asks before is led to the sender, one that asks later is not."""
    rows = (
        gradient(0, 0, 20),
        send(0, 1, 20, max(20, asked), end),
        gradient(1, 0, asked),
        receive(1, 0, asked, max(20, asked), end),
    )
    found = path(*rows, delays=Delays(message_ns=10, leaves_at_once=True))
    expected = [(0, 20, "compute", 0), (20, 30, "latency", 0)]
    assert found == (expected if late == 0 else [(0, 40, "compute", 1)])


def test_an_exchange_waits_for_both_ends_whatever_the_transport():
    rows = (
        {**gradient(0, 0, 4), "stream": "gossip"},
        exchange(0, 1, 4, 6, 16),
        {**gradient(1, 0, 6), "stream": "gossip"},
        exchange(1, 0, 6, 6, 16),
    )
    found = path(*rows, delays=Delays(message_ns=10, leaves_at_once=True))
    assert [each[:3] for each in found] == [(0, 6, "compute"), (6, 16, "latency")]
    assert found[0][3] == 1


def test_a_message_behind_another_on_its_connection_leads_to_that():
    """Both end at the latency after the last byte: the second sends from where the first one's last byte left."""
    rows = (
        {**exchange(0, 1, 0, 0, 50, tag=1), "stream": "a"},
        {**exchange(1, 0, 0, 0, 50, tag=1), "stream": "a"},
        {**gradient(0, 0, 20), "stream": "b"},
        {**exchange(0, 1, 20, 20, 90, tag=2), "stream": "b"},
        {**exchange(1, 0, 20, 20, 90, tag=2), "stream": "b"},
        {**gradient(1, 0, 20), "stream": "b"},
    )
    assert path(*rows, delays=Delays(message_ns=10)) == [
        (0, 10, "latency", 0),
        (10, 50, "transfer", 0),
        (50, 90, "transfer", 0),
    ]


def test_a_send_held_back_by_an_earlier_receive_of_its_stream_leads_to_that():
    """Both ends were issued by 5, but rank 0 posts its send only when its receive is over, at 60."""
    rows = (
        {**receive(0, 2, 0, 50, 60, stream="compute+1", tag=7)},
        {**send(0, 1, 5, 60, 80, stream="compute+2")},
        wait(0, "Await", 5, 80),
        {**gradient(0, 0, 5)},
        receive(1, 0, 0, 60, 80),
        gradient(2, 0, 50),
        send(2, 0, 50, 50, 60, tag=7),
    )
    assert path(*rows) == [(0, 50, "compute", 2), (50, 60, "transfer", 0), (60, 80, "transfer", 0)]


def test_a_message_whose_other_end_is_missing_says_that_it_waited():
    assert path(gradient(0, 0, 10), exchange(0, 1, 10, 50, 70, stream="compute")) == [
        (0, 10, "compute", 0),
        (10, 50, "waiting", 0),
        (50, 70, "transfer", 0),
    ]


def test_an_exchange_that_was_given_up_says_that_it_waited():
    rows = (exchange(0, 1, 10, 70, 70, answer="lost"), exchange(1, 0, 0, 70, 70, answer="lost"))
    assert path(*rows) == [(0, 10, "other", 0), (10, 70, "waiting", 0)]


def test_the_kth_exchange_of_a_tag_belongs_to_the_kth():
    rows = [exchange(rank, 1 - rank, 20 * k, 20 * k, 20 * k + 20) for k in range(3) for rank in (0, 1)]
    rows += [gradient(1, 60, 90, stream="gossip"), exchange(1, 0, 90, 90, 95), exchange(0, 1, 60, 90, 95)]
    assert path(*rows)[-2:] == [(60, 90, "compute", 1), (90, 95, "transfer", 0)]


# ---------------------------------------------------------------------- collectives


def members(late, *, at=(30, 50), stream="compute"):
    """Three ranks of which one comes at 30, the others at 10."""
    starts = {rank: at[0] if rank == late else 10 for rank in range(3)}
    return [row for rank, s in starts.items() for row in (gradient(rank, 0, s), all_reduce(rank, s, *at))]


@pytest.mark.parametrize("late", range(3))
def test_a_collective_leads_to_the_member_that_came_last(late):
    assert path(*members(late)) == [(0, 30, "compute", late), (30, 50, "transfer", 0)]
    assert handovers(*members(late)) == ([(30, 0, late, 20)] if late else [])


def test_the_latency_of_a_collective_is_what_the_summary_says():
    delays = Delays(collectives_ns={("AllReduce", 3, 8): 6, ("AllReduce", 2, 8): 1})
    assert path(*members(0), delays=delays)[1:] == [(30, 36, "latency", 0), (36, 50, "transfer", 0)]


def test_a_barrier_is_latency():
    rows = [all_reduce(rank, 10 * rank, 10, 15, size=0, op="Barrier") for rank in range(2)]
    assert path(*rows, gradient(1, 0, 10)) == [(0, 10, "compute", 1), (10, 15, "latency", 0)]


def test_a_collective_behind_an_earlier_one_of_its_group_leads_to_that():
    rows = [gradient(0, 0, 5), gradient(1, 0, 8)]
    for rank, start in ((0, 5), (1, 8)):
        rows += [all_reduce(rank, start, 8, 40, stream="compute+1"), wait(rank, "Await", start + 7, 70)]
        rows += [gradient(rank, start, start + 7), all_reduce(rank, start + 7, 40, 70, stream="compute+2", tag=1)]
    assert path(*rows) == [(0, 8, "compute", 1), (8, 40, "transfer", 0), (40, 70, "transfer", 0)]


def test_a_member_that_has_its_answer_before_the_last_has_come_did_not_wait_for_it():
    """Message by message, the root of a broadcast may be done early."""
    rows = (
        all_reduce(0, 0, 0, 10, op="Broadcast"),
        gradient(0, 10, 90),
        gradient(1, 0, 40),
        all_reduce(1, 40, 40, 50, op="Broadcast"),
    )
    assert path(*rows) == [(0, 10, "transfer", 0), (10, 90, "compute", 0)]


# ---------------------------------------------------------------------- started operations


def test_an_await_leads_to_what_it_got_last_and_from_there_to_its_start():
    rows = (
        gradient(0, 0, 10),
        wait(0, "Start", 10, 10),
        {**gradient(0, 0, 0), "kernel": "slow", "stream": "compute+1", "at": (10, 10, 60)},
        {**gradient(0, 0, 0), "kernel": "fast", "stream": "compute+2", "at": (10, 10, 30)},
        wait(0, "Await", 10, 60),
        gradient(0, 60, 70),
    )
    found = critical_path(trace_of(*rows)).intervals
    assert found["kind"].tolist() == ["Compute gradient", "Compute slow", "Compute gradient"]


def test_an_await_that_ends_with_its_deadline_is_a_clock():
    late = {**gradient(0, 0, 0), "stream": "compute+1", "at": (0, 0, 90)}
    assert path(late, gradient(0, 0, 30), wait(0, "Await", 30, 40), gradient(0, 40, 50)) == [
        (0, 40, "clock", 0),
        (40, 50, "compute", 0),
    ]


def test_what_was_started_and_never_awaited_holds_nobody_up():
    late = {**gradient(0, 0, 0), "stream": "compute+1", "at": (0, 0, 90)}
    assert path(late, gradient(0, 0, 50)) == [(0, 50, "compute", 0)]


# ---------------------------------------------------------------------- pairing


def test_a_meeting_leads_to_the_partner_that_came_last():
    rows = (
        gradient(0, 0, 10, stream="gossip"),
        wait(0, "Meet", 10, 45, stream="gossip", answer="2#0"),
        gradient(2, 0, 45, stream="gossip"),
        wait(2, "Meet", 45, 45, stream="gossip", answer="0#0"),
        exchange(0, 2, 45, 45, 60),
        exchange(2, 0, 45, 45, 60),
    )
    assert path(*rows) == [(0, 45, "compute", 2), (45, 60, "transfer", 0)]
    meeting = rows[:4]
    assert handovers(*meeting, gradient(0, 45, 60, stream="gossip")) == [(45, 0, 2, 35)]


def test_a_meeting_with_nobody_leads_to_the_rank_that_left_last():
    rows = (
        wait(0, "Meet", 10, 45, answer="nobody"),
        gradient(0, 0, 10),
        gradient(0, 45, 50),
        gradient(1, 0, 45),
        wait(1, "Leave", 45, 45),
    )
    assert path(*rows) == [(0, 45, "compute", 1), (45, 50, "compute", 0)]


# ---------------------------------------------------------------------- what is not explained


def test_gaps_are_not_explained_away():
    rows = (gradient(0, 5, 30), gradient(0, 32, 50))
    assert path(*rows) == [(0, 5, "other", 0), (5, 30, "compute", 0), (30, 32, "other", 0), (32, 50, "compute", 0)]


def test_a_run_that_was_stopped_under_way_ends_later_than_its_last_operation():
    assert path(gradient(0, 0, 30), until_ns=37) == [(0, 30, "compute", 0), (30, 37, "other", 0)]
    assert path(gradient(0, 0, 30), until_ns=20) == [(0, 30, "compute", 0)]


def test_a_run_that_begins_before_its_own_zero_is_covered_whole():
    assert path(gradient(0, -20, 80), gradient(1, 0, 70)) == [(-20, 80, "compute", 0)]


def test_clocks_that_do_not_agree_give_no_negative_times():
    rows = (
        gradient(0, 0, 10, stream="gossip"),
        exchange(0, 1, 10, 50, 70),
        gradient(1, 0, 53, stream="gossip"),  # by its own clock, rank 1 came at 53
        exchange(1, 0, 53, 53, 68),
    )
    assert path(*rows) == [(0, 53, "compute", 1), (53, 70, "transfer", 0)]


@pytest.mark.parametrize("world", ["simulated", "measured"])
@pytest.mark.parametrize("seed", range(3))
def test_the_intervals_cover_a_noisy_run_without_a_gap(world, seed):
    trace = gossip_trace(world=world, seed=seed, cv=0.6, rate=3.0, transfer_ms=6.0)
    found = critical_path(
        trace, Delays(message_ns=1_000_000, is_announced=seed == 1, ends_together=seed != 1)
    ).intervals
    assert found["start_ns"].iloc[0] == 0
    assert found["end_ns"].iloc[-1] == trace["end_ns"].max()
    assert (found["start_ns"].iloc[1:].to_numpy() == found["end_ns"].iloc[:-1].to_numpy()).all()
    assert (found["end_ns"] > found["start_ns"]).all()
    assert "waiting" not in set(found["category"])


def test_a_table_of_the_path_adds_up():
    found = critical_path(trace_of(*members(2)))
    assert found.length_ns == 50
    assert found.by("category").to_dict("records") == [
        {"category": "compute", "length_ns": 30, "share": 0.6},
        {"category": "transfer", "length_ns": 20, "share": 0.4},
    ]
    assert found.by("rank")["length_ns"].sum() == 50
