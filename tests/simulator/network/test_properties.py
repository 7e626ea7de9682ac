"""What holds for any network and any traffic on it, at any time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator.network.calls import CallClock
from simulator.network.fair_sharing import FairSharing, Sharing
from simulator.network.flows import Flow
from simulator.network.links import LinkId, LinkSpec, Policy
from simulator.network.network import Network
from simulator.network.sharing import SharingRule, Solver

SOLVERS: tuple[Solver, ...] = ("python", "numba")
RULES: tuple[SharingRule, ...] = ("max-min", "rtt")
POLICIES: tuple[Policy, ...] = ("shared", "shared", "shared", "shared", "shared", "fatpipe")
CLOSE = 1e-9


@dataclass
class Traffic:
    """Links, and (tick, size, route, tick at which to give up or None) of each transfer."""

    links: dict[LinkId, LinkSpec]
    transfers: list[tuple[int, int, list[int], int | None]]


@dataclass
class Run:
    network: Network
    clock: CallClock
    flows: list[Flow | None]
    ends: list[int | None] = field(default_factory=list)


@st.composite
def traffics(draw: st.DrawFn) -> Traffic:
    num_links = draw(st.integers(1, 7))
    links: dict[LinkId, LinkSpec] = {}
    for link in range(num_links):
        bandwidth = draw(st.sampled_from([1e9, 2e9, 3e9]) | st.integers(1, 4000).map(lambda mb: mb * 1e6))
        latency = draw(st.sampled_from([1e-9, 5e-7, 1e-6]))
        links[link] = LinkSpec(bandwidth, latency, draw(st.sampled_from(["shared", "shared", "fatpipe"])))
    transfer = st.tuples(
        st.integers(0, 3000),
        st.sampled_from([0, 500, 1000]) | st.integers(1, 3000),
        st.lists(st.integers(0, num_links - 1), unique=True, min_size=1, max_size=4),
        st.none() | st.none() | st.integers(0, 6000),
    )
    return Traffic(links, draw(st.lists(transfer, min_size=1, max_size=12)))


def random_traffic(seed: int) -> Traffic:
    """Larger than what Hypothesis draws: up to 40 links and 100 transfers."""
    draw = random.Random(seed)
    num_links = draw.randint(5, 40)
    links: dict[LinkId, LinkSpec] = {
        link: LinkSpec(draw.uniform(0.1e9, 4e9), 10 ** draw.uniform(-8, -5), draw.choice(POLICIES))
        for link in range(num_links)
    }
    transfers = []
    for _ in range(100):
        tick, size = draw.randint(0, 20_000), draw.randint(0, 20_000)
        route = draw.sample(range(num_links), draw.randint(1, 5))
        transfers.append((tick, size, route, tick + draw.randint(0, 9000) if draw.random() < 0.2 else None))
    return Traffic(links, transfers)


def prepare(traffic: Traffic, solver: Solver, rule: SharingRule) -> Run:
    clock = CallClock()
    network = Network(traffic.links, clock.call_at, solver=solver, sharing=rule)
    num = len(traffic.transfers)
    run = Run(network, clock, [None] * num, [None] * num)

    def at(tick: int, action: Callable[[int], None], index: int) -> None:
        clock.call_at(tick, lambda: action(index))

    def end(index: int) -> None:
        assert run.ends[index] is None, "told twice"
        run.ends[index] = clock.now

    def start(index: int) -> None:
        _, size, route, _ = traffic.transfers[index]
        run.flows[index] = network.start(network.route(route), size, clock.now, lambda: end(index))

    def give_up(index: int) -> None:
        flow = run.flows[index]
        if flow is not None:
            network.cancel(flow, clock.now)

    for index, (tick, _, _, given_up_at) in enumerate(traffic.transfers):
        at(tick, start, index)
        if given_up_at is not None:
            at(given_up_at, give_up, index)
    return run


def sending(run: Run, now: int) -> list[tuple[Flow, float]]:
    flows = [flow for flow in run.flows if flow is not None and not flow.is_done]
    return [(flow, rate) for flow in flows if (rate := run.network.rate(flow, now)) > 0]


def check_rates(traffic: Traffic, run: Run, rule: SharingRule, now: int) -> None:
    """Nothing is over-full, and each transfer has a bottleneck: a full link on which no level is higher."""
    rates = sending(run, now)
    used = {link: sum(rate for flow, rate in rates if link in flow.route.ids) for link in traffic.links}

    def level(flow: Flow, rate: float) -> float:
        return rate / (flow.route.weight if rule == "rtt" else 1.0)

    def is_bottleneck(link: LinkId, flow: Flow, rate: float) -> bool:
        if traffic.links[link].policy == "fatpipe":
            return rate >= traffic.links[link].bandwidth * (1 - CLOSE)
        if used[link] < traffic.links[link].bandwidth * (1 - CLOSE):
            return False
        highest = max(level(other, its) for other, its in rates if link in other.route.ids)
        return level(flow, rate) >= highest * (1 - CLOSE)

    for link, spec in traffic.links.items():
        if spec.policy == "shared":
            assert used[link] <= spec.bandwidth * (1 + CLOSE)
    for flow, rate in rates:
        assert all(rate <= traffic.links[link].bandwidth * (1 + CLOSE) for link in flow.route.ids)
        assert any(is_bottleneck(link, flow, rate) for link in flow.route.ids)


def check_accounts(traffic: Traffic, run: Run, now: int) -> None:
    """A link has carried what its transfers have moved, at no more than its bandwidth, and was busy for as long."""
    for link, spec in traffic.links.items():
        flows = [flow for flow in run.flows if flow is not None and link in flow.route.ids]
        carried, busy_s, utilisation = run.network.use(link, now)[1:]
        slack = len(flows) * spec.bandwidth * 1e-9 + 1e-3  # a tick's rounding for each
        if not any(given_up_at is not None for *_, given_up_at in traffic.transfers):
            moved = sum(flow.size - run.network.remaining(flow, now) for flow in flows)
            assert carried == pytest.approx(moved, abs=slack)
        assert 0 <= busy_s <= now * 1e-9 * (1 + CLOSE)
        if spec.policy == "shared":
            assert carried <= busy_s * spec.bandwidth + slack
            assert utilisation <= 1 + slack / (spec.bandwidth * max(1, now) * 1e-9)


def check_ends(traffic: Traffic, run: Run) -> None:
    """Who has not given up arrives, and not before the bandwidth allows."""
    for (tick, size, route, given_up_at), end, flow in zip(traffic.transfers, run.ends, run.flows, strict=True):
        assert flow is not None
        assert flow.is_done
        if end is None:
            assert given_up_at is not None
        else:
            least = size / min(traffic.links[link].bandwidth for link in route)
            latency = sum(traffic.links[link].latency for link in route)
            assert end >= tick + (latency + least) * 1e9 - 1
            assert end == flow.end


def check_all(traffic: Traffic, solver: Solver, rule: SharingRule) -> Run:
    run = prepare(traffic, solver, rule)
    for now in range(0, 9000, 450):
        run.clock.run(now)
        check_rates(traffic, run, rule, now)
        check_accounts(traffic, run, now)
    run.clock.run()
    check_ends(traffic, run)
    check_accounts(traffic, run, run.clock.now)
    return run


@pytest.mark.slow
@settings(max_examples=80, deadline=None, derandomize=True)
@given(traffics(), st.sampled_from(RULES))
def test_shares_are_max_min_fair_and_accounts_balance(traffic: Traffic, rule: SharingRule) -> None:
    check_all(traffic, "python", rule)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(8))
def test_shares_are_max_min_fair_in_larger_networks(seed: int, rule: SharingRule) -> None:
    run = check_all(random_traffic(seed), "python", rule)
    assert run.network.contention.num_entered > 20  # so the solver had something to do


@settings(max_examples=50, deadline=None, derandomize=True)
@given(traffics())
@example(Traffic({}, [(0, 500, [0], None), (0, 500, [0], None), (497, 500, [0], None), (1251, 500, [0], None)]))
def test_links_are_busy_while_they_must_be(traffic: Traffic) -> None:
    """Work is conserved: a lone link with a backlog runs at its bandwidth until the backlog is gone."""
    # A thousand ticks for each of the traffic's: every end is rounded to a tick, and half ticks of several ends add up
    # to one (in the example, where ticks are nanoseconds, to the last one).
    fine = 1000
    transfers = [(tick * fine, size * fine, [0], None) for tick, size, _, _ in traffic.transfers]
    lone = Traffic({0: LinkSpec(1e9, fine * 1e-9)}, list(transfers))
    run = prepare(lone, "python", "max-min")
    run.clock.run()
    free_at, busy = 0, 0
    for tick, size, _, _ in sorted(transfers, key=lambda transfer: transfer[0]):
        free_at = max(free_at, tick + fine) + size
        busy += size
    last = max(end for end in run.ends if end is not None)
    assert round(last / fine) * fine == max(free_at, fine + max(tick for tick, *_ in transfers))
    _, carried, busy_s, _ = run.network.use(0, free_at)
    assert (carried, round(busy_s * 1e9 / fine) * fine) == (busy, busy)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(traffics(), st.sampled_from(RULES))
def test_the_compiled_solver_gives_the_same_ticks(traffic: Traffic, rule: SharingRule) -> None:
    pytest.importorskip("numba")
    runs = [check_all(traffic, solver, rule) for solver in SOLVERS]
    assert runs[0].ends == runs[1].ends


@pytest.mark.parametrize("rule", RULES)
def test_the_compiled_solver_gives_the_same_bits(rule: SharingRule) -> None:
    """The same changes to both solvers, many of them: ends, rates and the number of evaluations are equal."""
    pytest.importorskip("numba")
    from simulator.network.fair_sharing_numba import CompiledSharing

    draw = random.Random(7)
    capacities = [draw.uniform(10, 100) for _ in range(30)]
    solvers = FairSharing(capacities), CompiledSharing(capacities)
    paths = [(draw.sample(range(30), draw.randint(1, 6)), draw.uniform(0.1, 9)) for _ in range(120)]
    for links, weight in paths:
        cap = draw.choice([math.inf, draw.uniform(1, 20)])
        for solver in solvers:
            solver.add_path(links, weight if rule == "rtt" else 1.0, cap)
    for step in range(400):
        changes = [(path, draw.randint(0, 3), draw.uniform(0, 50)) for path in draw.sample(range(120), 4)]
        assert len({trace(solver, changes, float(step)) for solver in solvers}) == 1
        assert solvers[0].evaluations == solvers[1].evaluations


def trace(solver: Sharing, changes: list[tuple[int, int, float]], now: float) -> tuple[object, ...]:
    """What a solver answers to a set of changes; paths that end are emptied."""
    ended = tuple(sorted(solver.due(now)))
    for path in ended:
        solver.change(path, 0, 0.0)
    for path, flows, remaining in changes:
        solver.change(path, flows, remaining)
    first = solver.settle(now)
    busy = [path for path, flows, _ in changes if flows]
    return ended, first, *((solver.rate(path), solver.remaining(path, now + 0.1)) for path in busy)
