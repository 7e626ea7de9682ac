"""What is said of a run: its path in parts, who waited for whom, the busiest links and ranks."""

import json

import networkx as nx
import pandas as pd
import pytest

import topologies
from analysis.measures.critical_path import critical_path
from analysis.measures.delays import Delays, delays
from analysis.measures.explanation import (
    busiest_links,
    busiest_ranks,
    collective_cells,
    explain,
    part_name,
    part_place,
    path_parts,
    share,
)
from analysis.measures.waits import waits
from tests.analysis.fake_runs import exchange, gossip_trace, gradient, trace_of
from tests.analysis.measures.test_critical_path import all_reduce, members, receive, send, wait

LINK_COLUMNS = ["source", "target", "bandwidth", "latency", "carried_bytes", "busy_s", "utilisation"]


def links_of(*rows):
    """Rows (source, target, carried, utilisation)."""
    return pd.DataFrame([(u, v, 1e9, 1e-6, carried, 0.1, used) for u, v, carried, used in rows], columns=LINK_COLUMNS)


def waited(*rows):
    return list(waits(trace_of(*rows)).itertuples(index=False, name=None))


# ---------------------------------------------------------------------- who waited for whom


def test_an_end_waits_for_the_other_until_that_is_there():
    rows = (
        exchange(0, 1, 10, 50, 70),
        exchange(1, 0, 50, 50, 70),
        send(0, 2, 100, 130, 140),
        receive(2, 0, 130, 130, 140),
        send(2, 1, 200, 200, 260),
        receive(1, 2, 180, 200, 260),
    )
    assert waited(*rows) == [(0, 1, 40), (0, 2, 30), (1, 2, 20)]


def test_everybody_waits_for_the_last_member_of_a_collective():
    assert waited(*members(2)) == [(0, 2, 20), (1, 2, 20)]


def test_a_queue_behind_an_earlier_collective_is_no_wait_for_a_rank():
    rows = [all_reduce(rank, 0, 0, 40) for rank in (0, 1)]
    rows += [all_reduce(0, 5, 40, 70, tag=1, stream="other"), all_reduce(1, 12, 40, 70, tag=1, stream="other")]
    assert waited(*rows) == []


def test_what_was_started_holds_up_only_while_it_is_awaited():
    started = {**exchange(0, 1, 0, 50, 70), "stream": "compute+1"}
    rows = (started, exchange(1, 0, 50, 50, 70), gradient(0, 0, 30), wait(0, "Await", 30, 70))
    assert waited(*rows) == [(0, 1, 20)]
    assert waited(started, exchange(1, 0, 50, 50, 70), gradient(0, 0, 60), wait(0, "Await", 60, 70)) == []


def test_of_several_awaited_the_last_counts():
    rows = (
        {**exchange(0, 1, 0, 50, 70), "stream": "compute+1"},
        exchange(1, 0, 50, 50, 70),
        {**exchange(0, 2, 0, 20, 30), "stream": "compute+2"},
        exchange(2, 0, 20, 20, 30),
        wait(0, "Await", 10, 70),
    )
    assert waited(*rows) == [(0, 1, 40)]


def test_waiting_for_a_partner_and_for_the_last_to_leave():
    rows = (
        wait(0, "Meet", 10, 45, answer="2#0"),
        wait(2, "Meet", 45, 45, answer="0#0"),
        wait(1, "Meet", 20, 80, answer="nobody"),
        wait(2, "Leave", 80, 80),
    )
    assert waited(*rows) == [(1, 2, 60), (0, 2, 35)]


def test_waits_of_a_pair_add_up_over_the_run():
    trace = gossip_trace(rate=3.0)
    exchanges = trace[trace["op"] == "Exchange"]
    expected = (exchanges["ready_ns"] - exchanges["start_ns"]).groupby([exchanges["rank"], exchanges["peer"]]).sum()
    found = waits(trace).set_index(["rank", "waited_for"])["waited_ns"]
    assert found.sort_index().to_dict() == expected[expected > 0].to_dict()
    assert found.is_monotonic_decreasing


# ---------------------------------------------------------------------- parts


def test_parts_say_where_most_of_them_was():
    rows = (
        gradient(0, 0, 10),
        gradient(1, 0, 30),
        exchange(0, 1, 10, 30, 50, stream="compute"),
        exchange(1, 0, 30, 30, 50, stream="compute"),
        gradient(0, 50, 60),
        *(all_reduce(rank, 60 - 10 * rank, 60, 65) for rank in (0, 1)),
    )
    parts = path_parts(critical_path(trace_of(*rows), Delays(message_ns=4)))
    told = [(part_name(part), part_place(part), part["seconds"], round(part["of_part"], 2)) for part in parts]
    assert told == [
        ("compute gradient", "rank 1", 40e-9, 0.75),
        ("transfer of Exchange", "ranks 0 and 1", 16e-9, 1.0),
        ("transfer of AllReduce", "", 5e-9, 1.0),
        ("latency of Exchange", "ranks 0 and 1", 4e-9, 1.0),
    ]
    assert sum(part["share"] for part in parts) == pytest.approx(1)


def test_what_is_not_explained_is_one_part():
    parts = path_parts(critical_path(trace_of(gradient(0, 5, 30), wait(0, "Start", 32, 32), all_reduce(0, 33, 33, 60))))
    assert [part_name(part) for part in parts] == ["transfer of AllReduce", "compute gradient", "not explained"]


def test_every_category_has_a_name():
    named = [
        part_name({"category": category, "kind": kind})
        for category, kind in (
            ("clock", "Until"),
            ("clock", "Await"),
            ("sharing", "Send"),
            ("queueing", "Compute F"),
            ("waiting", "Take"),
        )
    ]
    assert named == [
        "until a clock's tick",
        "until a deadline",
        "links shared in Send",
        "queueing for Compute F",
        "waiting in Take",
    ]


@pytest.mark.parametrize(("value", "text"), [(0, "0.0 %"), (0.0004, "< 0.1 %"), (0.1234, "12.3 %"), (1, "100.0 %")])
def test_shares_have_one_decimal(value, text):
    assert share(value) == text


# ---------------------------------------------------------------------- what is latency


def test_delays_are_those_of_the_scenario():
    scenario = {"platform": {"link": {"latency": 5e-5}, "transport": "gloo", "overhead": 2e-6}}
    found = delays(scenario, {})
    assert (found.message(0, 1), found.announcement(0, 1), found.overhead_ns) == (50_000, 50_000, 2_000)
    ideal = delays({"platform": {**scenario["platform"], "transport": "ideal"}}, {})
    assert (ideal.message(0, 1), ideal.announcement(0, 1), ideal.overhead_ns) == (50_000, 0, 0)
    assert delays({}, {}) == Delays()


def test_delays_of_routes_are_the_sums_of_their_links():
    network = topologies.build_network(
        "racks", 4, hosts_per_rack=2, bandwidth=1e9, latency=1e-5, uplink_bandwidth=5e8, uplink_latency=1e-4
    )
    scenario = {"platform": {"link": {"latency": 1.0}, "network": {"kind": "racks", "ties": "smallest"}}}
    found = delays(scenario, {}, network, [(0, 1), (0, 2)])
    assert (found.message(0, 1), found.message(0, 2)) == (20_000, 220_000)
    assert (found.bytes_ns(0, 1, 1000), found.bytes_ns(0, 2, 1000), found.bytes_ns(2, 0, 1000)) == (1000, 2000, None)


def test_delays_of_a_route_that_is_given_and_of_workers_that_are_placed():
    network = topologies.build_network("torus", 4, shape=[2, 2], bandwidth=1e9, latency=1e-5)
    table = {"kind": "torus", "placement": [3, 1, 0, 2], "routes": {"0-1": [3, 2, 0, 1]}}
    found = delays({"platform": {"network": table}}, {}, network, [(0, 1), (1, 0)])
    assert (found.message(0, 1), found.message(1, 0)) == (30_000, 10_000)


def test_a_communication_graph_has_no_routes():
    scenario = {"platform": {"link": {"latency": 5e-5}, "network": None}}
    assert delays(scenario, {}, topologies.build("ring", 4), [(0, 2)]).message(0, 2) == 50_000


@pytest.mark.parametrize("ranks", [4, [0, 1, 2, 3]])
def test_the_latency_of_collectives_is_looked_up(ranks):
    told = {"kind": "AllReduce", "ranks": ranks, "bytes": 8000, "latency_s": 3e-4, "mean_s": 1e-3, "count": 2}
    found = delays({}, {"collectives": [told, {**told, "bytes": 9, "latency_s": None}]})
    assert found.collective("AllReduce", 4, 8000) == 300_000
    assert found.collective("AllReduce", 4, 9) == found.collective("AllReduce", 3, 8000) == 0
    assert found.collective("Barrier", 4, 0) > 10**15


# ---------------------------------------------------------------------- links and ranks


def test_the_busiest_links_come_first_and_idle_ones_not_at_all():
    rows = [(str(i), str(i + 1), 1000 * i, i / 20) for i in range(14)]
    found = busiest_links(links_of(*rows))
    assert [row["link"] for row in found] == [f"{i} -> {i + 1}" for i in range(13, 3, -1)]
    assert found[0] == {
        "link": "13 -> 14",
        "source": "13",
        "target": "14",
        "bandwidth": 1e9,
        "carried_bytes": 13_000,
        "utilisation": 0.65,
    }
    assert len(busiest_links(links_of(*rows[:3]))) == 2


def test_links_are_called_by_the_labels_of_the_network():
    network = topologies.build_network("racks", 2, hosts_per_rack=2, duplex="half")
    full = topologies.build_network("racks", 2, hosts_per_rack=2)
    switch = next(str(node) for node, data in network.nodes(data=True) if data["kind"] == "switch")
    label = network.nodes[int(switch)]["label"]
    assert busiest_links(links_of(("0", switch, 5, 0.1)), full)[0]["link"] == f"host 0 -> {label}"
    assert busiest_links(links_of(("0", switch, 5, 0.1)), network)[0]["link"] == f"host 0 <-> {label}"
    assert busiest_links(links_of(("x", switch, 5, 0.1)), network)[0]["link"] == f"x -> {label}"
    assert busiest_links(links_of(("0", "1", 5, 0.1)), nx.path_graph(2))[0]["link"] == "0 -> 1"


def test_the_busiest_ranks_are_the_least_idle():
    per_rank = {"compute_s": [1.0, 3.0, 2.0], "transfer_s": [1.0, 2.0, 0.5], "idle_s": [2.0, 0.0, 1.5]}
    found = busiest_ranks({"makespan_s": 4.0, "per_rank": per_rank})
    assert [row["rank"] for row in found] == [1, 2, 0]
    assert found[0] == {"rank": 1, "computing": 0.75, "communicating": 0.5, "idle": 0.0}
    many = {key: [1.0] * 30 for key in per_rank}
    assert [row["rank"] for row in busiest_ranks({"makespan_s": 4.0, "per_rank": many})] == list(range(10))
    assert busiest_ranks({"makespan_s": 0.0, "per_rank": per_rank}) == []
    assert busiest_ranks({"makespan_s": 1.0, "per_rank": {"gradients": [3]}}) == []


def test_a_collective_is_told_in_si_units():
    told = {"kind": "AllReduce", "ranks": 8, "bytes": 25_000_000, "algorithm": "ring", "form": "flows", "count": 1234}
    cells = collective_cells({**told, "mean_s": 0.04, "latency_s": 0.001, "algbw": 6.25e8, "busbw": 1.09375e9})
    assert cells == [
        "AllReduce",
        "8",
        "25 MB",
        "ring, flows",
        "1,234",
        "40 ms",
        "2.5 %",
        "625 MB/s",
        "1.094 GB/s",
    ]
    assert collective_cells({**told, "mean_s": 0.0})[5:] == ["0 s", "–", "–", "–"]


# ---------------------------------------------------------------------- all of it


def test_an_explanation_is_json():
    trace = gossip_trace()
    links = links_of(("0", "1", 500, 0.25))
    scenario = {"platform": {"link": {"latency": 1e-3}}}
    told = explain(scenario, {"makespan_s": 0.0}, trace=trace, links=links).record()
    assert json.loads(json.dumps(told)) == told
    assert told["critical_path"]["length_s"] == trace["end_ns"].max() / 1e9
    assert sum(part["seconds"] for part in told["critical_path"]["parts"]) == pytest.approx(trace["end_ns"].max() / 1e9)
    assert len(told["waits"]) == 5
    assert set(told["waits"][0]) == {"rank", "waited_for", "seconds", "share"}
    assert [row["link"] for row in told["links"]] == ["0 -> 1"]


@pytest.mark.parametrize("trace", [None, trace_of(gradient(0, 0, 1)).iloc[:0]])
def test_without_a_trace_the_rest_is_told(trace):
    explanation = explain({}, {"makespan_s": 1.0}, trace=trace)
    assert explanation.path is None
    assert explanation.longest_waits() == []
    assert explanation.record()["critical_path"] is None
