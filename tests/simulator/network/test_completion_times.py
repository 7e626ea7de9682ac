"""When transfers end: exact cases, the exact oracle, SimGrid."""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Sequence

import pytest

from simulator.network.completion import completion_times
from simulator.network.links import LinkId, LinkLike, LinkSpec, Policy
from simulator.network.sharing import Solver
from tests.simulator.network.exact_flows import exact_completion_times

MB = 1e6
Flow = tuple[float, float, list[LinkId]]
SOLVERS: tuple[Solver, ...] = ("python", "numba")


@pytest.fixture(params=SOLVERS)
def solver(request: pytest.FixtureRequest) -> Solver:
    if request.param == "numba":
        pytest.importorskip("numba")
    return request.param  # type: ignore[no-any-return]


def shared(bandwidth: float, latency: float = 0.0) -> tuple[float, float, Policy]:
    return bandwidth, latency, "shared"


def expect(ends: Sequence[float], expected: Sequence[float]) -> None:
    assert ends == pytest.approx(expected, rel=1e-9, abs=0)


def test_two_flows_on_one_link(solver: Solver) -> None:
    flows: list[Flow] = [(100 * MB, 0, ["l"]), (200 * MB, 0, ["l"])]
    expect(completion_times({"l": shared(100 * MB)}, flows, solver=solver), [2, 3])


def test_parking_lot(solver: Solver) -> None:
    links = {"first": shared(100 * MB), "second": shared(60 * MB)}
    flows: list[Flow] = [
        (90 * MB, 0, ["first", "second"]),
        (280 * MB, 0, ["first"]),
        (120 * MB, 0, ["second"]),
    ]
    expect(completion_times(links, flows, solver=solver), [3, 3.7, 3.5])


def test_incast_with_a_bystander(solver: Solver) -> None:
    """Four senders to one NIC; the first also sends to somebody else, and gets what the incast leaves of its NIC."""
    nic = shared(100 * MB, 0.5e-3)
    names = ["up 0", "up 1", "up 2", "up 3", "down", "other down"]
    links = dict.fromkeys(names, nic)
    flows: list[Flow] = [(50 * MB, 0, [f"up {sender}", "down"]) for sender in range(4)]
    flows.append((100 * MB, 0, ["up 0", "other down"]))
    expect(completion_times(links, flows, solver=solver), [2.001] * 4 + [4 / 3 + 0.001])


def test_star_with_staggered_starts(solver: Solver) -> None:
    links: dict[LinkId, LinkLike] = {"uplink": shared(150 * MB), **{sender: shared(100 * MB) for sender in range(4)}}
    starts = [0, 0, 0.2, 1]
    flows: list[Flow] = [((sender + 1) * 60 * MB, starts[sender], [sender, "uplink"]) for sender in range(4)]
    expect(completion_times(links, flows, solver=solver), [17 / 15, 7 / 3, 10 / 3, 13 / 3])


def test_cycle_of_three_links(solver: Solver) -> None:
    links = {"a": shared(100 * MB), "b": shared(80 * MB), "c": shared(120 * MB)}
    flows: list[Flow] = [(100 * MB, 0, ["a", "b"]), (100 * MB, 0, ["b", "c"]), (100 * MB, 0, ["c", "a"])]
    expect(completion_times(links, flows, solver=solver), [2.5, 2.5, 5 / 3])


def test_latency_is_paid_first_and_takes_no_bandwidth(solver: Solver) -> None:
    """The second flow's latency passes while the first has the link for itself."""
    links = {"near": shared(100 * MB, 0.25), "far": shared(1000 * MB, 0.5)}
    flows: list[Flow] = [(100 * MB, 0, ["near"]), (100 * MB, 0, ["near", "far"])]
    expect(completion_times(links, flows, solver=solver), [1.75, 2.25])


def test_a_fatpipe_limits_each_flow_and_none_by_another(solver: Solver) -> None:
    links: dict[LinkId, LinkLike] = {"fabric": (50 * MB, 0.0, "fatpipe"), "nic": shared(80 * MB)}
    flows: list[Flow] = [(100 * MB, 0, ["fabric"]) for _ in range(9)]
    flows += [(40 * MB, 0, ["nic", "fabric"]), (45 * MB, 0, ["nic", "fabric"])]
    expect(completion_times(links, flows, solver=solver), [2.0] * 9 + [1.0, 1.1])


def test_rtt_sharing_weighs_by_the_inverse_of_the_latency(solver: Solver) -> None:
    links = {"common": shared(90 * MB, 0.125), "detour": shared(900 * MB, 0.125)}
    flows: list[Flow] = [(60 * MB, 0.125, ["common"]), (60 * MB, 0, ["common", "detour"])]
    ends = completion_times(links, flows, sharing="rtt", solver=solver)
    expect(ends, [0.25 + 1, 0.25 + 120 / 90])


def test_flows_of_one_route_queue_up_by_size(solver: Solver) -> None:
    flows: list[Flow] = [(size * MB, 0, ["l"]) for size in (30, 10, 20, 10)]
    expect(completion_times({"l": shared(10 * MB)}, flows, solver=solver), [7, 4, 6, 4])


def test_nothing_to_send_and_nowhere_to_go() -> None:
    links = {"l": shared(10 * MB, 0.5)}
    assert completion_times(links, [(0, 1.0, ["l"]), (5 * MB, 1.0, []), (0, 1.0, [])]) == [1.5, 1.0, 1.0]


def test_an_infinite_bandwidth_only_delays() -> None:
    links = {"wire": shared(math.inf, 0.5), "nic": shared(10 * MB, 0.5)}
    flows: list[Flow] = [(10 * MB, 0, ["wire"]), (10 * MB, 0, ["wire", "nic"]), (10 * MB, 0, ["wire", "nic"])]
    expect(completion_times(links, flows), [0.5, 3.0, 3.0])


def test_a_fast_flow_keeps_its_precision_late_in_time() -> None:
    (end,) = completion_times({"l": shared(1e12)}, [(1, 0, ["l"])])
    assert end == pytest.approx(1e-12, rel=1e-12, abs=0)
    expect(
        completion_times({"l": shared(100 * MB)}, [(100 * MB, 1e6, ["l"]), (200 * MB, 1e6, ["l"])]), [1e6 + 2, 1e6 + 3]
    )


def test_links_may_be_mappings_tuples_or_links() -> None:
    forms: list[LinkLike] = [LinkSpec(10 * MB), (10 * MB, 0.0), {"bandwidth": 10 * MB, "policy": "shared"}]
    assert [completion_times({"l": form}, [(10 * MB, 0, ["l"])]) for form in forms] == [[1.0]] * 3


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ((0.0, 0.0, "shared"), "bandwidth of link 'nic' must be above 0 bytes/s, got 0.0"),
        ((-1.0, 0.0, "shared"), "bandwidth of link 'nic' must be above 0 bytes/s, got -1.0"),
        ((math.nan, 0.0, "shared"), "bandwidth of link 'nic' must be above 0 bytes/s, got nan"),
        (("10 Gbit/s", 0.0, "shared"), "bandwidth of link 'nic' must be above 0 bytes/s, got '10 Gbit/s'"),
        ((1.0, -1.0, "shared"), "latency of link 'nic' must be finite and at least 0 s, got -1.0"),
        ((1.0, math.nan, "shared"), "latency of link 'nic' must be finite and at least 0 s, got nan"),
        ((1.0, 0.0, "fair"), "policy of link 'nic' must be one of 'shared', 'fatpipe', got 'fair'"),
        ({"bandwith": 1.0}, "link 'nic': expected bandwidth, latency and policy, got {'bandwith': 1.0}"),
    ],
)
def test_an_impossible_link_is_named(link: LinkLike, complaint: str) -> None:
    with pytest.raises(ValueError, match="^" + complaint):
        completion_times({"nic": link}, [])


@pytest.mark.parametrize(
    ("flow", "complaint"),
    [
        ((1, 0, ["nic", "nowhere"]), "route .* goes over an unknown link 'nowhere'"),
        ((1, 0, ["nic", "nic"]), "route .* goes over link 'nic' twice"),
        ((-1, 0, ["nic"]), "size of a transfer must be a finite number of bytes >= 0, got -1"),
        ((math.nan, 0, ["nic"]), "size of a transfer .* got nan"),
        ((1, math.inf, ["nic"]), "flow 0 starts at inf s, expected a finite number"),
    ],
)
def test_an_impossible_flow_is_named(flow: Flow, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        completion_times({"nic": shared(1.0)}, [flow])


def test_impossible_options_are_named() -> None:
    with pytest.raises(ValueError, match="sharing must be one of 'max-min', 'rtt', got 'fifo'"):
        completion_times({}, [], sharing="fifo")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"solver must be one of .*, got 'rust'"):
        completion_times({}, [], solver="rust")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no latency, so sharing='rtt' gives it no weight"):
        completion_times({"l": shared(1.0)}, [(1, 0, ["l"])], sharing="rtt")


Network = tuple[dict[LinkId, tuple[float, float, Policy]], list[Flow]]


def random_network(seed: int) -> Network:
    """Up to 8 links and 12 flows; few bandwidths, sizes and starts, so that ties and coincidences are common."""
    draw = random.Random(seed)
    num_links, num_flows = draw.randint(1, 8), draw.randint(1, 12)
    links: dict[LinkId, tuple[float, float, Policy]] = {
        link: (
            draw.choice([60.0, 80.0, 100.0, 120.0, float(draw.randint(1, 200))]),
            draw.choice([0.0, 0.0, 0.125, draw.randint(0, 1024) / 1024]),
            "fatpipe" if draw.random() < 0.25 else "shared",
        )
        for link in range(num_links)
    }
    flows: list[Flow] = []
    for _ in range(num_flows):
        route: list[Hashable] = list(draw.sample(range(num_links), draw.randint(0, min(4, num_links))))
        start = draw.choice([0.0, 0.0, 1.0, draw.randint(0, 4096) / 1024])
        flows.append((draw.choice([0, 100, 200, draw.randint(1, 999)]), start, route))
    return links, flows


@pytest.mark.parametrize("block", range(10))
def test_random_networks_agree_with_the_oracle(block: int) -> None:
    for seed in range(50 * block, 50 * block + 50):
        links, flows = random_network(seed)
        exact = [float(end) for end in exact_completion_times(links, flows)]
        expect(completion_times(links, flows, solver="python"), exact)


@pytest.mark.parametrize("block", range(4))
def test_random_networks_agree_with_the_oracle_in_rtt_sharing(block: int) -> None:
    for seed in range(25 * block, 25 * block + 25):
        links, flows = random_network(seed)
        links = {link: (bandwidth, latency + 1 / 64, policy) for link, (bandwidth, latency, policy) in links.items()}
        exact = [float(end) for end in exact_completion_times(links, flows, sharing="rtt")]
        expect(completion_times(links, flows, sharing="rtt", solver="python"), exact)


def test_the_solvers_agree_to_the_last_bit() -> None:
    pytest.importorskip("numba")
    for seed in range(100):
        links, flows = random_network(seed)
        assert completion_times(links, flows, solver="python") == completion_times(links, flows, solver="numba")
