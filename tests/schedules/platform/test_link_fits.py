"""Links as they were measured: under every transport what is fitted is what the simulator uses."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from schedules.platform.link_fits import LARGEST_FACTOR, MessageEnds, link_estimate, message_seconds
from schedules.platform.tables import Duration, Link, PlatformTable
from schedules.platform.transports import TRANSPORTS
from simulator.messages.formulas import Formulas, Lanes
from tests.analysis.fake_runs import MS, exchange, gradient, trace_of

IDEAL, GLOO = TRANSPORTS["ideal"], TRANSPORTS["gloo"]
SIZES = (4096, 65_536, 1_048_576, 4_194_304)


def exchanges(transport, latency, bandwidth, overhead, *, sizes=SIZES, noise=0.01, apart=3e-4):
    """Both ends of exchanges whose issues are apart by up to 300 us, 1 % of noise."""
    generator = np.random.default_rng(0)
    link = np.array([latency, 1 / bandwidth, overhead])
    rows = []
    for tag, size in enumerate(np.repeat(sizes, 80 // len(sizes)).tolist()):
        starts = tag + generator.uniform(0, apart, 2)
        for rank in range(2):
            late = np.array([starts[1 - rank] - starts[rank]])
            ends = MessageEnds(late, late, np.array([float(size)]), np.array([True]))
            taken = message_seconds(ends, transport, link)[0] * generator.normal(1, noise)
            times = tuple(round(1e9 * each) for each in (starts[rank], starts.max(), starts[rank] + taken))
            rows.append({"op": "Exchange", "rank": rank, "peer": 1 - rank, "tag": tag, "bytes": size, "at": times})
    return trace_of(*rows)


def transfers(sizes, seconds):
    """Exchanges whose ends ask together."""
    both = enumerate(zip(sizes, seconds, strict=True))
    return trace_of(*(exchange(0, 1, 0, 0, round(1e9 * taken), tag=tag, size=size) for tag, (size, taken) in both))


@pytest.mark.parametrize("name", TRANSPORTS)
@pytest.mark.parametrize("starts", [(0, 0), (0, 30_000), (0, 700_000), (300_000, 0)])
def test_what_is_fitted_is_what_the_simulator_uses(name, starts):
    link = Link(bandwidth=1e9, latency=1e-4)
    platform = PlatformTable(gradient=Duration(mean=1.0), link=link, transport=name, overhead=2e-5)
    formulas = Formulas(platform)
    ends = np.array(formulas.exchange(Lanes(), *starts, 50_000)) - starts
    late = np.array([starts[1] - starts[0], starts[0] - starts[1]]) / 1e9
    messages = MessageEnds(late, ends / 1e9, np.full(2, 50_000.0), np.full(2, True))
    assumed = np.array([1e-4, 1e-9, formulas.overhead])
    assert message_seconds(messages, TRANSPORTS[name], assumed) == pytest.approx(ends / 1e9, abs=1e-9)
    there = formulas.message(Lanes(), 0, *starts, 50_000) + formulas.overhead_ns - starts[1]  # from the lower rank
    one_way = MessageEnds(-late[:1], np.zeros(1), np.full(1, 50_000.0), np.full(1, False))
    assert message_seconds(one_way, TRANSPORTS[name], assumed) == pytest.approx(there / 1e9, abs=1e-9)


def test_the_fit_finds_latency_bandwidth_and_overhead() -> None:
    link = link_estimate(exchanges(GLOO, 1e-4, 1e9, 5e-5), GLOO)
    assert (link.latency, link.bandwidth, link.overhead) == pytest.approx((1e-4, 1e9, 5e-5), rel=0.05)
    assert link.residual < 0.02
    assert link.is_told
    assert link.has_latency
    assert link.factor < 1.1


def test_without_announcements_there_is_no_overhead() -> None:
    link = link_estimate(exchanges(IDEAL, 1e-4, 1e9, 0.0), IDEAL)
    assert (link.latency, link.bandwidth) == pytest.approx((1e-4, 1e9), rel=0.05)
    assert link.overhead == 0
    assert link.is_told


def test_exchanges_that_do_not_depend_on_size_tell_no_bandwidth() -> None:
    """What a busy machine shows: every exchange takes a scheduler's tick or two, whatever its size."""
    trace = exchanges(GLOO, 1e-4, 1e13, 1e-3)
    noise = np.random.default_rng(1).exponential(2e6, len(trace)).astype(int)
    link = link_estimate(trace.assign(end_ns=trace["end_ns"] + noise), GLOO)
    assert not link.is_told
    assert link.factor > LARGEST_FACTOR


def test_a_few_messages_that_were_held_up_do_not_count() -> None:
    trace = exchanges(GLOO, 1e-4, 1e9, 5e-5)
    held_up = np.where(np.arange(len(trace)) % 10 == 0, 5 * MS, 0)
    link = link_estimate(trace.assign(end_ns=trace["end_ns"] + held_up), GLOO)
    assert (link.latency, link.bandwidth, link.overhead) == pytest.approx((1e-4, 1e9, 5e-5), rel=0.2)


def test_latency_and_bandwidth_are_found_again_where_sizes_vary():
    sizes = np.array([0, 1e4, 1e5, 1e6, 1e6])
    link = link_estimate(transfers(sizes.astype(int).tolist(), 1e-3 + sizes / 1.25e8), IDEAL)
    assert link.latency == pytest.approx(1e-3)
    assert link.bandwidth == pytest.approx(1.25e8)
    assert (link.num_messages, link.num_sizes) == (4, 3)
    assert link.residual == pytest.approx(0, abs=1e-7)


def test_one_size_gives_the_effective_bandwidth_only():
    link = link_estimate(transfers([10**6, 10**6], [0.01, 0.03]), IDEAL)
    assert (link.has_latency, link.bandwidth, link.num_sizes) == (False, pytest.approx(5e7), 1)
    assert (link.latency, link.overhead) == (0, 0)
    assert not link.is_told
    assert link.residual == pytest.approx(2 / 3)


def test_of_one_size_ends_that_asked_early_tell_an_announced_latency():
    link = link_estimate(exchanges(GLOO, 1e-4, 1e9, 5e-5, sizes=[100_000]), GLOO)
    assert link.has_latency
    assert link.latency == pytest.approx(1e-4, rel=0.05)
    assert (link.overhead, link.is_told) == (0, False)
    assert 1e5 / link.bandwidth == pytest.approx(1e-4 + 5e-5, rel=0.05)


def test_of_one_size_ends_that_always_ask_together_tell_no_latency():
    """Without noise any latency up to half the time would fit: none is believed."""
    link = link_estimate(exchanges(GLOO, 1e-4, 1e9, 5e-5, sizes=[100_000], noise=0, apart=0), GLOO)
    assert (link.has_latency, link.latency, link.overhead) == (False, 0, 0)
    assert 1e5 / link.bandwidth == pytest.approx(3.5e-4)


def test_a_negative_latency_is_not_believed():
    link = link_estimate(transfers([10**5, 10**6], [0.0001, 0.01]), IDEAL)
    assert (link.has_latency, link.latency, link.bandwidth) == (False, 0, pytest.approx(1.1e6 / 0.0101))


@pytest.mark.parametrize("transport", [IDEAL, GLOO])
def test_no_transfers_give_no_fit(transport):
    for trace in (trace_of(gradient(0, 0, 5)), transfers([0, 0], [1, 1]), transfers([8], [0])):
        assert link_estimate(trace, transport) is None


def test_transfers_are_told_by_who_receives():
    send = {"rank": 0, "op": "Send", "peer": 1, "bytes": 10**6, "at": (0, 0, 1)}
    receive = {"rank": 1, "op": "Receive", "peer": 0, "bytes": 10**6, "at": (0, 0, 10 * MS)}
    assert link_estimate(trace_of(send, receive), IDEAL).bandwidth == pytest.approx(1e8)
    assert link_estimate(trace_of(send), IDEAL).bandwidth == pytest.approx(1e15)


def test_a_receive_is_paired_with_its_own_send():
    """Two messages of one tag: the first was there early, the second was waited for."""
    rows = [
        {"rank": 0, "op": "Send", "peer": 1, "bytes": 10**6, "at": (0, 20 * MS, 30 * MS)},
        {"rank": 0, "op": "Send", "peer": 1, "bytes": 10**6, "at": (50 * MS, 50 * MS, 60 * MS)},
        {"rank": 1, "op": "Receive", "peer": 0, "bytes": 10**6, "at": (20 * MS, 20 * MS, 30 * MS)},
        {"rank": 1, "op": "Receive", "peer": 0, "bytes": 10**6, "at": (30 * MS, 50 * MS, 60 * MS)},
    ]
    for trace in (trace_of(*rows), trace_of(*rows[2:])):
        assert link_estimate(trace, IDEAL).bandwidth == pytest.approx(1e8)


def test_a_receive_that_waited_for_its_turn_began_then():
    rows = [
        {"rank": 0, "op": "Send", "peer": 1, "bytes": 10**6, "at": (0, 40 * MS, 50 * MS)},
        {"rank": 1, "op": "Receive", "peer": 0, "bytes": 10**6, "at": (0, 40 * MS, 50 * MS)},
    ]
    assert link_estimate(trace_of(*rows), IDEAL).bandwidth == pytest.approx(1e8)


def test_of_very_many_messages_a_part_is_fitted():
    trace = exchanges(GLOO, 1e-4, 1e9, 5e-5)
    many = pd.concat([trace.assign(tag=trace["tag"] + 1000 * number) for number in range(400)])
    link = link_estimate(many, GLOO)
    assert link.num_messages <= 20_000
    assert (link.latency, link.bandwidth, link.overhead) == pytest.approx((1e-4, 1e9, 5e-5), rel=0.05)


def test_an_announced_exchange_whose_ends_are_done_together_is_fitted_too():
    """A row that there is not: its facts are read one by one."""
    both = replace(GLOO, ends_together=True)
    link = link_estimate(exchanges(both, 1e-4, 1e9, 5e-5), both)
    assert (link.latency * 2 + link.overhead, link.bandwidth) == pytest.approx((2.5e-4, 1e9), rel=0.05)
