"""Collectives message by message: as long as the closed forms on an idle network, and later by what theory says.

Every expectation is worked out by hand from latency L, bandwidth B and S bytes a rank, and stands in its test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schedules.operations import AllGather, AllReduce, Barrier, Broadcast, Operation, ReduceScatter
from schedules.platform.collective_times import seconds
from schedules.platform.tables import Link
from simulator.collectives.lowered import Lowered
from simulator.collectives.patterns import pattern
from simulator.collectives.rounds import Pattern
from tests.simulator.collectives.collective_rig import EVERY, Competitor, Sent, fabric, max_plus, run
from topologies import build_network

NS = 1e-9
B, L = 1e9, 10e-6
"""Bytes/s and seconds: of the fabric of most tests."""
S = 840_000
"""Bytes a rank: n divides it for n up to 8, and a wire takes 840 us for it."""


def ends(made: Pattern, network: Any = None, **more: Any) -> list[float]:
    """When each member is through, in seconds, on the fabric of (B, L) unless another network is given."""
    network = network or fabric(made.num_members + 2, B, L)
    return [end * NS for end in run(network, made, **more).ends]


def last(*arguments: Any, **more: Any) -> float:
    return max(ends(*arguments, **more))


# ---- closed forms

LINKS = [(1.25e9, 50e-6), (1e8, 1e-6), (1e11, 5e-3)]
SIZES = [0, 300_017, 5_000_011]
"""Bytes: no number of ranks divides them, and a chain has one segment of them or ten."""


@pytest.mark.parametrize("n", range(2, 18))
@pytest.mark.parametrize(("kind", "algorithm"), EVERY)
def test_on_an_idle_network_it_takes_the_closed_form(kind: type[Operation], algorithm: str, n: int) -> None:
    for bandwidth, latency in LINKS:
        network = fabric(n, bandwidth, latency)
        for size in SIZES:
            expected = seconds(kind, n, size, bandwidth, latency, algorithm=algorithm)
            assert last(pattern(kind, algorithm, n, size), network) == pytest.approx(expected, rel=1e-3)


NODES = [(2, 2), (2, 4), (3, 2), (4, 3), (2, 8), (16, 1), (1, 8)]


@pytest.mark.parametrize(("num_nodes", "width"), NODES)
def test_a_hierarchical_one_takes_its_closed_form_on_a_uniform_network(num_nodes: int, width: int) -> None:
    n = num_nodes * width
    made = pattern(AllReduce, "hierarchical", n, 5_000_011, nodes=[i // width for i in range(n)])
    expected = seconds(AllReduce, n, 5_000_011, B, L, algorithm="hierarchical", num_nodes=num_nodes)
    assert last(made) == pytest.approx(expected, rel=1e-3)


RAILS: dict[str, float] = {
    "nvlink_bandwidth": 100e9,
    "nvlink_latency": 1e-6,
    "pcie_bandwidth": 50e9,
    "pcie_latency": 1e-6,
    "bandwidth": 10e9,
    "latency": 4e-6,
}
INSIDE, OUTSIDE = Link(bandwidth=100e9, latency=2e-6), Link(bandwidth=10e9, latency=10e-6)
"""A way inside a node of these (two NVLinks), and on a rail between nodes (PCIe, port, port, PCIe)."""


@pytest.mark.parametrize(("num_nodes", "width"), [(2, 4), (3, 2), (2, 8), (4, 1), (1, 4)])
def test_a_hierarchical_one_takes_its_closed_form_on_nodes_with_rails(num_nodes: int, width: int) -> None:
    n = num_nodes * width
    network = build_network("gpu_nodes", n, gpus_per_node=width, **RAILS)
    made = pattern(AllReduce, "hierarchical", n, S, nodes=[i // width for i in range(n)])
    expected = seconds(
        AllReduce,
        n,
        S,
        *(OUTSIDE.bandwidth, OUTSIDE.latency),
        algorithm="hierarchical",
        num_nodes=num_nodes,
        inside=INSIDE,
    )
    assert last(made, network) == pytest.approx(expected, rel=1e-3)


def test_on_eight_gpus_it_is_as_long_as_worked_out_by_hand() -> None:
    """2 nodes of 4: six hops of 2 us + 2.1 us inside, two of 10 us + 10.5 us outside."""
    network = build_network("gpu_nodes", 8, gpus_per_node=4, **RAILS)
    made = pattern(AllReduce, "hierarchical", 8, S, nodes=[0, 0, 0, 0, 1, 1, 1, 1])
    assert ends(made, network) == pytest.approx([6 * 4.1e-6 + 2 * 20.5e-6] * 8, rel=1e-12)


# ---- a member that comes late

DELAY = 5e-3


def late(n: int, member: int) -> list[int]:
    return [round(DELAY / NS) if i == member else 0 for i in range(n)]


@pytest.mark.parametrize("member", [0, 3, 7])
@pytest.mark.parametrize("algorithm", ["ring", "halving-doubling", "tree"])
def test_an_all_reduce_is_later_by_as_much_as_its_last_member(algorithm: str, member: int) -> None:
    """For everybody: nobody can have the sum without it, and all that it has to do comes after it."""
    made = pattern(AllReduce, algorithm, 8, S)
    on_time = ends(made)
    assert ends(made, arrivals=late(8, member)) == pytest.approx([end + DELAY for end in on_time], rel=1e-12)


def test_lateness_goes_around_a_ring_by_one_member_a_round() -> None:
    """Member i begins its round k at k d, or D later if it is within k places of the late one, for d = L + S/(nB)."""
    n, hop, delay = 6, round((L + S / 6 / B) / NS), round(DELAY / NS)
    log = run(fabric(n, B, L), pattern(AllReduce, "ring", n, S), arrivals=late(n, 0)).log

    def begins(member: int, number: int) -> int:
        return number * hop + (delay if min(member, n - member) <= number else 0)

    expected = [
        Sent(max(begins(member, number), begins((member + 1) % n, number)), member, (member + 1) % n)
        for member in range(n)
        for number in range(2 * (n - 1))
    ]
    assert sorted(log) == sorted(expected)


def test_a_late_leaf_of_a_broadcast_holds_up_nobody_but_who_sends_to_it() -> None:
    """Of 8 the last round of a tree is 0 to 1, 2 to 3, 4 to 5, 6 to 7; all rounds take t = L + S/B."""
    t = L + S / B
    found = ends(pattern(Broadcast, "tree", 8, S), arrivals=late(8, 7))
    assert found == pytest.approx([3 * t] * 6 + [DELAY + t] * 2, rel=1e-12)


def test_a_tree_at_once_feels_a_late_child_and_no_late_leaf_elsewhere() -> None:
    """Of 4 the root sends to 1 and 2 at once, 1 to 3. If 2 is late, 1 has all of the interface until it comes, and the
    root is through when 2 is."""
    t = L + S / B
    found = ends(pattern(Broadcast, "tree-at-once", 4, S), arrivals=late(4, 2))
    assert found == pytest.approx([DELAY + t, 2 * t, DELAY + t, 2 * t], rel=1e-12)


def test_a_late_root_of_a_broadcast_holds_up_everybody() -> None:
    t = L + S / B
    found = ends(pattern(Broadcast, "tree", 8, S, root=3), arrivals=late(8, 3))
    assert found == pytest.approx([DELAY + 3 * t] * 8, rel=1e-12)


def test_a_late_member_of_a_chain_holds_up_those_before_it_by_all_but_one_segment() -> None:
    """Four members, four segments. Member 1 has the first segment on time, and cannot be rid of it before member 2 is
    there, D late; from then on all go in step."""
    hop = L + 500_000 / B
    found = ends(pattern(Broadcast, "chain", 4, 4 * 500_000), arrivals=late(4, 2))
    assert found == pytest.approx([DELAY + rounds * hop for rounds in (3, 4, 5, 5)], rel=1e-12)


def test_a_barrier_lets_nobody_go_before_the_last_is_there() -> None:
    assert ends(pattern(Barrier, None, 5, 0), arrivals=late(5, 2)) == pytest.approx([DELAY + 3 * L] * 5, rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([each for each in EVERY if each[1] not in ("direct", "tree-at-once")]),  # these share links
    st.lists(st.integers(0, 3_000_000), min_size=1, max_size=9),
    st.sampled_from([0, 1, 80_000, 1_300_000]),
)
def test_whenever_members_come_it_is_maxima_and_sums(
    what: tuple[type[Operation], str], arrivals: list[int], size: int
) -> None:
    """Against the recursion T'(i) = max of max(T(i), T(j)) + L + s/B over the messages of a round."""
    made = pattern(*what, len(arrivals), size)
    expected = max_plus(made, B, L, [at * NS for at in arrivals])
    assert ends(made, arrivals=arrivals) == pytest.approx(expected, abs=made.num_rounds * NS)


# ---- a slow link

SLOW = 1e8


def up(member: int, n: int) -> dict[tuple[int, int], float]:
    """The way out of a host is slow: the switch comes after the n + 2 hosts."""
    return {(member, n + 2): SLOW}


def down(member: int, n: int) -> dict[tuple[int, int], float]:
    return {(n + 2, member): SLOW}


@pytest.mark.parametrize("link", [up, down])
@pytest.mark.parametrize("n", [2, 3, 5, 8])
def test_a_ring_goes_at_the_pace_of_its_slowest_link(n: int, link: Callable[[int, int], Any]) -> None:
    """All 2 (n-1) messages over it follow on one another: 2 (n-1) (L + S / (n b))."""
    expected = 2 * (n - 1) * (L + S / n / SLOW)
    assert last(pattern(AllReduce, "ring", n, S), slow=link(1, n)) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("link", [up, down])
def test_halving_and_doubling_pays_for_a_slow_link_all_that_crosses_it(link: Callable[[int, int], Any]) -> None:
    """A member sends and receives 2 (n-1)/n S, in 2 log2 n messages: 2 (L log2 n + (n-1)/n S/b)."""
    expected = 2 * (3 * L + 7 / 8 * S / SLOW)
    assert last(pattern(AllReduce, "halving-doubling", 8, S), slow=link(5, 8)) == pytest.approx(expected, rel=1e-3)


MORE = S / SLOW - S / B
"""Seconds that a message of S bytes takes longer over a slow link."""


@pytest.mark.parametrize(
    ("link", "num_slow"),
    [(up(1, 8), 1), (down(1, 8), 1), (up(0, 8), 3), (down(0, 8), 3), (up(4, 8), 3), (down(4, 8), 3)],
)
def test_a_tree_pays_for_a_slow_link_where_it_lies(link: Any, num_slow: int) -> None:
    """A leaf sends and receives once, the root log2 n times each. Of member 4 the sending up and the two down to its
    own leaves follow on one another, as do the two it receives on the way up and the one on the way down."""
    expected = 6 * (L + S / B) + num_slow * MORE
    assert last(pattern(AllReduce, "tree", 8, S), slow=link) == pytest.approx(expected, rel=1e-9)


def test_a_slow_port_of_one_gpu_slows_its_rail() -> None:
    """Only the hops between nodes are longer: 2 (N-1) (L + S / (n b)); inside, all wait for who is on this rail."""
    network = build_network("gpu_nodes", 8, gpus_per_node=4, **RAILS)
    (port,) = [
        (u, v)
        for u, v in network.edges
        if {network.nodes[u]["label"], network.nodes[v]["label"]} == {"node 1 NIC 2", "rail 2"}
    ]
    made = pattern(AllReduce, "hierarchical", 8, S, nodes=[0, 0, 0, 0, 1, 1, 1, 1])
    expected = 6 * (2e-6 + S / 4 / 100e9) + 2 * (10e-6 + S / 8 / SLOW)
    assert last(made, network, slow={port: SLOW, port[::-1]: SLOW}) == pytest.approx(expected, rel=1e-9)


# ---- another transfer on a NIC

FOREVER = 1e10
"""Bytes: more than a collective lasts."""


@pytest.mark.parametrize("way", [(2, 8), (8, 2)], ids=["out of member 2", "into member 2"])
def test_a_competing_flow_halves_what_a_ring_has(way: tuple[int, int]) -> None:
    """Max-min: two transfers on a NIC get B/2 each, so 2 (n-1) (L + 2 S / (n B))."""
    expected = 2 * 7 * (L + 2 * S / 8 / B)
    made = pattern(AllReduce, "ring", 8, S)
    assert last(made, competitors=[Competitor(*way, FOREVER)]) == pytest.approx(expected, rel=1e-9)


def test_two_competing_flows_leave_it_a_third() -> None:
    expected = 2 * 7 * (L + 3 * S / 8 / B)
    rivals = [Competitor(2, 8, FOREVER), Competitor(2, 9, FOREVER)]
    assert last(pattern(AllReduce, "ring", 8, S), competitors=rivals) == pytest.approx(expected, rel=1e-9)


def test_a_competing_flow_halves_what_halving_and_doubling_has() -> None:
    expected = 2 * (3 * L + 7 / 8 * S / (B / 2))
    made = pattern(AllReduce, "halving-doubling", 8, S)
    assert last(made, competitors=[Competitor(0, 8, FOREVER)]) == pytest.approx(expected, rel=1e-9)


def test_a_competing_flow_out_of_the_root_of_a_tree_slows_the_way_down() -> None:
    expected = 3 * (L + S / B) + 3 * (L + 2 * S / B)
    made = pattern(AllReduce, "tree", 8, S)
    assert last(made, competitors=[Competitor(0, 8, FOREVER)]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("num_shared", [1, 3, 5])
def test_a_competing_flow_that_ends_costs_what_it_took_while_shared(num_shared: int) -> None:
    """It ends with the ring's third message, say: then it has had three times a chunk of S/n at half the rate, and in
    between, while a latency passes, the whole rate: 3 S/n + 2 L B bytes. The ring is later by 3 S / (n B)."""
    size = num_shared * S / 8 + (num_shared - 1) * L * B
    expected = 2 * 7 * (L + S / 8 / B) + num_shared * S / 8 / B
    made = pattern(AllReduce, "ring", 8, S)
    assert last(made, competitors=[Competitor(2, 8, size)]) == pytest.approx(expected, rel=1e-9)


def test_a_competing_flow_elsewhere_costs_nothing() -> None:
    made = pattern(AllReduce, "ring", 8, S)
    assert ends(made, competitors=[Competitor(8, 9, FOREVER)]) == ends(made)


@pytest.mark.parametrize("num_rings", [2, 3])
def test_rings_on_the_same_nics_share_them(num_rings: int) -> None:
    """They go in step, and each hop has a half or a third of the bandwidth."""
    expected = 2 * 7 * (L + num_rings * S / 8 / B)
    assert ends(pattern(AllReduce, "ring", 8, S), copies=num_rings) == pytest.approx([expected] * 8, rel=1e-9)


# ---- the runner on its own


def at_once(source: int, target: int, size: int, now: int, done: Callable[[int], None]) -> None:
    """A network that takes no time, and says so before it returns."""
    done(now)


def record(made: Pattern, send: Any, arrivals: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    lowered = Lowered(made, send, lambda member, now: found.append((member, now)))
    for member, at in enumerate(arrivals):
        lowered.arrive(member, at)
    return found


@pytest.mark.parametrize(("kind", "algorithm"), EVERY)
def test_alone_one_is_through_at_once(kind: type[Operation], algorithm: str) -> None:
    assert record(pattern(kind, algorithm, 1, 100), None, [17]) == [(0, 17)]


@pytest.mark.parametrize(("kind", "algorithm"), EVERY)
def test_messages_that_take_no_time_nest_no_calls(kind: type[Operation], algorithm: str) -> None:
    """A ring of 150 has 298 rounds, each of several calls: more than Python can nest."""
    found = record(pattern(kind, algorithm, 150, 1000), at_once, [5] * 150)
    assert sorted(found) == [(member, 5) for member in range(150)]


@pytest.mark.parametrize(("kind", "algorithm"), EVERY)
@pytest.mark.parametrize("n", [2, 5, 8])
def test_ends_may_be_told_ahead(kind: type[Operation], algorithm: str, n: int) -> None:
    """Where nothing is shared, a network may say at once when a message will be there."""
    made, arrivals = pattern(kind, algorithm, n, S), [7 * i % 5 * 100_000 for i in range(n)]

    def booked(source: int, target: int, size: int, now: int, done: Callable[[int], None]) -> None:
        done(now + 10_000 + size)

    expected = max_plus(made, B, L, [at * NS for at in arrivals])
    found = dict(record(made, booked, arrivals))
    assert [found[member] * NS for member in range(n)] == pytest.approx(expected, abs=NS)


def test_who_arrives_twice_is_refused() -> None:
    lowered = Lowered(pattern(AllGather, "ring", 2, 8), at_once, lambda member, now: None)
    lowered.arrive(1, 0)
    with pytest.raises(ValueError, match="member 1: expected to arrive once"):
        lowered.arrive(1, 0)


def test_one_that_ends_may_begin_the_next_at_once() -> None:
    """Two collectives on one group, the second from within the end of the first, as programs do."""
    log: list[tuple[str, int]] = []
    second = Lowered(pattern(ReduceScatter, "ring", 3, 9), at_once, lambda member, now: log.append(("second", member)))

    def through(member: int, now: int) -> None:
        log.append(("first", member))
        second.arrive(member, now)

    first = Lowered(pattern(AllGather, "ring", 3, 9), at_once, through)
    for member in range(3):
        first.arrive(member, 0)
    assert sorted(log) == [(name, member) for name in ("first", "second") for member in range(3)]


def test_without_its_last_member_nobody_is_through() -> None:
    assert record(pattern(AllReduce, "ring", 4, 100), at_once, [0, 0, 0]) == []
