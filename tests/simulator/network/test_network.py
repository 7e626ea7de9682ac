"""The network as an engine uses it: ticks, call-backs, accounts. Every test asserts a whole log."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

import pytest

from simulator.network.calls import CallClock
from simulator.network.fair_sharing import FairSharing
from simulator.network.flows import Flow
from simulator.network.links import LinkId, Links, LinkSpec, LinkUse
from simulator.network.network import Network
from simulator.network.sharing import LINKS_WORTH_COMPILING, SharingRule, make_sharing

Log = list[tuple[int, str]]
LINKS = {
    "fast": LinkSpec(bandwidth=2e9, latency=1e-6),
    "slow": LinkSpec(bandwidth=1e9, latency=1e-6),
    "prompt": LinkSpec(bandwidth=1e9),
    "fabric": LinkSpec(bandwidth=1e9, policy="fatpipe"),
}


class Bench:
    """A network on a clock, with a log of what ended when."""

    def __init__(self, links: Links = LINKS, *, sharing: SharingRule = "max-min") -> None:
        self.clock = CallClock()
        self.network = Network(links, self.clock.call_at, sharing=sharing)
        self.log: Log = []
        self.flows: dict[str, Flow] = {}

    def at(self, tick: int, name: str, size: float, *route: LinkId) -> None:
        def start() -> None:
            self.flows[name] = self.network.start(self.network.route(route), size, tick, lambda: self.note(name))

        self.clock.call_at(tick, start)

    def cancel(self, tick: int, name: str) -> None:
        def cancel() -> None:
            self.log.append((tick, f"{name} cancelled: {self.network.cancel(self.flows[name], tick)}"))

        self.clock.call_at(tick, cancel)

    def note(self, name: str) -> None:
        self.log.append((self.clock.now, name))

    def run(self, until: float = 1e12) -> Log:
        self.clock.run(until)
        return self.log


def test_an_undisturbed_transfer_takes_latency_and_size_over_the_narrowest_bandwidth_in_one_call() -> None:
    bench = Bench()
    bench.at(100, "a", 5000, "fast", "slow")
    assert bench.run() == [(100 + 2000 + 5000, "a")]
    assert bench.clock.num_calls == 1 + 1


def test_transfers_of_one_size_and_then_another_on_one_route() -> None:
    bench = Bench()
    for tick, size in [(0, 500), (1000, 500), (2000, 700), (3000, 0.4)]:
        bench.at(tick, f"{size} B", size, "prompt")
    assert bench.run() == [(500, "500 B"), (1500, "500 B"), (2700, "700 B"), (3000, "0.4 B")]


def test_a_second_transfer_slows_the_first_down_from_when_its_own_latency_is_over() -> None:
    bench = Bench()
    bench.at(0, "first", 4000, "slow")  # alone from 1000 to 3000, then at half speed
    bench.at(2000, "second", 1000, "slow")
    assert bench.run() == [(3000 + 2000, "second"), (1000 + 4000 + 1000, "first")]


def test_a_transfer_in_its_latency_is_not_in_the_way() -> None:
    bench = Bench({"link": LinkSpec(1e9, 1e-6), "detour": LinkSpec(1e9, 9e-6)})
    bench.at(0, "far", 1000, "link", "detour")  # sends from 10000 on
    bench.at(10, "near", 2000, "link")  # sends from 1010 to 3010
    assert bench.run() == [(3010, "near"), (11000, "far")]


def test_transfers_back_to_back_stay_undisturbed_whoever_is_called_first_in_the_instant() -> None:
    """The second start is called before the first end, at the same tick."""
    bench = Bench()
    bench.at(1000, "second", 500, "prompt")
    bench.at(0, "first", 1000, "prompt")
    bench.at(1500, "third", 500, "prompt", "fast")
    assert bench.run() == [(1000, "first"), (1500, "second"), (1500 + 1000 + 500, "third")]
    assert bench.clock.num_calls == 3 + 3


def test_done_may_start_the_next_transfer() -> None:
    bench = Bench()
    route = bench.network.route(["prompt"])

    def again() -> None:
        bench.note("done")
        if len(bench.log) < 4:
            bench.network.start(route, 100, bench.clock.now, again)

    bench.network.start(route, 100, 0, again)
    bench.network.start(route, 100, 0, lambda: bench.note("other"))
    assert bench.run() == [(200, "done"), (200, "other"), (300, "done"), (400, "done")]


def test_what_begins_in_one_instant_is_shared_out_once() -> None:
    bench = Bench({"link": LinkSpec(1e9)}, sharing="max-min")
    for index in range(10):
        bench.at(0, str(index), 100, "link")
    assert bench.run() == [(1000, str(index)) for index in range(10)]
    sharing = bench.network.contention.solver
    assert isinstance(sharing, FairSharing)
    assert sharing.evaluations == 2  # once for all that begin, once for all that end


def test_ends_of_one_instant_are_told_in_the_order_of_their_starts() -> None:
    bench = Bench()
    bench.at(0, "a", 300, "prompt")
    bench.at(0, "b", 300, "prompt", "fabric")
    bench.at(0, "c", 300, "prompt")
    assert bench.run() == [(900, "a"), (900, "b"), (900, "c")]


def test_nothing_to_send_takes_the_latency_and_disturbs_nobody() -> None:
    bench = Bench()
    bench.at(0, "data", 4000, "slow")
    bench.at(2000, "signal", 0, "slow")
    assert bench.run() == [(3000, "signal"), (5000, "data")]


def test_a_local_copy_takes_no_time_but_done_is_not_called_from_within_start() -> None:
    bench = Bench()
    bench.network.start(bench.network.route([]), 1e9, 0, lambda: bench.note("copy"))
    assert bench.log == []
    assert bench.run() == [(0, "copy")]


def test_equal_routes_are_one_object() -> None:
    network = Bench().network
    assert network.route(["fast", "slow"]) is network.route(("fast", "slow"))
    assert network.route(["fast", "slow"]) is not network.route(["slow", "fast"])


def test_cancelling_a_transfer_that_is_alone_frees_its_link() -> None:
    bench = Bench()
    bench.at(0, "a", 4000, "prompt")
    bench.cancel(1000, "a")
    bench.at(1000, "b", 500, "prompt")
    assert bench.run() == [(1000, "a cancelled: True"), (1500, "b")]
    assert bench.flows["a"].is_done
    assert bench.network.use("prompt", 2000) == LinkUse("prompt", 1500, 1.5e-6, 0.75)


def test_cancelling_a_transfer_that_shares_gives_its_share_back() -> None:
    bench = Bench()
    bench.at(0, "a", 1000, "prompt")
    bench.at(0, "b", 1000, "prompt")
    bench.cancel(1000, "a")
    assert bench.run() == [(1000, "a cancelled: True"), (1500, "b")]
    assert bench.network.use("prompt", 1500) == LinkUse("prompt", 1500, 1.5e-6, 1.0)


def test_cancelling_the_only_transfer_of_a_route_in_the_solver() -> None:
    bench = Bench()
    bench.at(0, "a", 1000, "prompt")
    bench.at(0, "b", 1000, "prompt", "fabric")
    bench.cancel(1000, "a")
    bench.at(1000, "c", 1000, "prompt")
    assert bench.run() == [(1000, "a cancelled: True"), (2000, "b"), (2500, "c")]


@pytest.mark.parametrize("others", [0, 1])
def test_cancelling_in_the_latency(others: int) -> None:
    bench = Bench()
    for _ in range(others):
        bench.at(0, "other", 3000, "slow")
    bench.at(200, "a", 1000, "slow", "fabric")
    bench.cancel(700, "a")
    assert bench.run() == [(700, "a cancelled: True"), (4000, "other")][: 1 + others]
    assert bench.network.use("slow", 10_000) == LinkUse("slow", 3000 * others, 3e-6 * others, 0.3 * others)
    assert bench.network.use("fabric", 10_000) == LinkUse("fabric", 0, 0, 0)


def test_cancelling_what_has_ended_does_nothing() -> None:
    bench = Bench()
    bench.at(0, "a", 1000, "prompt")
    bench.cancel(2000, "a")
    assert bench.run() == [(1000, "a"), (2000, "a cancelled: False")]


def test_cancelling_in_the_instant_of_the_end_keeps_done_from_being_called() -> None:
    bench = Bench()
    bench.at(0, "a", 1000, "prompt")
    bench.clock.call_at(500, lambda: bench.cancel(1000, "a"))
    bench.clock.call_at(1000, lambda: None)
    bench.at(1000, "b", 1000, "prompt")
    assert bench.run() == [(1000, "a"), (1000, "a cancelled: False"), (2000, "b")]

    bench = Bench()
    bench.clock.call_at(1000, lambda: bench.log.append((1000, str(bench.network.cancel(bench.flows["a"], 1000)))))
    bench.at(0, "a", 1000, "prompt")
    bench.at(1000, "b", 1000, "prompt")
    assert bench.run() == [(1000, "True"), (2000, "b")]
    assert bench.network.use("prompt", 2000) == LinkUse("prompt", 2000, 2e-6, 1.0)


def uses(bench: Bench, now: int, *links: str) -> list[tuple[float, float]]:
    return [bench.network.use(link, now)[1:3] for link in links]


def test_use_of_links_over_time() -> None:
    """Alone over two links and the fabric, then beside another on one of them."""
    bench = Bench()
    bench.at(0, "a", 3000, "fast", "prompt", "fabric")  # sends from 1000: at 1 B/ns to 2000, at 0.5 to 6000
    bench.at(2000, "b", 3000, "prompt")  # at 0.5 to 6000, at 1 to 7000
    links = ("fast", "prompt", "fabric")
    expected = {
        500: [(0, 0), (0, 0), (0, 0)],
        1500: [(500, 0.5e-6)] * 3,
        2000: [(1000, 1e-6)] * 3,
        4000: [(2000, 3e-6), (3000, 3e-6), (2000, 3e-6)],
        8000: [(3000, 5e-6), (6000, 6e-6), (3000, 5e-6)],
    }
    measured = {}
    for tick in expected:
        bench.clock.run(tick)
        measured[tick] = uses(bench, tick, *links)
    assert {tick: [pytest.approx(use) for use in uses] for tick, uses in measured.items()} == expected
    assert bench.log == [(6000, "a"), (7000, "b")]


def test_a_fatpipe_is_busy_while_anybody_sends() -> None:
    """Three transfers at once, the first to be booked the last to begin."""
    bench = Bench(
        {"fabric": LinkSpec(1e9, policy="fatpipe"), "near": LinkSpec(1e12, 1e-6), "far": LinkSpec(1e12, 5e-6)}
    )
    bench.at(0, "far", 1000, "far", "fabric")  # 5000 to 6000
    bench.at(0, "near", 1000, "near", "fabric")  # 1000 to 2000
    bench.at(1500, "direct", 2000, "fabric")  # 1500 to 3500
    assert bench.run() == [(2000, "near"), (3500, "direct"), (6000, "far")]
    assert bench.network.use("fabric", 10_000) == LinkUse("fabric", 4000, 3.5e-6, 0.4)


def test_the_busiest_links_come_first() -> None:
    bench = Bench({name: LinkSpec(1e9) for name in "abcd"})
    bench.at(0, "1", 1000, "b")
    bench.at(0, "2", 3000, "c")
    bench.at(0, "3", 1000, "a")
    bench.run()
    assert [use.link for use in bench.network.busiest(5000, count=3)] == ["c", "a", "b"]


def test_rate_and_remaining() -> None:
    bench = Bench()
    bench.at(0, "a", 3000, "slow")
    bench.at(1000, "b", 3000, "slow", "prompt")
    seen = []
    for tick in (500, 1500, 2500, 9000):
        bench.clock.run(tick)
        seen.append([(bench.network.rate(f, tick), bench.network.remaining(f, tick)) for f in bench.flows.values()])
    half = pytest.approx(0.5e9)
    assert seen == [
        [(0, 3000)],
        [(1e9, 2500), (0, 3000)],
        [(half, pytest.approx(1750)), (half, pytest.approx(2750))],
        [(0, 0), (0, 0)],
    ]


def test_rtt_sharing_needs_a_latency_and_weighs_by_it() -> None:
    bench = Bench({"link": LinkSpec(3e9, 1e-6), "detour": LinkSpec(9e9, 1e-6)}, sharing="rtt")
    bench.at(1000, "near", 4000, "link")  # both send from 2000: 2 B/ns against 1
    bench.at(0, "far", 4000, "link", "detour")
    assert bench.run() == [(4000, "near"), (2000 + 2000 + 667, "far")]


def test_a_size_that_is_no_number_of_bytes() -> None:
    bench = Bench()
    for size in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"size of a transfer must be a finite number of bytes >= 0, got {size}"):
            bench.network.start(bench.network.route(["slow"]), size, 0, lambda: None)


def test_the_solver_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert isinstance(make_sharing([1.0] * 1000, "auto"), FairSharing)
    with pytest.raises(ValueError, match="solver='numba' needs numba"):
        make_sharing([1.0], "numba")


def test_the_solver_is_compiled_for_large_networks() -> None:
    pytest.importorskip("numba")
    from simulator.network.fair_sharing_numba import CompiledSharing

    def kind(num_links: int) -> type:
        return type(make_sharing([1.0] * num_links, "auto"))

    assert [kind(LINKS_WORTH_COMPILING - 1), kind(LINKS_WORTH_COMPILING)] == [FairSharing, CompiledSharing]


def ring_sharing(num_links: int) -> FairSharing:
    """Every link of a ring carries eight paths of eight links, of levels that differ along the ring."""
    sharing = FairSharing([100.0 + link % 7 for link in range(num_links)])
    for start in range(num_links):
        path = sharing.add_path([(start + hop) % num_links for hop in range(8)], 1.0, float("inf"))
        sharing.change(path, 1, 1000.0)
    sharing.settle(0.0)
    return sharing


def rates(sharing: FairSharing, paths: Sequence[int]) -> list[float]:
    return [sharing.rate(path) for path in paths]


def test_a_change_is_felt_only_nearby() -> None:
    """The work for one more path does not grow with the ring, and far away nothing moves."""
    work = []
    for num_links in (64, 512):
        sharing = ring_sharing(num_links)
        before = rates(sharing, range(40, num_links))
        evaluations = sharing.evaluations
        sharing.change(sharing.add_path([8, 9], 1.0, float("inf")), 1, 1000.0)
        sharing.settle(1.0)
        work.append(sharing.evaluations - evaluations)
        assert rates(sharing, range(40, num_links)) == before
        assert sharing.rate(9) < before[0]
    assert work[0] == work[1] < 64


def test_from_scratch_a_link_is_evaluated_little_more_than_once() -> None:
    assert ring_sharing(512).evaluations < 2 * 512
