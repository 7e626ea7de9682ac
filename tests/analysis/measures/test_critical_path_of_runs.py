"""Critical paths of simulated runs: against closed forms, and against the simulator itself, asked what would change.

The oracle: what is on the critical path, and nothing else, makes the run longer when it takes a nanosecond longer.
"""

import numpy as np
import pytest

from analysis.measures.critical_path import critical_path
from analysis.measures.delays import delays
from analysis.measures.explanation import explain_run
from schedules.driving.coordinator import Coordinator
from schedules.operations import Barrier, Compute, Payload, Receive, Send, Start
from schedules.record.trace import Recorder
from schedules.scenario import load
from schedules.setup import Setup
from simulator import simulate
from simulator.messages.formulas import Formulas
from simulator.world import World
from tests.simulator import rig

L_NS, BYTES_NS = 100_000, 4_000_000
PROGRAMS = {
    "gossip": {},
    "gossip, waiting": {"schedule.pairing": "first-come"},
    "gossip, poisson": {"schedule.gradient_clock": "poisson", "schedule.rate": 3.0},
    "a2cid2": {"schedule.program": "a2cid2", "topology.graph": "complete"},
    "all-reduce": {"schedule.program": "all-reduce"},
    "all-reduce, overlapped": {
        "schedule.program": "all-reduce",
        "schedule.overlap": True,
        "schedule.bucket_size": 1_000_000,
    },
    "d-psgd": {"schedule.program": "d-psgd"},
}
NETWORKS = {
    "own links": {},
    "gloo": {"platform.transport": "gloo", "platform.overhead": 3e-5},
    "racks": {"platform.network": {"kind": "racks", "hosts_per_rack": 2, "bandwidth": 1e9, "latency": 3e-5}},
    "slow": {"platform.link.bandwidth": 2e7},
}


def scenario(**changes):
    tables = {
        "schedule": {"program": "gossip", "gradients": 12},
        "topology": {"graph": "ring", "workers": 6},
        "platform": {
            "gradient": {"distribution": "lognormal", "mean": 0.01, "cv": 0.3},
            "link": {"bandwidth": 1e9, "latency": 1e-4},
        },
        "workload": {"parameters": 1_000_000},
    }
    return load(tables, changes)


def path_of(result):
    return critical_path(result.trace, delays(result.scenario.tables(), result.summary, result.network))


# ---------------------------------------------------------------------- every program, on every network


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_path_explains_the_makespan_to_the_nanosecond(program, network):
    result = simulate(scenario(**PROGRAMS[program], **NETWORKS[network]))
    path = path_of(result)
    intervals = path.intervals
    assert path.length_ns == round(result.summary["makespan_s"] * 1e9)
    assert intervals["start_ns"].iloc[0] == 0
    assert (intervals["start_ns"].iloc[1:].to_numpy() == intervals["end_ns"].iloc[:-1].to_numpy()).all()
    assert set(intervals["category"]) <= {"compute", "transfer", "sharing", "latency", "clock"}
    computed = intervals[intervals["category"] == "compute"].groupby("rank")[["start_ns", "end_ns"]].sum()
    busy = np.array(result.summary["per_rank"]["compute_s"])[computed.index]
    assert (computed["end_ns"] - computed["start_ns"] <= np.rint(busy * 1e9)).all()


# ---------------------------------------------------------------------- what would change


def timed(durations, **changes):
    """A run whose gradients take the given nanoseconds, int [workers, gradients]; its makespan and its path."""
    resolved = scenario(**changes)
    setup, recorder = Setup(resolved), Recorder()
    world = World(
        ledger=setup.ledger,
        gradient_ns=resolved.gradient_s * 1e9,
        transport=Formulas(resolved.platform),
        coordinator=Coordinator(resolved.topology.workers, resolved.run.seed),
        recorder=recorder,
    )
    for rank in range(resolved.topology.workers):
        worker = setup.worker(rank)
        drawn = {"gradient": iter(durations[rank].tolist()).__next__}
        world.add(worker, drawn, setup.programs(worker))
    world.run()
    trace = recorder.table(run="", world="simulated")
    summary = {"collectives": world.collectives.summary()}
    return int(trace["end_ns"].max()), critical_path(trace, delays(resolved.tables(), summary)), trace


ORACLE = {
    "gossip": {},
    "busy gossip": {"schedule.rate": 4.0},
    "busy gossip, gloo": {"schedule.rate": 4.0, "platform.transport": "gloo", "platform.overhead": 3e-7},
    "first-come": {"schedule.pairing": "first-come", "platform.link.bandwidth": 5e8},
    "d-psgd": {"schedule.program": "d-psgd"},
    "d-psgd, gloo": {"schedule.program": "d-psgd", "platform.transport": "gloo"},
    "all-reduce": {"schedule.program": "all-reduce"},
}


def gradient_times(program):
    draw = np.random.default_rng([7, *program.encode()])
    return draw.integers(5_000_000, 15_000_000, (6, 12))


@pytest.mark.slow
@pytest.mark.parametrize("program", ORACLE)
def test_a_longer_gradient_makes_the_run_longer_exactly_if_it_is_on_the_path(program):
    durations = gradient_times(program)
    makespan, path, trace = timed(durations, **ORACLE[program])
    computed = path.intervals[path.intervals["category"] == "compute"]
    on_path = set(zip(computed["rank"], computed["end_ns"], strict=True))
    gradients = trace[trace["kernel"] == "gradient"].sort_values("end_ns")
    number = gradients.groupby("rank").cumcount()
    assert len(on_path) > 5 or program.startswith("busy")
    for (rank, end), k in list(zip(zip(gradients["rank"], gradients["end_ns"], strict=True), number, strict=True))[::4]:
        longer = durations.copy()
        longer[rank, k] += 1
        assert timed(longer, **ORACLE[program])[0] - makespan == ((rank, end) in on_path), (rank, k)


@pytest.mark.parametrize("program", ORACLE)
def test_a_longer_latency_makes_the_run_longer_as_often_as_it_is_on_the_path(program):
    durations, changes = gradient_times(program), ORACLE[program]
    makespan, path, _ = timed(durations, **changes)
    latency = path.by("category").set_index("category")["length_ns"]["latency"]
    overhead = 300 if program == "busy gossip, gloo" else 0
    times, rest = divmod(int(latency), L_NS)
    overheads, rest = divmod(rest, overhead) if overhead else (0, rest)
    longer = timed(durations, **changes | {"platform.link.latency": (L_NS + 1) / 1e9})[0]
    assert longer - makespan == times
    assert rest == 0
    if overhead:
        assert timed(durations, **changes | {"platform.overhead": 301e-9})[0] - makespan == overheads > 0


@pytest.mark.parametrize("program", ["busy gossip", "busy gossip, gloo", "d-psgd", "d-psgd, gloo"])
def test_longer_messages_make_the_run_longer_as_often_as_they_are_on_the_path(program):
    durations, changes = gradient_times(program), ORACLE[program]
    makespan, path, _ = timed(durations, **changes)
    moving = path.by("category").set_index("category")["length_ns"]["transfer"]
    longer = timed(durations, **changes | {"platform.link.bandwidth": 4_000_000 / (BYTES_NS + 1) * 1e9})[0]
    assert divmod(int(moving), BYTES_NS) == (longer - makespan, 0)


# ---------------------------------------------------------------------- closed forms


def test_an_all_reduce_is_the_slowest_gradients_and_the_formula():
    durations = gradient_times("closed form")
    _, path, _ = timed(durations, **{"schedule.program": "all-reduce", "platform.link.bandwidth": 1e9})
    lengths = path.by("category").set_index("category")["length_ns"]
    assert lengths["compute"] == durations.max(axis=0).sum()
    ring, barrier = 2 * (6 - 1), 3
    assert lengths["latency"] == 12 * ring * L_NS + barrier * L_NS
    assert lengths["transfer"] == pytest.approx(12 * ring * 4e6 / 6 / 1e9 * 1e9, abs=12)


def test_a_straggler_owns_the_compute_of_the_path():
    durations = gradient_times("straggler")
    durations[4] += 20_000_000
    for program in ("all-reduce", "d-psgd", "gossip"):
        _, path, _ = timed(durations, **{"schedule.program": program})
        computed = path.intervals[path.intervals["category"] == "compute"]
        assert set(computed["rank"]) == {4}
        assert (computed["end_ns"] - computed["start_ns"]).sum() == durations[4].sum()


@pytest.mark.parametrize("program", ["gossip", "all-reduce", "all-reduce, overlapped", "d-psgd"])
def test_on_a_slow_network_transfers_dominate(program):
    path = path_of(simulate(scenario(**PROGRAMS[program] | {"schedule.rate": 4.0} if program == "gossip" else
                                     PROGRAMS[program], **{"platform.link.bandwidth": 1e7})))  # fmt: skip
    assert path.by("category")["category"].iloc[0] == "transfer"
    assert path.by("category")["share"].iloc[0] > 0.9


def test_sharing_a_slow_uplink_is_told_from_moving_bytes():
    """Two racks of four: all exchanges with the opposite rank meet on an uplink as fast as one host's link."""
    network = {"kind": "racks", "hosts_per_rack": 4, "bandwidth": 1e9, "latency": 1e-5, "uplink_bandwidth": 1e9}

    def program(worker):
        opposite = (worker.rank + 4) % 8
        yield Start(Send(opposite, Payload(10_000_000)))
        yield Receive(opposite, 10_000_000)
        yield Barrier()

    recorder = Recorder()
    world = rig.run(
        lambda worker: {"main": program(worker)},
        8,
        recorder=recorder,
        platform__network=network,
        platform__order="overtaking",
    )
    trace = recorder.table(run="", world="simulated")
    tables = {"platform": {"network": network, "link": {"latency": 1e-3}}}
    ordered = [(rank, (rank + 4) % 8) for rank in range(8)]
    path = critical_path(trace, delays(tables, {}, world.fabric.graph, ordered))
    lengths = path.by("category", "kind").set_index(["category", "kind"])["length_ns"]
    assert lengths["transfer", "Receive"] == 10_000_000
    assert lengths["sharing", "Receive"] == 30_000_000
    assert lengths["latency", "Receive"] == 40_000


def test_messages_in_order_hold_up_nobody_elses():
    """Rank 0 has posted a receive before its send to another rank: order is kept with one peer only."""

    def program(worker):
        if worker.rank == 0:
            yield Start(Receive(2, 1000, 1))
            yield Send(1, Payload(1000), 2)
        elif worker.rank == 1:
            yield Receive(0, 1000, 2)
        else:
            yield Compute("gradient")
            yield Send(0, Payload(1000), 1)

    recorder = Recorder()
    rig.run(lambda worker: {"main": program(worker)}, 3, recorder=recorder, platform__order="in-order")
    path = critical_path(
        recorder.table(run="", world="simulated"), delays({"platform": {"link": {"latency": 1e-3}}}, {})
    )
    told = [tuple(row) for row in path.intervals[["category", "rank", "end_ns"]].itertuples(index=False)]
    ms = 1_000_000
    assert told == [
        ("compute", 2, 1000 * ms),
        ("latency", 2, 1001 * ms),
        ("transfer", 2, 1002 * ms),
    ]


def test_an_explanation_of_a_run_agrees_with_its_path():
    result = simulate(scenario(**PROGRAMS["d-psgd"], **NETWORKS["racks"]))
    explanation = explain_run(result)
    assert explanation.path.length_ns == path_of(result).length_ns
    assert sum(part["share"] for part in explanation.parts) == pytest.approx(1)
    assert explanation.links[0]["link"].startswith(("host", "rack"))
